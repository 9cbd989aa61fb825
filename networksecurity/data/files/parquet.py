"""Parquet, in batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pandas as pd
import pyarrow

from networksecurity.exceptions import one_line


@contextmanager
def _damage_by_pandas() -> Iterator[None]:
    """Translate damage in what pandas itself wrote into a Parquet file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise pyarrow.ArrowInvalid(one_line(exc)) from exc


def read_parquet(file: IO[bytes]) -> pd.DataFrame:
    """Return all rows."""
    # An open file, because pandas would make columns of a path with `key=value` in it.
    with _damage_by_pandas():
        frame = pd.read_parquet(file)
    return frame.reset_index(drop=frame.index.name is None)


def read_parquet_batches(
    file: IO[bytes], batch_rows: int, is_exact: Callable[[object], bool] | None
) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time; columns that `is_exact` accepts in Arrow's own types."""
    from pyarrow.parquet import ParquetFile

    # Read ahead, whole row groups would be in memory.
    with _damage_by_pandas(), ParquetFile(file, pre_buffer=False, buffer_size=1 << 16) as parquet:
        for batch in parquet.iter_batches(batch_rows):
            table = pyarrow.Table.from_batches([batch])
            if is_exact:
                yield _with_exact(table, is_exact)
            else:
                frame = table.to_pandas()
                yield frame.reset_index(drop=frame.index.name is None)


def _with_exact(table: pyarrow.Table, is_exact: Callable[[object], bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(column) if is_exact(name) else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not name.startswith("__index_level_")  # an index without a name
        }
    )
