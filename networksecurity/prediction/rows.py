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

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.overrides.override import Overrides
from networksecurity.data.schema import (
    EXPLANATION,
    F1_KNOWN,
    KNOWN,
    LABEL,
    REASONS,
    SCORE,
    UNSURE,
)
from networksecurity.exceptions import DataValidationError, listed
from networksecurity.prediction.native import FastPipeline
from networksecurity.prediction.reasons import Explainer
from networksecurity.training.known_features import KnownFeatures

MAX_EXPLAINED = 100
"""Most rows of a request whose predictions are explained: each takes about as long as 40 to 70 rows that are not."""


class TooManyRowsError(DataValidationError):
    """A body has more rows than the service answers at once."""


@dataclass(frozen=True)
class Question:
    """What a body asks."""

    rows: list[dict[str, Any]]
    explain: bool = False
    """Whether the predictions are to come with their explanation."""


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
            "`rows` must be a list of rows, {feature: value, …}, and nothing but `explain` may stand beside it"
        )
    if not isinstance(explain, bool):
        raise DataValidationError("`explain` must be true or false")
    if len(rows) > max_rows:
        raise _too_many(max_rows)
    return Question(rows, explain)


def _read_csv(body: bytes, max_rows: int) -> Question:
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if len(set(header)) < len(header):
            raise DataValidationError("the CSV has two columns of the same name: rename one")
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
        raise DataValidationError(
            f"the body is not CSV in UTF-8 ({type(exc).__name__}): correct it, or send JSON"
        ) from None
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
        raise DataValidationError("there are no rows: send at least one")
    if explainer and len(rows) > MAX_EXPLAINED:
        raise TooManyRowsError(f"more than {MAX_EXPLAINED} rows to explain: send them in parts, or without `explain`")
    read = _read(rows, contract)
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
    """The rows of a question, each for itself."""

    X: np.ndarray
    """What the model is given, of shape (n_samples, n_columns); anything where a row is not valid."""
    reasons: list[list[str]]
    """Why a row is not valid; empty if it is."""
    keys: list[dict[str, Any]]
    """Its other fields."""


def _read(rows: list[dict[str, Any]], contract: Contract) -> _Read:
    columns = contract.columns
    X = np.full((len(rows), len(columns)), np.nan, dtype=object if contract.text_columns else np.float64)
    read = _Read(X, [[] for _ in rows], [])
    spellings: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    undecided: dict[int, list[Any]] = {}
    for i, row in enumerate(rows):
        keys = tuple(row)
        if keys not in spellings:
            spellings[keys] = _spelling(keys, i + 1, contract)
        of_columns, others = spellings[keys]
        cells = [row[key] for key in of_columns]
        values = contract.read_cells(cells)
        if values is None:
            undecided[i] = list(map(_plain_cell, cells))
        else:
            read.X[i] = values
        read.keys.append({key: row[key] for key in others})
    if undecided:
        accepted, rejected = contract.validation(with_target=False).add(
            pd.DataFrame(undecided.values(), index=list(undecided), columns=list(columns), dtype=object)
        )
        read.X[accepted.index] = contract.to_X(accepted).to_numpy()
        for i, reasons in zip(rejected.index, rejected[REASONS], strict=True):
            read.reasons[i].extend(reasons.split("; "))
    return read


def _spelling(keys: tuple[str, ...], number: int, contract: Contract) -> tuple[list[str], list[str]]:
    """Return the key of each column in a row, and the row's other keys; `number` counts rows from 1."""
    found = contract.spellings(keys)
    if missing := [name for name in contract.columns if name not in found]:
        among = f": all {n} columns are needed, null for an unknown value" if (n := len(contract.columns)) > 1 else ""
        raise DataValidationError(f"row {number} lacks {listed(missing)}{among}")
    if twice := [name for name in contract.columns if len(found[name]) > 1]:
        raise DataValidationError(f"row {number} has {listed(twice)} twice")
    return [found[name][0] for name in contract.columns], [key for key in keys if not contract.is_own(key)]


def _plain_cell(cell: Any) -> Any:
    """Return a number, text or None; of anything else, True among it, the text."""
    return cell if cell is None or type(cell) in (int, float, str) else str(cell)
