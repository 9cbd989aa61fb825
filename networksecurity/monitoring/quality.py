"""Whether a model is still as good as on its test rows: a verdict on labelled rows that keep arriving.

F1 is no mean, but whether it is below a limit is a question about one: F1 = 2 TP / (2 TP + errors) is below `c` exactly
where the mean of a gain, 2 (1 - c) for a true positive, -c for an error and 0 for a true negative, is below 0:
Parambath, Usunier and Grandvalet, "Optimizing F-measures by cost-sensitive classification", 2014. We bet that it is:
a wealth of 1 is multiplied by `1 - stake * gain` for each row. While F1 is at least `c`, no stake wins on average, and
the chance that the wealth *ever* reaches 1 / alpha is at most alpha (Ville's inequality), however often one looks:
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86, 2024; Podkopaev and
Ramdas, "Tracking the risk of a deployed model and detecting harmful distribution shifts", 2022.

Nobody knows when a decay begins or how large it is. So the wealth is divided: over several stakes, and over the checks
of a year, half of it for the first and the rest for the others in equal parts, each set aside until its check.
`docs/drift.md` says how often this is wrong and how long it takes.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt

from networksecurity.exceptions import DataValidationError, counted

N_CHECKS = 8_760
"""Checks of a year, hourly; with the next one the betting begins anew."""
ALPHA = 0.025
"""Largest chance that the betting alarms within `N_CHECKS` checks, if F1 is at least the limit.

As much again is the chance that the limit is too high, because the test rows were lucky: 5 % together.
"""
_STAKES = 0.5 ** np.arange(1, 9)
"""Shares of the largest stake that can lose no more than everything."""

QualityVerdict = Literal["no_decay", "decayed", "not_judged"]


class Baseline(BaseModel, frozen=True):
    """F1 of the model on its own test rows, with the lower bound of its 95 % interval."""

    f1_score: float = Field(gt=0, le=1)
    f1_score_low: float = Field(ge=0, le=1)

    def limit(self, margin: float) -> float:
        """Return the F1 below which quality has decayed: lower by `margin`, or by what may be the test rows' luck.

        Examples
        --------
        >>> Baseline(f1_score=0.95, f1_score_low=0.93).limit(margin=0.01)
        0.93
        >>> Baseline(f1_score=0.95, f1_score_low=0.93).limit(margin=0.05)
        0.9
        """
        return round(min(self.f1_score - margin, self.f1_score_low), 6)


class QualityState(BaseModel, frozen=True, extra="forbid"):
    """What the next check has to know of those before it; stored with the monitor's checkpoint."""

    n_checks: NonNegativeInt = 0
    """Checks since the betting began."""
    log_wealth: tuple[float, ...] = ()
    """Of each stake, natural logarithm."""
    n_rows: NonNegativeInt = 0
    """Rows since then."""
    true_positives: NonNegativeFloat = 0.0
    """The weights of these rows."""
    errors: NonNegativeFloat = 0.0


class QualityReport(BaseModel, frozen=True, extra="forbid"):
    """The outcome of a check, in plain values."""

    verdict: QualityVerdict
    reason: str
    """A sentence."""
    n_rows: NonNegativeInt = 0
    """Labelled rows of this check that are comparable with the test rows."""
    f1_score: float | None = None
    """On these rows; None if there is no phishing and no alarm among them."""
    f1_score_so_far: float | None = None
    """On all rows since the betting began, these among them."""
    n_rows_so_far: NonNegativeInt = 0
    limit: float | None = None
    """The F1 below which quality has decayed."""
    wealth: float | None = None
    """From `1 / ALPHA` on, quality has decayed."""

    def metrics(self) -> dict[str, float]:
        """Return the figures of a check that was judged, by `quality/name`."""
        figures = self.model_dump(exclude={"verdict", "reason"}, exclude_none=True)
        return {} if self.verdict == "not_judged" else {f"quality/{name}": float(of) for name, of in figures.items()}


def comparable(
    codes: np.ndarray,
    *,
    is_test: np.ndarray,
    test_size: float,
    learned: np.ndarray | None,
    tested: np.ndarray | None,
) -> np.ndarray:
    """Return weights with which new rows are like the test rows: 0 for rows that the model has learned from.

    Unseen rows are not drawn as the test rows were: their vectors are mostly new ones, while test rows also hold copies
    of frequent vectors. The split puts each vector on the test side with the chance `test_size`, new or not. So a row
    of a vector among the test rows counts 1, and a row of a new vector `test_size`, on whichever side it is.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), uint64
        The rows' `vectors.vector_codes`.
    is_test : ndarray of shape (n_samples,), bool
        Whether the split keeps the row for the test.
    test_size : float
        Of the split.
    learned, tested : ndarray of uint64, or None
        The vectors of the training and of the test rows. If either is not known, which vectors are new is not known
        either, and only rows on the test side count.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        In [0, 1].

    Examples
    --------
    >>> codes, is_test = np.array([1, 2, 3, 4]), np.array([False, True, True, False])
    >>> comparable(codes, is_test=is_test, test_size=0.2, learned=np.array([1]), tested=np.array([2]))
    array([0. , 1. , 0.2, 0.2])
    >>> comparable(codes, is_test=is_test, test_size=0.2, learned=None, tested=None)
    array([0., 1., 1., 0.])
    """
    weight = is_test.astype(float)
    if learned is None or tested is None:
        return weight
    weight[~np.isin(codes, tested) & ~np.isin(codes, learned)] = test_size
    return weight


def check(
    state: QualityState,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    weight: np.ndarray,
    *,
    baseline: Baseline,
    margin: float = 0.01,
) -> tuple[QualityReport, QualityState]:
    """Judge the labelled rows that came since the last check, together with what the checks before them found.

    Parameters
    ----------
    state : QualityState
        As the last check returned it; `QualityState()` for the first.
    y_true, y_pred : ndarray of shape (n_samples,)
        1 is phishing.
    weight : ndarray of shape (n_samples,)
        In [0, 1]; see `comparable`.
    margin : float, default=0.01
        By how much F1 may be lower than on the test rows.

    Returns
    -------
    report : QualityReport
    state : QualityState
        For the next check. After an alarm, and after `N_CHECKS` checks, the betting begins anew.

    Raises
    ------
    DataValidationError
        The lengths differ, or a weight is outside [0, 1].

    Examples
    --------
    >>> baseline = Baseline(f1_score=0.95, f1_score_low=0.94)
    >>> y_true = np.tile([1, 1, 0, 0, 0], 40)
    >>> report, state = check(QualityState(), y_true, y_true, np.ones(200), baseline=baseline)
    >>> report.verdict, report.f1_score
    ('no_decay', 1.0)
    >>> report, state = check(state, y_true, np.roll(y_true, 1), np.ones(200), baseline=baseline)
    >>> report.verdict, report.f1_score, report.f1_score_so_far
    ('decayed', 0.5, 0.75)
    """
    y_true, y_pred, weight = np.asarray(y_true) == 1, np.asarray(y_pred) == 1, np.asarray(weight, dtype=float)
    if not len(y_true) == len(y_pred) == len(weight) or not ((weight >= 0) & (weight <= 1)).all():
        raise DataValidationError("a check of quality needs a label, a prediction and a weight in [0, 1] for each row")
    limit = baseline.limit(margin)
    if not 0 < limit < 1:
        reason = "F1 on the test rows is too uncertain for a limit: train on more rows"
        return QualityReport(verdict="not_judged", reason=reason), state
    n_rows = int((weight > 0).sum())
    if not n_rows:
        return QualityReport(verdict="not_judged", reason="no new labelled row is like the test rows"), state
    is_right, is_wrong = y_true & y_pred & (weight > 0), (y_true != y_pred) & (weight > 0)
    state = _bet(state, weight[is_right], weight[is_wrong], limit, n_rows)
    wealth = _wealth(state)
    decayed = wealth >= 1 / ALPHA
    report = QualityReport(
        verdict="decayed" if decayed else "no_decay",
        reason="",
        n_rows=n_rows,
        f1_score=_f1(weight[is_right].sum(), weight[is_wrong].sum()),
        f1_score_so_far=_f1(state.true_positives, state.errors),
        n_rows_so_far=state.n_rows,
        limit=limit,
        wealth=wealth,
    )
    report = report.model_copy(update={"reason": _reason(report, baseline)})
    return report, QualityState() if decayed or state.n_checks >= N_CHECKS else state


def set_aside(n_checks: int) -> float:
    """Return the share of the wealth that no bet was made with in the first `n_checks` checks."""
    return 0.5 * (N_CHECKS - n_checks) / (N_CHECKS - 1) if n_checks else 1.0


def _bet(state: QualityState, right: np.ndarray, wrong: np.ndarray, limit: float, n_rows: int) -> QualityState:
    """Return the state after the rows of one check; `right` and `wrong` are weights of true positives and of errors."""
    stakes = _STAKES / (2 * (1 - limit))
    won = np.log1p(np.outer(stakes, wrong * limit)).sum(axis=1)
    lost = np.log1p(-np.outer(stakes, right * 2 * (1 - limit))).sum(axis=1)
    before = np.array(state.log_wealth) if state.log_wealth else np.full(len(stakes), -np.inf)
    invested = set_aside(state.n_checks) - set_aside(state.n_checks + 1)
    return QualityState(
        n_checks=state.n_checks + 1,
        log_wealth=tuple((np.logaddexp(before, np.log(invested)) + won + lost).tolist()),
        n_rows=state.n_rows + n_rows,
        true_positives=state.true_positives + float(right.sum()),
        errors=state.errors + float(wrong.sum()),
    )


def _wealth(state: QualityState) -> float:
    """Return the mean over the stakes, and what is still set aside; at most 1e300, which JSON can hold."""
    return float(np.exp(np.minimum(state.log_wealth, 690)).mean() + set_aside(state.n_checks))


def _f1(true_positives: float, errors: float) -> float | None:
    total = 2 * true_positives + errors
    return float(2 * true_positives / total) if total else None


def _reason(found: QualityReport, baseline: Baseline) -> str:
    figures = (
        f"F1 is {_shown(found.f1_score)} on {counted(found.n_rows, 'new row')} and {_shown(found.f1_score_so_far)} on "
        f"{found.n_rows_so_far:,} so far, {baseline.f1_score:.4f} on the test rows"
    )
    if found.verdict == "decayed":
        return f"quality decayed: {figures}; it is below {found.limit:.4f} (95% confidence, however often one looks)"
    return f"no decay shown: {figures}; the limit is {found.limit:.4f}"


def _shown(f1: float | None) -> str:
    return "not defined" if f1 is None else f"{f1:.4f}"
