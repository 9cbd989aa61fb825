"""JSON: an array of objects, or one object a line; a row is an object, and its members are cells."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any

import pandas as pd

from networksecurity.exceptions import DataSourceError, shortened

_CHUNK = 1 << 18
_LONGEST = 1 << 24
"""Characters of an object, at most; as in MongoDB."""
_BETWEEN = re.compile(r"[\s,]*")
_WRAPPED = {"$oid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
"""How mongoexport writes what JSON has no type for."""


def read_json(
    text: IO[str], shown: str, batch_rows: int | None, is_text: Callable[[object], bool] | None
) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time; columns that `is_text` accepts as their text.

    Raises
    ------
    DataSourceError
        It is no JSON, or holds something other than objects.
    """
    objects = _objects(text, shown)
    names: dict[str, None] = {}
    while batch := list(islice(objects, batch_rows)):
        for one in batch:
            names |= dict.fromkeys(one)
        # As objects: whole numbers beside missing ones would become floats, and large ones lose digits.
        frame = pd.DataFrame({name: pd.Series([one.get(name) for one in batch], dtype=object) for name in names})
        yield frame.apply(
            lambda column: _as_text(column) if is_text and is_text(column.name) else column.infer_objects()
        )


def _objects(text: IO[str], shown: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_hook=_unwrapped)
    rest = text.read(_CHUNK).lstrip()
    is_array = rest.startswith("[")
    position, number, more = int(is_array), 0, True
    while True:
        position = _BETWEEN.match(rest, position).end()  # pyright: ignore[reportOptionalMemberAccess] (it always does)
        try:
            if is_array and rest[position : position + 1] == "]":
                return
            found, position = decoder.raw_decode(rest, position)
        except (json.JSONDecodeError, RecursionError) as exc:
            chunk = text.read(_CHUNK) if more and len(rest) - position < _LONGEST else ""
            if chunk:
                rest, position = rest[position:] + chunk, 0
                continue
            if position == len(rest) and not is_array:
                return
            reason = exc.msg if isinstance(exc, json.JSONDecodeError) else "nested too deeply"
            raise DataSourceError(f"{shown} is not JSON that can be read, after {number} objects: {reason}") from exc
        if not isinstance(found, dict):
            raise DataSourceError(f"{shown} has to hold JSON objects, one for each row, not {shortened(repr(found))}")
        number += 1
        yield found


def _unwrapped(found: dict[str, Any]) -> Any:
    if len(found) == 1 and (name := next(iter(found))) in _WRAPPED:
        return found[name]
    return found


def _as_text(column: pd.Series) -> pd.Series:
    return column.map(lambda cell: cell if isinstance(cell, str) else json.dumps(cell), na_action="ignore").astype(
        "str"
    )
