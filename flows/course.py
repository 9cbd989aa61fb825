"""The record of one training as it grows: what is logged to MLflow, and what waits until MLflow can be reached."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from networksecurity.champion.decision import Decision
from networksecurity.champion.delivery import UNDELIVERED, Delivered, close_training
from networksecurity.champion.record import Found, TrainingRecord, written_contract
from networksecurity.data.storage import DataRef
from networksecurity.exceptions import NetworkSecurityException, TransientError
from networksecurity.settings import settings
from networksecurity.tracking.outcome import PARAMETERS_TAG, Training
from networksecurity.tracking.provenance import code_version

from . import training_steps as tasks
from .approval import settle
from .display import begin
from .parameters import TrainParameters
from .rows import contract_of
from .tracking import deferred, ledger, tracking_server

_T = TypeVar("_T")


def first_record(parameters: TrainParameters, tags: dict[str, str]) -> TrainingRecord:
    """Return the record of a training of which nothing is known but what was asked."""
    contract = contract_of(parameters)
    return TrainingRecord(
        experiment=settings().mlflow_experiment_name,
        tags=tags,
        command="",
        registered_model=settings().registered_model(contract.name),
        contract=written_contract(contract),
        candidate_runs=parameters.candidate_runs,
        promotion=parameters.promotion,
        gate=parameters.gate,
        random_state=parameters.random_state,
    )


@dataclass
class Course:
    """The record of this training, and how far MLflow knows of it."""

    record: TrainingRecord
    opening: PrefectFuture[Training] | None = None
    """The train run; None if MLflow is away."""
    deferred: str | None = None
    """Why something waits for a later delivery."""
    _is_away: bool = False
    _is_stored: bool = False

    @property
    def origin(self) -> dict[str, str]:
        """The tags that the runs and the version of this training share."""
        return {name: value for name, value in self.record.tags.items() if name != PARAMETERS_TAG}

    def reach(self, reaching: PrefectFuture[None]) -> None:
        """Wait until MLflow is reached; raise what it refuses, and go on without it if it is away."""
        try:
            reaching.result()
        except TransientError as exc:
            self._is_away = True
            get_run_logger().warning("the training goes on without MLflow, which is tried again at its end: %s", exc)

    def ask(self, question: Callable[[], _T]) -> _T | None:
        """Return the answer to a question that the training can do without; None if MLflow is away."""
        if self._is_away:
            return None
        try:
            return question()
        except UNDELIVERED as exc:
            get_run_logger().warning("MLflow cannot be asked: %s", exc)
            return None

    @contextmanager
    def begun(self, parameters: TrainParameters, rows: DataRef) -> Iterator[None]:
        """Store the record, and open the train run beside what the context computes."""
        asked = parameters.model_dump(mode="json", exclude={"reason", "refresh", "create_repo", "public_repo"})
        contents = [asked, rows.sha256, code_version(), self.record.contract, self.record.experiment]
        command = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
        with ledger().begun(self.record.model_copy(update={"command": command})) as self.record:
            self._is_stored = True
            if not self._is_away:
                self.opening = tasks.open_runs.submit(self.record)
            yield

    def found(self, **found: Any) -> None:
        """Store what the training found."""
        self.record = self.record.model_copy(update={"found": Found(**found)})
        ledger().write(self.record)

    def deliver(
        self, parameters: TrainParameters, tracked: Mapping[str, PrefectFuture[None]]
    ) -> tuple[Delivered | None, Decision | None]:
        """Log what was found and let the model compete with the champion, or leave both to a later delivery."""
        delivered = decision = None
        for future in (self.opening, *tracked.values()):
            if future:
                future.wait()
        try:
            delivered = tasks.track(self.record, {model for model, of in tracked.items() if of.state.is_completed()})
            begin("judging the new model")
            decision = settle(parameters, self.record, delivered.version)
            ledger().drop(self.record)
            self._is_stored = False
        except UNDELIVERED as exc:
            self.record = ledger().release(self.record)
            self.deferred = deferred(exc)
            get_run_logger().warning("%s", self.deferred)
        return delivered, decision

    def fail(self, exc: BaseException, reaching: PrefectFuture[None]) -> None:
        """Close the training's runs with the reason, now or by a later delivery."""
        reaching.wait()
        if self.opening:
            self.opening.wait()
        status = "FAILED" if isinstance(exc, Exception) else "KILLED"
        if self.record.found:
            if self._is_stored:  # what was found is not lost
                ledger().release(self.record.model_copy(update={"status": status if status == "KILLED" else None}))
            return
        if not (self._is_stored or reaching.state.is_completed()):
            return
        reason = settings().redacted(": ".join(filter(None, (type(exc).__name__, str(exc)))))
        ended = self.record.model_copy(update={"status": status, "reason": reason})
        with suppress(NetworkSecurityException):  # report the first error, not this one
            ledger().release(ended if status == "FAILED" else self.record.model_copy(update={"reason": reason}))
            close_training(tracking_server(), ended)
            if status == "KILLED" and self._is_stored:
                ledger().interrupt(ended)
            else:
                ledger().drop(ended)
