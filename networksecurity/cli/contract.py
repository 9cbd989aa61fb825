"""`networksecurity contract`: the files that describe tables."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from networksecurity.cli.options import command_group, open_registry, refuse_old, writing
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import counted
from networksecurity.settings import settings

if TYPE_CHECKING:
    from networksecurity.data import contracts as data

contract = command_group(
    "What the rows are: draft, check and show contracts.",
    "contract infer rows.csv --target status --positive phishing --group domain --output table.yaml",
    "contract check table.yaml --source rows.csv",
    "contract show addresses",
    "contract show table.yaml --version 2",
)

Named = Annotated[
    str, typer.Argument(metavar="CONTRACT", help="The file of a table, or a contract's name: websites, addresses.")
]


@contract.command(short_help="Draft a contract from the rows of a table.")
def infer(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows with their labels, such as rows.csv.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the label.")],
    positive: Annotated[str, typer.Option(metavar="LABEL", help="The value of the target that means phishing.")],
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Rows with the same value are never on both sides; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file, .yaml; by default, the draft is printed.")
    ] = None,
) -> None:
    """Draft a contract from the rows of a table, with comments, for you to correct."""
    from networksecurity.data import sources
    from networksecurity.data.contracts import Table
    from networksecurity.data.tables.draft import draft_table, draw_rows, table_name
    from networksecurity.data.tables.file import KINDS

    if output:
        refuse_old(output, KINDS)
    source = sources.parse_file(file, settings())
    stem = output.stem if output else re.split(r"[/\\]", source.shown)[-1].split(".")[0]
    with source.batches() as batches:
        rows, n_rows = draw_rows(batches.frames)
    draft = draft_table(rows, name=table_name(stem), target=target, positive=positive, group=group or [], n_rows=n_rows)
    if output is None:
        print(draft, end="")
        return
    with writing(output), output.open("x", encoding="utf-8") as opened:
        opened.write(draft)
    print(f"{output} written. Correct it, then: networksecurity contract check {output} --source {file}")
    print(_described(Table.at(output)))


@contract.command(short_help="Say what a contract holds, and which rows it accepts.")
def check(
    name: Named,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Rows to judge, such as rows.csv, mongodb or sample.")
    ] = None,
) -> None:
    """Say what a contract holds; with --source, how many rows it accepts, and why it rejects others.

    The exit code is 1 if a training would refuse the rows.
    """
    from networksecurity.data import sources
    from networksecurity.data.contracts import get_contract

    of_rows = get_contract(name)
    print(_described(of_rows))
    if source is None:
        return
    rows = sources.checked(sources.parse(source, settings(), of_rows), of_rows)
    validation = of_rows.validation()
    n_accepted, n_rejected, reasons = 0, 0, Counter[str]()
    with rows.batches() as batches:
        for frame in batches.frames:
            accepted, rejected = validation.add(frame)
            n_accepted, n_rejected = n_accepted + len(accepted), n_rejected + len(rejected)
            reasons.update(reason for of_row in rejected["reasons"] for reason in of_row.split("; "))
    print(f"{rows.shown}: {counted(n_accepted, 'row')} accepted, {n_rejected:,} rejected")
    if reasons:
        print_table("Rejected", ["reason", "rows"], reasons.most_common())
    validation.finish()


@contract.command(short_help="Print a contract as a YAML document.")
def show(
    name: Named,
    version: Annotated[
        int | None,
        typer.Option(min=1, metavar="VERSION", help="The one that this version of the model was trained under."),
    ] = None,
) -> None:
    """Print a contract as a YAML document; with --version, as it was when that version was trained."""
    from networksecurity.data.contracts import get_contract

    print(open_registry(name).document(str(version)) if version else get_contract(name).document, end="")


def _described(of_rows: "data.Contract") -> str:
    """Return what a contract holds, a line each."""
    from networksecurity.data.contracts import Table
    from networksecurity.exceptions import listed

    numbers = [column for column in of_rows.columns if column not in of_rows.text_columns]
    texts = [column for column in of_rows.columns if column in of_rows.text_columns]
    keys = of_rows.table.keys if isinstance(of_rows, Table) else ()
    phishing, legitimate = (of_rows.to_label(phishing=phishing) for phishing in (True, False))
    lines = [
        f"contract    {of_rows.name}",
        f"target      {of_rows.target}: {phishing} is phishing, {legitimate} is legitimate",
        f"group       {of_rows.group}",
        *(
            f"{what:<11} {len(columns):,}: {listed(columns)}"
            for what, columns in {"numbers": numbers, "text": texts, "keys": keys}.items()
            if columns
        ),
    ]
    return "\n".join(lines)
