"""Ingest: a file → checked as a whole → its rows in MongoDB, each once, and those that are not valid in quarantine.

The file is read twice, a part at a time: nothing of a file that is refused as a whole gets written, and no file is too
large. As a command: `python flows/ingest.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from flows.launch import run
    from flows.parameters import IngestParameters

    sys.exit(run("flows.ingest:ingest", IngestParameters, show="flows.ingest:show_ingestion"))

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from flows.parameters import IngestParameters
from flows.steps import progress, step
from networksecurity.data import mongodb
from networksecurity.data import sources as datasets
from networksecurity.data.sources import SourceFile
from networksecurity.data.validation import Validation
from networksecurity.settings import settings


class IngestReport(BaseModel, frozen=True):
    """The outcome of an ingestion, in plain values."""

    source: str
    sha256: str
    validation: dict[str, Any]
    rows: mongodb.Ingested


@step(task_run_name="fetch")
def fetch(source: str, folder: Path) -> SourceFile:
    """Bring the file to this machine."""
    return datasets.fetch_file(source, folder, settings())


@step(task_run_name="check")
def check(file: SourceFile, max_rejected: float, with_target: bool = True) -> dict[str, Any]:
    """Refuse a file that is not what it should be, before anything of it is written."""
    validation = Validation(max_rejected=max_rejected, with_target=with_target)
    with progress("check") as report:
        for frame in datasets.read_batches(file):
            validation.add(frame)
            report(frame.index[-1] + 1)
    return validation.finish().to_dict()


@step(task_run_name="write")
def write(file: SourceFile, target: str, n_rows: int) -> mongodb.Ingested:
    """Write each row to where it belongs, unless it is there already."""
    batches = map(Validation().add, datasets.read_batches(file))
    with progress(f"write · {file.source}", n_rows) as report:
        return mongodb.ingest(
            batches, sha256=file.sha256, source=file.source, target=target, settings=settings(), on_progress=report
        )


def _run_name() -> str:
    return f"ingest · {datasets.describe(flow_run.parameters['parameters'].source, settings())}"


@flow(name="ingest", flow_run_name=_run_name, result_serializer="json")
def ingest(parameters: IngestParameters) -> IngestReport:
    """Write the rows of a file to MongoDB, each once, and those that are not valid to its quarantine."""
    log = get_run_logger()
    mongodb.describe(parameters.target, settings())  # a wrong one is said before the file is read
    with TemporaryDirectory(prefix="networksecurity-") as folder:
        file = fetch(parameters.source, Path(folder))
        validation = check(file, parameters.max_rejected)
        rows = write(file, parameters.target, validation["n_rows"])
    if rows.n_quarantined:
        log.warning("%s rows are not valid and were set aside: %s", rows.n_quarantined, rows.quarantine)
    report = IngestReport(source=file.source, sha256=file.sha256, validation=validation, rows=rows)
    create_markdown_artifact(
        ingest_markdown(report), key="ingest-report", description=f"Ingestion {rows.ingestion} of {file.source}"
    )
    return report


def _summary(report: IngestReport) -> dict[str, str]:
    rows = report.rows
    return {
        "rows read": f"{rows.n_rows:,}",
        "inserted": f"{rows.n_inserted:,}",
        "already there": f"{rows.n_already_there:,}",
        "quarantined": f"{rows.n_quarantined:,}",
        "ingestion": str(rows.ingestion),
        "collection": rows.collection,
        "quarantine": rows.quarantine,
    }


def ingest_markdown(report: IngestReport) -> str:
    """Return the report artifact of an ingestion."""
    reasons = report.validation["rejections"]
    lines = [
        f"# Ingestion {report.rows.ingestion}",
        "",
        f"`{report.source}`, SHA-256 `{report.sha256}`",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in _summary(report).items()),
        *(["", "## Reasons", "", "| reason | rows |", "| --- | --- |"] if reasons else []),
        *(f"| {reason} | {count:,} |" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])),
    ]
    return "\n".join(lines)


def show_ingestion(report: IngestReport) -> None:
    """Print an ingestion's outcome to the terminal."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(f"Ingestion {report.rows.ingestion} of {report.source}"))
    for name, value in _summary(report).items():
        console.print(f"{name:>13}  {escape(value)}")
