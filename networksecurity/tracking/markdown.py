"""Tables in Markdown, for the model card and the flows' reports."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; pandas' `to_markdown` would need another library, tabulate.

    Examples
    --------
    >>> print(markdown_table(("model", "F1"), [("Decision Tree", 0.922)]))
    | model | F1 |
    | --- | --- |
    | Decision Tree | 0.922 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
