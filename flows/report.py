"""What a flow found, as people read it: in the terminal and on Prefect's pages."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from networksecurity.data.validated import ValidationReport
from networksecurity.tracking.markdown import markdown_table

from .surroundings import ReportConsole


@dataclass(frozen=True)
class Summary:
    """What a flow found, in the shape that all flows share.

    Attributes
    ----------
    title : str
    values : mapping of str to str or (str, str)
        Name and value; of a link its text and its address.
    sentences : sequence of str
    table : sequence of mapping
        Rows, each with the same columns.
    sections : mapping of str to str
        Heading and Markdown, on Prefect's pages only.
    outcome : str
        How it ended, in a few words.
    last : str
        What ends the text in the terminal.
    exit_code : int
        How a command ends that ran the flow.
    """

    title: str
    values: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)
    sentences: Sequence[str] = ()
    table: Sequence[Mapping[str, Any]] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    outcome: str = ""
    last: str = ""
    exit_code: int = 0

    def to_markdown(self) -> str:
        """Return the text of the report artifact.

        Examples
        --------
        >>> print(Summary("Scores of rows.csv", {"scored": "11,055"}).to_markdown())
        # Scores of rows.csv
        <BLANKLINE>
        |  |  |
        | --- | --- |
        | scored | 11,055 |
        """
        parts = [f"# {self.title}", *self.sentences]
        if self.table:
            parts.append(markdown_table(list(self.table[0]), [list(row.values()) for row in self.table]))
        if self.values:
            cells = {name: of if isinstance(of, str) else f"[{of[0]}]({of[1]})" for name, of in self.values.items()}
            parts.append(markdown_table(("", ""), list(cells.items())))
        parts += [f"## {heading}\n\n{text}" for heading, text in self.sections.items()]
        return "\n\n".join(parts)

    def show(self) -> None:
        """Print all of it but the sections to the terminal."""
        console = ReportConsole(soft_wrap=True, highlight=False)
        if not console.is_terminal:
            console.width = 160  # no line of a table is cut in a file or a log
        console.print(escape(self.title))
        if self.table:
            console.print(self._as_rich())
        for sentence in self.sentences:
            console.print(escape(sentence))
        width = max(map(len, self.values), default=0)
        for name, value in self.values.items():
            lines = (value,) if isinstance(value, str) else value
            console.print(escape(f"{name:>{width}}  " + f"\n{'':{width}}  ".join(lines)))
        if self.last:
            print(self.last)

    def _as_rich(self) -> Table:
        table = Table(box=SIMPLE)
        for name, cell in self.table[0].items():
            table.add_column(name, justify="right" if isinstance(cell, int) else "left", overflow="fold")
        for row in self.table:
            table.add_row(*(escape(str(cell)) for cell in row.values()))
        return table


def said_of(source: str, notes: Sequence[str], validation: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of how rows were read, and what the check of them noted, a sentence each."""
    return [f"{source}: {note}" for note in (*notes, *ValidationReport(**validation).remarks())]


def reasons_section(rejections: Mapping[str, int]) -> dict[str, str]:
    """Return the section on why rows were set aside, the most frequent reason first; none without such rows."""
    by_count = sorted(rejections.items(), key=lambda item: -item[1])
    return {"Reasons": markdown_table(("reason", "rows"), [(why, f"{n:,}") for why, n in by_count])} if by_count else {}


def inline_picture(png: bytes, alt: str) -> str:
    """Return Markdown that holds a picture itself: Prefect's pages show it, and nothing else has to serve it."""
    return f"![{alt}](data:image/png;base64,{b64encode(png).decode()})"
