"""Parquet, in batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
import pyarrow
import pyarrow.compute

from networksecurity.data.files.reading import Reading
from networksecurity.exceptions import one_line

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData, ParquetFile


@contextmanager
def _damage_by_pandas() -> Iterator[None]:
    """Translate damage in what pandas itself wrote into a Parquet file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise pyarrow.ArrowInvalid(one_line(exc)) from exc


def read_parquet(file: IO[bytes], how: Reading) -> pd.DataFrame:
    """Return all rows.

    Raises
    ------
    DataSourceError
        There are too many columns or bytes.
    """
    # An open file, because pandas would make columns of a path with `key=value` in it.
    with _damage_by_pandas(), _opened(file, how) as parquet:
        frame = _unfolded(parquet.read(use_pandas_metadata=True), how).to_pandas()
    return frame.reset_index(drop=frame.index.name is None)


def read_parquet_batches(
    file: IO[bytes], how: Reading, batch_rows: int, is_exact: Callable[[object], bool] | None
) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time; columns that `is_exact` accepts in Arrow's own types.

    The errors are those of `read_parquet`.
    """
    # Read ahead, whole row groups would be in memory.
    with _damage_by_pandas(), _opened(file, how, pre_buffer=False, buffer_size=1 << 16) as parquet:
        for batch in parquet.iter_batches(batch_rows):
            table = _unfolded(pyarrow.Table.from_batches([batch]), how)
            if is_exact:
                yield _with_exact(table, is_exact)
            else:
                frame = table.to_pandas()
                yield frame.reset_index(drop=frame.index.name is None)


def _opened(file: IO[bytes], how: Reading, **options: Any) -> "ParquetFile":
    """Open a file; refuse too many columns and cells, of which each takes a byte at least, however well packed."""
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file, **options)
    about = parquet.metadata
    how.limits.check_columns(about.num_columns, how.shown)
    n_bytes = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    how.limits.check_unpacked(max(n_bytes, about.num_rows * about.num_columns), how.shown)
    return ParquetFile(file, read_dictionary=_folded(about), metadata=about, **options)


def _folded(about: "FileMetaData") -> list[str]:
    """Return the columns of text that hold each value once, and then its number in each row."""
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    return [
        about.schema.column(place).name
        for place in range(about.num_columns)
        if about.schema.column(place).physical_type == "BYTE_ARRAY"
        and "." not in about.schema.column(place).path
        and all("RLE_DICTIONARY" in group.column(place).encodings for group in groups)
    ]


def _unfolded(table: pyarrow.Table, how: Reading) -> pyarrow.Table:
    """Return a table with columns of text as such, after a check of how long they get."""
    limits, shown, n_bytes = how.limits, how.shown, 0
    for place, column in enumerate(table.columns):
        is_folded = pyarrow.types.is_dictionary(column.type)
        kind = column.type.value_type if is_folded else column.type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_string(kind)):
            continue
        if not is_folded:
            limits.check_cell(pyarrow.compute.max(pyarrow.compute.binary_length(column)).as_py() or 0, shown)
            continue
        for chunk in column.chunks:
            lengths = pyarrow.compute.binary_length(chunk.dictionary)
            limits.check_cell(pyarrow.compute.max(lengths).as_py() or 0, shown)
            n_bytes += pyarrow.compute.sum(lengths.take(chunk.indices)).as_py() or 0
        limits.check_unpacked(n_bytes, shown)
        table = table.set_column(place, table.schema.field(place).name, column.cast(kind))
    return table


def _with_exact(table: pyarrow.Table, is_exact: Callable[[object], bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(column) if is_exact(name) else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not name.startswith("__index_level_")  # an index without a name
        }
    )
