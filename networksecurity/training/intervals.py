"""Bootstrap intervals of figures, resampled by group.

Rows of one feature vector are right or wrong together: counted one by one, they would pass for independent evidence.
"""

from collections.abc import Sequence

import numpy as np

N_RESAMPLES = 5_000
_N_RESAMPLES_OF_SCORES, _FEWEST = 1_000, 100
_MOST_CELLS = 20_000_000
"""Resamples times rows: what bounds the time, some seconds; of many rows an interval needs fewer resamples."""
_CELLS_AT_ONCE = 2_000_000
"""The same of those that are in memory together."""
Interval = tuple[float, float]
"""Lower and upper bound."""


def resample(by_group: np.ndarray, *, random_state: int = 0) -> np.ndarray:
    """Return the totals of bootstrap samples of groups.

    Parameters
    ----------
    by_group : ndarray of shape (n_groups, n_counts)
        What is counted in each group.
    random_state : int, default=0

    Returns
    -------
    totals : ndarray of shape (5000, n_counts)

    Notes
    -----
    Groups with the same counts are interchangeable, so the number of draws of each *kind* is multinomial. That is the
    distribution of `scipy.stats.bootstrap` with `method="percentile"`, which would draw 10^9 indices for 200,000
    groups.
    """
    kinds, n_groups = np.unique(by_group, axis=0, return_counts=True)
    draws = np.random.default_rng(random_state).multinomial(len(by_group), n_groups / len(by_group), size=N_RESAMPLES)
    return draws @ kinds


def percentile_interval(resampled: np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the bounds between which the middle `confidence` of resampled figures lie."""
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def intervals(
    y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray, *, random_state: int = 0
) -> dict[str, Interval]:
    """Return 95 % percentile bootstrap intervals of the figures that follow from the confusion matrix.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        1 is phishing; at least one row.
    groups : ndarray of shape (n_samples,)
        Rows with equal values are resampled together.
    random_state : int, default=0

    Returns
    -------
    dict of str to (float, float)
        Of `f1_score`, `precision`, `recall_score`, `accuracy` and `false_positive_rate`. A figure is 0 in a resample
        in which it has nothing to count.

    Examples
    --------
    >>> y_true = np.tile([1, 1, 1, 0, 0], 40)
    >>> y_pred = np.tile([1, 1, 0, 0, 0], 40)
    >>> low, high = intervals(y_true, y_pred, groups=np.arange(200))["recall_score"]
    >>> round(low, 2), round(high, 2)
    (0.58, 0.75)
    >>> low, high = intervals(y_true, y_pred, groups=np.repeat(np.arange(10), 20))["recall_score"]
    >>> round(low, 2), round(high, 2)
    (0.67, 0.67)
    """
    by_group = counts_by_group(confusion_cells(np.asarray(y_true) == 1, np.asarray(y_pred) == 1), groups)
    tn, fp, fn, tp = resample(by_group, random_state=random_state).T
    figures = {
        "f1_score": share(2 * tp, 2 * tp + fp + fn),
        "precision": share(tp, tp + fp),
        "recall_score": share(tp, tp + fn),
        "accuracy": share(tp + tn, tp + tn + fp + fn),
        "false_positive_rate": share(fp, fp + tn),
    }
    return {name: percentile_interval(of) for name, of in figures.items()}


def score_intervals(
    y_true: np.ndarray, y_score: np.ndarray, groups: np.ndarray, *, random_state: int = 0
) -> dict[str, Interval]:
    """Return 95 % percentile bootstrap intervals of the figures that follow from the probabilities.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        1 is phishing; of both classes.
    y_score : ndarray of shape (n_samples,)
        Probability of phishing.
    groups, random_state
        As for `intervals`.

    Returns
    -------
    dict of str to (float, float)
        Of `roc_auc`, `average_precision`, `brier_score` and `log_loss` (nats), by 1,000 resamples, or fewer above
        20,000 rows. A resample of one class says nothing of the first two, and is left out there.

    Examples
    --------
    >>> y_true, y_score = np.tile([1, 1, 0, 0], 50), np.tile([0.9, 0.4, 0.6, 0.2], 50)
    >>> low, high = score_intervals(y_true, y_score, groups=np.arange(200))["roc_auc"]
    >>> round(low, 2), round(high, 2)
    (0.68, 0.81)
    """
    order = np.argsort(-np.asarray(y_score), kind="stable")
    y, score = np.asarray(y_true, dtype=float)[order], np.asarray(y_score, dtype=float)[order]
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))  # rows of equal scores count together
    found, of_row = np.unique(groups, return_inverse=True)
    of_row, n_groups = of_row[order], len(found)
    of_rows = losses(y, score)
    generator = np.random.default_rng(random_state)

    def resampled(n_resamples: int) -> np.ndarray:
        drawn = generator.integers(n_groups, size=(n_resamples, n_groups))
        weight = np.stack([np.bincount(groups, minlength=n_groups) for groups in drawn])[:, of_row].astype(float)
        tp = np.cumsum(weight * y, axis=1)[:, ends]
        called = np.cumsum(weight, axis=1)[:, ends]
        found_there, stopped_there = np.diff(tp, prepend=0), np.diff(called - tp, prepend=0)
        n_phishing, n_legitimate = tp[:, -1], called[:, -1] - tp[:, -1]
        auc = ((tp - found_there / 2) * stopped_there).sum(axis=1)
        precision = np.divide(tp, called, out=np.zeros_like(tp), where=called > 0)
        with np.errstate(invalid="ignore"):  # a resample of one class
            curves = auc / (n_phishing * n_legitimate), (found_there * precision).sum(axis=1) / n_phishing
        # Not `weight @ of_rows`: the last digit of BLAS depends on its number of threads.
        totals = (np.einsum("ij,j->i", weight, loss) for loss in of_rows.T)
        return np.column_stack([*curves, *(total / called[:, -1] for total in totals)])

    n_resamples = int(np.clip(_MOST_CELLS // len(y), _FEWEST, _N_RESAMPLES_OF_SCORES))
    at_once = max(1, _CELLS_AT_ONCE // len(y))
    parts = [resampled(min(at_once, n_resamples - done)) for done in range(0, n_resamples, at_once)]
    figures = zip(("roc_auc", "average_precision", "brier_score", "log_loss"), np.concatenate(parts).T, strict=True)
    return {name: percentile_interval(of[np.isfinite(of)]) for name, of in figures}


def confusion_cells(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return whether each row is a true negative, false positive, false negative, true positive; both are bool."""
    return ~y_true & ~y_pred, ~y_true & y_pred, y_true & ~y_pred, y_true & y_pred


def counts_by_group(counted: Sequence[np.ndarray], groups: np.ndarray) -> np.ndarray:
    """Return the sum of each count over the rows of each group, as `resample` takes it: (n_groups, n_counts)."""
    _, of_row = np.unique(groups, return_inverse=True)
    return np.array([np.bincount(of_row, weights=each) for each in counted]).T


def losses(y: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """Return the squared error and the log loss (nats, as scikit-learn's) of each row, of shape (n_samples, 2)."""
    sure = np.clip(y_score, np.finfo(float).eps, 1 - np.finfo(float).eps)
    return np.column_stack([(y_score - y) ** 2, -np.log(np.where(y == 1, sure, 1 - sure))])


def mean_interval(values: np.ndarray, groups: np.ndarray, *, n_errors: float = 1.96) -> tuple[float, Interval]:
    """Return the mean of values of rows, and its interval of so many standard errors, by group.

    Notes
    -----
    The mean over rows is a ratio of two means over groups; its standard error is the linearized one of cluster
    sampling: Cochran, "Sampling techniques", 1977, chapter 6. It needs no resamples.

    Examples
    --------
    >>> mean, (low, high) = mean_interval(np.tile([0.0, 1.0], 50), np.arange(100))
    >>> round(mean, 2), round(low, 3), round(high, 3)
    (0.5, 0.402, 0.598)
    """
    _, of_row, n_rows = np.unique(groups, return_inverse=True, return_counts=True)
    mean = float(values.mean())
    residuals = np.bincount(of_row, weights=values) - mean * n_rows
    n_groups = len(n_rows)
    error = n_errors * np.sqrt((residuals**2).sum() * n_groups / max(1, n_groups - 1)) / len(values)
    return mean, (mean - float(error), mean + float(error))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return `part / whole`, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Return the interval of `first - second`, two figures of independent samples, from the interval of each.

    By the method of variance estimates recovery: Zou and Donner, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> low, high = difference(0.90, (0.87, 0.92), 0.95, (0.93, 0.96))
    >>> round(low, 3), round(high, 3)
    (-0.082, -0.022)
    """
    d = first - second
    low = d - np.hypot(first - of_first[0], of_second[1] - second)
    high = d + np.hypot(of_first[1] - first, second - of_second[0])
    return float(low), float(high)
