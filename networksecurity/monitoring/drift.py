"""Whether new rows are still like those a model was trained on: the reference profile, and the comparison with it.

A column has drifted when its difference is significant *and* large: the chi-square test of homogeneity, corrected for
the number of tests, says that it is more than chance, and an effect size says that it matters. Alone the first alarms
at every million rows, the second at every small sample. Equal feature vectors are not taken for independent rows.
`docs/drift.md` explains the method, the thresholds and how often they are wrong.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator
from scipy.stats import chi2_contingency, false_discovery_control
from scipy.stats.contingency import expected_freq

from networksecurity.data.schema import DOMAINS, FEATURES, MISSING, TARGET
from networksecurity.data.vectors import vector_codes
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring.thresholds import Correction, Thresholds

Y_SCORE = "y_score"
"""The name of the model's scores among the columns of a report."""
N_BINS = 10
SCORE_EDGES = tuple(edge / N_BINS for edge in range(N_BINS + 1))
"""Bins of the scores, of equal width; a score on an edge counts above it, 1 below."""

Verdict = Literal["no_drift", "drift", "too_few_rows"]
ColumnVerdict = Literal["no_drift", "drift", "not_compared"]


class ReferenceProfile(BaseModel, frozen=True, extra="forbid"):
    """The rows behind a model in counts; stored by `model_dump_json`, loaded by `model_validate_json`."""

    data_sha256: str
    n_rows: PositiveInt
    design_effect: float = Field(ge=1)
    """Rows per independent row, because equal feature vectors come together; 1 if no vector occurs twice."""
    counts: dict[str, dict[int, NonNegativeInt]]
    """Rows by value, for each feature and the target; values that no row holds are left out."""
    missing: dict[str, NonNegativeInt]
    """Rows without a value, for each feature and the target."""
    score_counts: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=N_BINS, max_length=N_BINS)
    """Scored rows by bin (`SCORE_EDGES`) of the model's probability of phishing."""
    score_phishing: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=N_BINS, max_length=N_BINS)
    """Those of them that are phishing; None in older profiles."""

    @property
    def missing_shares(self) -> dict[str, float]:
        """The share of rows without a value, by column."""
        return {name: count / self.n_rows for name, count in self.missing.items()}

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for name in DOMAINS:
            if sum(self.counts.get(name, {}).values()) + self.missing.get(name, 0) != self.n_rows:
                raise ValueError(f"the counts of {name} do not add up to {self.n_rows} rows")
        return self


DEFAULT_THRESHOLDS = Thresholds()


class ColumnDrift(BaseModel, frozen=True, extra="forbid"):
    """How one column of the new rows differs from the reference; None if there was nothing to test."""

    name: str
    verdict: ColumnVerdict
    reason: str
    """A sentence for people."""
    statistic: float | None = None
    """Chi-square of the value shares, of counts divided by the design effect."""
    p_value: float | None = None
    p_corrected: float | None = None
    psi: float | None = None
    """Population stability index of the value shares, in nats."""
    missing_reference: float = 0.0
    """Share of the rows."""
    missing_new: float = 0.0
    missing_p_corrected: float | None = None
    unseen: dict[int, PositiveInt] = {}
    """Values that the reference never held, with the number of new rows that hold them."""
    unseen_p_corrected: float | None = None


class DriftReport(BaseModel, frozen=True, extra="forbid"):
    """The outcome of `compare`, in plain values."""

    verdict: Verdict
    reason: str
    drifted: tuple[str, ...] = ()
    """Names of the columns that drifted, `y_score` among them."""
    n_rows: NonNegativeInt
    """New rows."""
    n_learned: NonNegativeInt = 0
    """New rows with a feature vector that the model has learned from; their scores are not compared."""
    design_effect: float | None = None
    """Of the new rows, and at most that of the reference; None if there were too few rows."""
    n_reference: PositiveInt
    data_sha256: str
    """Of the reference's data."""
    thresholds: Thresholds
    columns: tuple[ColumnDrift, ...] = ()
    """Features, target, scores, then those left out; empty if there were too few rows."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column, the fields of `ColumnDrift` as columns, indexed by name."""
        rows = [column.model_dump() for column in self.columns]
        return pd.DataFrame(rows, columns=list(ColumnDrift.model_fields)).set_index("name")


def reference_profile(
    accepted: pd.DataFrame,
    *,
    data_sha256: str,
    y_score: np.ndarray | None = None,
    y_true: np.ndarray | None = None,
) -> ReferenceProfile:
    """Return the profile of the rows behind a model.

    Parameters
    ----------
    accepted : DataFrame of shape (n_samples, 31)
        Rows that `validation.validate` accepted, at least one.
    data_sha256 : str
        Fingerprint of the data, kept in the profile.
    y_score : array-like of shape (n_scored,), default=None
        The model's probability of phishing for rows that it has *not* learned from, such as the test rows: it is
        surer of its training rows. They need not be the rows of `accepted`.
    y_true : array-like of shape (n_scored,), default=None
        Whether each of these rows is phishing (1).

    Raises
    ------
    DataValidationError
        There are no rows, or a score is not a probability.
    """
    if accepted.empty:
        raise DataValidationError("a reference profile needs rows, and there are none")
    counted = {name: _counts(accepted[name]) for name in DOMAINS}
    return ReferenceProfile(
        data_sha256=data_sha256,
        n_rows=len(accepted),
        design_effect=_design_effect(accepted),
        counts={name: counts for name, (counts, _) in counted.items()},
        missing={name: n_missing for name, (_, n_missing) in counted.items()},
        score_counts=None if y_score is None else _score_counts(y_score),
        score_phishing=None if y_score is None or y_true is None else _score_counts(y_score, np.asarray(y_true) == 1),
    )


def compare(
    profile: ReferenceProfile,
    rows: pd.DataFrame,
    *,
    y_score: np.ndarray | None = None,
    learned: np.ndarray | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> DriftReport:
    """Compare new rows with a reference profile.

    A model is surer of rows that it was fitted on, and the scores of the profile are those of rows that it was not:
    new rows with a feature vector that the model has learned from are left out of the comparison of the scores.

    Parameters
    ----------
    profile : ReferenceProfile
    rows : DataFrame of shape (n_samples, 30 or 31)
        Rows that `validation.validate` accepted, with or without the target.
    y_score : array-like of shape (n_samples,), default=None
        The model's probability of phishing for each of them.
    learned : array-like of shape (n_vectors,), uint64, default=None
        The `vectors.vector_codes` of the rows that the model was fitted on; None if they are not known, as of an
        older model: then no row is left out.
    thresholds : Thresholds

    Returns
    -------
    report : DriftReport
        With the verdict `too_few_rows`, and no columns, if there are fewer rows than `thresholds.min_rows`.

    Raises
    ------
    DataValidationError
        A feature is not among the columns, a score is not a probability, or there is not one score per row.

    Examples
    --------
    >>> from networksecurity.data import sample, validation
    >>> before, new = (
    ...     validation.validate(sample.make_phishing_websites(n_rows, random_state=n_rows)).accepted
    ...     for n_rows in (4_000, 1_000)
    ... )
    >>> profile = reference_profile(before, data_sha256="")
    >>> compare(profile, new).reason
    'none of 31 columns drifted'
    >>> compare(profile, new.assign(Favicon=-new["Favicon"])).reason
    '1 of 31 columns drifted: Favicon'
    """
    absent = [name for name in FEATURES if name not in rows]
    if absent:
        raise DataValidationError(f"rows to compare lack {len(absent)} features: {', '.join(absent)}")
    if y_score is not None and len(y_score) != len(rows):
        raise DataValidationError(f"{len(rows)} rows to compare came with {len(y_score)} scores")
    report = partial(
        DriftReport,
        n_rows=len(rows),
        n_reference=profile.n_rows,
        data_sha256=profile.data_sha256,
        thresholds=thresholds,
    )
    if len(rows) < thresholds.min_rows:
        reason = f"{len(rows):,} rows are too few for a judgement, {thresholds.min_rows:,} are needed (min_rows)"
        return report(verdict="too_few_rows", reason=reason)

    is_learned = np.zeros(len(rows), bool) if learned is None else np.isin(vector_codes(rows), learned)
    pairs, left_out = _pairs(profile, rows, y_score, is_learned)
    # More copies than in the reference are themselves a change of the data, and must not hide others.
    design_effect = min(profile.design_effect, _design_effect(rows))
    tests = _tests(pairs, np.array([profile.design_effect, design_effect]), thresholds)
    columns = [_column_drift(name, pair, tests[name], thresholds) for name, pair in pairs.items()]
    columns += [ColumnDrift(name=name, verdict="not_compared", reason=reason) for name, reason in left_out.items()]

    drifted = tuple(column.name for column in columns if column.verdict == "drift")
    found = f"{len(drifted)} of {len(pairs)} columns drifted: {', '.join(drifted)}"
    reasons = [found if drifted else f"none of {len(pairs)} columns drifted", *left_out.values()]
    if Y_SCORE in pairs and is_learned.any():
        reasons.append(f"the scores of {is_learned.sum():,} rows that the model has learned from were left out")
    return report(
        verdict="drift" if drifted else "no_drift",
        reason="; ".join(reasons),
        drifted=drifted,
        n_learned=int(is_learned.sum()),
        design_effect=design_effect,
        columns=tuple(columns),
    )


@dataclass(frozen=True)
class _Pair:
    """One column of both samples, the reference first.

    Attributes
    ----------
    labels : tuple of length n_values
    values : ndarray of shape (n_values, 2)
        Rows by value.
    missing : ndarray of shape (2,)
        Rows without a value.
    unseen : dict
        New rows by value that the reference never held.
    """

    labels: tuple[str, ...]
    values: np.ndarray
    missing: np.ndarray
    unseen: dict[int, int]

    def differences(self) -> dict[str, tuple[np.ndarray, float]]:
        """Return the tests by kind: counts of shape (n_cells, 2), and an effect size."""
        present = self.values.sum(axis=0)
        differences = {}
        if present.all():
            differences["shares"] = (self.values, _psi(self.values))
        if self.missing.any():
            before, after = self.missing_shares()
            differences["missing"] = (np.array([self.missing, present]), abs(after - before))
        if present.all() and self.unseen:
            n_unseen = np.array([0, sum(self.unseen.values())])
            differences["unseen"] = (np.array([n_unseen, present - n_unseen]), n_unseen[1] / present[1])
        return differences

    def missing_shares(self) -> list[float]:
        return (self.missing / (self.missing + self.values.sum(axis=0))).tolist()


def _pairs(
    profile: ReferenceProfile, rows: pd.DataFrame, y_score: np.ndarray | None, is_learned: np.ndarray
) -> tuple[dict[str, _Pair], dict[str, str]]:
    """Return the columns that both sides have, and why the others were left out."""
    pairs, left_out = {}, {}
    for name in DOMAINS:
        if name == TARGET and (TARGET not in rows or rows[TARGET].isna().all()):
            left_out[TARGET] = "the target was left out: the new rows have none"
            continue
        reference = profile.counts[name]
        new, n_missing = _counts(rows[name])
        values = sorted(reference.keys() | new.keys())
        pairs[name] = _Pair(
            labels=tuple(f"the value {value}" for value in values),
            values=np.array([[reference.get(value, 0), new.get(value, 0)] for value in values]).reshape(-1, 2),
            missing=np.array([profile.missing[name], n_missing]),
            unseen={value: n_rows for value, n_rows in new.items() if not reference.get(value)},
        )
    if profile.score_counts is not None and y_score is not None and is_learned.all():
        left_out[Y_SCORE] = f"the scores were left out: the model has learned from all {len(rows):,} new rows"
    elif profile.score_counts is not None and y_score is not None:
        pairs[Y_SCORE] = _Pair(
            labels=tuple(f"a score of {low} to {high}" for low, high in pairwise(SCORE_EDGES)),
            values=np.array([profile.score_counts, _score_counts(np.asarray(y_score)[~is_learned])]).T,
            missing=np.zeros(2),
            unseen={},
        )
    elif profile.score_counts is not None:
        left_out[Y_SCORE] = "the scores were left out: none came with the new rows"
    elif y_score is not None:
        left_out[Y_SCORE] = "the scores were left out: the reference profile has none"
    return pairs, left_out


def _tests(
    pairs: dict[str, _Pair], design_effects: np.ndarray, thresholds: Thresholds
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by column and kind of difference, its figures and whether it is significant and large."""
    tests = pd.DataFrame(
        [
            (name, kind, effect, *_homogeneity(table / design_effects))
            for name, pair in pairs.items()
            for kind, (table, effect) in pair.differences().items()
        ],
        columns=["column", "kind", "effect", "statistic", "p_value"],
    )
    tests["p_corrected"] = _corrected(tests["p_value"].to_numpy(), thresholds.correction)
    limits = {"shares": thresholds.psi, "missing": thresholds.missing, "unseen": thresholds.unseen}
    tests["limit"] = np.where(tests["column"] == Y_SCORE, thresholds.score_psi, tests["kind"].map(limits))
    tests["drifted"] = (tests["p_corrected"] <= thresholds.alpha) & (tests["effect"] >= tests["limit"])
    by_column = {name: {} for name in pairs}
    for test in tests.to_dict("records"):
        by_column[test["column"]][test["kind"]] = test
    return by_column


def _column_drift(name: str, pair: _Pair, tests: dict[str, dict[str, Any]], thresholds: Thresholds) -> ColumnDrift:
    shares, missing, unseen = (tests.get(kind, {}) for kind in ("shares", "missing", "unseen"))
    before, after = pair.missing_shares()
    reasons = [_reason(kind, pair, test) for kind, test in tests.items() if test["drifted"]]
    if reasons:
        verdict, reason = "drift", "; ".join(reasons)
    elif not shares:
        verdict, reason = "not_compared", "one side has no value in any row"
    else:
        chance = shares["p_corrected"] > thresholds.alpha
        why = "no more than chance" if chance else f"significant, but a PSI under {shares['limit']:g} does not matter"
        verdict, reason = "no_drift", f"{why} (PSI {shares['effect']:.4f}, p {shares['p_corrected']:.2g})"
    return ColumnDrift(
        name=name,
        verdict=verdict,
        reason=reason,
        statistic=shares.get("statistic"),
        p_value=shares.get("p_value"),
        p_corrected=shares.get("p_corrected"),
        psi=shares.get("effect"),
        missing_reference=before,
        missing_new=after,
        missing_p_corrected=missing.get("p_corrected"),
        unseen=pair.unseen,
        unseen_p_corrected=unseen.get("p_corrected"),
    )


def _reason(kind: str, pair: _Pair, test: dict[str, Any]) -> str:
    if kind == "missing":
        before, after = pair.missing_shares()
        return f"{after:.1%} of the rows have no value, {before:.1%} of the reference (p {test['p_corrected']:.2g})"
    if kind == "unseen":
        values = ", ".join(f"{value} in {n_rows:,} rows" for value, n_rows in pair.unseen.items())
        return f"values that the reference never held: {values} (p {test['p_corrected']:.2g})"
    p, q = (pair.values / pair.values.sum(axis=0)).T
    most = int((q - p).argmax())
    return (
        f"{pair.labels[most]} makes up {q[most]:.1%}, {p[most]:.1%} of the reference "
        f"(PSI {test['effect']:.4f}, p {test['p_corrected']:.2g})"
    )


def _counts(column: pd.Series) -> tuple[dict[int, int], int]:
    """Return the rows by value, and the number of rows without one."""
    values, n_rows = np.unique(column.to_numpy("int8", na_value=MISSING), return_counts=True)
    counts = dict(zip(values.tolist(), n_rows.tolist(), strict=True))
    return counts, counts.pop(MISSING, 0)


def _score_counts(y_score: np.ndarray, counted: np.ndarray | None = None) -> tuple[int, ...]:
    """Return rows by bin of their score: all, or those that are `counted`."""
    scores = np.asarray(y_score, dtype="float64")
    if not scores.size or not ((scores >= 0) & (scores <= 1)).all():
        raise DataValidationError("scores are probabilities of phishing, one for each row and each between 0 and 1")
    return tuple(np.histogram(scores if counted is None else scores[counted], SCORE_EDGES)[0].tolist())


def _design_effect(rows: pd.DataFrame) -> float:
    """Return the mean, over the rows, of how many rows share the row's feature vector.

    It is the design effect of a sample drawn in clusters of equal members: Kish, "Survey sampling", 1965.
    """
    n_copies = pd.util.hash_pandas_object(rows[list(FEATURES)], index=False).value_counts()
    return float((n_copies**2).sum() / len(rows))


def _homogeneity(table: np.ndarray) -> tuple[float, float]:
    """Return chi-square and p-value of two columns of counts, shape (n_cells, 2), that need not be whole.

    The rarest cells are pooled until each is expected at least once on both sides: the least at which chi-square is
    of use, Cochran, "Some methods for strengthening the common chi-square tests", Biometrics 10, 1954. Counts divided
    by their sample's design effect stand for independent rows: Rao and Scott, "A simple method for the analysis of
    clustered binary data", Biometrics 48, 1992.
    """
    table = table[table.sum(axis=1) > 0]
    while len(table) > 2 and expected_freq(table).min() < 1:
        table = table[np.argsort(table.sum(axis=1), kind="stable")]
        table = np.vstack([table[:2].sum(axis=0), table[2:]])
    result = chi2_contingency(table, correction=False)
    return float(result.statistic), float(result.pvalue)


def _psi(table: np.ndarray) -> float:
    """Return the population stability index of two columns of counts, shape (n_cells, 2), in nats.

    The sum of (q - p) ln(q / p) over the shares p and q: Siddiqi, "Credit risk scorecards", 2006. Half a row is added
    to each cell: it stays finite with a share of 0.
    """
    p, q = ((table + 0.5) / (table + 0.5).sum(axis=0)).T
    return float(((q - p) * np.log(q / p)).sum())


def _corrected(p_values: np.ndarray, correction: Correction) -> np.ndarray:
    if correction == "bonferroni":
        return np.minimum(p_values * len(p_values), 1.0)
    return false_discovery_control(p_values, method="bh")
