"""ARFF, the format of Weka: attributes with their types, then rows, dense or sparse.

Read here and not by SciPy, which knows no strings, no sparse rows and no batches, and cuts rows that are too long.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

import numpy as np
import pandas as pd

from networksecurity.data.files.reading import Reading
from networksecurity.exceptions import DataSourceError, listed, shortened

_CELL = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]*"""
_CELLS = re.compile(rf"\s*({_CELL})\s*(,|$)")
_ATTRIBUTE = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)\s*(\{.*\}|(?<=\s)\S.*)""", re.IGNORECASE
)
_SPARSE = re.compile(rf"""\s*(\d{{1,9}})\s+({_CELL})\s*(,|$)""")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d{1,9})?|inf|nan)", re.IGNORECASE | re.ASCII)
_NUMERIC = {"numeric", "real", "integer"}
_TEXT = {"string", "date"}


@dataclass(frozen=True)
class Attribute:
    """A column: its name, and the values it may take where they are listed."""

    name: str
    is_numeric: bool
    values: tuple[str, ...] | None = None

    @property
    def default(self) -> str:
        """What a sparse row means that does not name it."""
        return "0" if self.values is None else self.values[0]


def read_arff(text: IO[str], how: Reading, batch_rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time.

    Raises
    ------
    DataSourceError
        It has no attributes, too many, or no rows of as many values, or a value is not what its attribute says.
    """
    lines = (line for line in text if line.strip() and not line.lstrip().startswith("%"))
    attributes = _attributes(lines, how)
    rows = (_row(line.strip(), attributes, how.shown) for line in lines)
    while batch := list(islice(rows, batch_rows)):
        cells = np.array(batch, dtype=object)
        yield pd.DataFrame({of.name: _column(cells[:, place], of, how) for place, of in enumerate(attributes)})


def _attributes(lines: Iterator[str], how: Reading) -> list[Attribute]:
    found, shown = [], how.shown
    for line in lines:
        keyword = line.split(maxsplit=1)[0].casefold()
        if keyword == "@data" and found:
            name, count = Counter(of.name for of in found).most_common(1)[0]
            if count > 1:
                raise DataSourceError(f"{shown} has two attributes of one name, rename one: {shortened(name)}")
            return found
        if keyword == "@attribute":
            found.append(_attribute(line.strip(), shown))
            how.limits.check_columns(len(found), shown)
        elif keyword != "@relation":
            break
    raise DataSourceError(f"{shown} is not ARFF: it has no @relation, @attribute and @data")


def _attribute(line: str, shown: str) -> Attribute:
    match = _ATTRIBUTE.match(line)
    if match is None:
        raise DataSourceError(f"{shown} is not ARFF that can be read, correct it or save it as CSV: {shortened(line)}")
    name, kind = _unquoted(match[1]), match[2].strip()
    if kind.startswith("{"):
        values = tuple(_unquoted(cell) for cell in _split(kind[1 : kind.rindex("}")]))
        return Attribute(name, all(map(_is_number, values)), values)
    if (kind_of_values := kind.split()[0].casefold()) not in _NUMERIC | _TEXT:
        raise DataSourceError(
            f"{shown}: {shortened(name, 100)} is of a type that cannot be read, {shortened(kind, 80)}: leave it out"
        )
    return Attribute(name, kind_of_values in _NUMERIC)


def _row(line: str, attributes: list[Attribute], shown: str) -> list[str | None]:
    if line.startswith("{") and line.endswith("}"):
        return _sparse_row(line[1:-1].strip(), attributes, shown)
    cells = [_value(cell) for cell in _split(line)]
    if len(cells) != len(attributes):
        raise DataSourceError(
            f"{shown}: it has {len(attributes)} attributes, and rows of {len(cells)} values: correct it, or save it as "
            "CSV"
        )
    return cells


def _sparse_row(text: str, attributes: list[Attribute], shown: str) -> list[str | None]:
    found: dict[int, str | None] = {}
    end = 0
    while end < len(text):
        match = _SPARSE.match(text, end)
        if match is None or int(match[1]) in found:
            raise DataSourceError(
                f"{shown} has a sparse row that cannot be read, correct it or save it as CSV: {shortened(text)}"
            )
        if int(match[1]) >= len(attributes):
            raise DataSourceError(
                f"{shown}: a row names attribute {match[1]}, there are {len(attributes)} (from 0): correct it"
            )
        found[int(match[1])] = _value(match[2])
        end = match.end()
    return [found.get(place, of.default) for place, of in enumerate(attributes)]


def _split(text: str) -> list[str]:
    if "'" not in text and '"' not in text:
        return [cell.strip() for cell in text.split(",")]
    cells = []
    for match in _CELLS.finditer(text):
        cells.append(match[1].strip())
        if not match[2]:
            break
    return cells


def _value(cell: str) -> str | None:
    return None if cell.strip() == "?" else _unquoted(cell)


def _unquoted(cell: str) -> str:
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", cell[1:-1]).strip()
    return cell


def _is_number(value: str | None) -> bool:
    return value is None or _NUMBER.fullmatch(value) is not None


def _column(cells: np.ndarray, of: Attribute, how: Reading) -> pd.Series:
    distinct = dict.fromkeys(cells.tolist())
    allowed = None if of.values is None else set(of.values)
    wrong = [
        value
        for value in distinct
        if value is not None and not (value in allowed if allowed else not of.is_numeric or _is_number(value))
    ]
    if wrong:
        raise DataSourceError(
            f"{how.shown}: {shortened(of.name, 80)} holds what its type does not allow, correct either: "
            f"{listed(wrong, 3, 100)}"
        )
    if not of.is_numeric or how.keeps_text(of.name):
        return pd.Series(cells, dtype="str")
    return pd.to_numeric(pd.Series(cells, dtype=object))
