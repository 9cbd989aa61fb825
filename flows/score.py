"""Score: rows → validated → what the champion says of each → a file, or a collection in MongoDB.

One version of the model is looked up at the beginning and scores all rows of a run. From a collection to a collection,
how far each version has come is recorded last: a run that is cut off is made again, and writes the same once more to
the same place. As a command: `python flows/score.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from flows.launch import run
    from flows.parameters import ScoreParameters

    sys.exit(run("flows.score:score", ScoreParameters, show="flows.score:show_scoring"))

import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from flows.ingest import check, fetch
from flows.parameters import ScoreParameters
from flows.steps import progress, step
from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.data import mongodb
from networksecurity.data import sources as datasets
from networksecurity.data.sources import SourceFile
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
def score_file(file: SourceFile, output: str, version: RegisteredVersion, max_rejected: float, n_rows: int) -> Written:
    """Score the rows of a file."""
    frames = datasets.read_batches(file, exact_others=True)
    if mongodb.is_address(output):
        frames = mongodb.with_keys(frames, file.sha256)
    return _write(frames, output, version, max_rejected, n_rows)


@step(task_run_name="score")
def score_collection(
    source: str, output: str, version: RegisteredVersion, max_rejected: float, since: str, watch: mongodb.Watch
) -> Written:
    """Score the rows of a collection, all or those that are new."""
    start = mongodb.parse_since(since) if since else watch.watermark
    with mongodb.reading(source, settings(), since=start) as new:
        done = _write(new.batches, output, version, max_rejected, new.n_rows) if new.n_rows else _NOTHING
        return done.model_copy(update={"watermark": new.watermark})


def _write(
    frames: Iterable[pd.DataFrame], output: str, version: RegisteredVersion, max_rejected: float, n_rows: int
) -> Written:
    model = _registry().load_model(version)
    scorer = BatchScorer(model, name=version.name, version=version.version, max_rejected=max_rejected)
    with progress(f"score · {version.name} {version.version}", n_rows) as report:
        if mongodb.is_address(output):
            batches = scorer.over(frames)
            quarantine = mongodb.write_predictions(batches, target=output, settings=settings(), on_progress=report)
        else:
            quarantine = predictions.write_file(scorer.over(frames), output=output, on_progress=report)
    rows = scorer.finish()
    return Written(rows=rows, quarantine=quarantine if rows.n_rejected else None)


@step(task_run_name="how far it has come")
def find_watch(name: str, source: str) -> mongodb.Watch:
    """Look up how far this version has come."""
    return mongodb.get_watch(name, source, settings())


@step(task_run_name="record how far it has come")
def record(name: str, source: str, watch: mongodb.Watch) -> bool:
    """Remember how far this version has come."""
    return mongodb.advance_watch(name, watch, source, settings())


def _score_new(parameters: ScoreParameters, output: str, version: RegisteredVersion) -> Written:
    """Score what is new to this version in a collection, into a collection; `since` looks back, and records nothing."""
    source, name = parameters.source, f"score/{version.name}/{version.version}/{output}"
    watch = find_watch(name, source)
    done = score_collection(source, parameters.output, version, parameters.max_rejected, parameters.since, watch)
    reached = mongodb.Watch(n_looks=watch.n_looks + 1, watermark=done.watermark)
    if not parameters.since and done.watermark != watch.watermark and not record(name, source, reached):
        get_run_logger().warning("another run has scored the same rows at the same time: nothing is lost or doubled")
    return done


def _score(parameters: ScoreParameters, output: str, version: RegisteredVersion) -> Written:
    source, max_rejected = parameters.source, parameters.max_rejected
    if not mongodb.is_address(source):
        with TemporaryDirectory(prefix="networksecurity-") as folder:
            file = fetch(source, Path(folder))
            validation = check(file, max_rejected, with_target=False)
            return score_file(file, parameters.output, version, max_rejected, validation["n_rows"])
    if mongodb.is_address(parameters.output):
        return _score_new(parameters, output, version)
    return score_collection(source, parameters.output, version, max_rejected, parameters.since, mongodb.Watch())


def _describe_output(output: str) -> str:
    if mongodb.is_address(output):
        return mongodb.describe_predictions(output, settings())
    return predictions.check_output(output)


def _run_name() -> str:
    return f"score · {datasets.describe(flow_run.parameters['parameters'].source, settings())}"


@flow(name="score", flow_run_name=_run_name, result_serializer="json")
def score(parameters: ScoreParameters) -> State:
    """Say of each row of a source how probably it is phishing."""
    started = time.monotonic()
    output = _describe_output(parameters.output)  # a wrong one is said before anything is read
    version = find_model(parameters.model_version)
    done = _score(parameters, output, version)
    report = ScoreReport(
        source=datasets.describe(parameters.source, settings()),
        output=output,
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
