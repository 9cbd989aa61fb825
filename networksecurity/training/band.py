"""Which rows to leave to a person: those whose probability is near the threshold.

By their probability alone, this is the best that can be done: C. K. Chow, "On optimum recognition error and reject
tradeoff", IEEE Transactions on Information Theory 16, 1970.
"""

import numpy as np
from pydantic import BaseModel

from networksecurity.training.intervals import share

_MOST_BOUNDS = 400
"""Bounds that are tried on either side of the threshold, evenly chosen where there are more."""


class BandChoice(BaseModel, frozen=True):
    """The band in which rows are left to a person, and what it does to out-of-fold rows."""

    lower: float
    upper: float
    coverage: float
    """Share of rows that are decided."""
    f1_score: float
    """Of the decided rows."""
    f1_score_of_all: float
    """If all are decided."""
    asked: str
    """By what it was chosen, in words."""
    expected_cost: float | None = None
    """Of the average website, with the price of reviews; None if it was not chosen by costs."""

    def sentence(self) -> str:
        """Return what is left to a person, and what that is worth."""
        cost = "" if self.expected_cost is None else f", and the average website costs {self.expected_cost:.4g}"
        return (
            f"Unsure from {self.lower:.4f} up to {self.upper:.4f} ({self.asked}): {1 - self.coverage:.1%} of the rows "
            f"are left to a person, and F1 of the others is {self.f1_score:.4f} instead of "
            f"{self.f1_score_of_all:.4f}{cost} (out of fold)."
        )


def band_by_share(y: np.ndarray, y_score: np.ndarray, threshold: float, abstain: float) -> BandChoice:
    """Choose the band with the highest F1 of the rows outside, of those that hold at most a share of all rows.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        1 is phishing.
    y_score : ndarray of shape (n_samples,)
        Out-of-fold probability of phishing.
    threshold : float
        Lies within the band.
    abstain : float
        Largest share of rows in the band, in (0, 1).

    Examples
    --------
    >>> y, y_score = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.array([0.1, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.9])
    >>> chosen = band_by_share(y, y_score, threshold=0.5, abstain=0.25)
    >>> round(chosen.lower, 2), round(chosen.upper, 2), chosen.coverage, chosen.f1_score
    (0.3, 0.7, 0.75, 1.0)
    """
    sides = _Sides(y, y_score, threshold)
    lower, upper = sides.lower, sides.upper
    fn, tn = sides.passed(lower)
    tp, fp = sides.stopped(upper)
    n_unsure = len(y) - (fn + tn)[:, np.newaxis] - (tp + fp)
    f1_scores = share(2 * tp, 2 * tp + fp + fn[:, np.newaxis])
    allowed = n_unsure <= abstain * len(y)
    best = np.where(allowed, f1_scores, -1).max()
    # Of bands that are as good, the narrowest; of these the one with the lower bounds.
    n_unsure[~allowed | (f1_scores < best - 1e-12)] = len(y) + 1
    i, j = np.unravel_index(np.argmin(n_unsure), n_unsure.shape)
    asked = f"at most {abstain:.4g} of the rows"
    return _choice(y, y_score, threshold, (float(lower[i]), float(upper[j])), asked)


def band_by_cost(
    y: np.ndarray,
    y_score: np.ndarray,
    threshold: float,
    cost_review: float,
    *,
    cost_false_negative: float = 1.0,
    cost_false_positive: float = 1.0,
    base_rate: float | None = None,
) -> BandChoice | None:
    """Choose the band with the least expected cost.

    Parameters
    ----------
    y, y_score, threshold
        As for `band_by_share`.
    cost_review : float
        Of a person's review of one website.
    cost_false_negative, cost_false_positive, base_rate
        As for `threshold.choose_threshold`.

    Returns
    -------
    choice : BandChoice or None
        None if no review is worth its price.

    Examples
    --------
    >>> y, y_score = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.array([0.1, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.9])
    >>> chosen = band_by_cost(y, y_score, threshold=0.5, cost_review=0.2)
    >>> round(chosen.lower, 2), round(chosen.upper, 2), round(chosen.expected_cost, 3)
    (0.3, 0.7, 0.05)
    >>> band_by_cost(y, y_score, threshold=0.5, cost_review=2.0) is None
    True
    """
    rate = float(np.mean(y)) if base_rate is None else base_rate
    of_phishing, of_legitimate = rate / (y == 1).sum(), (1 - rate) / (y == 0).sum()
    sides = _Sides(y, y_score, threshold)

    def review(n_phishing: np.ndarray, n_legitimate: np.ndarray) -> np.ndarray:
        return cost_review * (of_phishing * n_phishing + of_legitimate * n_legitimate)

    fn, tn = sides.passed(sides.lower)
    tp, fp = sides.stopped(sides.upper)
    # Each side has costs of its own: what passes or is stopped wrongly, and what of the side is reviewed.
    below = cost_false_negative * of_phishing * fn + review(fn[-1] - fn, tn[-1] - tn)
    above = cost_false_positive * of_legitimate * fp + review(tp[0] - tp, fp[0] - fp)
    i = len(below) - 1 - int(np.argmax(_lowest(below)[::-1]))
    j = int(np.argmax(_lowest(above)))
    if sides.lower[i] == sides.upper[j]:
        return None
    asked = f"a review costs {cost_review:g}"
    bounds = float(sides.lower[i]), float(sides.upper[j])
    return _choice(y, y_score, threshold, bounds, asked, expected_cost=float(below[i] + above[j]))


def _lowest(costs: np.ndarray) -> np.ndarray:
    return np.isclose(costs, costs.min(), rtol=1e-9, atol=1e-15)


class _Sides:
    """The rows on both sides of a threshold, counted from outside up to a bound."""

    def __init__(self, y: np.ndarray, y_score: np.ndarray, threshold: float) -> None:
        self._phishing, self._legitimate = np.sort(y_score[y == 1]), np.sort(y_score[y == 0])
        scores = np.unique(y_score)
        between = (scores[:-1] + scores[1:]) / 2
        self.lower = np.append(_thinned(between[between < threshold]), threshold)
        """The lower bounds that are tried, ascending; the threshold is the last."""
        self.upper = np.append(threshold, _thinned(between[between > threshold]))
        """The upper bounds, ascending; the threshold is the first."""

    def passed(self, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many phishing and legitimate rows are below each bound."""
        return np.searchsorted(self._phishing, bounds), np.searchsorted(self._legitimate, bounds)

    def stopped(self, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many phishing and legitimate rows are at each bound or above."""
        phishing, legitimate = self.passed(bounds)
        return len(self._phishing) - phishing, len(self._legitimate) - legitimate


def _thinned(bounds: np.ndarray) -> np.ndarray:
    return bounds[np.linspace(0, len(bounds) - 1, min(len(bounds), _MOST_BOUNDS)).round().astype(int)]


def _choice(
    y: np.ndarray,
    y_score: np.ndarray,
    threshold: float,
    bounds: tuple[float, float],
    asked: str,
    expected_cost: float | None = None,
) -> BandChoice:
    decided = (y_score < bounds[0]) | (y_score >= bounds[1])

    def f1_score(rows: np.ndarray) -> float:
        y_pred, is_phishing = y_score[rows] >= threshold, y[rows] == 1
        tp, errors = (y_pred & is_phishing).sum(), (y_pred != is_phishing).sum()
        return float(2 * tp / (2 * tp + errors)) if tp else 0.0

    return BandChoice(
        lower=bounds[0],
        upper=bounds[1],
        coverage=float(decided.mean()),
        f1_score=f1_score(decided),
        f1_score_of_all=f1_score(np.ones(len(y), bool)),
        asked=asked,
        expected_cost=expected_cost,
    )
