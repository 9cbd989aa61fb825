"""The command `networksecurity`: what is done by hand, beside the flows.

Each group of commands is an app of its own, added to `app`. Options are read before anything slow is imported: what a
command needs is imported in it. The exit code is 0 on success, 1 after an error, 2 after a wrong option, 130 after
Ctrl-C.
"""

import posixpath
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from networksecurity.exceptions import ConfigurationError, DataSourceError, NetworkSecurityError
from networksecurity.settings import Settings, settings

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Tell phishing websites from legitimate ones: what is done by hand, beside the flows.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _commands() -> None:
    """Keep the names of groups in the command even where there is one group only."""


def main() -> None:
    """Run the command of this process's arguments and exit; an error is one line."""
    try:
        code = app(standalone_mode=False)  # or Typer would draw a box around its errors
    except NetworkSecurityError as exc:
        print(f"error: {exc}", file=sys.stderr)
        code = 1
    except TyperException as exc:
        print(f"networksecurity: error: {exc.format_message()}", file=sys.stderr)
        code = exc.exit_code
    sys.exit(code)


# --- quarantine -------------------------------------------------------------------------------------------------------

quarantine = typer.Typer(help="Rows that were set aside because they are not valid.")
app.add_typer(quarantine, name="quarantine")

STORAGE = "storage"

Place = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="PLACE",
        help="mongodb, mongodb://host/database.collection, or storage (of trainings on files). "
        "By default mongodb where MONGODB_URI is set, otherwise storage.",
    ),
]
_KINDS = (".csv", ".parquet")


def _place(place: str | None) -> str:
    return place or ("mongodb" if settings().mongodb_uri else STORAGE)


@quarantine.command("list")
def list_(place: Place = None) -> None:
    """Show how many rows there are, by ingestion or file and by reason; a row may have several reasons."""
    from networksecurity import mongodb

    place = _place(place)
    if place == STORAGE:
        counts, shown = _count_stored(settings()), settings().storage
    else:
        counts, shown = mongodb.count_quarantined(place, settings()), mongodb.describe(place, settings())
    _print_table(counts, title=f"Quarantine of {shown}")


@quarantine.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file, .csv or .parquet.", metavar="FILE")], place: Place = None
) -> None:
    """Write all rows to a file, with their original values and their reasons."""
    if file.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"{file}: its name must end in {' or '.join(_KINDS)}")
    if file.exists():
        raise ConfigurationError(f"{file} exists already and may hold corrections: name another file")
    from networksecurity import mongodb

    place = _place(place)
    rows = _read_stored(settings()) if place == STORAGE else mongodb.quarantined(place, settings())
    try:
        if file.suffix.lower() == ".csv":
            rows.to_csv(file, index=False)
        else:
            rows.to_parquet(file, index=False)
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be written: {exc.strerror or exc}") from exc
    print(f"{len(rows):,} rows written to {file}")


@quarantine.command()
def resubmit(
    file: Annotated[Path, typer.Argument(help="Corrected rows, as exported.", metavar="FILE")], place: Place = None
) -> None:
    """Check corrected rows again and move those that are valid now to the collection, under the key they had."""
    from networksecurity import datasets, mongodb

    place = _place(place)
    if place == STORAGE:
        raise ConfigurationError(
            "rows in the storage belong to no collection: correct them in the file they come from, and train again"
        )
    corrected = datasets.fetch_file(str(file), file.parent, settings())
    done = mongodb.resubmit(
        datasets.read(str(file), settings()),
        sha256=corrected.sha256,
        source=corrected.source,
        target=place,
        settings=settings(),
    )
    print(
        f"{done.n_inserted:,} rows moved to {done.collection} (ingestion {done.ingestion}), "
        f"{done.n_already_there:,} were there already, {done.n_quarantined:,} are still not valid"
    )


def _stored(settings: Settings) -> "dict[str, pd.DataFrame]":
    """Return the rows that trainings on files set aside, by the name of the quarantine's file."""
    import fsspec
    import pandas as pd

    try:
        files, root = fsspec.url_to_fs(settings.storage)
        frames = {}
        for path in sorted(files.glob(posixpath.join(root, "quarantine", "*.parquet"))):
            with files.open(path, "rb") as file:
                frames[posixpath.basename(path).removesuffix(".parquet")] = pd.read_parquet(file)
        return frames
    except (ImportError, ValueError, OSError) as exc:
        raise DataSourceError(f"the quarantine in {settings.storage} cannot be read: {exc}") from exc


def _read_stored(settings: Settings) -> "pd.DataFrame":
    import pandas as pd

    from networksecurity.schema import DOMAINS

    columns = ["file", "row", "reasons", *DOMAINS]
    frames = [frame.assign(file=name)[columns] for name, frame in _stored(settings).items()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns, dtype="str")


def _count_stored(settings: Settings) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [
            {"file": name, "reason": reason, "rows": int(count)}
            for name, frame in _stored(settings).items()
            for reason, count in frame["reasons"].str.split("; ").explode().value_counts().items()
        ],
        columns=["file", "reason", "rows"],
    )


def _print_table(rows: "pd.DataFrame", title: str) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    if rows.empty:
        console.print(escape(f"{title}: empty"))
        return
    if not console.is_terminal:
        console.width = 240  # a file or a log: no line is cut
    table = Table(title=escape(title), title_justify="left", box=SIMPLE)
    for name in rows:
        table.add_column(str(name), overflow="fold", justify="right" if name in {"ingestion", "rows"} else "left")
    for row in rows.itertuples(index=False):
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    console.print(table)


if __name__ == "__main__":
    main()
