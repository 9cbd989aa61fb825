"""Delimited text (CSV and its relatives), in batches."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import pandas as pd
from pandas.api.types import infer_dtype

from networksecurity.data.files.compression import passing
from networksecurity.data.files.dialect import Dialect, recognise
from networksecurity.data.files.formulas import is_for_people, restored
from networksecurity.data.files.limits import Cells, Size
from networksecurity.data.files.reading import Reading
from networksecurity.exceptions import DataSourceError

_SAMPLE = 1 << 16
"""Bytes by which the dialect is recognised."""
_LONGEST_HEADER = 1 << 20
"""Bytes of them where the first line is longer."""
_TEXTS = {"string", "mixed", "mixed-integer"}
"""What pandas calls columns that hold texts."""
_FEWEST = 2
"""Delimiters by which a line within a cell is told from a line of text."""
_LOST = "Calling read(nbytes) on source failed"
"""What pandas says of an exception without a value in a read, as Ctrl-C raises it; others come out as they are."""


def look(file: IO[bytes], how: Reading) -> Dialect:
    """Return how a text is written, from its beginning.

    Raises
    ------
    DataSourceError
        It is binary, has too many columns, or as from `recognise`.
    """
    sample = file.read(_SAMPLE)
    if len(sample) == _SAMPLE and not re.search(rb"[\r\n]", sample):
        sample += file.read(_LONGEST_HEADER - _SAMPLE)
    _refuse_binary(sample, how.shown)
    cut = b""
    if len(sample) >= _SAMPLE:  # the last line may be cut
        lines = re.split(rb"(?<=[\r\n])[^\r\n]*\Z", sample)[0]
        sample, cut = lines.rstrip(b"\r\n") or sample, sample[len(lines) :]
    else:
        sample.decode()  # all of it is there: no character is cut
    text = sample.decode(errors="replace")
    dialect = recognise(text, how.shown, how.columns, is_cut=bool(cut))
    how.limits.check_columns(max(dialect.width, cut.count(dialect.delimiter.encode()) + 1), how.shown)
    found = pd.read_csv(io.StringIO(text.removeprefix("\ufeff")), nrows=0, **_options(dialect)).columns
    return replace(dialect, columns=tuple(map(str, found)))


def _options(dialect: Dialect) -> dict[str, Any]:
    return {
        "header": 0 if dialect.has_header else None,
        "names": dialect.names,
        "sep": dialect.delimiter,
        "decimal": dialect.decimal,
        "skiprows": dialect.n_skipped,
    }


def read_delimited(file: IO[bytes], dialect: Dialect, how: Reading, batch_rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time.

    Raises
    ------
    DataSourceError
        Rows have more cells than there are names or fewer, values where the name is missing, or too many bytes.
    """
    limits, shown = how.limits, how.shown
    counted = _Delimiters(dialect, shown)
    cells, of_batch = Cells(limits, shown, dialect.delimiter), Size(limits, f"{shown}: a batch of {batch_rows} rows")
    # A quote that is not closed would make one cell of the rest.
    seen_by = (counted, cells, of_batch) if batch_rows else (counted, cells)
    # Only the empty cell is taken for missing here: were `na` too, the cells beside it would be read as floats.
    with (
        _interrupts(),
        pd.read_csv(
            passing(file, *seen_by),
            dtype={name: "str" for name in dialect.columns if how.keeps_text(name)},
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            iterator=True,
            chunksize=batch_rows,
            **_options(dialect),
        ) as batches,
    ):
        for frame in batches:
            if not isinstance(frame.index, pd.RangeIndex):
                raise DataSourceError(f"{shown}: its rows have more cells than its header has names")
            for name in dialect.nameless:
                if frame[name].notna().any():
                    raise DataSourceError(f"{shown} has values in a column without a name, number {name.split()[1]}")
            named = frame.drop(columns=list(dialect.nameless))
            counted.add(named)
            yield restored(named) if is_for_people(dialect.columns) else named
            of_batch.restart()
    counted.finish()


@contextmanager
def _interrupts() -> Iterator[None]:
    """Raise the KeyboardInterrupt that pandas' parser makes an error of the file."""
    try:
        yield
    except pd.errors.ParserError as exc:
        if _LOST in str(exc):
            raise KeyboardInterrupt from exc
        raise


class _Delimiters:
    """Sees the bytes of a text and the rows that pandas makes of them.

    pandas fills up rows that end too early, and makes one cell of all rows up to the next quote. Delimiters between
    quotes are counted, too: a row that ends early may go unnoticed where there are some.
    """

    def __init__(self, dialect: Dialect, shown: str) -> None:
        self._dialect = dialect
        self._delimiter = dialect.delimiter.encode()
        self._shown = shown
        self._n_left = -dialect.n_delimiters
        self._is_last_filled = False

    def update(self, content: bytes, /) -> None:
        """Take further bytes; raise DataSourceError if they are not those of a text."""
        _refuse_binary(content, self._shown)
        self._n_left += content.count(self._delimiter)

    def add(self, rows: pd.DataFrame) -> None:
        """Take the rows that were made of some of the bytes; raise DataSourceError if one has swallowed others."""
        for name in rows.select_dtypes(["object", "str"]):
            if infer_dtype(rows[name]) in _TEXTS:
                self._refuse_swallowed(rows[name])
        self._n_left -= len(rows) * (rows.shape[1] - 1)
        self._is_last_filled |= bool(rows.iloc[:, -1].notna().any())

    def _refuse_swallowed(self, column: pd.Series) -> None:
        n_delimiters = self._dialect.width - 1
        if n_delimiters < _FEWEST:
            return
        for number, cell in column[column.str.contains("\n", regex=False, na=False)].items():
            between = cell.splitlines()[1:-1]
            if between and all(line.count(self._dialect.delimiter) == n_delimiters for line in between):
                raise DataSourceError(
                    f"{self._shown}: a quote opens in row {number} and closes {len(between) + 1} lines below, so "
                    "the rows between are one cell: remove it, or close it in its row"
                )

    def finish(self) -> None:
        """Raise DataSourceError if rows end before a cell that others have; a spreadsheet leaves empty ones out."""
        if self._n_left < 0 and self._is_last_filled:
            raise DataSourceError(
                f"{self._shown} is damaged or incomplete: rows end too early (cells missing: {-self._n_left})"
            )


def _refuse_binary(content: bytes, shown: str) -> None:
    if b"\0" in content:
        raise DataSourceError(f"{shown} is binary (or UTF-16), not UTF-8 text")
