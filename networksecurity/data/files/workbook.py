"""Excel workbooks (.xlsx): one sheet with the names in its first row. Needs openpyxl, an extra."""

import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any

import pandas as pd

from networksecurity.exceptions import ConfigurationError, DataSourceError, listed, shortened


def read_workbook(
    file: IO[bytes],
    shown: str,
    batch_rows: int | None,
    is_text: Callable[[object], bool] | None,
    sheet: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield the rows of the only sheet that holds any, or of the one that is named, at most `batch_rows` at a time.

    Raises
    ------
    ConfigurationError
        openpyxl is not installed.
    DataSourceError
        It is no workbook, or several sheets could be meant.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as exc:
        raise ConfigurationError(
            f"{shown} is an Excel workbook, for which openpyxl is needed: pip install 'networksecurity[excel]', or "
            "save it as CSV"
        ) from exc
    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as exc:
        raise DataSourceError(f"{shown} is not a workbook (.xlsx) that can be read: {shortened(exc)}") from exc
    try:
        rows = _rows(_sheet(book, sheet, shown))
        header = next(rows, ())
        width = max((place for place, name in enumerate(header, 1) if name is not None), default=0)
        names = [f"Unnamed: {place}" if name is None else str(name) for place, name in enumerate(header[:width])]
        while batch := list(islice(rows, batch_rows)):
            if any(cell is not None for row in batch for cell in row[width:]):
                raise DataSourceError(f"{shown} has values in a column without a name, number {width + 1}")
            columns = {
                place: pd.Series([row[place] if place < len(row) else None for row in batch], dtype=object)
                for place in range(width)
            }
            frame = pd.DataFrame(columns).set_axis(names, axis=1)
            yield frame.apply(
                lambda column: _as_text(column) if is_text and is_text(column.name) else column.infer_objects()
            )
    finally:
        book.close()


def _sheet(book: Any, wanted: str | None, shown: str) -> Any:
    if wanted is not None:
        if wanted not in book.sheetnames:
            raise DataSourceError(f"{shown} has no sheet {shortened(wanted)}, only {listed(book.sheetnames)}")
        return book[wanted]
    filled = [sheet for sheet in book.worksheets if next(_rows(sheet), None)]
    if len(filled) > 1:
        names = [sheet.title for sheet in filled]
        raise DataSourceError(f"{shown} has several sheets ({listed(names)}): name one, as {shown}!{names[0]}")
    return filled[0] if filled else book.worksheets[0]


def _rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    return (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))


def _as_text(column: pd.Series) -> pd.Series:
    return column.map(str, na_action="ignore").astype("str")
