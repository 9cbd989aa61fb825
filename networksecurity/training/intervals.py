"""Bootstrap intervals of figures, resampled by group.

Rows of one feature vector are right or wrong together: counted one by one, they would pass for independent evidence.
"""

import numpy as np

N_RESAMPLES = 5_000
Interval = tuple[float, float]
"""Lower and upper bound."""


def resample(by_group: np.ndarray, *, random_state: int = 0) -> np.ndarray:
    """Return the totals of bootstrap samples of groups.

    Parameters
    ----------
    by_group : ndarray of shape (n_groups, n_counts)
        Whatever is counted in each group.
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


def percentile_interval(resampled: np.ndarray, confidence: float) -> Interval:
    """Return the bounds between which the middle `confidence` of resampled figures lie."""
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def intervals(
    y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray, *, confidence: float = 0.95, random_state: int = 0
) -> dict[str, Interval]:
    """Return percentile bootstrap intervals of the figures that follow from the confusion matrix.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        1 is phishing; at least one row.
    groups : ndarray of shape (n_samples,)
        Rows with equal values are resampled together.
    confidence : float, default=0.95
        In (0, 1).
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
    y_true, y_pred = np.asarray(y_true, dtype=bool), np.asarray(y_pred, dtype=bool)
    _, of_row = np.unique(groups, return_inverse=True)
    cells = (~y_true & ~y_pred, ~y_true & y_pred, y_true & ~y_pred, y_true & y_pred)
    by_group = np.array([np.bincount(of_row, weights=cell) for cell in cells]).T
    tn, fp, fn, tp = resample(by_group, random_state=random_state).T
    figures = {
        "f1_score": share(2 * tp, 2 * tp + fp + fn),
        "precision": share(tp, tp + fp),
        "recall_score": share(tp, tp + fn),
        "accuracy": share(tp + tn, tp + tn + fp + fn),
        "false_positive_rate": share(fp, fp + tn),
    }
    return {name: percentile_interval(of, confidence) for name, of in figures.items()}


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return `part / whole`, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


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
