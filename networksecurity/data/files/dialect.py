"""How delimited text is written: delimiter, decimal sign, where its names are.

Commas and names in the first line are the rule. Anything else is recognised only where it could not be read otherwise:
a header without a comma that one other sign divides into as many cells as every line after it.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from networksecurity.exceptions import DataSourceError, listed, shortened

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_EMPTY = f" {''.join(_DELIMITERS)}"
"""What an empty row of a spreadsheet is made of."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""What Excel takes for a note on the delimiter."""
_COMMENT = re.compile(r"(#|%|//)(?!\s*[,;\t|]|\s*$)")
"""How a comment begins; `#` alone in its cell is the name of a row number."""
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)\s*")
_DECIMAL = {sign: re.compile(rf"\s*[+-]?\d+\{sign}\d+\s*") for sign in ",."}
_ADDRESS = re.compile(r"\s*h(tt|xx)ps?://", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a text is written."""

    delimiter: str = ","
    decimal: str = "."
    """The sign between the whole and the fraction of a number."""
    n_skipped: int = 0
    """Lines before that of the names, or before the first row where there is none."""
    has_header: bool = True
    """Whether the first line that is read holds the names."""
    names: tuple[str, ...] | None = None
    """Those of the columns, where they are not simply the header's."""
    nameless: tuple[str, ...] = ()
    """Columns at the end without a name, which have to be empty."""
    width: int = 0
    """Cells in the longest of the first lines."""
    n_delimiters: int = 0
    """How many stand before the first row."""
    columns: tuple[str, ...] = ()
    """All names, the nameless included."""
    notes: tuple[str, ...] = ()
    """What of this is unusual."""


def recognise(sample: str, shown: str, columns: Sequence[str] | None = None, *, is_cut: bool = False) -> Dialect:
    r"""Return how a text is written, from its first lines.

    Parameters
    ----------
    sample : str
        Whole lines.
    shown : str
        The file, for messages.
    columns : sequence of str, optional
        The names of the columns of a text that has none, the target last; it may lack the target.
    is_cut : bool, default=False
        Whether the text goes on, so that a cell of the last row may.

    Raises
    ------
    DataSourceError
        The first line is data, or is not although `columns` are given, or there are more or fewer of them; or two
        columns have the same name.

    Examples
    --------
    >>> recognise("port;Result\n-1,0;1,0\n", "rows.csv").notes
    ('cells are divided by semicolons', 'numbers have decimal commas')
    """
    lines = _LINE_END.split(sample.removeprefix("\ufeff"))
    n_skipped, delimiter, comment = _preamble(lines)
    notes = [f"{n_skipped} line{'s' if n_skipped > 1 else ''} above the table skipped"] if n_skipped else []
    table = [line for line in lines[n_skipped:] if line.strip()] or [""]
    delimiter = delimiter or _delimiter(table, is_cut)
    if delimiter != ",":
        notes.append(f"cells are divided by {_DELIMITERS.get(delimiter, repr(delimiter))}")
    header, *rows = _rows(table, delimiter)
    if decimal := _has_decimal_commas(delimiter, [header, *rows]):
        notes.append("numbers have decimal commas")
    names, has_header, note = _names(header, rows, _rows([comment or ""], delimiter)[0], columns, shown)
    if note:
        notes.append(note)
    if repeated := [name for name, count in Counter(filter(str.strip, names or header)).items() if count > 1]:
        raise DataSourceError(f"{shown} has two columns of one name: {shortened(repeated[0])}")
    nameless = _nameless(names or header)
    if nameless:
        notes.append("a last column without name and values is left out")
        names = [*(names or header)[: -len(nameless)], *nameless]
    return Dialect(
        delimiter=delimiter,
        decimal="," if decimal else ".",
        n_skipped=n_skipped,
        has_header=has_header,
        names=tuple(names) if names else None,
        nameless=nameless,
        width=max(map(len, [header, *rows])),
        n_delimiters="".join([*lines[:n_skipped], *table[:has_header]]).count(delimiter),
        notes=tuple(notes),
    )


def _preamble(lines: list[str]) -> tuple[int, str | None, str | None]:
    """Return how many lines stand above the table, the delimiter that one of them says, and the last comment."""
    delimiter, comment, n_skipped = None, None, 0
    for number, line in enumerate(lines):
        if match := _SEPARATOR.fullmatch(line.strip(" ")):
            delimiter = match[1]
        elif match := _COMMENT.match(line.lstrip()):
            comment = line.lstrip()[match.end() :].strip()
        elif not line.strip():
            continue  # blank lines are skipped in any case
        elif line.strip(_EMPTY):
            break
        n_skipped = number + 1
    return (n_skipped, delimiter, comment) if n_skipped < len(lines) else (0, None, None)


def _delimiter(table: list[str], is_cut: bool) -> str:
    if len(_rows(table[:1], ",")[0]) > 1:
        return ","
    fitting = []
    for delimiter in list(_DELIMITERS)[1:]:
        header, *rows = _rows(table, delimiter)
        width = len(header)
        if width > 1 and all(len(row) in (width, width + 1) for row in rows[: -1 if is_cut else None]):
            fitting.append(delimiter)
    return fitting[0] if len(fitting) == 1 else ","


def _has_decimal_commas(delimiter: str, rows: list[list[str]]) -> bool:
    if delimiter == ",":
        return False
    found = {sign: any(map(is_number.fullmatch, chain(*rows))) for sign, is_number in _DECIMAL.items()}
    return found[","] and not found["."]


def _names(
    header: list[str], rows: list[list[str]], comment: list[str], columns: Sequence[str] | None, shown: str
) -> tuple[list[str] | None, bool, str | None]:
    """Return the names, where they are not simply the header's, whether there is a header, and what to say of it."""
    is_data = all(_NUMBER.fullmatch(cell) or not cell for cell in header) and any(header)
    is_data = is_data or any(_ADDRESS.match(cell) for cell in header)
    if columns is not None:
        return _given(header, columns, shown), False, "the columns have no names and are read in the contract's order"
    if is_data and len(comment) == len(header) > 1 and not any(map(_NUMBER.fullmatch, comment)):
        return comment, False, "the names stand in the last comment"
    if is_data and len(header) > 1:
        raise DataSourceError(
            f"the first line of {shown} is data, not the names of columns ({listed(header, count=5)}): "
            "--header none reads the columns in the order of the contract"
        )
    longer = len(header) > 1 and rows and all(len(row) == len(header) + 1 for row in rows)
    if longer and not any(row[-1].strip() for row in rows):
        return [*header, ""], True, None
    if longer and [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]:
        return ["", *header], True, "the row numbers, which have no name, are left out"
    return None, True, None


def _given(header: list[str], columns: Sequence[str], shown: str) -> list[str]:
    known = {name.casefold() for name in columns}
    if any(cell.strip().casefold() in known for cell in header):
        raise DataSourceError(f"the first line of {shown} holds names: leave out --header none")
    if len(header) not in (len(columns), len(columns) - 1):
        raise DataSourceError(
            f"{shown} has {len(header)} columns; without names they have to be the {len(columns)} of the contract in "
            f"its order, or all but the last ({columns[-1]})"
        )
    return list(columns[: len(header)])


def _nameless(names: list[str]) -> tuple[str, ...]:
    n_names = next((n for n in range(len(names), 0, -1) if names[n - 1].strip()), len(names))
    return tuple(f"Unnamed: {position}" for position in range(n_names, len(names)))


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the cells of each row; one between quotes may go on in the next line."""
    return list(csv.reader((f"{line}\n" for line in lines), delimiter=delimiter))
