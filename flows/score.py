"""Score: rows → validated → what the champion says of each → a file, or a collection in MongoDB.

One version of the model is looked up at the beginning and scores all rows of a run. A file that is scored to a file is
read once: a file of predictions appears as a whole, or not at all if its source turns out to be bad. Into a collection
rows are written as they come, so the file is checked first. From a collection to a collection, the checkpoint of each
version is recorded last: an interrupted run is made again, and writes the same once more to the same place.

As a command: `python flows/score.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from flows.launch import run
    from flows.parameters import ScoreParameters

    sys.exit(run("flows.score:score", ScoreParameters, show="flows.score:show_scoring"))

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from flows.ingest import Checked, check, fetch
from flows.parameters import ScoreParameters
from flows.steps import progress, step
from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.data import mongodb, sources
from networksecurity.data.files import File
from networksecurity.data.mongodb import Checkpoint, Collection
from networksecurity.data.raw import Batches
from networksecurity.data.sample import Sample
from networksecurity.data.sources import Source
from networksecurity.prediction import files as predictions
from networksecurity.prediction.scoring import BatchScorer, ScoringReport
from networksecurity.settings import settings
from networksecurity.tracking.markdown import markdown_table
from networksecurity.tracking.server import connect, model_version_url


class ScoreReport(BaseModel, frozen=True):
    """The outcome of a scoring, in plain values."""

    source: str
    output: str
    rows: ScoringReport
    quarantine: str | None
    """Where the rows are that were not scored; None where all were."""
    model_name: str
    model_version: str
    link: str
    """Page of the version in the tracking UI."""
    seconds: float


class Written(BaseModel, frozen=True):
    """What became of the rows."""

    rows: ScoringReport
    quarantine: str | None
    watermark: int | None = None
    """How far a collection was read."""


_NOTHING = Written(rows=ScoringReport(n_rows=0, n_scored=0, n_phishing=0, n_rejected=0, rejections={}), quarantine=None)


def _registry() -> Registry:
    return Registry(connect(settings()), settings().mlflow_registered_model_name)


@step(task_run_name="find the model")
def find_model(wanted: str) -> RegisteredVersion:
    """Look up the version that is to score."""
    return _registry().choose(wanted)


@step(task_run_name="score")
def score_file(
    file: Sample | File,
    output: Collection | str,
    version: RegisteredVersion,
    max_rejected: float,
    checked: Checked | None,
) -> Written:
    """Score the rows of a file; one that was not checked before goes to a file."""
    with file.batches(exact_others=True) as batches:
        if checked is None:
            return _write(batches, output, version, max_rejected)
        keyed = mongodb.with_keys(batches.frames, checked.sha256)
        return _write(Batches(keyed, checked.validation["n_rows"]), output, version, max_rejected)


@step(task_run_name="score")
def score_collection(
    source: Collection,
    output: Collection | str,
    version: RegisteredVersion,
    max_rejected: float,
    since: str,
    checkpoint: Checkpoint,
) -> Written:
    """Score the rows of a collection, all or those that are new."""
    start = mongodb.parse_since(since) if since else checkpoint.watermark
    with source.batches(since=start) as new:
        done = _write(new, output, version, max_rejected) if new.n_rows else _NOTHING
        return done.model_copy(update={"watermark": new.watermark})


def _write(batches: Batches, output: Collection | str, version: RegisteredVersion, max_rejected: float) -> Written:
    model = _registry().load_model(version)
    scorer = BatchScorer(model, name=version.name, version=version.version, max_rejected=max_rejected)
    with progress(f"score · {version.name} {version.version}", batches.n_rows) as report:
        scored = scorer.over(batches.frames)
        if isinstance(output, Collection):
            with mongodb.open(output) as opened:
                quarantine = opened.write_predictions(scored, on_progress=report)
        else:
            quarantine = predictions.write_file(scored, output=output, on_progress=report)
    rows = scorer.finish()
    return Written(rows=rows, quarantine=quarantine if rows.n_rejected else None)


@step(task_run_name="find the checkpoint")
def find_checkpoint(name: str, source: Collection) -> Checkpoint:
    """Look up how far this version has come."""
    with mongodb.open(source) as opened:
        return opened.get_checkpoint(name)


@step(task_run_name="record the checkpoint")
def record(name: str, source: Collection, checkpoint: Checkpoint) -> bool:
    """Remember how far this version has come."""
    with mongodb.open(source) as opened:
        return opened.advance_checkpoint(name, checkpoint)


def _score_new(
    parameters: ScoreParameters, source: Collection, output: Collection, version: RegisteredVersion
) -> Written:
    """Score what is new to this version in a collection, into a collection; `since` looks back, and records nothing."""
    name = f"score/{version.name}/{version.version}/{output.shown}"
    checkpoint = find_checkpoint(name, source)
    done = score_collection(source, output, version, parameters.max_rejected, parameters.since, checkpoint)
    reached = Checkpoint(n_checks=checkpoint.n_checks + 1, watermark=done.watermark)
    if not parameters.since and done.watermark != checkpoint.watermark and not record(name, source, reached):
        get_run_logger().warning("another run has scored the same rows at the same time: nothing is lost or doubled")
    return done


def _score(
    parameters: ScoreParameters, source: Source, output: Collection | str, version: RegisteredVersion
) -> Written:
    max_rejected = parameters.max_rejected
    if isinstance(source, Collection):
        if isinstance(output, Collection):
            return _score_new(parameters, source, output, version)
        return score_collection(source, output, version, max_rejected, parameters.since, Checkpoint())
    with TemporaryDirectory(prefix="networksecurity-") as folder:
        file = fetch(source, Path(folder))
        checked = check(file, max_rejected, with_target=False) if isinstance(output, Collection) else None
        return score_file(file, output, version, max_rejected, checked)


def _run_name() -> str:
    return f"score · {sources.parse(flow_run.parameters['parameters'].source, settings()).shown}"


@flow(name="score", flow_run_name=_run_name, result_serializer="json")
def score(parameters: ScoreParameters) -> State:
    """Say of each row of a source how probably it is phishing."""
    started = time.monotonic()
    source = sources.parse(parameters.source, settings())
    output = mongodb.parse_output(parameters.output, settings()) or parameters.output
    shown = output.shown if isinstance(output, Collection) else predictions.check_output(output)
    version = find_model(parameters.model_version)
    done = _score(parameters, source, output, version)
    report = ScoreReport(
        source=source.shown,
        output=shown,
        rows=done.rows,
        quarantine=done.quarantine,
        model_name=version.name,
        model_version=version.version,
        link=model_version_url(_registry().server.address, version.name, version.version),
        seconds=round(time.monotonic() - started, 1),
    )
    if done.quarantine:
        get_run_logger().warning("%s rows are not valid and were set aside: %s", done.rows.n_rejected, done.quarantine)
    name = "Scored" if done.rows.n_rows else "Nothing new"
    message = f"{done.rows.n_scored:,} rows scored by {version.name} {version.version}"
    create_markdown_artifact(score_markdown(report), key="score-report", description=message)
    create_link_artifact(report.link, link_text="in MLflow", key="mlflow-model-version", description=message)
    return Completed(name=name, message=message, data=report)


def _summary(report: ScoreReport) -> dict[str, str]:
    rows = report.rows
    share = f" ({rows.n_phishing / rows.n_scored:.1%})" if rows.n_scored else ""
    return {
        "rows read": f"{rows.n_rows:,}",
        "scored": f"{rows.n_scored:,}",
        "phishing": f"{rows.n_phishing:,}{share}",
        "quarantined": f"{rows.n_rejected:,}",
        "model": f"{report.model_name} {report.model_version}",
        "in MLflow": report.link,
        "output": report.output,
        "quarantine": report.quarantine or "-",
        "seconds": f"{report.seconds:.1f}",
    }


def score_markdown(report: ScoreReport) -> str:
    """Return the report artifact of a scoring."""
    lines = [f"# Scores of {report.source}", "", markdown_table(("", ""), _summary(report).items())]
    if reasons := report.rows.rejections:
        by_count = sorted(reasons.items(), key=lambda item: -item[1])
        lines += ["", "## Reasons", "", markdown_table(("reason", "rows"), by_count)]
    return "\n".join(lines)


def show_scoring(report: ScoreReport) -> None:
    """Print a scoring's outcome to the terminal."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(f"Scores of {report.source}"))
    for name, value in _summary(report).items():
        console.print(f"{name:>11}  {escape(value)}")
