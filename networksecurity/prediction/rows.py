"""The rows of a request: read from its body, and answered each for itself."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from networksecurity.data.address_names import URL, is_address_column
from networksecurity.data.addresses import parse_address
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.overrides import Overrides
from networksecurity.data.schema import (
    EXPLANATION,
    F1_KNOWN,
    FEATURES,
    KNOWN,
    LABEL,
    REASONS,
    SCORE,
    UNSURE,
    canonical_name,
    to_X,
)
from networksecurity.data.table_file import listed
from networksecurity.data.validation import Validation
from networksecurity.exceptions import AddressError, DataValidationError
from networksecurity.prediction.native import FastPipeline
from networksecurity.prediction.reasons import Explainer
from networksecurity.training.known_features import KnownFeatures

MAX_EXPLAINED = 100
"""Most rows of a request whose predictions are explained: each takes about as long as 40 to 70 rows that are not."""


class TooManyRowsError(DataValidationError):
    """A body has more rows than the service answers at once."""


@dataclass(frozen=True)
class Question:
    """What a body asks.

    Attributes
    ----------
    rows : list of dict
    explain : bool
        Whether the predictions are to come with their explanation.
    """

    rows: list[dict[str, Any]]
    explain: bool = False


def _read_json(body: bytes, max_rows: int) -> Question:
    try:
        content = from_json(body)
    except ValueError as exc:
        raise DataValidationError(f"the body is not JSON: {exc}") from None
    if not isinstance(content, dict):
        raise DataValidationError('the body is neither one row, {feature: value, …}, nor {"rows": [row, …]}')
    if "rows" not in content:
        explain = content.pop("explain") if isinstance(content.get("explain"), bool) else False
        return Question([content], explain)
    rows, explain = content["rows"], content.get("explain", False)
    if not (
        content.keys() <= {"rows", "explain"} and isinstance(rows, list) and all(type(row) is dict for row in rows)
    ):
        raise DataValidationError(
            "`rows` is not a list of rows, {feature: value, …}, or stands beside more than `explain`"
        )
    if not isinstance(explain, bool):
        raise DataValidationError("`explain` is neither true nor false")
    if len(rows) > max_rows:
        raise _too_many(max_rows)
    return Question(rows, explain)


def _read_csv(body: bytes, max_rows: int) -> Question:
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
    return Question(rows)


READERS: dict[str, Callable[[bytes, int], Question]] = {
    "application/json": _read_json,
    "text/csv": _read_csv,
}
"""By content type: from a body and the largest number of rows to a question. They raise DataValidationError."""


def _too_many(max_rows: int) -> TooManyRowsError:
    return TooManyRowsError(f"more than {max_rows:,} rows (NETWORKSECURITY_SERVE_MAX_ROWS): send them in parts")


def predict(
    model: FastPipeline,
    rows: list[dict[str, Any]],
    explainer: Explainer | None = None,
    contract: Contract = WEBSITES,
    overrides: Overrides | None = None,
    now: datetime | None = None,
    known: KnownFeatures | None = None,
) -> list[dict[str, Any]]:
    """Return an `openapi.Prediction`, as plain values, for each row; it depends on that row and nothing else.

    Parameters
    ----------
    model : FastPipeline
    rows : list of dict
    explainer : Explainer, optional
        With it, each prediction has its `explanation`.
    contract : Contract, default=WEBSITES
        What the rows are.
    overrides : Overrides, optional
        With them, a label that a person has set takes the place of the model's.
    now : datetime, optional
        An override whose time is over then decides nothing.
    known : KnownFeatures, optional
        With it, each prediction says what is known of its row, and where that is too little its label is `unsure`.

    Raises
    ------
    DataValidationError
        There are no rows, or one lacks a feature or the address, or has it twice.
    TooManyRowsError
        There are more than `MAX_EXPLAINED` to explain.
    """
    if not rows:
        raise DataValidationError("there are no rows")
    if explainer and len(rows) > MAX_EXPLAINED:
        raise TooManyRowsError(f"more than {MAX_EXPLAINED} rows to explain: send them in parts, or without `explain`")
    read = _READ[contract.name](rows) if contract.name in _READ else _read_columns(rows, contract)
    predictions: list[dict[str, Any]] = [
        {SCORE: None, LABEL: None, "by": None, "reasons": reasons, "keys": keys}
        for reasons, keys in zip(read.reasons, read.keys, strict=True)
    ]
    valid = [i for i, reasons in enumerate(read.reasons) if not reasons]
    y_score = model.score(read.X[valid]) if valid else np.empty(0)
    for i, score in zip(valid, y_score.tolist(), strict=True):
        predictions[i] |= {SCORE: score, LABEL: model.rule.label(score), "by": "model"}
    if known and valid:
        judged = known.judge(read.X[valid])
        figures = zip(valid, judged.n_known.tolist(), judged.f1.tolist(), judged.is_unsure.tolist(), strict=True)
        for i, n_known, f1, is_unsure in figures:
            said = {KNOWN: n_known, F1_KNOWN: None if math.isnan(f1) else f1}
            predictions[i] |= said | ({LABEL: UNSURE} if is_unsure else {})
    if overrides and valid:
        for i, one in overrides.find(read.X[valid], now).items():
            override = {"reason": one.reason, "until": one.until, "covers": one.covers}
            predictions[valid[i]] |= {LABEL: one.label, "by": "override", "override": override}
    if explainer:
        explanations = dict(zip(valid, explainer.explain(read.X[valid]), strict=True))
        for i, prediction in enumerate(predictions):
            prediction[EXPLANATION] = explanations.get(i)
    return predictions


@dataclass(frozen=True)
class _Read:
    """The rows of a question, each for itself.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_columns)
        What the model is given; anything where a row is not valid.
    reasons : list of list of str
        Why a row is not valid; empty if it is.
    keys : list of dict
        Its other fields.
    """

    X: np.ndarray
    reasons: list[list[str]]
    keys: list[dict[str, Any]]


def _read_features(rows: list[dict[str, Any]]) -> _Read:
    spellings: dict[tuple[str, ...], tuple[str, ...]] = {}
    read = _Read(np.full((len(rows), len(FEATURES)), np.nan), [[] for _ in rows], [])
    unusual: dict[int, list[Any]] = {}
    for i, row in enumerate(rows):
        keys = tuple(row)
        if keys not in spellings:
            spellings[keys] = _spelling(keys, i + 1)
        features = spellings[keys]
        cells = [row[key] for key in features]
        values = _usual_values(cells)
        if values is None:
            unusual[i] = cells
        else:
            read.X[i] = values
        is_more = len(keys) > len(features)
        read.keys.append({key: value for key, value in row.items() if key not in features} if is_more else {})
    if unusual:
        accepted, rejected = Validation(with_target=False).add(
            pd.DataFrame(unusual.values(), index=list(unusual), columns=list(FEATURES), dtype=object)
        )
        read.X[accepted.index] = to_X(accepted)
        for i, reasons in zip(rejected.index, rejected[REASONS], strict=True):
            read.reasons[i].extend(reasons.split("; "))
    return read


def _read_addresses(rows: list[dict[str, Any]]) -> _Read:
    read = _Read(np.empty((len(rows), 1), dtype=object), [], rows)
    for i, row in enumerate(rows):
        try:
            read.X[i] = parse_address(row[_address_key(row, i + 1)]).normalized
            read.reasons.append([])
        except AddressError as exc:
            read.reasons.append([f"url: {exc}"])
    return read


def _address_key(row: dict[str, Any], number: int) -> str:
    """Return the key of a row's address; `number` counts rows from 1."""
    if URL in row:
        return URL
    found = [key for key in row if is_address_column(key)]
    if len(found) != 1:
        raise DataValidationError(
            f"row {number} has {len(found) or 'no'} fields that could be the address: call one `{URL}`"
        )
    return found[0]


_READ: dict[str, Callable[[list[dict[str, Any]]], _Read]] = {"websites": _read_features, "addresses": _read_addresses}
"""By contract, but for tables. They raise DataValidationError if a row lacks what is to be judged."""


def _read_columns(rows: list[dict[str, Any]], contract: Contract) -> _Read:
    """Read rows of a table; raise DataValidationError if one lacks a column or has it twice."""
    cells, keys = [], []
    for number, row in enumerate(rows, start=1):
        names = {key: contract.canonical_name(key) for key in row if contract.is_own(key)}
        if len(set(names.values())) < len(names):
            raise DataValidationError(f"row {number} has a column twice, under {listed(names)}")
        if missing := [name for name in contract.columns if name not in names.values()]:
            raise DataValidationError(
                f"row {number} lacks {listed(missing)}: all {len(contract.columns)} columns of {contract.name} are "
                "needed, null for an unknown value"
            )
        cells.append({name: _plain_cell(row[key]) for key, name in names.items()})
        keys.append({key: value for key, value in row.items() if key not in names})
    accepted, rejected = contract.validation(with_target=False).add(
        pd.DataFrame(cells, columns=list(contract.columns), dtype=object)
    )
    X = np.full((len(rows), len(contract.columns)), np.nan, dtype=object if contract.text_columns else np.float64)
    X[accepted.index] = contract.to_X(accepted).to_numpy()
    reasons: list[list[str]] = [[] for _ in rows]
    for i, why in zip(rejected.index, rejected[REASONS], strict=True):
        reasons[i].extend(why.split("; "))
    return _Read(X, reasons, keys)


def _plain_cell(cell: Any) -> Any:
    """Return a number, text or None; of anything else, True among it, the text."""
    return cell if cell is None or type(cell) in (int, float, str) else str(cell)


_USUAL_VALUES: list[dict[Any, float]] = [
    {None: math.nan, "": math.nan} | {written: float(value) for value in domain for written in (value, str(value))}
    for domain in FEATURES.values()
]
"""By feature, the cells that clients write nearly always, and what they mean; `Validation` judges all others."""


def _usual_values(cells: list[Any]) -> list[float] | None:
    """Return a row's values if each of its cells is a usual one, without the time that a DataFrame takes."""
    if bool in map(type, cells):  # True is equal to 1, and is not a whole number
        return None
    try:
        return list(map(dict.__getitem__, _USUAL_VALUES, cells))
    except (KeyError, TypeError):  # TypeError: a list has no hash
        return None


def _spelling(keys: tuple[str, ...], number: int) -> tuple[str, ...]:
    """Return the key of each feature in a row; `number` counts rows from 1."""
    spelling: dict[str, str] = {}
    for key in keys:
        name = key if key in FEATURES else canonical_name(key)
        if name in spelling:
            raise DataValidationError(f"row {number} has {name} twice")
        if name in FEATURES:
            spelling[name] = key
    if missing := [name for name in FEATURES if name not in spelling]:
        raise DataValidationError(
            f"row {number} lacks {', '.join(missing)}: all 30 features are needed, null for an unknown value"
        )
    return tuple(spelling[name] for name in FEATURES)
