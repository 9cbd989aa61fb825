"""From BSON documents to columns: a frame of one byte per cell, where cells are small whole numbers or missing.

Documents come as their bytes, in batches, and are decoded by NumPy where they are laid out alike: several times as fast
as through a `dict` of Python objects each, and in a fraction of the memory.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from networksecurity.data.schema import MISSING

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions


def to_frame(batches: Iterable[list[bytes]], fields: list[str], codec_options: "CodecOptions") -> pd.DataFrame:
    """Return BSON documents as a frame of `fields`, `Int8` where every cell is a small whole number or missing.

    Documents are held one batch at a time; what is kept is one byte per cell, and text for columns that need it.
    """
    blocks: list[np.ndarray] = []
    texts: dict[int, dict[int, pd.Series]] = {}  # column -> batch -> its cells, where the block cannot hold them
    for documents in batches:
        block, odd = _decode(documents, fields, codec_options)
        for column, (rows, cells) in odd.items():
            texts.setdefault(column, {})[len(blocks)] = _to_text(block[:, column], rows, cells)
        blocks.append(block)
    blocks = blocks or [np.empty((0, len(fields)), dtype=np.int8)]
    columns = {}
    for column, name in enumerate(fields):
        if column in texts:
            parts = [
                texts[column][number] if number in texts[column] else _to_text(block[:, column], [], [])
                for number, block in enumerate(blocks)
            ]
            columns[name] = pd.concat(parts, ignore_index=True)
        else:
            values = np.concatenate([block[:, column] for block in blocks])
            columns[name] = pd.arrays.IntegerArray(values, values == MISSING)
    return pd.DataFrame(columns, copy=False)


def take_keys(documents: list[bytes], codec_options: "CodecOptions") -> tuple[list[Any], list[bytes]]:
    """Return the `_id` of each BSON document as a Python object, and the documents without it.

    Where the keys differ in kind or length, the rest may still be alike, and is then decoded by NumPy.
    """
    from bson import decode_all

    keys, contents = [], []
    for document in documents:
        start = 9  # after the document's size, the type of its first element and the name `_id`
        end = start + _size(document, start)
        keys.append(_document(document[4:end]))
        contents.append(_document(document[end:-1]))
    return [key["_id"] for key in decode_all(b"".join(keys), codec_options)], contents


def _document(elements: bytes) -> bytes:
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


# By BSON's code of a type: the bytes of its values, or those beside the ones that are counted in the first four.
_SIZES = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_COUNTED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0D: 4, 0x0E: 4, 0x0F: 0}


def _size(document: bytes, start: int) -> int:
    """Return how many bytes the first value of a document takes, which can be all but a regular expression."""
    if (code := document[4]) in _SIZES:
        return _SIZES[code]
    return int.from_bytes(document[start : start + 4], "little") + _COUNTED[code]


def _to_text(values: np.ndarray, rows: list[int], texts: list[str]) -> pd.Series:
    """Return int8 `values` as text, with `texts` in the given rows."""
    if len(rows) == len(values):
        return pd.Series(texts, dtype="str")
    cells = [None if value == MISSING else str(value) for value in values.tolist()]
    for row, text in zip(rows, texts, strict=True):
        cells[row] = text
    return pd.Series(cells, dtype="str")


def _decode(
    documents: list[bytes], fields: list[str], codec_options: "CodecOptions"
) -> tuple[np.ndarray, dict[int, tuple[list[int], list[str]]]]:
    """Return the cells of BSON documents.

    Returns
    -------
    block : ndarray of shape (n_documents, n_fields), int8
        `MISSING` where a cell is absent, null, NaN, or not a whole number from -127 to 127.
    odd : dict of column to (rows, texts)
        The cells of that last sort, as text.
    """
    from bson import decode_all
    from bson.int64 import Int64

    block = np.full((len(documents), len(fields)), MISSING, dtype=np.int8)
    rows = np.flatnonzero(~_decode_alike(documents, fields, block)).tolist()
    others = decode_all(b"".join([documents[row] for row in rows]), codec_options)
    odd: dict[int, tuple[list[int], list[str]]] = {}
    cells = [tuple(map(document.get, fields)) for document in others]
    for column, values in enumerate(zip(*cells, strict=True)):
        if set(map(type, values)) == {str}:
            odd[column] = rows, list(values)
            continue
        for row, value in zip(rows, values, strict=True):
            if value is None or ((kind := type(value)) is float and math.isnan(value)):
                continue
            # Of exactly these types: True is an int too, and must not become 1.
            if (kind is int or kind is float or kind is Int64) and -127 <= value <= 127 and value == int(value):
                block[row, column] = value
            else:
                odd_rows, texts = odd.setdefault(column, ([], []))
                odd_rows.append(row)
                texts.append(str(value))
    return block, odd


# BSON's codes for double, int32 and int64.
_NUMBERS = {0x01: np.dtype("<f8"), 0x10: np.dtype("<i4"), 0x12: np.dtype("<i8")}


def _decode_alike(documents: list[bytes], fields: list[str], block: np.ndarray) -> np.ndarray:
    """Fill the rows of `block` whose documents are laid out alike and hold small whole numbers only.

    A collection written by one program is nearly all such documents: the same bytes but for the numbers, which NumPy
    reads in place. Documents that differ in any other byte, or hold any other number, are left to the caller.

    Returns
    -------
    ndarray of shape (n_documents,), bool
        The rows that were filled.
    """
    filled = np.zeros(len(documents), dtype=bool)
    sizes = Counter(map(len, documents))
    size = sizes.most_common(1)[0][0] if sizes else 0
    rows = np.array([row for row, document in enumerate(documents) if len(document) == size], dtype=np.intp)
    numbers = _layout(documents[rows[0]]) if len(rows) else None
    if numbers is None:
        return filled
    content = np.frombuffer(b"".join([documents[row] for row in rows]), dtype=np.uint8).reshape(len(rows), size)
    fixed = np.ones(size, dtype=bool)
    for start, dtype in numbers.values():
        fixed[start : start + dtype.itemsize] = False
    alike = (content[:, fixed] == content[0, fixed]).all(axis=1)
    cells = np.full((len(rows), len(fields)), MISSING, dtype=np.int8)
    for column, name in enumerate(fields):
        if name in numbers:
            start, dtype = numbers[name]
            values = np.ndarray(len(rows), dtype, content, start, strides=(size,))
            small = (values >= -127) & (values <= 127)
            cells[:, column] = np.where(small, values, 0)
            alike &= small & (cells[:, column] == values)
    filled[rows[alike]] = True
    block[rows[alike]] = cells[alike]
    return filled


def _layout(document: bytes) -> dict[str, tuple[int, np.dtype]] | None:
    """Return where each number of a BSON document starts and its type; None if it holds anything but numbers."""
    numbers, position = {}, 4
    while code := document[position]:
        if code not in _NUMBERS:
            return None
        end = document.index(0, position + 1)
        numbers[document[position + 1 : end].decode()] = end + 1, _NUMBERS[code]
        position = end + 1 + _NUMBERS[code].itemsize
    return numbers
