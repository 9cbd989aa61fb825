"""What a set of labelled rows is like: balance, copies, contradictions, gaps, and the values of each class."""

from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.contracts import Contract

_MOST_VALUES = 10
"""Distinct values up to which each is counted; of more, quartiles say enough."""


class ColumnDescription(BaseModel, frozen=True):
    """The values of one column, by class."""

    name: str
    n_missing: int
    n_distinct: int
    counts: dict[str, tuple[int, int]] = {}
    """For each value, the legitimate and the phishing rows that have it; empty where there are too many."""
    quartiles: dict[str, tuple[float, float, float]] = {}
    """Of `legitimate` and `phishing`, where there are too many numbers to count; empty for text."""


class Description(BaseModel, frozen=True):
    """A set of rows, in plain values."""

    n_rows: int
    """Accepted ones; the rest counts them alone."""
    n_phishing: int
    group: str
    """What rows of a group have in common."""
    n_groups: int
    n_copies: int
    """Rows that equal an earlier one in what a model is given."""
    n_conflicts: int
    """Distinct rows that stand there with both labels: no model gets all of them right."""
    n_in_conflict: int
    """How many rows these are."""
    columns: tuple[ColumnDescription, ...]


def describe(accepted: pd.DataFrame, contract: Contract) -> Description:
    """Return what rows are like that `contract.validate` has accepted.

    Examples
    --------
    >>> from networksecurity.data import sample, validation
    >>> from networksecurity.data.contracts import WEBSITES
    >>> rows = validation.validate(sample.make_phishing_websites(500, random_state=0)).accepted
    >>> found = describe(rows, WEBSITES)
    >>> found.n_rows, found.n_phishing, found.n_copies, len(found.columns)
    (500, 222, 11, 30)
    """
    y, distinct = contract.to_y(accepted), contract.distinct(accepted)
    _, row_of, n_equal = np.unique(distinct, return_inverse=True, return_counts=True)
    n_phishing = np.bincount(row_of, weights=y)
    in_conflict = (n_phishing > 0) & (n_phishing < n_equal)
    watched = contract.to_watched(accepted).drop(columns=contract.target, errors="ignore")
    return Description(
        n_rows=len(accepted),
        n_phishing=int(y.sum()),
        group=contract.group,
        n_groups=len(np.unique(contract.groups(accepted))),
        n_copies=len(accepted) - len(n_equal),
        n_conflicts=int(in_conflict.sum()),
        n_in_conflict=int(n_equal[in_conflict].sum()),
        columns=tuple(_column(str(name), watched[name], y) for name in watched),
    )


def _column(name: str, column: pd.Series, y: np.ndarray) -> ColumnDescription:
    known = column.notna().to_numpy()
    values, y = column[known], y[known]
    about: dict[str, Any] = {"name": name, "n_missing": int((~known).sum()), "n_distinct": values.nunique()}
    if about["n_distinct"] <= _MOST_VALUES:
        table = pd.crosstab(values, y).reindex(columns=[0, 1], fill_value=0)
        names = [f"{value:g}" if isinstance(value, int | float | np.number) else str(value) for value in table.index]
        return ColumnDescription(**about, counts=dict(zip(names, map(tuple, table.to_numpy().tolist()), strict=True)))
    if not pd.api.types.is_numeric_dtype(values):
        return ColumnDescription(**about)
    numbers = values.to_numpy(dtype="float64")
    sides = {"legitimate": numbers[y == 0], "phishing": numbers[y == 1]}
    quartiles = {side: tuple(np.percentile(of, (25, 50, 75)).tolist()) for side, of in sides.items() if len(of)}
    return ColumnDescription(**about, quartiles=quartiles)
