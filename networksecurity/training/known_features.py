"""How good a model is by what is known of a row: F1 on the test rows with groups of their features hidden."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn.metrics import f1_score

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.training.candidates import F1_FLOOR
from networksecurity.training.intervals import intervals
from networksecurity.training.label_rule import classify
from networksecurity.training.masking import hide, known_sets

_DIGITS = 4
"""Decimal places of an F1 that stands beside a prediction."""


class KnownSet(BaseModel, frozen=True):
    """The figures on test rows of which only some groups of features are known."""

    groups: tuple[str, ...]
    """Those that are known."""
    n_features: int
    f1_score: float
    f1_low: float
    f1_high: float
    """Its 95 % interval: see `intervals`."""


class KnownFeatures(BaseModel, frozen=True):
    """How good a model is by what is known of a row, and when that is too little for a label."""

    columns: tuple[str, ...]
    """What the model is given, in its order."""
    groups: dict[str, tuple[str, ...]]
    """The columns that go missing together, by the name of the group."""
    floor: float
    """F1 below which a row that lacks features is left to a person."""
    sets: tuple[KnownSet, ...]
    """As by `masking.known_sets`: the first holds all groups."""

    def nearest(self, known: Sequence[str]) -> KnownSet | None:
        """Return the largest tested set within the groups that are known; None if there is none.

        What is known beyond it can only help: its F1 is no promise that is too good.
        """
        within = [of for of in self.sets if set(of.groups) <= set(known)]
        return max(within, key=lambda of: (of.n_features, -of.f1_score), default=None)

    def judge(self, X: pd.DataFrame | np.ndarray) -> "Judgement":
        """Return what is known of each row.

        A group counts as known if none of its features is missing.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_samples, n_features)
            In the order of `columns`.
        """
        known = ~np.asarray(pd.isna(X))
        whole = known.astype(np.int64) @ self._is_in_group == self._sizes
        codes, of_row = np.unique(whole @ (1 << np.arange(len(self.groups))), return_inverse=True)
        f1 = np.array([self._f1_of(int(code)) for code in codes])[of_row]
        n_known = known.sum(axis=1)
        return Judgement(n_known, f1.round(_DIGITS), (n_known < len(self.columns)) & ~(f1 >= self.floor))

    @cached_property
    def _is_in_group(self) -> np.ndarray:
        """Whether each column is in each group, int64 of shape (n_features, n_groups)."""
        return np.array([[name in names for names in self.groups.values()] for name in self.columns], dtype=np.int64)

    @cached_property
    def _sizes(self) -> np.ndarray:
        return self._is_in_group.sum(axis=0)

    @cached_property
    def _f1_by_code(self) -> dict[int, float]:
        """F1 of the nearest set by the bits of the groups that are known, as far as it was asked for."""
        return {}

    def _f1_of(self, code: int) -> float:
        if code not in self._f1_by_code:
            found = self.nearest([group for i, group in enumerate(self.groups) if code >> i & 1])
            self._f1_by_code[code] = found.f1_score if found else np.nan
        return self._f1_by_code[code]

    @property
    def shown(self) -> tuple[KnownSet, ...]:
        """The sets that reports show: those in which the first group is known, for without it there is no row."""
        first = next(iter(self.groups))
        return tuple(of for of in self.sets if first in of.groups)

    def name_of(self, of: KnownSet) -> str:
        """Return what is known, in words.

        Examples
        --------
        >>> groups = {"address": ("port",), "page": ("SFH", "Iframe"), "certificate": ("SSLfinal_State",)}
        >>> known = KnownFeatures(columns=(), groups=groups, floor=0.75, sets=())
        >>> for names in (("address", "page", "certificate"), ("address", "page"), ("page",)):
        ...     print(known.name_of(KnownSet(groups=names, n_features=0, f1_score=1, f1_low=1, f1_high=1)))
        everything
        all but certificate
        only page
        """
        missing = [group for group in self.groups if group not in of.groups]
        if not missing:
            return "everything"
        if len(missing) < len(of.groups):
            return f"all but {', '.join(missing)}"
        return f"only {', '.join(of.groups)}"

    def to_table(self) -> list[dict[str, str]]:
        """Return a row of cells for each set that is shown."""
        return [
            {
                "known": self.name_of(of),
                "features": str(of.n_features),
                "F1": f"{of.f1_score:.4f}",
                "95 % interval": f"{of.f1_low:.4f} to {of.f1_high:.4f}",
                "label": "unsure" if of is not self.sets[0] and of.f1_score < self.floor else "the model's",
            }
            for of in self.shown
        ]

    def metrics(self) -> dict[str, float]:
        """Return F1 by `when_known_f1/…` and the names of the groups that are known; all of them are left out."""
        return {f"when_known_f1/{' and '.join(of.groups)}": of.f1_score for of in self.sets[1:]}

    def sentence(self) -> str:
        """Return what is lost where features are missing."""
        partial = sorted(self.shown[1:], key=lambda of: of.f1_score)
        n_unsure = sum(of.f1_score < self.floor for of in partial)
        least, most = (f"{of.f1_score:.4f} ({self.name_of(of)})" for of in (partial[0], partial[-1]))
        return (
            f"With groups of features missing, F1 on the test rows is {least} to {most}; "
            f"{n_unsure} of {len(partial)} such sets are below {self.floor:g}, where the label is unsure."
        )


@dataclass(frozen=True)
class Judgement:
    """What is known of some rows."""

    n_known: np.ndarray
    """Features that are not missing, int64 of shape (n_samples,)."""
    f1: np.ndarray
    """F1 on the test rows with no more than that known, to four decimal places, of shape (n_samples,); NaN where no
    group is known."""
    is_unsure: np.ndarray
    """Whether features are missing and F1 is below the floor, of shape (n_samples,)."""


def evaluate_known(
    model: Any, rows: pd.DataFrame, *, floor: float = F1_FLOOR, contract: Contract = WEBSITES
) -> KnownFeatures | None:
    """Return F1 of a fitted classifier for each set of groups of features that may be known.

    Parameters
    ----------
    model : estimator
        Its prediction of a row depends on that row's features only.
    rows : DataFrame of shape (n_samples, n_columns)
        Validated test rows.
    floor : float, default=0.75
    contract : Contract, default=WEBSITES

    Returns
    -------
    KnownFeatures or None
        None if the contract has not two groups of features.
    """
    groups = {name: tuple(columns) for name, columns in contract.feature_groups.items()}
    if len(groups) < 2:
        return None
    (X, y), codes = contract.to_X_y(rows), contract.groups(rows)
    sets = []
    for known in known_sets(groups):
        y_pred = _predict(model, hide(X, groups, known))
        low, high = intervals(y, y_pred, codes)["f1_score"]
        n_features = X.shape[1] - sum(len(names) for group, names in groups.items() if group not in known)
        score = float(f1_score(y, y_pred, zero_division=0.0))
        sets.append(KnownSet(groups=known, n_features=n_features, f1_score=score, f1_low=low, f1_high=high))
    return KnownFeatures(columns=contract.columns, groups=groups, floor=floor, sets=tuple(sets))


def _predict(model: Any, X: pd.DataFrame) -> np.ndarray:
    """Return a model's classes; of equal rows, of which hidden features make many, one is predicted."""
    of_row = X.groupby(list(X.columns), dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(of_row, return_index=True)
    return classify(model, X.iloc[first])[of_row]
