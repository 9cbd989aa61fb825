"""Monitor: rows that are new since the last check → compared with those behind the model in use → events.

One event reports drift of the rows, another that quality has decayed: F1 on labelled rows against F1 on the test rows.

The check is recorded last: an interrupted check is repeated, so no drift is missed. The event may fire twice; what it
triggers must be idempotent. As a command: `networksecurity monitor --help`, or `python flows/monitor.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from networksecurity.interrupt import end_of_ctrl_c

    end_of_ctrl_c()
    from flows.commands import run_command

    sys.exit(run_command("monitor"))

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import BaseModel

from networksecurity.champion.check import Check, Decided, check_version
from networksecurity.champion.delivery import deliver_check
from networksecurity.champion.record import CheckRecord
from networksecurity.champion.registry import CANDIDATE, CHAMPION, WATERMARK_TAG, RegisteredVersion
from networksecurity.data import mongodb
from networksecurity.data.contracts import Contract
from networksecurity.data.mongodb import Checkpoint, Collection
from networksecurity.data.sources import Source
from networksecurity.data.storage import DataRef
from networksecurity.monitoring import drift
from networksecurity.monitoring.expectation import Expectation
from networksecurity.monitoring.quality import QualityReport, QualityState
from networksecurity.monitoring.thresholds import Thresholds
from networksecurity.settings import settings
from networksecurity.tracking import figures
from networksecurity.tracking.monitor_runs import LoggedCheck
from networksecurity.tracking.server import run_url

from .display import begin
from .parameters import MonitorParameters
from .report import Summary, inline_picture
from .rows import contract_of, source_of
from .steps import record, run_name, step, storage
from .tracking import log_or_leave, registry, tracking_server
from .worker import begin_under_worker

DRIFT_EVENT = "networksecurity.drift.detected"
"""The event that reports drift; its payload holds the fields of `MonitorReport`."""
QUALITY_EVENT = "networksecurity.quality.decayed"
"""The event that reports a decay of quality, with the same payload."""
RETRAINING = {"networksecurity.retraining": "asked"}
"""The label of one event of a check that found anything: two of them would ask for two retrainings of the same rows."""
_LONGEST_CAUSE = 240
"""Characters of each cause of a retraining; a training takes 500 as its reason."""

_OUTCOMES = {"drift": "Drift detected", "no_drift": "No drift", "too_few_rows": "Too few rows"}


class MonitorReport(BaseModel, frozen=True):
    """The outcome of a check, in plain values."""

    source: str
    contract: str
    contract_given: str
    """As in `--contract`, for a training of the same contract."""
    model_name: str
    model_version: str
    verdict: drift.Verdict
    reason: str
    drifted: tuple[str, ...]
    n_rows: int
    n_rejected: int
    look: int
    """Number of the check, from 1; 0 if there were too few rows, or its delivery, which numbers it, is deferred."""
    quality: QualityReport
    expected: Expectation | None
    """Estimated without labels."""
    decided: Decided | None = None
    """None if the model decides every row."""
    link: str | None
    """Page of the run in the tracking UI."""
    deferred: str | None = None
    """Why MLflow does not know of it yet, and what delivers it."""
    causes: str
    """Why to train again; empty if there is no need."""

    @property
    def outcome(self) -> str:
        """The outcome as a title; where the rows have drifted, it is that."""
        if self.quality.verdict == "decayed" and self.verdict != "drift":
            return "Quality decayed"
        return _OUTCOMES[self.verdict]


class NewRows(BaseModel, frozen=True):
    """Validated rows that are new."""

    rows: DataRef
    n_rejected: int
    checkpoint: Checkpoint
    """How far the monitor has come once these rows are checked."""
    before: QualityState = QualityState()
    """What the checks of quality before have found."""


@step(task_run_name="model in use")
def find_model(contract: Contract) -> RegisteredVersion:
    """Find the model in use."""
    return registry(contract).get(CHAMPION, CANDIDATE)


@step(task_run_name="read new rows")
def read_new(source: Source, since: str, version: RegisteredVersion, contract: Contract) -> NewRows:
    """Read and validate the rows since the last check, or since the model was trained."""
    if isinstance(source, Collection):
        with mongodb.open(source) as opened:
            last = opened.get_checkpoint(_checkpoint_name(version))
            start = mongodb.parse_since(since) if since else last.watermark or _trained_up_to(version, source)
            new = opened.read(since=start)
        checkpoint = Checkpoint(n_checks=last.n_checks + 1, watermark=new.watermark, state=last.state)
    else:
        new, checkpoint = source.read(), Checkpoint()
    has_target = any(contract.canonical_name(name) == contract.target for name in new.frame)
    accepted, rejected = contract.validation(with_target=has_target).add(new.frame)
    # Rows that were checked before must not count twice: asked to look back, quality is judged on its own.
    before = QualityState() if since else QualityState.model_validate(checkpoint.state)
    stored = storage().put_frame(accepted)
    return NewRows(rows=stored, n_rejected=len(rejected), checkpoint=checkpoint, before=before)


@step(task_run_name="compare")
def compare(
    new: DataRef, version: RegisteredVersion, before: QualityState, thresholds: Thresholds, margin: float
) -> Check:
    """Compare new rows, their scores and labels with those behind the model."""
    rows = storage().get_frame(new)
    return check_version(registry(version.contract), version, rows, before=before, thresholds=thresholds, margin=margin)


@step(task_run_name="track", retries=0)
def track(record: CheckRecord) -> LoggedCheck:
    """Log the check as a step of the model's monitoring run."""
    return deliver_check(tracking_server(), record)


def _record_of(version: RegisteredVersion, found: Check, n_check: int | None) -> CheckRecord:
    return CheckRecord(
        experiment=f"{settings().mlflow_experiment_name}-monitor",
        monitored=f"{version.name}-{version.version}",
        report=found.drift,
        step=n_check,
        tags={"model.name": version.name, "model.version": version.version},
        quality=found.quality,
        expected=found.expected,
        others=found.decided.metrics() if found.decided else {},
    )


def _checkpoint_name(version: RegisteredVersion) -> str:
    return f"{version.name}/{version.version}"


def _trained_up_to(version: RegisteredVersion, source: Collection) -> int | None:
    """Return the watermark of the rows that a model has learned from, if they came from this collection."""
    if version.tags.get("data.source") != source.shown:
        return None
    watermark = version.tags.get(WATERMARK_TAG)
    return None if watermark is None else int(watermark)


@flow(name="monitor", flow_run_name=run_name, result_serializer="json", on_running=[begin_under_worker])
def monitor(parameters: MonitorParameters = MonitorParameters()) -> State:
    """Compare new rows with those behind the model in use; emit an event on drift, and one if quality has decayed."""
    log = get_run_logger()
    source, contract = source_of(parameters), contract_of(parameters)
    begin("reading and comparing rows")
    version = find_model(contract)
    new = read_new(source, parameters.since, version, contract.with_positive(parameters.positive))
    check = compare(new.rows, version, new.before, parameters.thresholds, parameters.margin)
    found = check.drift

    checked = found.verdict != "too_few_rows"
    n_check, logged, deferred = new.checkpoint.n_checks or None, None, None
    if checked:
        logged, deferred = log_or_leave(_record_of(version, check, n_check), track)
    report = MonitorReport(
        source=source.shown,
        contract=contract.name,
        contract_given=parameters.contract,
        model_name=version.name,
        model_version=version.version,
        verdict=found.verdict,
        reason=found.reason,
        drifted=found.drifted,
        n_rows=found.n_rows,
        n_rejected=new.n_rejected,
        look=logged.step if logged else (checked and n_check) or 0,
        quality=check.quality,
        expected=check.expected,
        decided=check.decided,
        link=run_url(tracking_server().address, logged.experiment_id, logged.run_id) if logged else None,
        deferred=deferred,
        causes=_causes(found, check.quality),
    )
    _publish(report, found)
    # Too few rows are left for the next check, which then finds more.
    state = new.checkpoint.state if parameters.since else check.state.model_dump()
    reached = new.checkpoint.model_copy(update={"state": state})
    if checked and isinstance(source, Collection) and not record(_checkpoint_name(version), source, reached):
        log.warning("another monitor made check %s at the same time: nothing is lost, nothing to do", report.look)
    name = f"{report.outcome} · tracking deferred" if deferred else report.outcome
    message = "; ".join(filter(None, (found.reason, check.quality.reason, deferred)))
    return Completed(name=name, message=message, data=report)


def _causes(found: drift.DriftReport, judged: QualityReport) -> str:
    causes = {"drift: ": found.reason} if found.verdict == "drift" else {}
    if judged.verdict == "decayed":
        causes["quality: "] = judged.reason
    return "; ".join(name + reason[:_LONGEST_CAUSE] for name, reason in causes.items())


def _publish(report: MonitorReport, found: drift.DriftReport) -> None:
    drifted, decayed = report.verdict == "drift", report.quality.verdict == "decayed"
    _report_event(DRIFT_EVENT, report, report.reason, occurred=drifted, labels=RETRAINING)
    _report_event(QUALITY_EVENT, report, report.quality.reason, occurred=decayed, labels={} if drifted else RETRAINING)
    sections = {}
    if found.columns:
        png = figures.draw_drift(found, f"{report.outcome} in {report.source}")
        sections = {"Columns": inline_picture(png, "distance of each column from its reference")}
        shown = {"name", "verdict", "psi", "p_corrected", "missing_new", "reason"}
        table = [column.model_dump(include=shown) for column in found.columns]
        create_table_artifact(table, key="drift", description=report.reason)
    text = summarize(report, sections).to_markdown()
    create_markdown_artifact(text, key="monitor-report", description=report.reason)
    if report.link:
        create_link_artifact(report.link, link_text="in MLflow", key="mlflow-monitor", description=report.reason)


def _report_event(event: str, report: MonitorReport, reason: str, *, occurred: bool, labels: dict[str, str]) -> None:
    log = get_run_logger()
    if not occurred:
        log.info("%s", reason)
        return
    log.warning("%s", reason)
    emit_event(
        event=event,
        resource={
            "prefect.resource.id": f"networksecurity.model.{report.model_name}",
            "prefect.resource.name": report.model_name,
            "networksecurity.model.version": report.model_version,
            "networksecurity.contract": report.contract,
            **labels,
        },
        payload=report.model_dump(mode="json"),
    )


def summarize(report: MonitorReport, sections: dict[str, str] | None = None) -> Summary:
    """Return the outcome of a check, as people read it."""
    return Summary(
        title=f"{report.outcome} in {report.source}",
        outcome=report.reason,
        values={
            "outcome": report.outcome,
            "why": report.reason,
            "quality": report.quality.reason,
            "expected without labels": _expected(report.expected),
            **({"decided": report.decided.sentence()} if report.decided else {}),
            "new rows": f"{report.n_rows:,} ({report.n_rejected:,} more are not valid)",
            "model": f"{report.model_name} {report.model_version}",
            "in MLflow": report.link or report.deferred or "-",
        },
        sections=sections or {},
    )


def _expected(expected: Expectation | None) -> str:
    """Return the estimated figures; they are no evidence."""
    if expected is None:
        return "-"
    figures = {"precision": expected.precision, "recall": expected.recall_score}
    shown = ", ".join(f"{name} {of:.4f}" for name, of in figures.items() if of is not None)
    return f"{shown} on {expected.n_rows:,} unseen rows (an estimate from the model's own probabilities)"
