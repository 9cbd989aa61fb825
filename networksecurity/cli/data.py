"""`networksecurity data describe`: what rows are like, before anything is trained on them."""

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from networksecurity.cli.options import Contract, Json, Positive, command_group, refuse_old, writing
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import TrackingError, counted
from networksecurity.settings import settings

if TYPE_CHECKING:
    import pandas as pd

    from networksecurity.data import contracts
    from networksecurity.data.description import ColumnDescription, Description
    from networksecurity.data.validated import ValidationReport
    from networksecurity.monitoring.drift import DriftReport

data = command_group(
    "What rows are like.",
    "data describe rows.csv",
    "data describe mongodb --json",
    "data describe addresses.csv --contract addresses \\\n      --html addresses.html",
)


@data.command(short_help="Balance, copies, conflicts, gaps, values and drift.")
def describe(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Rows, such as rows.csv, mongodb, uci or sample.")],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write one HTML file with pictures, a new one.")
    ] = None,
    contract: Contract = "websites",
    positive: Positive = None,
    as_json: Json = False,
) -> None:
    """Say how rows are balanced, which are copies or contradict each other, what is missing, and how classes differ.

    With a champion, also how far the rows are from those behind it. Nothing is written but the HTML file.
    """
    from networksecurity.data import sources
    from networksecurity.data.contracts import get_contract
    from networksecurity.data.description import describe as describe_rows

    if html is not None:
        refuse_old(html)
    of_rows = get_contract(contract, positive)
    rows = sources.checked(sources.parse(source, settings(), of_rows), of_rows)
    validated = of_rows.validate(rows.read().frame, max_rejected=1)
    found = describe_rows(validated.accepted, of_rows)
    drift, compared = _compare(validated.accepted, of_rows)
    if html is not None:
        page = _page(rows.shown, found, validated.report, drift, compared)
        with writing(html):
            html.write_text(page, encoding="utf-8")
    if as_json:
        document = {
            "source": rows.shown,
            "n_rejected": validated.report.n_rejected,
            "rejections": validated.report.rejections,
            **found.model_dump(mode="json"),
            "compared": compared,
            "drift": drift.model_dump(mode="json") if drift else None,
        }
        print(json.dumps(document, indent=2))
        return
    for line in (rows.shown, *_sentences(found, validated.report), compared):
        print(line)
    table = _table(found)
    print_table("Values of each column", table, table.itertuples(index=False))


def _compare(accepted: "pd.DataFrame", of_rows: "contracts.Contract") -> "tuple[DriftReport | None, str]":
    """Return how rows differ from those behind the champion, and that in one sentence."""
    from networksecurity.champion.registry import CHAMPION, Registry
    from networksecurity.monitoring.drift import compare
    from networksecurity.tracking.server import look

    name = settings().registered_model(of_rows.name)
    try:
        server = look(settings())
        registry = Registry(server, name, of_rows) if server else None
        version = registry.find(CHAMPION) if registry else None
        if registry is None or version is None:
            return None, f"drift: not compared, for {name} has no champion"
        registry.check_contract(version)
        report = compare(registry.load_reference(version).profile, accepted, contract=of_rows)
    except TrackingError as exc:
        return None, f"drift: not compared, {exc}"
    return report, f"drift from the rows behind {name} {version.version}: {report.reason}"


def _sentences(found: "Description", report: "ValidationReport") -> list[str]:
    share = found.n_phishing / found.n_rows
    gaps = {column.name: column.n_missing for column in found.columns if column.n_missing}
    most = sorted(gaps, key=lambda name: -gaps[name])[:3]
    copies = counted(found.n_copies, "row equals", "rows equal")
    conflicts = counted(found.n_conflicts, "distinct row has", "distinct rows have")
    return [
        f"rows: {found.n_rows:,} valid, {report.n_rejected:,} not valid",
        *(f"  {counted(count, 'cell')}: {why}" for why, count in report.rejections.items()),
        f"balance: {found.n_phishing:,} phishing ({share:.1%}), {found.n_rows - found.n_phishing:,} legitimate",
        f"copies: {copies} an earlier one; {counted(found.n_groups, 'group')} ({found.group})",
        f"conflicts: {conflicts} both labels, {counted(found.n_in_conflict, 'row')} in all",
        f"missing: {counted(sum(gaps.values()), 'value')} in {counted(len(gaps), 'column')}"
        + (f", most in {', '.join(f'{name} ({gaps[name] / found.n_rows:.1%})' for name in most)}" if most else ""),
        *report.remarks(),
    ]


def _values(column: "ColumnDescription") -> str:
    if column.counts:
        return "  ".join(f"{value}: {of[0]:,} | {of[1]:,}" for value, of in column.counts.items())
    if column.quartiles:
        return "  ".join(
            f"{side}: median {of[1]:.4g}, half of them {of[0]:.4g} to {of[2]:.4g}"
            for side, of in column.quartiles.items()
        )
    return f"{counted(column.n_distinct, 'distinct value')}"


def _table(found: "Description") -> "pd.DataFrame":
    import pandas as pd

    rows = [(column.name, column.n_missing, _values(column)) for column in found.columns]
    return pd.DataFrame(rows, columns=["column", "missing", "values (legitimate | phishing rows)"])


def _page(
    shown: str, found: "Description", report: "ValidationReport", drift: "DriftReport | None", compared: str
) -> str:
    """Return one HTML document that needs nothing from elsewhere."""
    from networksecurity.tracking import figures

    pictures = {"Values by class": figures.draw_values(found, f"Values by class in {shown}")}
    if drift is not None and drift.columns:
        pictures["Drift"] = figures.draw_drift(drift, f"{shown} against the rows behind the champion")
    images = "".join(
        f'<h2>{escape(name)}</h2>\n<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png).decode()}">\n'
        for name, png in pictures.items()
    )
    items = "".join(f"<li>{escape(line)}</li>\n" for line in (*_sentences(found, report), compared))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{escape(shown)}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 sans-serif; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; background: white; }}
table {{ border-collapse: collapse; }}
th, td {{ border-bottom: 1px solid #8888; padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }}
td {{ white-space: pre-wrap; }}
</style>
<h1>{escape(shown)}</h1>
<ul>
{items}</ul>
{images}<h2>Columns</h2>
{_table(found).to_html(index=False, border=0)}
</html>
"""
