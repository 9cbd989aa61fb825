"""What else a row could have held: what reasons compare it with.

`FeatureValues`, of columns, and `AddressParts` have the same members: the `names` of the features; `most`, how many
changed rows one row can have; `change`, which puts each other value into each row, one at a time; and `describe`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.monitoring.profile import ReferenceProfile


@dataclass(frozen=True)
class Changed:
    """Rows in which one feature has another value."""

    row: np.ndarray
    """Which row was changed, of shape (n_changed,)."""
    feature: np.ndarray
    """In which feature, of shape (n_changed,)."""
    share: np.ndarray
    """Of the rows behind the model, that of the value put in its place, of shape (n_changed,)."""
    X: np.ndarray
    """The changed rows, of shape (n_changed, n_columns)."""


@dataclass(frozen=True)
class Shares:
    """The values that a feature takes, and how often."""

    values: np.ndarray
    """Each once, of shape (n_values,), float64 or, of words, object; NaN is a missing value."""
    shares: np.ndarray
    """Of shape (n_values,), in [0, 1], with a sum of 1, but for words that the profile does not tell apart."""


def shares_of(profile: ReferenceProfile, contract: Contract = WEBSITES) -> dict[str, Shares]:
    """Return the shares of the values of each column among the rows behind a model, those without a value included.

    A number stands there as the medians of its bins, a category as its most frequent words.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.monitoring.profile import reference_profile
    >>> rows = validate(make_phishing_websites(1000, random_state=0)).accepted
    >>> profile = reference_profile(rows.assign(SFH=rows["SFH"].mask(rows["SFH"] == 0)), data_sha256="")
    >>> shares_of(profile)["SFH"]
    Shares(values=array([-1.,  1., nan]), shares=array([0.773, 0.156, 0.071]))
    """
    found = {}
    for name in contract.columns:
        counts: Counter[float | str] = Counter()
        for key, n_rows in profile.counts[name].items():
            if n_rows and (value := profile.value(name, key)) is not None:
                counts[value] += n_rows
        if profile.missing[name]:
            counts[float("nan")] = profile.missing[name]
        values = np.array([*counts], dtype=object if name in contract.text_columns else "float64")
        found[name] = Shares(values, np.array([*counts.values()]) / profile.n_rows)
    return found


class FeatureValues:
    """The other values of each column: one column, one feature.

    Parameters
    ----------
    shares : mapping
        By feature, in the order of the model's columns, its values and their shares among the rows behind the model.
        A number of many values comes as the middles of its quantile bins.
    contract : Contract, default=WEBSITES
        What the columns are.
    """

    def __init__(self, shares: Mapping[str, Shares], contract: Contract = WEBSITES) -> None:
        self.names = list(shares)
        self._descriptions = contract.descriptions
        self.most = sum(len(of.values) for of in shares.values())
        self._columns = np.repeat(np.arange(len(shares)), [len(of.values) for of in shares.values()])
        self._values = np.concatenate([of.values for of in shares.values()])
        self._shares = np.concatenate([of.shares for of in shares.values()])

    def change(self, X: np.ndarray) -> Changed:
        """Put each other value into each row."""
        present = X[:, self._columns]
        # The shares of a feature add up to 1: only values other than the row's own contribute.
        row, change = np.nonzero(~((present == self._values) | (pd.isna(present) & pd.isna(self._values))))
        changed = X[row]
        changed[np.arange(len(row)), self._columns[change]] = self._values[change]
        return Changed(row, self._columns[change], self._shares[change], changed)

    def describe(self, x: np.ndarray, feature: int) -> tuple[str, object]:
        """Return what a feature is about, and the row's value as a plain one, None if it is missing."""
        name, value = self.names[feature], x[feature]
        if isinstance(value, str):
            return self._descriptions.get(name, name), value
        plain = None if pd.isna(value) else int(value) if float(value).is_integer() else float(value)
        return self._descriptions.get(name, name), plain
