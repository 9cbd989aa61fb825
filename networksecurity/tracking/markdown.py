"""Tables in Markdown, for the model card and the flows' reports."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from networksecurity.training.known_features import KnownFeatures
    from networksecurity.training.selection import Selection


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


def selection_table(selection: "Selection") -> str:
    """Return how the models' best points compare on repeated folds."""
    header = ("model", f"mean {selection.scoring}", "deviation", "difference to the best", "standard error", "")
    rows = (
        (
            of.model,
            f"{of.mean_score:.4f}",
            f"{of.std_score:.4f}",
            f"{of.difference:+.4f}" if of.verdict != "best" else "",
            f"{of.standard_error:.4f}" if of.verdict != "best" else "",
            of.verdict,
        )
        for of in selection.standings
    )
    return markdown_table(header, rows)


def known_table(known: "KnownFeatures") -> str:
    """Return F1 by what is known of a row."""
    rows = known.to_table()
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])
