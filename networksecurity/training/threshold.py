"""The decision threshold with the least expected cost."""

from typing import Any

import numpy as np
from pydantic import BaseModel
from sklearn.metrics import roc_curve
from sklearn.utils.validation import check_consistent_length

from networksecurity.training.candidates import DECISION_THRESHOLD
from networksecurity.training.evaluation import precision_at


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
