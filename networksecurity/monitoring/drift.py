"""Whether new rows are still like those a model was trained on: the comparison with its reference profile.

A column has drifted when its difference is significant *and* large: the chi-square test of homogeneity, corrected for
the number of tests, says that it is more than chance, and an effect size says that it matters. Alone the first alarms
at every million rows, the second at every small sample. Rows of a group (equal feature vectors, addresses of one
registrable domain) are not taken for independent ones.
`docs/drift.md` explains the method, the thresholds and how often they are wrong.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, NonNegativeInt, PositiveInt
from scipy.stats import chi2, chi2_contingency, false_discovery_control
from scipy.stats.contingency import expected_freq

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.schema import MISSING
from networksecurity.exceptions import DataValidationError, counted
from networksecurity.monitoring.profile import (
    N_BINS,
    SCORE_EDGES,
    Y_SCORE,
    Clustering,
    ReferenceProfile,
    clustering,
    column_clustering,
    count_codes,
    design_effect,
    score_bins,
    score_counts,
)
from networksecurity.monitoring.thresholds import Correction, Thresholds

Verdict = Literal["no_drift", "drift", "too_few_rows"]
ColumnVerdict = Literal["no_drift", "drift", "not_compared"]


DEFAULT_THRESHOLDS = Thresholds()
_KINDS = ("shares", "missing", "unseen")
_Clusters = dict[str, tuple[Clustering, Clustering]]
"""The clustering of both samples, by kind of difference."""


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
    """Values that the reference never held, as keys of `ReferenceProfile.counts`, with the rows that hold them."""
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
    """New rows of a group that the model has learned from; their scores are not compared."""
    design_effect: float | None = None
    """Of the new rows, and at most that of the reference; None if there were too few rows."""
    n_reference: PositiveInt
    data_sha256: str
    """Of the reference's data."""
    thresholds: Thresholds
    columns: tuple[ColumnDrift, ...] = ()
    """What was compared, the scores last, then what was left out; empty if there were too few rows."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column, the fields of `ColumnDrift` as columns, indexed by name."""
        rows = [column.model_dump() for column in self.columns]
        return pd.DataFrame(rows, columns=list(ColumnDrift.model_fields)).set_index("name")


def compare(
    profile: ReferenceProfile,
    rows: pd.DataFrame,
    *,
    y_score: np.ndarray | None = None,
    learned: np.ndarray | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    contract: Contract = WEBSITES,
) -> DriftReport:
    """Compare new rows with a reference profile.

    A model is surer of rows that it was fitted on, and the scores of the profile are those of rows that it was not:
    new rows of a group that the model has learned from are left out of the comparison of the scores.

    Parameters
    ----------
    rows : DataFrame of shape (n_samples, n_columns)
        Rows that the contract's `validate` accepted, with or without the target.
    y_score : array-like of shape (n_samples,), default=None
        The model's probability of phishing for each of them.
    learned : array-like of shape (n_groups,), uint64, default=None
        The groups of the rows that the model was fitted on; None if they are not known, as of an older model: then no
        row is left out.
    contract : Contract, default=WEBSITES
        What the rows are, those behind the model and the new ones.

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
    >>> from networksecurity.monitoring.profile import reference_profile
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
    if y_score is not None and len(y_score) != len(rows):
        raise DataValidationError(f"{len(rows)} rows to compare came with {len(y_score)} scores: give one for each")
    seen = contract.to_watched(rows)
    absent = [column.name for column in contract.watched if column.name not in seen and column.name != contract.target]
    if absent:
        lacks = counted(len(absent), "feature")
        raise DataValidationError(f"rows to compare lack {lacks}: give them {', '.join(absent)}")
    report = partial(
        DriftReport,
        n_rows=len(rows),
        n_reference=profile.n_rows,
        data_sha256=profile.data_sha256,
        thresholds=thresholds,
    )
    if len(rows) < thresholds.min_rows:
        few = counted(len(rows), "row is", "rows are")
        reason = f"{few} too few for a judgement, {thresholds.min_rows:,} are needed (min_rows)"
        return report(verdict="too_few_rows", reason=reason)

    groups = contract.groups(rows)
    is_learned = np.zeros(len(rows), bool) if learned is None else np.isin(groups, learned)
    codes = {of.name: profile.codes(of.name, seen[of.name]) for of in contract.watched if of.name in seen}
    pairs, left_out = _pairs(profile, codes, contract, y_score, is_learned)
    # More copies than in the reference are themselves a change of the data, and must not hide others.
    effect = min(profile.design_effect, design_effect(groups))
    clusters = {name: _clusters(profile, name, codes[name], groups) for name in codes if name in profile.clustering}
    if profile.score_clustering is not None and Y_SCORE in pairs and y_score is not None:
        of_scores = clustering(score_bins(np.asarray(y_score)[~is_learned]), groups[~is_learned])
        clusters[Y_SCORE] = {"shares": (profile.score_clustering, of_scores)}
    tests = _tests(pairs, np.array([profile.design_effect, effect]), clusters, thresholds)
    columns = [_column_drift(name, pair, tests[name], thresholds) for name, pair in pairs.items()]
    columns += [ColumnDrift(name=name, verdict="not_compared", reason=reason) for name, reason in left_out.items()]

    drifted = tuple(column.name for column in columns if column.verdict == "drift")
    found = f"{len(drifted)} of {len(pairs)} columns drifted: {', '.join(drifted)}"
    reasons = [found if drifted else f"none of {len(pairs)} columns drifted", *left_out.values()]
    if Y_SCORE in pairs and is_learned.any():
        reasons.append(
            f"the scores of {counted(is_learned.sum(), 'row')} that the model has learned from were left out"
        )
    return report(
        verdict="drift" if drifted else "no_drift",
        reason="; ".join(reasons),
        drifted=drifted,
        n_learned=int(is_learned.sum()),
        design_effect=effect,
        columns=tuple(columns),
    )


@dataclass(frozen=True)
class _Pair:
    """One column of both samples, the reference first."""

    keys: tuple[int, ...]
    """The values, as in the profile."""
    labels: tuple[str, ...]
    """What they are for people."""
    values: np.ndarray
    """Rows by value, of shape (n_values, 2)."""
    missing: np.ndarray
    """Rows without a value, of shape (2,)."""
    unseen: dict[int, int]
    """New rows by value that the reference never held."""
    unseen_labels: tuple[str, ...] = ()
    """What these values are for people."""

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
    profile: ReferenceProfile,
    codes: dict[str, np.ndarray],
    contract: Contract,
    y_score: np.ndarray | None,
    is_learned: np.ndarray,
) -> tuple[dict[str, _Pair], dict[str, str]]:
    """Return the columns that both sides have, and why the others were left out."""
    pairs, left_out = {}, {}
    for name in (column.name for column in contract.watched):
        if name == contract.target and (name not in codes or (codes[name] == MISSING).all()):
            left_out[name] = "the target was left out: the new rows have none"
            continue
        reference = profile.counts[name]
        new, n_missing = count_codes(codes[name])
        values = sorted(reference.keys() | new.keys())
        pairs[name] = _Pair(
            keys=tuple(values),
            labels=tuple(f"the value {profile.label(name, value)}" for value in values),
            values=np.array([[reference.get(value, 0), new.get(value, 0)] for value in values]).reshape(-1, 2),
            missing=np.array([profile.missing[name], n_missing]),
            unseen={value: n_rows for value, n_rows in new.items() if not reference.get(value)},
            unseen_labels=tuple(profile.label(name, value) for value in new if not reference.get(value)),
        )
    if profile.score_counts is None:
        if y_score is not None:
            left_out[Y_SCORE] = "the scores were left out: the reference profile has none"
    elif y_score is None:
        left_out[Y_SCORE] = "the scores were left out: none came with the new rows"
    elif is_learned.all():
        left_out[Y_SCORE] = f"the scores were left out: the model has learned from all {len(is_learned):,} new rows"
    else:
        pairs[Y_SCORE] = _Pair(
            keys=tuple(range(N_BINS)),
            labels=tuple(f"a score of {low} to {high}" for low, high in pairwise(SCORE_EDGES)),
            values=np.array([profile.score_counts, score_counts(np.asarray(y_score)[~is_learned])]).T,
            missing=np.zeros(2),
            unseen={},
        )
    return pairs, left_out


def _clusters(profile: ReferenceProfile, name: str, codes: np.ndarray, groups: np.ndarray) -> _Clusters:
    """Return the clustering of a column whose rows of a group are alike."""
    known = codes != MISSING
    is_unseen = ~np.isin(codes[known], [*profile.counts[name]])
    new = (*column_clustering(codes, groups), clustering(is_unseen, groups[known]))
    reference = (*profile.clustering[name], Clustering())
    return dict(zip(_KINDS, zip(reference, new, strict=True), strict=True))


def _tests(
    pairs: dict[str, _Pair], design_effects: np.ndarray, clusters: dict[str, _Clusters], thresholds: Thresholds
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by column and kind of difference, its figures and whether it is significant and large."""

    def compared(name: str, kind: str, table: np.ndarray) -> tuple[float, float]:
        if name not in clusters:
            return _homogeneity(table / design_effects)
        keys = pairs[name].keys if kind == "shares" else (1, 0)
        return _clustered_homogeneity(table, keys, clusters[name][kind])

    tests = pd.DataFrame(
        [
            (name, kind, effect, *compared(name, kind, table))
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
        named = zip(pair.unseen_labels, pair.unseen.values(), strict=True)
        values = ", ".join(f"{label} in {counted(n_rows, 'row')}" for label, n_rows in named)
        return f"values that the reference never held: {values} (p {test['p_corrected']:.2g})"
    p, q = (pair.values / pair.values.sum(axis=0)).T
    most = int((q - p).argmax())
    return (
        f"{pair.labels[most]} makes up {q[most]:.1%}, {p[most]:.1%} of the reference "
        f"(PSI {test['effect']:.4f}, p {test['p_corrected']:.2g})"
    )


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


def _clustered_homogeneity(
    table: np.ndarray, keys: tuple[int, ...], clusters: tuple[Clustering, Clustering]
) -> tuple[float, float]:
    """Return chi-square and p-value of two columns of counts, shape (n_cells, 2), of rows that come in groups.

    Chi-square is divided by what it is expected to be, in multiples of its degrees of freedom, and has fewer of them
    the more a few cells vary: the second-order correction of Rao and Scott, JASA 76, 1981. A sample's variances are its
    own, and at least those of independent rows of both samples: a value that no row holds seems to vary not at all.
    """
    held = table.sum(axis=1) > 0
    table, n_rows = table[held], table.sum(axis=0)
    effects = np.array([[of.effects.get(key, 1.0) for of in clusters] for key in keys])[held]
    if (n_free := len(table) - 1) == 0:
        return 0.0, 1.0
    shares, pooled = table / n_rows, (table.sum(axis=1) / n_rows.sum())[:, None]
    variances = np.maximum(effects * shares * (1 - shares), pooled * (1 - pooled)) / n_rows
    parts = (variances / pooled).sum(axis=0)
    statistic = ((shares[:, 0] - shares[:, 1]) ** 2 / pooled[:, 0]).sum() / parts.sum() * n_free
    fewer = np.clip(np.average([of.spread for of in clusters], weights=parts) ** 2, 1.0, n_free)
    return float(statistic), float(chi2.sf(statistic / fewer, n_free / fewer))


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
