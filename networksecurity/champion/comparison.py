"""Candidate and champion on the same test rows, and whether the candidate's F1 is higher beyond chance.

Rows of one feature vector get one answer. Vectors are therefore swapped and resampled, not rows: more than half of the
rows of the UCI data are copies of another, and would pass for independent evidence.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable

import numpy as np
from pandas.util import hash_array
from pydantic import BaseModel
from scipy.stats import norm

from networksecurity.training.evaluation import evaluate
from networksecurity.training.intervals import percentile_interval, resample, share

POWER = 0.8
"""Probability with which `Comparison.detectable` would be found."""

_N_PERMUTATIONS = 10_000
_SKETCH_SIZE = 64
_COMPARED = ("f1_score", "precision", "recall_score", "false_positive_rate", "accuracy")


class Comparison(BaseModel, frozen=True):
    """Candidate and champion on the same rows."""

    n_rows: int
    n_vectors: int
    """Distinct feature vectors among them."""
    candidate: dict[str, float]
    champion: dict[str, float]
    """Figures of both on these rows, by the names of `evaluation.evaluate`."""
    f1_difference: float
    """The candidate's minus the champion's."""
    low: float
    high: float
    """Bounds of the difference: a bootstrap interval of confidence 1 - 2 `level`."""
    fixed: int
    """Rows on which the candidate is right and the champion wrong."""
    broken: int
    """Rows on which the candidate is wrong and the champion right."""
    fixed_vectors: int | None = None
    """Vectors on which the candidate makes fewer errors; None in older decisions."""
    broken_vectors: int | None = None
    """Vectors on which the candidate makes more errors; None in older decisions."""
    p_value: float
    """Of the permutation test that F1 is not higher, one-sided; in older decisions, which have no `level`, of
    McNemar's test, two-sided."""
    level: float | None = None
    """The largest p-value that shows a higher F1."""
    looks: float | None = None
    """How many decisions these rows have served, this one included; a row that is new counts for none, as does a
    decision between two models with the same answers."""
    detectable: float | None = None
    """The gain of F1 that these rows show with probability `POWER`."""
    sketch: str | None = None
    """Some of the vectors, for later decisions to recognise: see `sketch_of`."""


def compare(
    y: np.ndarray,
    y_pred: np.ndarray,
    y_champion: np.ndarray,
    codes: np.ndarray,
    *,
    confidence: float = 0.95,
    earlier: Iterable[Comparison] = (),
    random_state: int = 0,
) -> Comparison:
    """Compare two models' answers to the same rows.

    Parameters
    ----------
    y, y_pred, y_champion : ndarray of shape (n_samples,)
        Labels, and the answers of candidate and champion; 1 is phishing.
    codes : ndarray of shape (n_samples,)
        Equal where feature vectors are equal.
    confidence : float, default=0.95
        Required in the first decision on these rows.
    earlier : iterable of Comparison
        All earlier ones, of these rows or others.
    random_state : int, default=0

    Notes
    -----
    If the models are equally good, either answer to a vector could have been the other's. Swapping them at random
    therefore gives the distribution of the difference: Yeh, "More accurate tests for the statistical significance of
    result differences", 2000, for F1. One test of the figure in question has more power than the two that were used
    before, each of which had to pass: `docs/promotion.md` has the simulation.

    In the k-th decision on the same rows the level is (1 - confidence) / k². However many there are, an equal model
    is promoted by any of them with a probability of at most π²/6 (1 - confidence), 0.08 by default. By default, no
    p-value of 10,000 permutations is small enough from the 23rd decision on.

    Examples
    --------
    >>> y = np.tile([0, 1], 100)
    >>> worse, better = np.where(np.arange(200) < 20, 1 - y, y), np.where(np.arange(200) < 5, 1 - y, y)
    >>> found = compare(y, better, worse, codes=np.arange(200))
    >>> found.fixed_vectors, found.broken_vectors, found.p_value < found.level
    (15, 0, True)
    >>> again = compare(y, better, worse, codes=np.arange(200), earlier=[found])
    >>> again.looks, round(again.level, 4)
    (2.0, 0.0125)
    """
    right, champion_right = y_pred == y, y_champion == y
    vectors, of_row = np.unique(codes, return_inverse=True)
    counts = ((y & y_pred), ~right, (y & y_champion), ~champion_right)
    by_vector = np.array([np.bincount(of_row, weights=weights) for weights in counts]).T
    looks = 1 + sum(_share_seen(vectors, other) for other in earlier)
    level = (1 - confidence) / looks**2
    low, high = percentile_interval(_f1_difference(resample(by_vector, random_state=random_state)), 1 - 2 * level)
    p_value, deviation = _permutation_test(by_vector, random_state)
    gained = by_vector[:, 3] - by_vector[:, 1]
    figures, champion_figures = _figures(y, y_pred), _figures(y, y_champion)
    return Comparison(
        n_rows=len(y),
        n_vectors=len(vectors),
        candidate=figures,
        champion=champion_figures,
        f1_difference=figures["f1_score"] - champion_figures["f1_score"],
        low=low,
        high=high,
        fixed=int((right & ~champion_right).sum()),
        broken=int((~right & champion_right).sum()),
        fixed_vectors=int((gained > 0).sum()),
        broken_vectors=int((gained < 0).sum()),
        p_value=p_value,
        level=level,
        looks=looks,
        detectable=float((norm.isf(level) + norm.ppf(POWER)) * deviation),
        sketch=sketch_of(vectors),
    )


def sketch_of(vectors: np.ndarray) -> str:
    """Return the 64 smallest hashes of distinct vectors, in base64: a random sample, and the same one next time.

    What share of them is among other rows estimates the share of all vectors that is, to within 0.06.
    """
    return b64encode(np.sort(hash_array(vectors))[:_SKETCH_SIZE].astype("<u8").tobytes()).decode()


def _share_seen(vectors: np.ndarray, earlier: Comparison) -> float:
    """Return the estimated share of vectors that an earlier comparison has used."""
    if not earlier.sketch or not earlier.detectable:  # a model that answered as the champion did had no chance
        return 0.0
    sketch = np.frombuffer(b64decode(earlier.sketch), dtype="<u8")
    share_of_earlier = np.isin(sketch, hash_array(vectors)).mean()
    return float(min(1.0, share_of_earlier * earlier.n_vectors / len(vectors)))


def _permutation_test(by_vector: np.ndarray, random_state: int) -> tuple[float, float]:
    """Return the one-sided p-value of the difference of F1, and the deviation of the difference between equal models.

    Parameters
    ----------
    by_vector : ndarray of shape (n_vectors, 4)
        True positives and errors of the candidate, then of the champion.

    Notes
    -----
    Vectors with the same four counts are interchangeable, so the number of swaps among them is binomial.
    """
    kinds, n_vectors = np.unique(by_vector, axis=0, return_counts=True)
    n_swapped = np.random.default_rng(random_state).binomial(n_vectors, 0.5, size=(_N_PERMUTATIONS, len(kinds)))
    moved = n_swapped @ (kinds[:, 2:] - kinds[:, :2])
    total = by_vector.sum(axis=0)
    by_chance = _f1_difference(np.hstack([total[:2] + moved, total[2:] - moved]))
    found = _f1_difference(total[np.newaxis])[0]
    # The counts are whole numbers: a difference in the last digits is none.
    n_as_large = int((by_chance >= found - 1e-12).sum())
    return (1 + n_as_large) / (1 + _N_PERMUTATIONS), float(by_chance.std())


def _f1_difference(totals: np.ndarray) -> np.ndarray:
    """Return the differences of F1 = 2 TP / (2 TP + errors), of totals as in the columns of `_permutation_test`."""
    tp, errors, champion_tp, champion_errors = totals.T
    return share(2 * tp, 2 * tp + errors) - share(2 * champion_tp, 2 * champion_tp + champion_errors)


def _figures(y: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    figures = evaluate(y, y_pred, y_pred.astype(float))
    return {name: figures[name] for name in _COMPARED}
