"""What a flow found, as people read it: in the terminal and on Prefect's pages."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from textwrap import fill
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from networksecurity.data.validated import ValidationReport
from networksecurity.exceptions import counted
from networksecurity.surroundings import ReportConsole
from networksecurity.tracking.markdown import markdown_table


@dataclass(frozen=True)
class Summary:
    """What a flow found, in the shape that all flows share."""

    title: str
    values: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)
    """Name and value; of a link its text and its address."""
    sentences: Sequence[str] = ()
    table: Sequence[Mapping[str, Any]] = ()
    """Rows, each with the same columns."""
    narrow: Sequence[Mapping[str, Any]] = ()
    """The same for a terminal of 80 columns, where the table is wider."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Heading and Markdown, on Prefect's pages only."""
    outcome: str = ""
    """How it ended, in a few words."""
    last: str = ""
    """What ends the text in the terminal."""
    exit_code: int = 0
    """How a command ends that ran the flow."""

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
        console = ReportConsole(soft_wrap=True, highlight=False, markup=False, emoji=False)
        if not console.is_terminal:
            console.width = 160  # no line of a table is cut in a file or a log
        console.print(self.title)
        if self.table:
            console.print(_as_rich(self.narrow or self.table))
        # A file or a log keeps each sentence in one line; a terminal would break it in the middle of a word.
        wrap = partial(_wrapped, width=console.width if console.is_terminal else None)
        for sentence in self.sentences:
            console.print(wrap(sentence))
        width = max(map(len, self.values), default=0)
        for name, value in self.values.items():
            text, *address = (value,) if isinstance(value, str) else value
            console.print(wrap(f"{name:>{width}}  {text}", indent=width + 2))
            for line in address:
                console.print(f"{'':{width}}  {line}")
        if self.last:
            console.print(wrap(self.last))


def _wrapped(text: str, *, width: int | None, indent: int = 0) -> str:
    """Return a text whose lines, of at most `width`, end between words; addresses and paths stay whole."""
    if width is None:
        return text
    how = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": " " * indent}
    return "\n".join(fill(line, width, **how) for line in text.splitlines())


def _as_rich(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE)
    for name, cell in rows[0].items():
        table.add_column(name, justify="right" if isinstance(cell, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row.values()))
    return table


def said_of(source: str, notes: Sequence[str], validation: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of how rows were read, and what the check of them noted, a sentence each."""
    return [f"{source}: {note}" for note in (*notes, *ValidationReport(**validation).remarks())]


def set_aside(n_rejected: int, place: object) -> str:
    """Return that invalid rows were set aside, and where they are."""
    rows = counted(n_rejected, "row is not valid and was", "rows are not valid and were")
    return f"{rows} set aside: {place}"


def reasons_section(rejections: Mapping[str, int]) -> dict[str, str]:
    """Return the section on why rows were set aside, the most frequent reason first; none without such rows."""
    by_count = sorted(rejections.items(), key=lambda item: -item[1])
    return {"Reasons": markdown_table(("reason", "rows"), [(why, f"{n:,}") for why, n in by_count])} if by_count else {}


def inline_picture(png: bytes, alt: str) -> str:
    """Return Markdown that holds a picture itself: Prefect's pages show it, and nothing else has to serve it."""
    return f"![{alt}](data:image/png;base64,{b64encode(png).decode()})"
