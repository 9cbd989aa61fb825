"""Rows shown with groups of features missing, as a service that is down takes its features along.

A model that has seen complete rows only answers confidently, and wrongly, when half of a row is not known. The rows it
is fitted on are therefore shown a second time, each with some groups of features missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

FeatureGroups = Mapping[str, Sequence[str]]
"""Names of columns by the name of their group: see `Contract.feature_groups`."""

MAX_SETS = 64
"""Most sets of known groups that are told apart: all subsets of six groups."""


def known_sets(groups: FeatureGroups) -> list[tuple[str, ...]]:
    """Return the sets of groups that may be known, those of the most groups first.

    Returns
    -------
    sets : list of tuple of str
        At most `MAX_SETS`; the first holds all groups, none is empty.

    Examples
    --------
    >>> known_sets({"address": ["port"], "page": ["SFH", "Iframe"]})
    [('address', 'page'), ('address',), ('page',)]
    """
    sizes = range(len(groups), 0, -1)
    return [known for size in sizes for known in combinations(groups, size)][:MAX_SETS]


def hide(X: pd.DataFrame, groups: FeatureGroups, known: Sequence[str]) -> pd.DataFrame:
    """Return `X` with the features missing of all groups that are not in `known`."""
    hidden = [name for group, names in groups.items() if group not in known for name in names]
    return X.mask(np.tile(X.columns.isin(hidden), (len(X), 1)))


@dataclass(frozen=True)
class Shown:
    """Rows to fit on."""

    X: pd.DataFrame
    """Of shape (n_shown, n_features): the rows as they are, then their masked copies."""
    y: np.ndarray
    """Of shape (n_shown,)."""
    row: np.ndarray
    """Of shape (n_shown,): the number of the row that each of them shows. A copy belongs to the fold, and to the group,
    of its row."""


def show_masked(X: pd.DataFrame, y: np.ndarray, groups: FeatureGroups, *, random_state: int = 0) -> Shown:
    """Return the rows, and a copy of each in which only some groups of features are known.

    The known groups of a copy are drawn from `known_sets`, all of them left out. Without at least two groups there are
    no copies.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    groups : mapping of str to sequence of str
    random_state : int, default=0
        The same gives the same copies.

    Examples
    --------
    >>> X = pd.DataFrame({"port": [1.0, -1.0], "SFH": [0.0, 1.0]})
    >>> show_masked(X, np.array([0, 1]), {"address": ["port"], "page": ["SFH"]}).X
       port  SFH
    0   1.0  0.0
    1  -1.0  1.0
    2   NaN  0.0
    3   NaN  1.0
    """
    rows, sets = np.arange(len(X)), known_sets(groups)[1:]
    if not sets:
        return Shown(X, y, rows)
    is_hidden = np.array([[group not in known for group in groups] for known in sets])
    drawn = is_hidden[np.random.default_rng(random_state).integers(len(sets), size=len(X))]
    hidden = np.zeros(X.shape, dtype=bool)
    for of_group, names in zip(drawn.T, groups.values(), strict=True):
        hidden[np.ix_(of_group, X.columns.isin(list(names)))] = True
    return Shown(pd.concat([X, X.mask(hidden)], ignore_index=True), np.tile(y, 2), np.tile(rows, 2))
