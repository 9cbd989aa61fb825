"""Raw rows, as every source gives them: under the source's own column names, not yet validated.

A raw frame is storable: each column is an integer, a float or `str`. A column that holds anything else, or a mixture,
becomes `str` with its original values readable in it, for quarantine to show them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd


@dataclass(frozen=True)
class Rows:
    """All rows of a source, and from where to read on."""

    frame: pd.DataFrame
    """Of shape (n_rows, n_columns): columns of dtype int, float or `str`; integers that fit are int8 (`Int8` where some
    are missing). Markers of missing values such as `na` are still in it."""
    watermark: int | None = None
    """The `since` of the next read of a collection; None if nothing was ever ingested, and for any other source."""
    notes: tuple[str, ...] = ()
    """What was read in a way that the source's name does not tell."""


@dataclass(frozen=True)
class Batches:
    """Rows of a source that come in batches, for what is larger than memory."""

    frames: Iterator[pd.DataFrame]
    """As in `Rows`, with 0 < n_rows <= batch_rows, but a column's dtype may differ between batches. The index numbers
    the source's rows, from 0."""
    n_rows: int | None = None
    """Of all batches, as counted before the first; None if only reading them tells."""
    watermark: int | None = None
    """As in `Rows`."""
    notes: tuple[str, ...] = ()
    """As in `Rows`, as far as they are known before the first batch."""


CONFLICT = "conflict: "
"""How a cell begins that stands for several which should be one, such as `conflict: port 1, port_no -1`."""


def conflict(cells: Mapping[str, Any]) -> str:
    """Return the cell that stands for `cells`, by spelling of their column, which should be one and differ."""
    return CONFLICT + ", ".join(f"{name} {cell}" for name, cell in cells.items())


Check = Callable[[pd.DataFrame], object]
"""What raises an error for rows that are not those of a contract, as `RowValidation.add` does."""


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, content: bytes, /) -> None:
        """Take further bytes."""


def storable(frame: pd.DataFrame, but: Callable[[object], bool] | None = None) -> pd.DataFrame:
    """Return a frame in the dtypes of `Rows`; columns whose names `but` accepts are left as they are."""
    columns = {str(name): column if but and but(name) else _storable_column(column) for name, column in frame.items()}
    return pd.DataFrame(columns, copy=False)


def _storable_column(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    is_integer, is_float = pd.api.types.is_integer_dtype(column), pd.api.types.is_float_dtype(column)
    if not (is_integer or is_float):
        return column.map(str, na_action="ignore").astype("str")
    known = column.dropna()
    if known.between(-127, 127).all() and (is_integer or (known % 1 == 0).all()):
        return column.astype("int8" if len(known) == len(column) else "Int8")
    return column
