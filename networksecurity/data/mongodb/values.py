"""From BSON documents to columns of text and numbers: Arrow strings and float64, one message of objects at a time."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa
from bson import decode_all
from bson.int64 import Int64

from networksecurity.data.mongodb.names import Spellings

_NUMBERS = {int, float, Int64}  # of exactly these types: True is an int too


class ValueDecoder(Spellings):
    """Reads the documents of a collection whose columns are not all small whole numbers."""

    def to_frame(self, batches: Iterable[list[bytes]], columns: Iterable[str]) -> pd.DataFrame:
        """Return those of `columns` that were met so far: float64 where every cell is a number or missing, else str.

        Documents are held one batch at a time; what is kept is Arrow's text, or 8 bytes for a number.
        """
        columns = list(columns)
        chunks: list[list[pa.Array]] = [[] for _ in columns]
        for documents in batches:
            found = [self.cells(of, columns) for of in decode_all(b"".join(documents), self.codec_options)]
            for kept, cells in zip(chunks, zip(*found, strict=True), strict=True):
                kept.append(_to_arrow(cells))
        return pd.DataFrame(
            {self.spellings[columns[i]]: _to_series(chunks[i]) for i in self.in_order(columns)}, copy=False
        )


def _to_arrow(cells: tuple[Any, ...]) -> pa.Array:
    """Return cells as numbers, or as text if one of them is no number."""
    known = [None if type(cell) is float and math.isnan(cell) else cell for cell in cells]
    if {type(cell) for cell in known if cell is not None} <= _NUMBERS:
        return pa.array([None if cell is None else float(cell) for cell in known], pa.float64())
    return pa.array([cell if cell is None or type(cell) is str else str(cell) for cell in known], pa.large_string())


def _to_series(chunks: list[pa.Array]) -> pd.Series:
    if all(chunk.type == pa.float64() for chunk in chunks):
        return pa.chunked_array(chunks, pa.float64()).to_pandas()
    return pa.chunked_array(map(_to_text, chunks), pa.large_string()).to_pandas().astype("str")


def _to_text(chunk: pa.Array) -> pa.Array:
    """Return numbers as text, whole ones as such."""
    if chunk.type == pa.large_string():
        return chunk
    cells = [None if cell is None else int(cell) if cell.is_integer() else cell for cell in chunk.to_pylist()]
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.large_string())
