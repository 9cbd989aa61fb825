"""JSON: an array of objects, or one object a line; a row is an object, and its members are cells."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import pandas as pd

from networksecurity.data.files.limits import Limits, too_much
from networksecurity.data.files.reading import Reading
from networksecurity.exceptions import DataSourceError, listed, shortened

_CHUNK = 1 << 18
_BETWEEN = re.compile(r"[\s,]*")
_WRAPPED = {"$oid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"}
"""How mongoexport writes what JSON has no type for."""


def read_json(text: IO[str], how: Reading, batch_rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield the rows, at most `batch_rows` at a time.

    Raises
    ------
    DataSourceError
        It is no JSON, holds something other than objects, or they have too many names.
    """
    objects = _objects(text, how.shown, how.limits)
    names: dict[str, None] = {}
    while batch := list(islice(objects, batch_rows)):
        for one in batch:
            names |= dict.fromkeys(one)
            how.limits.check_columns(len(names), how.shown)
        # As objects: whole numbers beside missing ones would become floats, and large ones lose digits.
        frame = pd.DataFrame({name: pd.Series([one.get(name) for one in batch], dtype=object) for name in names})
        yield how.typed(frame, lambda cell: cell if isinstance(cell, str) else json.dumps(cell))


def _objects(text: IO[str], shown: str, limits: Limits) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_unwrapped)
    rest = text.read(_CHUNK).lstrip()
    is_array = rest.startswith("[")
    start, number = int(is_array), 0
    while True:
        start = _BETWEEN.match(rest, start).end()  # pyright: ignore[reportOptionalMemberAccess] (it always does)
        if is_array and rest[start : start + 1] == "]":
            break
        try:
            found, end = decoder.raw_decode(rest, start)
        except (ValueError, RecursionError) as exc:
            length = len(rest) - start
            # As much again as there is, or a long object would be read again and again.
            if length <= limits.row and (chunk := text.read(max(_CHUNK, length))):
                rest, start = rest[start:] + chunk, 0
                continue
            if not length and not is_array:
                return
            what = f"{shown} is not JSON that can be read, after {number} objects: {_reason(exc)}"
            raise (
                too_much(f"{what}, or an object has more than", limits.row, "characters", "max_cell_bytes")
                if length > limits.row
                else DataSourceError(what)
            ) from exc
        if not isinstance(found, dict):
            raise DataSourceError(f"{shown} has to hold JSON objects, one for each row, not {shortened(repr(found))}")
        if found and all(isinstance(value, list | dict) for value in found.values()):
            raise DataSourceError(
                f"{shown} holds whole tables or columns ({listed(found, count=3)}): write one object for each row, "
                "with pandas by to_json(orient='records')"
            )
        start, number = end, number + 1
        yield found
    if (rest[start + 1 :] + text.read(_CHUNK)).strip():
        raise DataSourceError(f"{shown} is not JSON that can be read: something stands behind the array")


def _reason(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    return exc.msg if isinstance(exc, json.JSONDecodeError) else shortened(exc)


def _unwrapped(members: list[tuple[str, Any]]) -> Any:
    found = dict(members)
    if len(found) < len(members):
        name = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise ValueError(f"an object has {shortened(name)} twice")
    if len(found) == 1 and (name := next(iter(found))) in _WRAPPED:
        return found[name]
    return found
