"""The reference profile: the rows behind a model in counts, for new ones to be compared with.

Numbers are counted by the bins between their deciles, words by the most frequent of them. It holds no rows, except some
addresses where the rows are addresses.
"""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator
from scipy.sparse import coo_array

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.schema import MISSING
from networksecurity.exceptions import DataValidationError

Y_SCORE = "y_score"
"""The name of the model's scores among the columns."""
N_BINS = 10
"""Bins of the scores, and the most of a column of numbers."""
SCORE_EDGES = tuple(edge / N_BINS for edge in range(N_BINS + 1))
"""Bins of the scores, of equal width; a score on an edge counts above it, 1 below."""
N_WORDS = 20
"""Words of a column that are counted one by one, the most frequent; all others count as one."""


class Clustering(BaseModel, frozen=True, extra="forbid"):
    """By how much the shares of values vary more than those of independent rows, because rows of a group are alike."""

    effects: dict[int, float] = {}
    """The design effect of each value: the variance of its share, 1 being that of independent rows."""
    spread: float = Field(default=1.0, ge=1)
    """1 if a group has the same effect on all values; the root of the number of values less one if on one of them."""


class ReferenceProfile(BaseModel, frozen=True, extra="forbid"):
    """The rows behind a model in counts; stored by `model_dump_json`, loaded by `model_validate_json`."""

    data_sha256: str
    n_rows: PositiveInt
    design_effect: float = Field(ge=1)
    """Rows per independent row, because rows of a group come together; 1 if each row is a group of its own."""
    clustering: dict[str, tuple[Clustering, Clustering]] = {}
    """Where rows of a group are alike and not equal: of the values of each column, and of having one."""
    counts: dict[str, dict[int, NonNegativeInt]]
    """Rows by value, for each column and the target; what no row holds is left out.

    Of numbers by bin, from 0; of words by their place in `words`, all others by the place after the last.
    """
    missing: dict[str, NonNegativeInt]
    """Rows without a value, for each column and the target."""
    edges: dict[str, tuple[float, ...]] = {}
    """Of each column of numbers the upper ends of its bins, but for the last: its distinct deciles."""
    middles: dict[str, tuple[float, ...]] = {}
    """The median of each of these bins; of one that no row is in, the end that it has."""
    words: dict[str, tuple[str, ...]] = {}
    """Of each column of words the most frequent ones."""
    examples: tuple[str, ...] = ()
    """Some rows, of what no counts can be kept of: addresses, whose parts reasons put into another one."""
    score_counts: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=N_BINS, max_length=N_BINS)
    """Scored rows by bin (`SCORE_EDGES`) of the model's probability of phishing."""
    score_clustering: Clustering | None = None
    """Of the scores, where rows of a group are alike; None in older profiles."""
    score_phishing: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=N_BINS, max_length=N_BINS)
    """Those of them that are phishing; None in older profiles."""

    @property
    def missing_shares(self) -> dict[str, float]:
        """The share of rows without a value, by column."""
        return {name: count / self.n_rows for name, count in self.missing.items()}

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for name in self.counts.keys() | self.missing.keys():
            if sum(self.counts.get(name, {}).values()) + self.missing.get(name, 0) != self.n_rows:
                raise ValueError(f"the counts of {name} do not add up to {self.n_rows} rows")
        return self

    def codes(self, name: str, column: pd.Series) -> np.ndarray:
        """Return the key of `counts` of each of any rows, `MISSING` where it has no value."""
        return _codes(column, self.edges.get(name), self.words.get(name))

    def value(self, name: str, key: int) -> float | str | None:
        """Return what a row holds that a key of `counts` stands for; None for `any other word`."""
        if name in self.words:
            return self.words[name][key] if key < len(self.words[name]) else None
        return self.middles[name][key] if name in self.middles else float(key)

    def label(self, name: str, value: int) -> str:
        """Return what a key of `counts` stands for."""
        if name in self.words:
            return self.words[name][value] if value < len(self.words[name]) else "any other word"
        if name not in self.edges:
            return str(value)
        edges = self.edges[name]
        low = f"above {edges[value - 1]:g}" if value else ""
        high = f"up to {edges[value]:g}" if value < len(edges) else ""
        return " and ".join(filter(None, (low, high)))


def reference_profile(
    accepted: pd.DataFrame,
    *,
    data_sha256: str,
    y_score: np.ndarray | None = None,
    y_true: np.ndarray | None = None,
    scored: np.ndarray | None = None,
    contract: Contract = WEBSITES,
) -> ReferenceProfile:
    """Return the profile of the rows behind a model.

    Parameters
    ----------
    accepted : DataFrame of shape (n_samples, n_columns)
        Rows that the contract's `validate` accepted, at least one.
    data_sha256 : str
        Fingerprint of the data, kept in the profile.
    y_score : array-like of shape (n_scored,), default=None
        The model's probability of phishing for rows that it has *not* learned from, such as the test rows: it is
        surer of its training rows. They need not be the rows of `accepted`.
    y_true : array-like of shape (n_scored,), default=None
        Whether each of these rows is phishing (1).
    scored : array-like of shape (n_scored,), uint64, default=None
        The group of each of these rows, where rows of a group are alike.
    contract : Contract, default=WEBSITES
        What the rows are.

    Raises
    ------
    DataValidationError
        There are no rows, or a score is not a probability.
    """
    if accepted.empty:
        raise DataValidationError("a reference profile needs rows, and there are none")
    seen = contract.to_watched(accepted)
    edges = {of.name: _edges(seen[of.name]) for of in contract.watched if of.kind == "number"}
    words = {of.name: _words(seen[of.name]) for of in contract.watched if of.kind == "category"}
    codes = {of.name: _codes(seen[of.name], edges.get(of.name), words.get(of.name)) for of in contract.watched}
    counted = {name: count_codes(of) for name, of in codes.items()}
    groups = contract.groups(accepted)
    return ReferenceProfile(
        data_sha256=data_sha256,
        n_rows=len(accepted),
        design_effect=design_effect(groups),
        clustering={name: column_clustering(of, groups) for name, of in codes.items()} if contract.alike else {},
        counts={name: counts for name, (counts, _) in counted.items()},
        missing={name: n_missing for name, (_, n_missing) in counted.items()},
        edges=edges,
        middles={name: _middles(seen[name], codes[name], of) for name, of in edges.items()},
        words=words,
        examples=contract.examples(accepted),
        score_counts=None if y_score is None else score_counts(y_score),
        score_clustering=None if y_score is None or scored is None else clustering(score_bins(y_score), scored),
        score_phishing=None if y_score is None or y_true is None else score_counts(y_score, np.asarray(y_true) == 1),
    )


def design_effect(groups: np.ndarray) -> float:
    """Return the mean, over the rows, of how many rows are of the row's group.

    It is the design effect of a sample drawn in clusters of equal members: Kish, "Survey sampling", 1965.
    """
    _, n_rows = np.unique(groups, return_counts=True)
    return float((n_rows**2).sum() / len(groups))


def column_clustering(codes: np.ndarray, groups: np.ndarray) -> tuple[Clustering, Clustering]:
    """Return the clustering of a column's values, and of whether a row has one."""
    known = codes != MISSING
    return clustering(codes[known], groups[known]), clustering(known, groups)


def clustering(codes: np.ndarray, groups: np.ndarray) -> Clustering:
    """Return by how much the shares of values vary, if rows come in groups whose rows are alike.

    The variances and covariances of the shares are those of the jackknife, which leaves out one group at a time. The
    spread is the root of one plus the squared coefficient of variation of the eigenvalues of the design effect matrix:
    Rao and Scott, "The analysis of categorical data from complex sample surveys", JASA 76, 1981.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        The value of each row.
    groups : ndarray of shape (n_samples,)

    Examples
    --------
    >>> clustering(np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 1, 2, 2, 2]))
    Clustering(effects={0: 6.0, 1: 6.0}, spread=1.0)
    """
    values, value = np.unique(codes, return_inverse=True)
    names, group = np.unique(groups, return_inverse=True)
    n_groups, n_free = len(names), len(values) - 1
    if not n_free or n_groups < 2:
        return Clustering()
    counts = coo_array((np.ones(len(codes)), (group, value))).tocsr()
    n_rows, shares = counts.sum(axis=1), counts.sum(axis=0) / len(codes)
    # A group changes the shares by (its rows of a value - its rows · share) / the rows of all other groups. The sum of
    # products of these, without a table of groups and values:
    weights = 1 / (len(codes) - n_rows)
    counts, n_rows = counts.multiply(weights[:, None]).tocsr(), n_rows * weights
    products = np.outer(counts.T @ n_rows, shares)
    between = (counts.T @ counts).toarray() - products - products.T + np.outer(shares, shares) * (n_rows**2).sum()
    matrix = between / shares[:, None] * len(codes) * (n_groups - 1) / n_groups
    effects = matrix.diagonal() / (1 - shares)
    total, squares = matrix.trace(), (matrix * matrix.T).sum()
    spread = np.sqrt(min(squares * n_free / total**2, n_free)) if total > np.finfo(float).eps else 1.0
    return Clustering(
        effects=dict(zip(values.astype(int).tolist(), np.maximum(1.0, effects).tolist(), strict=True)),
        spread=max(1.0, float(spread)),
    )


def score_counts(y_score: np.ndarray, counted: np.ndarray | None = None) -> tuple[int, ...]:
    """Return rows by bin of their score: all, or those that are `counted`.

    Raises
    ------
    DataValidationError
        There are none, or one is not a probability.
    """
    scores = np.asarray(y_score, dtype="float64")
    if not scores.size or not ((scores >= 0) & (scores <= 1)).all():
        raise DataValidationError("scores must be probabilities of phishing, one for each row and each between 0 and 1")
    return tuple(np.histogram(scores if counted is None else scores[counted], SCORE_EDGES)[0].tolist())


def score_bins(y_score: np.ndarray) -> np.ndarray:
    """Return the number of each score's bin, from 0."""
    return np.clip(np.searchsorted(SCORE_EDGES, y_score, side="right") - 1, 0, N_BINS - 1)


def _numbers(column: pd.Series) -> np.ndarray:
    return column.to_numpy("float64", na_value=np.nan)


def _edges(column: pd.Series) -> tuple[float, ...]:
    values = _numbers(column)
    known = values[~np.isnan(values)]
    if not known.size:
        return ()
    deciles = np.quantile(known, SCORE_EDGES[1:-1], method="inverted_cdf")  # values that a row holds
    return tuple(np.unique(deciles).tolist())


def _middles(column: pd.Series, codes: np.ndarray, edges: tuple[float, ...]) -> tuple[float, ...]:
    values = _numbers(column)
    ends = [*edges, *(edges[-1:] or (0.0,))]
    in_bins = (values[codes == code] for code in range(len(edges) + 1))
    return tuple(float(np.median(of)) if of.size else end for of, end in zip(in_bins, ends, strict=True))


def _words(column: pd.Series) -> tuple[str, ...]:
    # By count, then by name: of equally frequent words the same ones are always kept.
    counts = column.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return tuple(map(str, counts.index[:N_WORDS]))


def _codes(column: pd.Series, edges: tuple[float, ...] | None, words: tuple[str, ...] | None) -> np.ndarray:
    if edges is not None:
        values = _numbers(column)
        return np.where(np.isnan(values), MISSING, np.searchsorted(edges, values))
    if words is not None:
        places = pd.Index(words).get_indexer(pd.Index(column))
        return np.where(column.isna(), MISSING, np.where(places < 0, len(words), places))
    return column.to_numpy("int8", na_value=MISSING)


def count_codes(codes: np.ndarray) -> tuple[dict[int, int], int]:
    """Return rows by key of `ReferenceProfile.counts`, and the number of rows without a value."""
    values, n_rows = np.unique(codes, return_counts=True)
    counts = dict(zip(values.tolist(), n_rows.tolist(), strict=True))
    return counts, counts.pop(MISSING, 0)
