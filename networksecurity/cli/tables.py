"""Tables in the terminal."""

from collections.abc import Iterable


def print_table(title: str, columns: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    """Print a table, each of its rows on one line."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    rows = list(rows)
    if not rows:
        console.print(escape(f"{title}: empty"))
        return
    if not console.is_terminal:
        console.width = 240  # a file or a log: keep each row on one line
    table = Table(title=escape(title), title_justify="left", box=SIMPLE)
    for name in columns:
        table.add_column(str(name), overflow="fold", justify="right" if name in {"ingestion", "rows"} else "left")
    for row in rows:
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    console.print(table)
