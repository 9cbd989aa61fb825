"""From BSON documents to columns: a frame of one byte per cell, where cells are small whole numbers or missing.

Documents come as their bytes, in batches, and are decoded by NumPy where they are laid out alike: several times as fast
as through a `dict` of Python objects each, and in a fraction of the memory. (PyMongoArrow is as fast, but silently
turns cells such as 1.7 and True into 1.)
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from networksecurity.data.mongodb.names import Spellings
from networksecurity.data.schema import DOMAINS, MISSING

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

_MOST_LAYOUTS = 4
"""Layouts of documents in one batch that are decoded by NumPy; what is left is decoded one by one."""


class Decoder(Spellings):
    """Reads the documents of a collection whose columns are all small whole numbers."""

    def to_frame(self, batches: Iterable[list[bytes]], columns: Iterable[str] = DOMAINS) -> pd.DataFrame:
        """Return those of `columns` that were met so far, `Int8` where every cell is a small whole number or missing.

        Documents are held one batch at a time; what is kept is one byte per cell, and text for columns that need it.
        """
        columns = list(columns)
        blocks: list[np.ndarray] = []
        texts: dict[int, dict[int, pd.Series]] = {}  # column -> batch -> its cells, where the block cannot hold them
        for documents in batches:
            block, odd = self._decode(documents, columns)
            for column, (rows, cells) in odd.items():
                texts.setdefault(column, {})[len(blocks)] = _to_text(block[:, column], rows, cells)
            blocks.append(block)
        blocks = blocks or [np.empty((0, len(columns)), dtype=np.int8)]
        found = {}
        for column in self.in_order(columns):
            name = self.spellings[columns[column]]
            if column in texts:
                parts = [
                    texts[column][number] if number in texts[column] else _to_text(block[:, column], [], [])
                    for number, block in enumerate(blocks)
                ]
                found[name] = pd.concat(parts, ignore_index=True)
            else:
                values = np.concatenate([block[:, column] for block in blocks])
                found[name] = pd.arrays.IntegerArray(values, values == MISSING)
        return pd.DataFrame(found, copy=False)

    def _decode(
        self, documents: list[bytes], columns: list[str]
    ) -> tuple[np.ndarray, dict[int, tuple[list[int], list[str]]]]:
        """Return the cells of BSON documents.

        Returns
        -------
        block : ndarray of shape (n_documents, n_columns), int8
            `MISSING` where a cell is absent, null, NaN, or not a whole number from -127 to 127.
        odd : dict of column to (rows, texts)
            The cells of that last sort, as text.
        """
        from bson import decode_all
        from bson.int64 import Int64

        block = np.full((len(documents), len(columns)), MISSING, dtype=np.int8)
        rows = self._decode_alike(documents, columns, block)
        others = decode_all(b"".join([documents[row] for row in rows]), self.codec_options)
        cells = [self.cells(document, columns) for document in others]
        odd: dict[int, tuple[list[int], list[str]]] = {}
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

    def _decode_alike(self, documents: list[bytes], columns: list[str], block: np.ndarray) -> list[int]:
        """Fill the rows of `block` whose documents are laid out alike and hold small whole numbers only.

        A collection written by one program is nearly all such documents: the same bytes but for the numbers, which
        NumPy reads in place. Documents that hold any other value are left to the caller.

        Returns
        -------
        list of int
            The rows that were not filled.
        """
        left = list(range(len(documents)))
        slow: list[int] = []
        for _ in range(_MOST_LAYOUTS):
            if not left:
                break
            size = Counter(len(documents[row]) for row in left).most_common(1)[0][0]
            rows = np.array([row for row in left if len(documents[row]) == size], dtype=np.intp)
            filled = set(self._decode_layout([documents[row] for row in rows], rows, columns, block).tolist())
            if (first := int(rows[0])) not in filled:
                slow.append(first)
            left = [row for row in left if row not in filled and row != first]
        return sorted(slow + left)

    def _decode_layout(
        self, documents: list[bytes], rows: np.ndarray, columns: list[str], block: np.ndarray
    ) -> np.ndarray:
        """Fill those `rows` of `block` whose documents, all of one size, are laid out as the first is; return them."""
        numbers = _layout(documents[0])
        names = self.understand(numbers or ())
        if numbers is None or any(len(spellings) > 1 for spellings in names.columns.values()):
            return rows[:0]
        size = len(documents[0])
        content = np.frombuffer(b"".join(documents), dtype=np.uint8).reshape(len(rows), size)
        fixed = np.ones(size, dtype=bool)
        for start, dtype in numbers.values():
            fixed[start : start + dtype.itemsize] = False
        alike = (content[:, fixed] == content[0, fixed]).all(axis=1)
        cells = np.full((len(rows), len(columns)), MISSING, dtype=np.int8)
        for column, name in enumerate(columns):
            for spelling in names.columns.get(name, ()):
                start, dtype = numbers[spelling]
                values = np.ndarray(len(rows), dtype, content, start, strides=(size,))
                small = (values >= -127) & (values <= 127)
                cells[:, column] = np.where(small, values, 0)
                alike &= small & (cells[:, column] == values)
        self.unknown.update(dict.fromkeys(names.unknown, int(alike.sum())))
        block[rows[alike]] = cells[alike]
        return rows[alike]


def split(message: bytes) -> list[bytes]:
    """Return the documents of a message in which one follows the other."""
    documents, start = [], 0
    while start < len(message):
        end = start + int.from_bytes(message[start : start + 4], "little")
        documents.append(message[start:end])
        start = end
    return documents


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


# BSON's codes for double, int32 and int64.
_NUMBERS = {0x01: np.dtype("<f8"), 0x10: np.dtype("<i4"), 0x12: np.dtype("<i8")}


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
