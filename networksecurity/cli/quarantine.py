"""`networksecurity quarantine`: invalid rows that were set aside."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from networksecurity.cli.options import Contract, Positive, command_group, open_collection, refuse_old, writing
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import ConfigurationError, counted
from networksecurity.settings import Settings, settings

if TYPE_CHECKING:
    import pandas as pd

    from networksecurity.data import contracts as data


quarantine = command_group(
    "Invalid rows that were set aside.",
    "quarantine list",
    "quarantine export rows.csv",
    "quarantine resubmit rows.csv",
)

STORAGE = "storage"

Place = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="PLACE",
        help="mongodb, mongodb://host/database.collection, or storage (of trainings on files). "
        "By default mongodb if MONGODB_URI is set, otherwise storage.",
    ),
]
_KINDS = (".csv", ".parquet")


def _place(place: str | None) -> str:
    return place or ("mongodb" if settings().mongodb_uri else STORAGE)


@quarantine.command("list", short_help="Count the rows by ingestion or file and reason.")
def list_(place: Place = None, contract: Contract = "websites") -> None:
    """Count the rows by ingestion or file and by reason; a row may have several reasons."""
    place = _place(place)
    if place == STORAGE:
        counts, shown = _count_stored(settings()), settings().storage
    else:
        with open_collection(place, contract) as opened:
            counts, shown = opened.count_quarantined(), opened.address.shown
    print_table(f"Quarantine of {shown}", counts, counts.itertuples(index=False))


@quarantine.command(short_help="Write all rows to a file.")
def export(
    file: Annotated[Path, typer.Argument(help="A new file, .csv or .parquet.", metavar="FILE")],
    place: Place = None,
    contract: Contract = "websites",
) -> None:
    """Write all rows to a file, with their original values and their reasons."""
    refuse_old(file, _KINDS)
    from networksecurity.data.contracts import get_contract
    from networksecurity.data.files.formulas import csv_for_people

    place = _place(place)
    if place == STORAGE:
        rows = _read_stored(settings(), get_contract(contract))
    else:
        with open_collection(place, contract) as opened:
            rows = opened.quarantined()
    with writing(file):
        if file.suffix.lower() == ".csv":
            file.write_bytes(csv_for_people(rows))
        else:
            rows.to_parquet(file, index=False)
    print(f"{counted(len(rows), 'row')} written to {file}")


@quarantine.command(short_help="Check corrected rows again; keep the valid ones.")
def resubmit(
    file: Annotated[Path, typer.Argument(help="Corrected rows, as exported.", metavar="FILE")],
    place: Place = None,
    contract: Contract = "websites",
    positive: Positive = None,
) -> None:
    """Check corrected rows again and move those that are now valid to the collection, under their old keys."""
    from networksecurity.data import mongodb, sources
    from networksecurity.data.contracts import get_contract

    place = _place(place)
    if place == STORAGE:
        raise ConfigurationError(
            "rows in the storage belong to no collection: correct them in their file and train again"
        )
    of_rows = get_contract(contract, positive)
    source = sources.parse_file(str(file), settings(), of_rows)
    corrected = source.read().frame
    with mongodb.open(mongodb.parse_target(place, settings(), of_rows)) as opened:
        done = opened.resubmit(corrected, sha256=sha256(file.read_bytes()).hexdigest(), source=source.shown)
    print(
        f"{counted(done.n_inserted, 'row')} moved to {done.collection} (ingestion {done.ingestion}), "
        f"{done.n_already_there:,} already existed, {counted(done.n_quarantined, 'is', 'are')} still not valid"
    )


def _read_stored(settings: Settings, contract: "data.Contract") -> "pd.DataFrame":
    import pandas as pd

    from networksecurity.data.storage import Storage

    columns = ["file", "row", "reasons", *(column.name for column in contract.stored)]
    files = Storage(settings.storage).quarantined()  # those of each contract
    frames = [frame.assign(file=name)[columns] for name, frame in files.items() if {*columns[1:]} <= {*frame}]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns, dtype="str")


def _count_stored(settings: Settings) -> "pd.DataFrame":
    import pandas as pd

    from networksecurity.data.storage import Storage

    return pd.DataFrame(
        [
            {"file": name, "reason": reason, "rows": int(count)}
            for name, frame in Storage(settings.storage).quarantined().items()
            for reason, count in frame["reasons"].str.split("; ").explode().value_counts().items()
        ],
        columns=["file", "reason", "rows"],
    )
