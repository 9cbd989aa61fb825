"""The rows of a request: read from its body, and answered each for itself."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pandas as pd
from pydantic_core import from_json

from networksecurity.data.schema import FEATURES, LABEL, SCORE, canonical_name
from networksecurity.data.validation import Validation
from networksecurity.exceptions import DataValidationError
from networksecurity.prediction import scoring


class TooManyRowsError(DataValidationError):
    """A body has more rows than the service answers at once."""


def _read_json(body: bytes, max_rows: int) -> list[dict[str, Any]]:
    try:
        content = from_json(body)
    except ValueError as exc:
        raise DataValidationError(f"the body is not JSON: {exc}") from None
    if not isinstance(content, dict):
        raise DataValidationError('the body is neither one row, {feature: value, …}, nor {"rows": [row, …]}')
    if "rows" not in content:
        return [content]
    rows = content["rows"]
    if len(content) > 1 or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataValidationError("`rows` is not a list of rows, {feature: value, …}, or does not stand alone")
    if len(rows) > max_rows:
        raise _too_many(max_rows)
    return rows


def _read_csv(body: bytes, max_rows: int) -> list[dict[str, Any]]:
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if len(set(header)) < len(header):
            raise DataValidationError("the CSV has two columns of the same name")
        rows = []
        for cells in lines:
            if not cells:  # an empty line
                continue
            if len(cells) != len(header):
                raise DataValidationError(
                    f"line {lines.line_num} of the CSV has {len(cells)} cells, its first line {len(header)}"
                )
            if len(rows) == max_rows:
                raise _too_many(max_rows)
            rows.append(dict(zip(header, cells, strict=True)))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise DataValidationError(f"the body is not CSV in UTF-8 ({type(exc).__name__})") from None
    return rows


READERS: dict[str, Callable[[bytes, int], list[dict[str, Any]]]] = {
    "application/json": _read_json,
    "text/csv": _read_csv,
}
"""By content type: from a body and the largest number of rows to the rows. They raise DataValidationError."""


def _too_many(max_rows: int) -> TooManyRowsError:
    return TooManyRowsError(f"more than {max_rows:,} rows (NETWORKSECURITY_SERVE_MAX_ROWS): send them in parts")


def predict(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return an `openapi.Prediction`, as plain values, for each row; it depends on that row and nothing else.

    Raises
    ------
    DataValidationError
        There are no rows, or one lacks a feature or has it twice.
    """
    if not rows:
        raise DataValidationError("there are no rows")
    spellings: dict[tuple[str, ...], dict[str, str]] = {}
    of_row = []
    for number, row in enumerate(rows, 1):
        keys = tuple(row)
        if keys not in spellings:
            spellings[keys] = _spelling(keys, number)
        of_row.append(spellings[keys])
    cells = {name: [row[spelling[name]] for row, spelling in zip(rows, of_row, strict=True)] for name in FEATURES}
    accepted, rejected = Validation(with_target=False).add(pd.DataFrame(cells))
    predictions: list[dict[str, Any]] = [
        {
            SCORE: None,
            LABEL: None,
            "reasons": [],
            "keys": {key: value for key, value in row.items() if key not in spelling.values()}
            if len(row) > len(FEATURES)
            else {},
        }
        for row, spelling in zip(rows, of_row, strict=True)
    ]
    scored = scoring.score(model, accepted)
    for i, y_score, label in zip(scored.index, scored[SCORE], scored[LABEL], strict=True):
        predictions[i] |= {SCORE: y_score, LABEL: label}
    for i, reasons in zip(rejected.index, rejected["reasons"], strict=True):
        predictions[i]["reasons"] = reasons.split("; ")
    return predictions


def _spelling(keys: tuple[str, ...], number: int) -> dict[str, str]:
    """Return, for each feature, its key in a row; `number` counts rows from 1."""
    spelling: dict[str, str] = {}
    for key in keys:
        name = canonical_name(key)
        if name in spelling:
            raise DataValidationError(f"row {number} has {name} twice")
        if name in FEATURES:
            spelling[name] = key
    if missing := [name for name in FEATURES if name not in spelling]:
        raise DataValidationError(
            f"row {number} lacks {', '.join(missing)}: all 30 features are needed, null for an unknown value"
        )
    return spelling
