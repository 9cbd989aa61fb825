"""The delivery of a record to MLflow: runs, model, version and alias, each found by its key or else made.

It can be repeated after any interruption and any unclear answer: a connection that is cut, a time-out, an answer of
something other than MLflow. What creates something is never sent again before a check whether it exists.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from networksecurity.champion.changes import consider, earlier_comparisons
from networksecurity.champion.decision import Champion, Decision, answered, decide
from networksecurity.champion.record import CheckRecord, Ledger, Record, ReviewRecord, TrainingRecord
from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.data.contracts import option_of
from networksecurity.exceptions import (
    NetworkSecurityException,
    TrackingError,
    TrackingUnavailableError,
    TransientError,
)
from networksecurity.tracking import runs
from networksecurity.tracking.monitor_runs import LoggedCheck, log_check
from networksecurity.tracking.outcome import TRAINING_TAG, Training
from networksecurity.tracking.review_runs import LoggedReview, log_review
from networksecurity.tracking.server import TrackingServer
from networksecurity.training.evaluation import FIGURES

_T = TypeVar("_T")

_PAUSES = (1.0, 3.0)
"""Seconds before the second and the third attempt."""
UNDELIVERED = (TransientError, TrackingError)
"""What leaves a record to the next delivery: MLflow is away, or refuses."""


@dataclass(frozen=True)
class Delivered:
    """Where a training was logged."""

    training: Training
    test_run_id: str
    version: RegisteredVersion


def persistently(call: Callable[[], _T]) -> _T:
    """Return what `call` returns; repeat it where MLflow was away or its answer unclear, twice."""
    for pause in _PAUSES:
        try:
            return call()
        except TrackingUnavailableError:
            time.sleep(pause)
    return call()


def open_training(server: TrackingServer, record: TrainingRecord, *, stale_after: float) -> Training:
    """Open the train run of a training, or go on in the one that an interrupted attempt left."""
    how = {"name": record.name, "key": record.key, "stale_after": stale_after}
    return persistently(lambda: runs.start_training(server, record.experiment, record.tags, **how))


def deliver_training(
    server: TrackingServer,
    record: TrainingRecord,
    ledger: Ledger,
    *,
    logged: Collection[str] = (),
    signing_key: SecretStr | None = None,
) -> Delivered:
    """Log a training that was recorded whole, register its model and close its runs.

    Parameters
    ----------
    server : TrackingServer
    record : TrainingRecord
    ledger : Ledger
    logged : collection of str
        Models whose grid points are logged already.
    signing_key : SecretStr, optional
        Of the registered model.

    Raises
    ------
    TrackingUnavailableError, TrackingError
        MLflow is away, or refuses.
    StorageError
        The model or the rows are gone or damaged.
    """
    found, rows = record.found, record.rows
    assert found is not None
    outcome = found.outcome(ledger.storage, rows)
    f1_score, precision, recall_score = (found.test_metrics[name] for name in FIGURES[:3])
    figures = {name: str(of) for name, of in found.test_metrics.items()}

    def log() -> Delivered:
        training = _runs_of(server, record)
        for result in outcome.searches:
            if result.candidate not in logged:
                runs.log_search(server, training, result, record.candidate_runs)
        done = runs.log_outcome(server, training, outcome)
        version = Registry(server, record.registered_model, rows, signing_key).register(
            done.model_uri,
            training.train_run_id,
            # In this order, the model's page lists them beside each version: what people look for comes first.
            tags={name: figures[name] for name in FIGURES[:3]}
            | {TRAINING_TAG: record.name}
            | found.tags
            | figures
            | done.seal,
            description=f"{found.searches[0].candidate} of training {record.name}; on its test rows F1 {f1_score:.4f}, "
            f"precision {precision:.4f}, recall {recall_score:.4f}",
        )
        runs.end_training(server, training, reason=found.warning)
        return Delivered(training, done.test_run_id, version)

    return persistently(log)


def close_training(server: TrackingServer, record: TrainingRecord) -> None:
    """Close the runs of a training that found nothing, with the reason."""
    status = record.status or "KILLED"
    reason = record.reason or f"its process ({record.process}) ended without closing it"

    def close() -> None:
        training = _runs_of(server, record)
        runs.end_training(server, training, status, reason)

    persistently(close)


def _runs_of(server: TrackingServer, record: TrainingRecord) -> Training:
    how = {"name": record.name, "key": record.key}
    return runs.start_training(server, record.experiment, record.tags, stale_after=None, **how)


def promote(
    registry: Registry,
    version: RegisteredVersion,
    record: TrainingRecord,
    ledger: Ledger,
    *,
    dry_run: bool,
    flow_run: str | None = None,
    answer: tuple[bool, str] | None = None,
) -> Decision:
    """Weigh the model of a training against the champion on its test rows; put it in use if it is better.

    Parameters
    ----------
    registry : Registry
    version : RegisteredVersion
    record : TrainingRecord
    ledger : Ledger
    dry_run : bool
        Change and record nothing.
    flow_run : str, optional
    answer : tuple of (bool, str), optional
        Whether a person approved, and the comment.
    """
    found, storage = record.found, ledger.storage
    assert found is not None
    model, rows = storage.get_model(found.model), storage.get_frame(found.test)
    earlier = earlier_comparisons(registry, version)

    def judge(champion: Champion | None) -> Decision:
        decision = decide(
            model,
            champion,
            rows,
            record.gate,
            train_f1_score=found.train_metrics["f1_score"],
            synthetic=version.is_synthetic,
            earlier=earlier,
            random_state=record.random_state,
            contract=version.contract,
        )
        return answered(decision, approved=answer[0], comment=answer[1]) if answer else decision

    return consider(registry, version, judge, dry_run=dry_run, flow_run=flow_run)


def deliver_check(server: TrackingServer, record: CheckRecord) -> LoggedCheck:
    """Log a check of the monitor."""
    return persistently(
        lambda: log_check(
            server,
            record.experiment,
            record.monitored,
            record.report,
            key=record.key,
            step=record.step,
            tags=record.tags,
            quality=record.quality,
            expected=record.expected,
            others=record.others,
        )
    )


def deliver_review(server: TrackingServer, record: ReviewRecord) -> LoggedReview:
    """Log a review of a version."""
    how = {"key": record.key, "tags": record.tags}
    return persistently(lambda: log_review(server, record.experiment, record.reviewed, record.review, **how))


@dataclass(frozen=True)
class Replay:
    """What a delivery of everything that waits has done, a sentence each."""

    delivered: tuple[str, ...]
    left: tuple[str, ...]
    """What still waits, and why."""


def replay(server: TrackingServer, ledger: Ledger, signing_key: SecretStr | None = None) -> Replay:
    """Deliver every record that waits and that no living process works on, the oldest first."""
    delivered, left, away = [], [], ""
    for record in ledger.waiting():
        try:
            if away:
                raise TrackingUnavailableError(away)
            delivered.append(f"{record.subject}: {_deliver(server, record, ledger, signing_key)}")
        except NetworkSecurityException as exc:
            away = str(exc) if isinstance(exc, TrackingUnavailableError) else ""
            left.append(f"{record.subject}: {exc}")
    return Replay(tuple(delivered), tuple(left))


def _deliver(server: TrackingServer, record: Record, ledger: Ledger, signing_key: SecretStr | None) -> str:
    with ledger.held(record) as is_ours:
        if not is_ours:
            raise NetworkSecurityException("another process delivers it: wait for that one")
        match record:
            case CheckRecord():
                deliver_check(server, record)
                done = "logged"
            case ReviewRecord():
                deliver_review(server, record)
                done = "logged"
            case _ if record.found is None:
                close_training(server, record)
                if record.is_interrupted:
                    ledger.interrupt(record)
                    return "its runs are closed; the same command goes on in them"
                done = "its runs are closed"
            case _:
                done = _deliver_whole(server, record, ledger, signing_key)
        ledger.drop(record)
    return done


def _deliver_whole(
    server: TrackingServer, record: TrainingRecord, ledger: Ledger, signing_key: SecretStr | None
) -> str:
    done = deliver_training(server, record, ledger, signing_key=signing_key)
    logged = f"logged, version {done.version.version} of {done.version.name}"
    if record.promotion == "ask":
        command = f"networksecurity champion promote {done.version.version}{option_of(record.rows)}"
        return f"{logged}; nobody was asked whether to put it in use: `{command}` does"
    if record.promotion != "auto":
        return logged
    registry = Registry(server, record.registered_model, record.rows, signing_key)
    decision = promote(registry, done.version, record, ledger, dry_run=False)
    return f"{logged}, {'promoted' if decision.outcome == 'promote' else 'not promoted'}: {decision.reasons[0]}"
