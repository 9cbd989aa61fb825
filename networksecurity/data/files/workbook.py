"""Excel workbooks (.xlsx): one sheet with the names in its first row. Needs openpyxl, an extra."""

import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import pandas as pd

from networksecurity.data.files.limits import Cells
from networksecurity.data.files.reading import Reading
from networksecurity.exceptions import ConfigurationError, DataSourceError, listed, shortened

_MOST_ROWS = 1 << 20
"""What Excel allows; a number above it stands for rows that are not there."""
_FORMULA = re.compile(rb"<(\w+:)?f[ />]")
_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What openpyxl raises for a workbook that is not as it should be: a SyntaxError for XML, a UserWarning for a sheet."""


def read_workbook(file: IO[bytes], how: Reading, batch_rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield the rows of the only sheet that holds any, or of the one that is named, at most `batch_rows` at a time.

    Raises
    ------
    ConfigurationError
        openpyxl is not installed.
    DataSourceError
        It is no workbook, too much is packed in it, several sheets could be meant, or a formula was never computed.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError as exc:
        raise ConfigurationError(
            f"{how.shown} is an Excel workbook, for which openpyxl is needed: pip install 'networksecurity[excel]', or "
            "save it as CSV"
        ) from exc
    try:
        with zipfile.ZipFile(file) as parts:
            how.limits.check_unpacked(sum(part.file_size for part in parts.infolist()), how.shown)
            # All parts are looked through, for openpyxl takes the texts of all cells before the first row.
            has_formulas = sum(_has_formulas(parts, part, how) for part in parts.infolist()) > 0
        rows = _rows(_load(file, data_only=True), how)
        if has_formulas:
            rows = _computed(rows, _rows(_load(file, data_only=False), how), how.shown)
        yield from _frames(_within(rows, how), how, batch_rows)
    except _ERRORS as exc:
        # Of these two the message is about openpyxl's code.
        is_raw = isinstance(exc, AttributeError | TypeError)
        reason = "one of its sheets, perhaps a chart, is not complete" if is_raw else shortened(exc)
        raise DataSourceError(
            f"{how.shown} is not a workbook (.xlsx) that can be read ({reason}): save it anew in a spreadsheet program"
        ) from exc


def _load(file: IO[bytes], *, data_only: bool) -> Any:
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        # It would leave out a sheet whose part it does not find.
        warnings.filterwarnings("error", "File contains an invalid specification", UserWarning)
        return load_workbook(file, read_only=True, data_only=data_only, keep_links=False)


def _has_formulas(parts: zipfile.ZipFile, part: zipfile.ZipInfo, how: Reading) -> bool:
    """Return whether a part holds formulas; raise DataSourceError if a text in it is longer than a cell may be."""
    if not part.filename.endswith(".xml"):
        return False
    texts, is_sheet = Cells(how.limits, how.shown, "<", has_lines=False), part.filename.startswith("xl/worksheets/")
    rest, found = b"", False
    with parts.open(part) as content:
        while chunk := content.read(1 << 20):
            texts.update(chunk)
            found = found or (is_sheet and bool(_FORMULA.search(rest + chunk)))
            rest = chunk[-20:]
    return found


def _rows(book: Any, how: Reading) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the sheet that is meant, the empty ones too."""
    try:
        yield from _rows_of(_sheet(book, how), how)
    finally:
        book.close()


def _sheet(book: Any, how: Reading) -> Any:
    shown, wanted = how.shown, how.member
    sheets = {sheet.title: sheet for sheet in book.worksheets}  # a chart may have a sheet of its own
    if not sheets:
        raise DataSourceError(f"{shown} has no worksheet that can be read: save its rows in one, as Excel Workbook")
    if wanted is not None:
        if wanted not in sheets:
            raise DataSourceError(f"{shown} has no worksheet {shortened(wanted)}, only {listed(sheets)}")
        return sheets[wanted]
    filled = [sheet for sheet in sheets.values() if any(map(_is_filled, _rows_of(sheet, how)))]
    if len(filled) > 1:
        names = [sheet.title for sheet in filled]
        raise DataSourceError(
            f"{shown} has several sheets ({listed(names)}): name one, as {shown}!{shortened(names[0], 40)}"
        )
    return (filled or book.worksheets)[0]


def _rows_of(sheet: Any, how: Reading) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # those that a sheet says of itself are often wrong, and cut it
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if number == _MOST_ROWS:
            raise DataSourceError(f"{how.shown} has more than {_MOST_ROWS:,} rows, as no workbook can: save it anew")
        if _is_filled(row[how.limits.columns :]):
            how.limits.check_columns(len(row), how.shown)
        yield row[: how.limits.columns]


def _within(rows: Iterator[tuple[Any, ...]], how: Reading) -> Iterator[tuple[Any, ...]]:
    """Yield the rows; refuse a text that is too long, and too much text: cells may share one, or hold it in pieces."""
    n_all = 0
    for row in rows:
        for n_bytes in (len(cell.encode("utf-8", "surrogatepass")) for cell in row if isinstance(cell, str)):
            how.limits.check_cell(n_bytes, how.shown)
            n_all += n_bytes
        how.limits.check_unpacked(n_all, how.shown)
        yield row


def _computed(
    rows: Iterator[tuple[Any, ...]], formulas: Iterator[tuple[Any, ...]], shown: str
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows; refuse a value that is missing because its formula was never computed."""
    for number, (row, written) in enumerate(zip(rows, formulas, strict=True), start=1):
        if any(value is None and formula is not None for value, formula in zip(row, written, strict=True)):
            raise DataSourceError(
                f"{shown} has a formula without a value in row {number}: open it in a spreadsheet program and save it"
            )
        yield row


def _frames(rows: Iterator[tuple[Any, ...]], how: Reading, batch_rows: int | None) -> Iterator[pd.DataFrame]:
    rows = filter(_is_filled, rows)
    header = next(rows, ())
    width = max((place for place, name in enumerate(header, 1) if name is not None), default=0)
    names = [f"Unnamed: {place}" if name is None else str(name) for place, name in enumerate(header[:width])]
    while batch := list(islice(rows, batch_rows)):
        if any(cell is not None for row in batch for cell in row[width:]):
            raise DataSourceError(f"{how.shown} has values in a column without a name, number {width + 1}")
        columns = {
            place: pd.Series([row[place] if place < len(row) else None for row in batch], dtype=object)
            for place in range(width)
        }
        yield how.typed(pd.DataFrame(columns).set_axis(names, axis=1))


def _is_filled(row: tuple[Any, ...]) -> bool:
    return any(cell is not None for cell in row)
