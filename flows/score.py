"""Score: rows → validated → the model's probability for each → a file, or a collection in MongoDB.

One version of the model, found at the start, scores all rows of a run. From file to file the source is read once: a
file of predictions appears as a whole, or not at all if the source turns out to be bad. A collection receives rows as
they come, so a file is checked first. From collection to collection the checkpoint of each version is recorded last: an
interrupted run is repeated, and writes the same rows to the same place again.

As a command: `networksecurity score --help`, or `python flows/score.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from networksecurity.interrupt import end_of_ctrl_c

    end_of_ctrl_c()
    from flows.commands import run_command

    sys.exit(run_command("score"))

import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import BaseModel

from networksecurity.champion.registry import RegisteredVersion
from networksecurity.data import mongodb
from networksecurity.data.built_in import Sample
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.files import File
from networksecurity.data.mongodb import Checkpoint, Collection
from networksecurity.data.overrides.store import overrides_in_force
from networksecurity.data.raw import Batches
from networksecurity.data.sources import Source
from networksecurity.exceptions import counted
from networksecurity.prediction import files as predictions
from networksecurity.prediction.reasons import explainer_of
from networksecurity.prediction.scoring import BatchScorer, ScoringReport
from networksecurity.settings import settings
from networksecurity.tracking.server import model_version_url

from .display import begin
from .ingest import CheckedFile, check, fetch
from .parameters import ScoreParameters
from .report import Summary, reasons_section, set_aside
from .rows import contract_of, source_of
from .steps import progress, record, run_name, step
from .tracking import find_gaps, registry
from .worker import begin_under_worker


class ScoreReport(BaseModel, frozen=True):
    """The outcome of a scoring, in plain values."""

    source: str
    output: str
    rows: ScoringReport
    quarantine: str | None
    """Where the rows that were not scored are; None if all were."""
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""
    gaps: list[str]
    """Values that are suddenly missing, a sentence each."""
    model_name: str
    model_version: str
    link: str
    """Page of the version in the tracking UI."""
    seconds: float


class Written(BaseModel, frozen=True):
    """Where the rows went."""

    rows: ScoringReport
    quarantine: str | None
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""
    gaps: list[str] = []
    """Values that are suddenly missing, a sentence each."""
    watermark: int | None = None
    """How far the collection was read."""


_NOTHING = Written(rows=ScoringReport(n_rows=0, n_scored=0, n_phishing=0, n_rejected=0, rejections={}), quarantine=None)


@step(task_run_name="find the model")
def find_model(wanted: str, contract: Contract = WEBSITES) -> RegisteredVersion:
    """Find the version to score with."""
    return registry(contract).choose(wanted)


@step(task_run_name="score")
def score_file(
    file: Sample | File,
    output: Collection | str,
    version: RegisteredVersion,
    parameters: ScoreParameters,
    checked: CheckedFile | None,
) -> Written:
    """Score the rows of a file; without an earlier check, to a file."""
    with file.batches(exact_others=True) as batches:
        if checked is None:
            return _write(batches, output, version, parameters)
        keyed = mongodb.with_keys(batches.frames, checked.sha256)
        return _write(Batches(keyed, checked.validation["n_rows"]), output, version, parameters)


@step(task_run_name="score")
def score_collection(
    source: Collection,
    output: Collection | str,
    version: RegisteredVersion,
    parameters: ScoreParameters,
    checkpoint: Checkpoint,
) -> Written:
    """Score the rows of a collection, all or the new ones."""
    start = mongodb.parse_since(parameters.since) if parameters.since else checkpoint.watermark
    with source.batches(since=start) as new:
        done = _write(new, output, version, parameters) if new.n_rows else _NOTHING
        return done.model_copy(update={"watermark": new.watermark})


def _write(
    batches: Batches, output: Collection | str, version: RegisteredVersion, parameters: ScoreParameters
) -> Written:
    contract = version.contract
    parts = registry(contract).load_parts(version)
    scorer = BatchScorer(
        parts.model,
        name=version.name,
        version=version.version,
        contract=contract,
        max_rejected=parameters.max_rejected,
        explainer=explainer_of(registry(contract), version, parts) if parameters.explain else None,
        overrides=overrides_in_force(settings(), contract.name, datetime.now(UTC)) if parameters.overrides else None,
        known=parts.known,
    )
    report, scored = progress("scoring", batches.n_rows), scorer.over(batches.frames)
    if isinstance(output, Collection):
        with mongodb.open(output) as opened:
            quarantine = opened.write_predictions(scored, on_progress=report)
    else:
        quarantine = predictions.write_file(scored, output=output, on_progress=report)
    rows = scorer.finish()
    gaps = find_gaps(version, rows.n_scored, rows.n_missing)
    return Written(rows=rows, quarantine=quarantine if rows.n_rejected else None, gaps=gaps)


@step(task_run_name="find the checkpoint")
def find_checkpoint(name: str, source: Collection) -> Checkpoint:
    """Read how far this version has come."""
    with mongodb.open(source) as opened:
        return opened.get_checkpoint(name)


def _score_new(
    parameters: ScoreParameters, source: Collection, output: Collection, version: RegisteredVersion
) -> Written:
    """Score the rows of a collection that are new to this version into a collection; with `since`, record nothing."""
    name = f"score/{version.name}/{version.version}/{output.shown}"
    checkpoint = find_checkpoint(name, source)
    done = score_collection(source, output, version, parameters, checkpoint)
    reached = Checkpoint(n_checks=checkpoint.n_checks + 1, watermark=done.watermark)
    if not parameters.since and done.watermark != checkpoint.watermark and not record(name, source, reached):
        get_run_logger().warning("another run scored the same rows at the same time: nothing is lost or doubled")
    return done


def _score(
    parameters: ScoreParameters, source: Source, output: Collection | str, version: RegisteredVersion
) -> Written:
    if isinstance(source, Collection):
        if isinstance(output, Collection):
            return _score_new(parameters, source, output, version)
        return score_collection(source, output, version, parameters, Checkpoint())
    with TemporaryDirectory(prefix="networksecurity-") as folder:
        file = fetch(source, Path(folder))
        checked = None
        if isinstance(output, Collection):
            checked = check(file, output.contract, parameters.max_rejected, with_target=False)
        done = score_file(file, output, version, parameters, checked)
        return done.model_copy(update={"notes": [f"{file.shown}: {note}" for note in file.notes]})


@flow(name="score", flow_run_name=run_name, result_serializer="json", on_running=[begin_under_worker])
def score(parameters: ScoreParameters) -> State:
    """Score each row of a source with its probability of phishing."""
    started = time.monotonic()
    source = source_of(parameters)
    output = mongodb.parse_output(parameters.output, settings(), contract_of(parameters)) or parameters.output
    shown = output.shown if isinstance(output, Collection) else predictions.check_output(output)
    begin("scoring rows")
    version = find_model(parameters.model_version, contract_of(parameters))
    done = _score(parameters, source, output, version)
    report = ScoreReport(
        source=source.shown,
        output=shown,
        rows=done.rows,
        quarantine=done.quarantine,
        notes=done.notes,
        gaps=done.gaps,
        model_name=version.name,
        model_version=version.version,
        link=model_version_url(registry().server.address, version.name, version.version),
        seconds=round(time.monotonic() - started, 1),
    )
    if done.quarantine:
        get_run_logger().warning("%s", set_aside(done.rows.n_rejected, done.quarantine))
    for note in done.notes:
        get_run_logger().info("%s", note)
    for gap in done.gaps:
        get_run_logger().warning("%s", gap)
    name = "Scored" if done.rows.n_rows else "Nothing new"
    message = f"{counted(done.rows.n_scored, 'row')} scored by {version.name} {version.version}"
    create_markdown_artifact(summarize(report).to_markdown(), key="score-report", description=message)
    create_link_artifact(report.link, link_text="in MLflow", key="mlflow-model-version", description=message)
    return Completed(name=name, message=message, data=report)


def summarize(report: ScoreReport) -> Summary:
    """Return a scoring's outcome, as people read it."""
    rows = report.rows
    share = f" ({rows.n_phishing / rows.n_scored:.1%})" if rows.n_scored else ""
    return Summary(
        title=f"Scores of {report.source}",
        outcome=f"{rows.n_scored:,} scored, {rows.n_phishing:,} phishing{share}, {rows.n_rejected:,} quarantined",
        values={
            "rows read": f"{rows.n_rows:,}",
            "scored": f"{rows.n_scored:,}",
            "phishing": f"{rows.n_phishing:,}{share}",
            **({"unsure": f"{rows.n_unsure:,} ({rows.n_unsure / rows.n_scored:.1%})"} if rows.n_unsure else {}),
            "set by hand": f"{rows.n_overridden:,}",
            "quarantined": f"{rows.n_rejected:,}",
            "model": f"{report.model_name} {report.model_version}",
            "in MLflow": report.link,
            "output": report.output,
            "quarantine": report.quarantine or "-",
            **({"renamed": ", ".join(f"{name} → {new}" for name, new in rows.renamed.items())} if rows.renamed else {}),
            "seconds": f"{report.seconds:.1f}",
        },
        sentences=[*report.notes, *report.gaps],
        sections=reasons_section(rows.rejections),
    )
