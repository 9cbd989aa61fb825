"""The end of a training: its model is weighed against the champion, and a person asked where that is wished."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Thread
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import NotPausedError, ObjectAlreadyExists
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from pydantic import Field

from flows.parameters import TrainParameters
from flows.steps import step
from networksecurity.champion import decision as promotion
from networksecurity.champion import registry
from networksecurity.champion.gate import Gate
from networksecurity.data.storage import DataRef, ModelRef, Storage
from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import settings
from networksecurity.tracking import server as tracking_server

LIMIT = "networksecurity-promotion"
"""Prefect's concurrency limit that lets one run at a time change the champion."""

_MARGIN = 600
"""Seconds for which Prefect waits longer than we do: a run whose pause it has given up has failed."""


class Answer(RunInput):
    """What the page of a paused run asks for."""

    approve: bool = Field(default=False, description="Put this version in use.")
    comment: str = Field(default="", max_length=500, description="Kept with the version.")


@step(task_run_name="promote")
def weigh(
    candidate: registry.RegisteredVersion,
    model: ModelRef,
    test: DataRef,
    train_f1_score: float,
    gate: Gate,
    random_state: int,
    dry_run: bool,
    answer: Answer | None = None,
) -> promotion.Decision:
    """Weigh the model against the champion on the test rows; promote it if it is better and nobody objected."""
    storage = Storage(settings().storage)
    pipeline, rows = storage.get_model(model), storage.get_frame(test)

    def judge(champion: promotion.Champion | None) -> promotion.Decision:
        found = promotion.decide(
            pipeline,
            champion,
            rows,
            gate,
            train_f1_score=train_f1_score,
            synthetic=candidate.is_synthetic,
            random_state=random_state,
        )
        return promotion.answered(found, approved=answer.approve, comment=answer.comment) if answer else found

    with _turn():
        server = tracking_server.connect(settings())
        return registry.consider(server, candidate, judge, dry_run=dry_run, flow_run=str(flow_run.id))


def settle(
    parameters: TrainParameters,
    candidate: registry.RegisteredVersion,
    model: ModelRef,
    test: DataRef,
    train_f1_score: float,
) -> promotion.Decision | None:
    """Decide whether the model replaces the champion, in the way that was asked for; None where it was not."""
    if parameters.promotion == "off":
        return None
    weighed = partial(weigh, candidate, model, test, train_f1_score, parameters.gate, parameters.random_state)
    if parameters.promotion != "ask":
        return weighed(dry_run=parameters.promotion == "dry-run")
    proposed = weighed(dry_run=True)
    answer = _ask(candidate, proposed, parameters.approval_timeout) if proposed.outcome == "promote" else None
    return weighed(dry_run=False, answer=answer)


def refuse_to_ask_nobody(parameters: TrainParameters) -> None:
    """Raise where a person is to be asked and there are no pages to do so."""
    if parameters.promotion == "ask" and not get_current_settings().ui_url:
        raise ConfigurationError(
            "--promotion ask asks on the pages of a Prefect server, and there is none: set PREFECT_API_URL "
            "(`make prefect-ui` or `make stack` starts one), or take another --promotion"
        )


def _ask(candidate: registry.RegisteredVersion, proposed: promotion.Decision, seconds: int) -> Answer:
    """Pause the run until somebody has answered on its page, or nobody has for too long."""
    name = f"version {candidate.version} of {candidate.name}"
    before = f"in place of version {proposed.champion}" if proposed.champion else "as the first champion"
    question = f"Put {name} in use, {before}?\n\n" + "\n".join(f"- {reason}" for reason in proposed.reasons)
    get_run_logger().warning("%s waits for an answer on this run's page, for %s s", name, seconds)

    run, over = UUID(flow_run.id), Event()

    def give_up() -> None:
        over.wait(seconds)
        while not over.wait(1):  # not yet paused, answered in the same moment, a server that is away
            with suppress(NotPausedError, httpx.HTTPError):
                resume_flow_run(run, {"approve": False, "comment": f"nobody answered within {seconds} s"})

    Thread(target=give_up, daemon=True).start()
    try:
        form = Answer.with_initial_data(description=question)
        return pause_flow_run(wait_for_input=form, timeout=seconds + _MARGIN, poll_interval=5, key="promotion")
    finally:
        over.set()


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other run is changing the champion; `registry` finds out about what Prefect knows nothing of."""
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(LIMIT, 1)
    with concurrency(LIMIT):
        yield
