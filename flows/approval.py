"""The end of a training: compare its model with the champion and, if the parameters say so, ask a person."""

from contextlib import suppress
from threading import Event, Thread
from uuid import UUID

import httpx
from prefect.exceptions import NotPausedError
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput, keyset_from_paused_state, read_flow_run_input
from prefect.input.run_input import Keyset
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Paused
from pydantic import Field

from networksecurity.champion.decision import Decision
from networksecurity.champion.delivery import promote
from networksecurity.champion.record import TrainingRecord
from networksecurity.champion.registry import RegisteredVersion
from networksecurity.exceptions import ConfigurationError

from .display import begin
from .parameters import TrainParameters
from .steps import step
from .tracking import ledger
from .tracking import registry as open_registry

_PAUSE = "promotion"
_MARGIN = 600
"""Seconds that Prefect waits beyond our own limit: it fails a run whose pause times out."""
_SECONDS_BETWEEN_CHECKS = 5


class Answer(RunInput):
    """The form on the page of a paused run."""

    approve: bool = Field(default=False, description="Put this version in use.")
    comment: str = Field(default="", max_length=500, description="Kept with the version.")

    @classmethod
    def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Save the form unless the run already has it: Prefect saves it once more after the pause."""
        if read_flow_run_input(keyset["schema"], flow_run_id) is None:
            super().save(keyset, flow_run_id)


@step(task_run_name="promote", retries=4)  # up to 30 s apart in all: several runs may change the champion at once
def weigh(
    record: TrainingRecord, candidate: RegisteredVersion, dry_run: bool, answer: Answer | None = None
) -> Decision:
    """Compare the model with the champion on the test rows; promote it if it is better and nobody objects."""
    registry = open_registry(candidate.contract)
    said = (answer.approve, answer.comment) if answer else None
    how = {"dry_run": dry_run, "flow_run": str(flow_run.id), "answer": said}
    return promote(registry, candidate, record, ledger(), **how)


def settle(parameters: TrainParameters, record: TrainingRecord, candidate: RegisteredVersion) -> Decision | None:
    """Decide whether the model replaces the champion; return None if promotion is off."""
    if parameters.promotion == "off":
        return None
    if parameters.promotion != "ask":
        return weigh(record, candidate, dry_run=parameters.promotion == "dry-run")
    proposed = weigh(record, candidate, dry_run=True)
    answer = _ask(candidate, proposed, parameters.approval_timeout) if proposed.outcome == "promote" else None
    return weigh(record, candidate, dry_run=False, answer=answer)


def refuse_to_ask_nobody(parameters: TrainParameters) -> None:
    """Raise ConfigurationError if a person should approve but no Prefect page can show the question."""
    if parameters.promotion == "ask" and not get_current_settings().ui_url:
        raise ConfigurationError(
            "--promotion ask needs the pages of a Prefect server: set PREFECT_API_URL (`make prefect-ui` or "
            "`make stack` starts a server), or choose another --promotion"
        )


def _ask(candidate: RegisteredVersion, proposed: Decision, seconds: int) -> Answer:
    """Pause the run until somebody answers on its page; after `seconds` without an answer, the answer is no."""
    name = f"version {candidate.version} of {candidate.name}"
    before = f"in place of version {proposed.champion}" if proposed.champion else "as the first champion"
    question = f"Put {name} in use, {before}?\n\n" + "\n".join(f"- {reason}" for reason in proposed.reasons)
    get_run_logger().warning("%s waits for an answer, for %s s: press Resume on %s", name, seconds, flow_run.ui_url)
    begin("waiting for an answer")
    run, over = UUID(flow_run.id), Event()

    def give_up() -> None:
        over.wait(seconds)
        while not over.wait(1):  # not yet paused, answered this very moment, or the server is away
            with suppress(NotPausedError, httpx.HTTPError):
                resume_flow_run(run, {"approve": False, "comment": f"nobody answered within {seconds} s"})

    form = Answer.with_initial_data(description=question)
    # Prefect pauses the run first and saves the form afterwards; in between it refuses every answer.
    form.save(keyset_from_paused_state(Paused(pause_key=_PAUSE)))
    Thread(target=give_up, daemon=True).start()
    try:
        answer = pause_flow_run(form, seconds + _MARGIN, poll_interval=_SECONDS_BETWEEN_CHECKS, key=_PAUSE)
    finally:
        over.set()
    begin("acting on the answer")
    return answer
