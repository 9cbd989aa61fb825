"""Tables in the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def print_table(rows: "pd.DataFrame", title: str) -> None:
    """Print a table, each of its rows on one line."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    if rows.empty:
        console.print(escape(f"{title}: empty"))
        return
    if not console.is_terminal:
        console.width = 240  # a file or a log: keep each row on one line
    table = Table(title=escape(title), title_justify="left", box=SIMPLE)
    for name in rows:
        table.add_column(str(name), overflow="fold", justify="right" if name in {"ingestion", "rows"} else "left")
    for row in rows.itertuples(index=False):
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    console.print(table)
