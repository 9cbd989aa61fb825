"""`networksecurity feedback`: reports of errors, and what became of them."""

import json
from typing import Annotated, Literal

import typer

from networksecurity.cli.options import By, Contract, Json, Label, command_group, open_collection
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import counted
from networksecurity.settings import settings

feedback = command_group(
    "Reports of errors: rows with the label that is right.",
    "feedback add rows.csv --label phishing --by jane",
    "feedback list --status open",
    "feedback accept 6641f3c09c1e4b7a --by jim",
)

Beside = Annotated[str, typer.Option("--in", metavar="PLACE", help="mongodb, or mongodb://host/database.collection.")]
Reports = Annotated[list[str], typer.Argument(metavar="ID", help="As `feedback list` shows them.")]


@feedback.command(short_help="Report that each row of a file has this label.")
def add(
    label: Label,
    by: By,
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="Rows, .csv or .parquet.")] = None,
    url: Annotated[list[str] | None, typer.Option(metavar="URL", help="An address, in place of a file.")] = None,
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the report.")] = "",
    place: Beside = "mongodb",
    contract: Contract = "websites",
) -> None:
    """Report that each row of a file, or each address, has this label; it waits for a person to accept it."""
    import pandas as pd

    from networksecurity.data import sources
    from networksecurity.data.addresses.names import URL
    from networksecurity.data.contracts import get_contract

    if (file is None) == (not url):
        raise typer.BadParameter("name either a file of rows, or addresses with --url")
    if file:
        rows = sources.parse_file(file, settings(), get_contract(contract)).read().frame
    else:
        rows, contract = pd.DataFrame({URL: url}), "addresses"
    with open_collection(place, contract) as opened:
        print("\n".join(opened.add_feedback(rows, label=label, by=by, comment=comment)))


@feedback.command("list", short_help="Show reports, oldest first.")
def list_feedback(
    status: Annotated[Literal["open", "accepted", "rejected"] | None, typer.Option(metavar="STATUS")] = None,
    place: Beside = "mongodb",
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Show reports, oldest first; --status open, accepted or rejected."""
    with open_collection(place, contract) as opened:
        reports = opened.list_feedback(status)
    if as_json:
        print(json.dumps([report.model_dump(mode="json") for report in reports], indent=2))
        return
    columns = ["id", "when (UTC)", "label", "by", "status", "comment"]
    rows = [(of.id, f"{of.at:%Y-%m-%d %H:%M:%S}", of.label, of.by, of.status, of.comment) for of in reports]
    print_table("Feedback", columns, rows)


@feedback.command(short_help="Make reports labelled rows.")
def accept(names: Reports, by: By, place: Beside = "mongodb", contract: Contract = "websites") -> None:
    """Make reports labelled rows; rows with the same features, or the same address, get the label too."""
    with open_collection(place, contract) as opened:
        for name in names:
            done = opened.accept_feedback(name, by=by)
            overridden = counted(done.n_overridden, "row")
            print(f"{name}: accepted, ingestion {done.ingestion}; {overridden} had the other label")


@feedback.command()
def reject(names: Reports, by: By, place: Beside = "mongodb", contract: Contract = "websites") -> None:
    """Close reports without a consequence."""
    with open_collection(place, contract) as opened:
        for name in names:
            print(f"{opened.reject_feedback(name, by=by).id}: rejected")
