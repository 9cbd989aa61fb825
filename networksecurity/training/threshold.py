"""The decision threshold: with the least expected cost or, where no costs are given, with the highest score."""

from typing import Any

import numpy as np
from pydantic import BaseModel
from sklearn.metrics import roc_curve
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.validation import check_consistent_length

from networksecurity.training.candidates import DECISION_THRESHOLD
from networksecurity.training.evaluation import precision_at
from networksecurity.training.intervals import confusion_cells, counts_by_group, resample, share


class ThresholdChoice(BaseModel, frozen=True):
    """The probability from which it is cheapest to call a website phishing, and the consequences.

    Costs are those of the average website, in the unit of `cost_false_negative`.
    """

    threshold: float
    cost_false_negative: float
    cost_false_positive: float
    base_rate: float
    """Share of phishing among all websites."""
    expected_cost: float
    expected_cost_at_default: float
    """With the usual threshold of 0.5."""
    expected_cost_of_never: float
    """With no website called phishing."""
    expected_cost_of_always: float
    """With every website called phishing."""
    recall_score: float
    false_positive_rate: float
    precision: float
    """At the base rate."""

    def sentence(self) -> str:
        """Return which threshold is used, and what it costs."""
        return (
            f"Decision threshold {self.threshold:.4f}: the average website costs {self.expected_cost:.4g}, at 0.5 "
            f"{self.expected_cost_at_default:.4g} (out of fold, phishing {self.base_rate:.4g} of all)."
        )


def choose_threshold(
    y_true: np.ndarray,
    y_score: np.ndarray,
    *,
    cost_false_negative: float = 1.0,
    cost_false_positive: float = 1.0,
    base_rate: float | None = None,
) -> ThresholdChoice:
    """Choose the decision threshold with the least expected cost.

    The candidates lie halfway between neighbouring scores. Among equally cheap ones the highest wins: it alarms least.
    Calling all websites or none the same takes no model: neither is chosen, but both costs are reported.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        1 is phishing; of both classes.
    y_score : ndarray of shape (n_samples,)
        Probability of phishing, of rows that the model had not seen.
    cost_false_negative, cost_false_positive : float
        Of a phishing website that passes, and of a legitimate one that is stopped.
    base_rate : float, optional
        Share of phishing where the model is used, in (0, 1); by default that of `y_true`.

    Notes
    -----
    The expected cost is P C_fn (1 - recall) + (1 - P) C_fp fpr, with the base rate P: Elkan, "The foundations of
    cost-sensitive learning", 2001. scikit-learn's TunedThresholdClassifierCV was considered: it refits the model for
    each fold, and cannot say what other thresholds would cost.

    Examples
    --------
    >>> y_true, y_score = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    >>> choose_threshold(y_true, y_score).threshold
    0.5
    >>> choose_threshold(y_true, y_score, cost_false_negative=5).threshold
    0.25
    """
    check_consistent_length(y_true, y_score)
    share = float(np.mean(y_true)) if base_rate is None else base_rate
    fprs, recalls, scores = roc_curve(y_true, y_score, pos_label=1, drop_intermediate=False)
    scores[0] = np.inf  # no row is called phishing; then from each score that occurs, the highest first
    costs = share * cost_false_negative * (1 - recalls) + (1 - share) * cost_false_positive * fprs

    def curve_point(threshold: Any) -> Any:
        """Return the place on the curve of `y_score >= threshold`."""
        return np.searchsorted(-scores, -threshold, side="right") - 1

    middles = (scores[1:-1] + scores[2:]) / 2 if len(scores) > 2 else np.array([DECISION_THRESHOLD])
    points = curve_point(middles)
    # Equal costs differ in their last digits, which must not choose between thresholds.
    best = int(np.argmax(np.isclose(costs[points], costs[points].min(), rtol=1e-9, atol=0)))
    recall, fpr = float(recalls[points[best]]), float(fprs[points[best]])
    return ThresholdChoice(
        threshold=float(middles[best]),
        cost_false_negative=cost_false_negative,
        cost_false_positive=cost_false_positive,
        base_rate=share,
        expected_cost=float(costs[points[best]]),
        expected_cost_at_default=float(costs[curve_point(DECISION_THRESHOLD)]),
        expected_cost_of_never=float(costs[0]),
        expected_cost_of_always=float(costs[-1]),
        recall_score=recall,
        false_positive_rate=fpr,
        precision=precision_at(share, recall, fpr),
    )


class TunedThreshold(BaseModel, frozen=True):
    """The threshold with the highest score on out-of-fold rows, if the 95 % interval of its gain lies above 0."""

    threshold: float
    """The one that is used: `best`, or 0.5."""
    scoring: str
    best: float
    """The one with the highest score."""
    gain: float
    """Score minus that at 0.5, of thresholds chosen on the other folds."""
    standard_error: float
    """Of the gain."""

    def sentence(self) -> str:
        """Return which threshold is used, and why."""
        found = (
            f"the one with the highest {self.scoring}, {self.best:.4f}, gains {self.gain:+.4f} where it is chosen on "
            f"other folds (out of fold, standard error {self.standard_error:.4f})."
        )
        if self.threshold == DECISION_THRESHOLD:
            return f"The decision threshold stays at {self.threshold}: {found}"
        return f"Decision threshold {self.threshold:.4f} in place of {DECISION_THRESHOLD}: {found}"


N_ERRORS = 1.96
"""Standard errors that a gain must exceed. One would be exceeded by luck in every sixth training, and a threshold that
moves from training to training helps nobody."""
_TUNED = {"f1", "accuracy", "balanced_accuracy"}
"""Scores that have a best threshold. Precision and recall are best where nothing, or everything, is called phishing."""


def tune_threshold(
    y: np.ndarray,
    y_score: np.ndarray,
    test_fold: np.ndarray,
    groups: np.ndarray,
    scoring: str,
    *,
    random_state: int = 0,
) -> TunedThreshold | None:
    """Choose the threshold with the highest score, if that is more than luck.

    Parameters
    ----------
    y, y_score, test_fold, groups
        As for `labelling.choose_labelling`.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    tuned : TunedThreshold or None
        None for a score that no threshold maximizes: `precision`, `recall`, or one of the probabilities.

    Notes
    -----
    The highest of thousands of scores is never below that at 0.5: Lipton, Elkan and Naryanaswamy, "Optimal
    thresholding of classifiers to maximize F1 measure", 2014, call it the winner's curse. The gain is therefore that of
    rows labelled by a threshold that was chosen on the other folds. Its standard error comes from a bootstrap of groups
    in which both thresholds label the same rows: Efron and Tibshirani, "An introduction to the bootstrap", 1993.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> y = np.arange(3_000) % 2
    >>> y_score, fold = np.clip(generator.normal(0.2 + 0.3 * y, 0.1), 0, 1), np.arange(3_000) // 2 % 3
    >>> tuned = tune_threshold(y, y_score, fold, np.arange(3_000), "f1")
    >>> round(tuned.threshold, 1), tuned.gain > 0.1
    (0.3, True)
    >>> tune_threshold(y, y_score + 0.15, fold, np.arange(3_000), "f1").threshold
    0.5
    """
    if scoring not in _TUNED:
        return None
    chosen = np.empty(len(y), bool)
    for others, held_out in PredefinedSplit(test_fold).split():
        chosen[held_out] = y_score[held_out] >= _best_threshold(y[others], y_score[others], scoring)
    by_default = y_score >= DECISION_THRESHOLD
    by_group = counts_by_group([*confusion_cells(y == 1, chosen), *confusion_cells(y == 1, by_default)], groups)

    def gain(totals: np.ndarray) -> np.ndarray:
        return _score(scoring, *totals[:, :4].T) - _score(scoring, *totals[:, 4:].T)

    found = float(gain(by_group.sum(axis=0, keepdims=True))[0])
    standard_error = float(gain(resample(by_group, random_state=random_state)).std())
    best = _best_threshold(y, y_score, scoring)
    return TunedThreshold(
        threshold=best if found > N_ERRORS * standard_error else DECISION_THRESHOLD,
        scoring=scoring,
        best=best,
        gain=found,
        standard_error=standard_error,
    )


def _score(scoring: str, tn: np.ndarray, fp: np.ndarray, fn: np.ndarray, tp: np.ndarray) -> np.ndarray:
    if scoring == "f1":
        return share(2 * tp, 2 * tp + fp + fn)
    if scoring == "accuracy":
        return (tn + tp) / (tn + fp + fn + tp)
    return (share(tp, tp + fn) + share(tn, tn + fp)) / 2


def _best_threshold(y: np.ndarray, y_score: np.ndarray, scoring: str) -> float:
    """Return the threshold with the highest score, halfway between neighbouring ones; of equal ones the highest."""
    order = np.argsort(-y_score, kind="stable")
    scores, is_phishing = y_score[order], y[order] == 1
    ends = np.flatnonzero(scores[1:] != scores[:-1])  # rows of equal scores are called the same
    if not len(ends):
        return DECISION_THRESHOLD
    tp, fp = np.cumsum(is_phishing)[ends], np.cumsum(~is_phishing)[ends]
    n_phishing = is_phishing.sum()
    found = _score(scoring, len(y) - n_phishing - fp, fp, n_phishing - tp, tp)
    best = ends[int(np.argmax(np.isclose(found, found.max(), rtol=1e-9, atol=0)))]
    return float((scores[best] + scores[best + 1]) / 2)
