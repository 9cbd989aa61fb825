"""Evaluate: labelled rows → validated → a version's figures on those it has not learned from, beside its test figures.

As a command: `networksecurity evaluate --help`, or `python flows/evaluate.py --help`. The exit code is 3 if F1 on
unseen rows is lower than on the test rows, 4 if that cannot be judged; the last line is for scripts.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from networksecurity.interrupt import end_of_ctrl_c

    end_of_ctrl_c()
    from flows.commands import run_command

    sys.exit(run_command("evaluate"))

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import BaseModel

from networksecurity.champion.delivery import deliver_review
from networksecurity.champion.record import ReviewRecord
from networksecurity.champion.registry import RegisteredVersion
from networksecurity.champion.reviewing import record_of, review_version
from networksecurity.data.storage import DataRef
from networksecurity.settings import settings
from networksecurity.tracking.review_runs import LoggedReview
from networksecurity.tracking.server import run_url
from networksecurity.training.review import EXIT_CODES, OUTCOMES, Review

from .display import begin
from .parameters import EvaluateParameters
from .report import Summary, said_of
from .rows import contract_of, source_of
from .score import find_model
from .steps import run_name, step, storage
from .tracking import log_or_leave, registry, tracking_server
from .training_steps import fetch, validate
from .worker import begin_under_worker


class EvaluationReport(BaseModel, frozen=True):
    """The outcome of an evaluation, in plain values."""

    source: str
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""
    n_rejected: int
    model_name: str
    model_version: str
    review: Review
    link: str | None
    """Page of the run in the tracking UI."""
    deferred: str | None = None
    """Why MLflow does not know of it yet, and what delivers it."""


@step(task_run_name="review")
def review(rows: DataRef, version: RegisteredVersion, margin: float) -> Review:
    """Compare the version on these rows with the version on its test rows."""
    return review_version(registry(version.contract), version, storage().get_frame(rows), margin=margin)


@step(task_run_name="track", retries=0)
def track(record: ReviewRecord) -> LoggedReview:
    """Log the review as a run."""
    return deliver_review(tracking_server(), record)


@flow(name="evaluate", flow_run_name=run_name, result_serializer="json", on_running=[begin_under_worker])
def evaluate(parameters: EvaluateParameters) -> State:
    """Compare a version of the model on labelled rows with the same version on its own test rows."""
    source, contract = source_of(parameters), contract_of(parameters)
    begin("reading and reviewing rows")
    version = find_model(parameters.model_version, contract)
    fetched = fetch(source)
    checked = validate(fetched.rows, parameters.max_rejected, contract.with_positive(parameters.positive))
    found = review(checked.accepted, version, parameters.margin)
    about = {"source": source.shown, "data_sha256": checked.accepted.sha256}
    record = record_of(version, found, experiment_name=settings().mlflow_experiment_name, **about)
    logged, deferred = log_or_leave(record, track)
    report = EvaluationReport(
        source=source.shown,
        notes=said_of(source.shown, fetched.notes, checked.report),
        n_rejected=checked.report["n_rejected"],
        model_name=version.name,
        model_version=version.version,
        review=found,
        link=run_url(tracking_server().address, logged.experiment_id, logged.run_id) if logged else None,
        deferred=deferred,
    )
    if found.verdict == "worse":
        get_run_logger().warning("%s", found.reason)
    create_markdown_artifact(summarize(report).to_markdown(), key="evaluation-report", description=found.reason)
    if report.link:
        create_link_artifact(report.link, link_text="in MLflow", key="mlflow-evaluation", description=found.reason)
    name = f"{OUTCOMES[found.verdict]} · tracking deferred" if deferred else OUTCOMES[found.verdict]
    return Completed(name=name, message="; ".join(filter(None, (found.reason, deferred))), data=report)


def summarize(report: EvaluationReport) -> Summary:
    """Return an evaluation's outcome, as people read it, with one line for scripts and the exit code."""
    parts = report.review.parts()
    rows = {name: f"{of.n_rows:,} with {of.n_vectors:,} groups" for name, of in parts.items()}
    return Summary(
        title=f"{report.model_name} {report.model_version} on {report.source}: {OUTCOMES[report.review.verdict]}",
        table=report.review.to_table(),
        outcome=report.review.reason,
        sentences=[*report.notes, f"{report.review.reason}."],
        values={**rows, "set aside": f"{report.n_rejected:,}", "in MLflow": report.link or report.deferred or "-"},
        last=report.review.to_line(),
        exit_code=EXIT_CODES[report.review.verdict],
    )
