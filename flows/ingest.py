"""Ingest: a file → checked as a whole → its rows in MongoDB, each once, and those that are not valid in quarantine.

The file is read twice, a part at a time: first it is checked, and a file that is refused as a whole leaves nothing
behind; no file is too large. As a command: `networksecurity ingest --help`, or `python flows/ingest.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from networksecurity.interrupt import end_of_ctrl_c

    end_of_ctrl_c()
    from flows.commands import run_command

    sys.exit(run_command("ingest"))

from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel

from networksecurity.data import mongodb, sources
from networksecurity.data.built_in import Sample
from networksecurity.data.contracts import Contract
from networksecurity.data.files import File
from networksecurity.data.gaps import find_gaps
from networksecurity.data.web import Url
from networksecurity.exceptions import counted
from networksecurity.settings import settings

from .display import begin
from .parameters import IngestParameters
from .report import Summary, reasons_section, said_of, set_aside
from .rows import contract_of, source_of
from .steps import progress, run_name, step
from .worker import begin_under_worker


class IngestReport(BaseModel, frozen=True):
    """The outcome of an ingestion, in plain values."""

    source: str
    sha256: str
    validation: dict[str, Any]
    rows: mongodb.Ingested
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""


@step(task_run_name="fetch")
def fetch(source: Sample | File | Url, folder: Path) -> Sample | File:
    """Bring the file to this machine."""
    return source.fetch(folder)


class CheckedFile(BaseModel, frozen=True):
    """What the check of a whole file found."""

    sha256: str
    validation: dict[str, Any]


@step(task_run_name="check")
def check(file: Sample | File, contract: Contract, max_rejected: float, with_target: bool = True) -> CheckedFile:
    """Refuse a file that is not what it should be, before anything of it is written."""
    validation, digest = contract.validation(max_rejected=max_rejected, with_target=with_target), sha256()
    report = progress("checking")
    with file.batches(digest=digest) as batches:
        for frame in batches.frames:
            validation.add(frame)
            report(frame.index[-1] + 1)
    return CheckedFile(sha256=digest.hexdigest(), validation=validation.finish().to_dict())


@step(task_run_name="write")
def write(file: Sample | File, target: mongodb.Collection, checked: CheckedFile) -> mongodb.Ingested:
    """Write each row to where it belongs, unless it already exists there."""
    report = progress("writing", checked.validation["n_rows"])
    with file.batches() as batches, mongodb.open(target) as opened:
        judged = map(target.contract.validation().add, batches.frames)
        return opened.ingest(judged, sha256=checked.sha256, source=file.shown, on_progress=report)


@flow(name="ingest", flow_run_name=run_name, result_serializer="json", on_running=[begin_under_worker])
def ingest(parameters: IngestParameters) -> IngestReport:
    """Write the rows of a file to MongoDB, each once, and those that are not valid to its quarantine."""
    log = get_run_logger()
    source, contract = sources.only_file(source_of(parameters)), contract_of(parameters)
    contract = contract.with_positive(parameters.positive)
    target = mongodb.parse_target(parameters.target, settings(), contract)
    begin("checking and writing rows")
    with TemporaryDirectory(prefix="networksecurity-") as folder:
        file = fetch(source, Path(folder))
        checked = check(file, contract, parameters.max_rejected)
        rows = write(file, target, checked)
    if rows.n_quarantined:
        log.warning("%s", set_aside(rows.n_quarantined, rows.quarantine))
    for gap in find_gaps(checked.validation["n_accepted"], checked.validation["n_missing"]):
        log.warning("%s", gap)
    notes = said_of(file.shown, file.notes, checked.validation)
    for note in notes:
        log.info("%s", note)
    report = IngestReport(
        source=file.shown, sha256=checked.sha256, validation=checked.validation, rows=rows, notes=notes
    )
    summary = summarize(report)
    create_markdown_artifact(summary.to_markdown(), key="ingest-report", description=summary.title)
    return report


def summarize(report: IngestReport) -> Summary:
    """Return an ingestion's outcome, as people read it."""
    rows, checked = report.rows, report.validation
    return Summary(
        title=f"Ingestion {rows.ingestion} of {report.source}",
        outcome=f"{counted(rows.n_rows, 'row')} read, {rows.n_inserted:,} inserted, "
        f"{rows.n_already_there:,} already there, {rows.n_quarantined:,} quarantined",
        values={
            "rows read": f"{rows.n_rows:,}",
            "inserted": f"{rows.n_inserted:,}",
            "already there": f"{rows.n_already_there:,}",
            "quarantined": f"{rows.n_quarantined:,}",
            "ingestion": str(rows.ingestion),
            "collection": rows.collection,
            "quarantine": rows.quarantine,
        },
        sentences=[*report.notes, *find_gaps(checked["n_accepted"], checked["n_missing"])],
        sections={"File": f"SHA-256 `{report.sha256}`"} | reasons_section(checked["rejections"]),
    )
