"""What precision and recall to expect of a model on rows without labels, from its own probabilities.

If a calibrated model says 0.9 for ten rows, nine of them are phishing. So the cells of the confusion matrix can be
expected without labels: the method is known as CBPE, "confidence-based performance estimation" (NannyML). Scores are
calibrated on the test rows, by bin: Zadrozny and Elkan, "Obtaining calibrated probability estimates from decision trees
and naive Bayesian classifiers", 2001.

It is an estimate: when phishing begins to look different, the calibration is out of date, and nothing here shows it.
"""

import numpy as np
from pydantic import BaseModel

from networksecurity.monitoring.profile import SCORE_EDGES, ReferenceProfile, score_bins


class Expectation(BaseModel, frozen=True, extra="forbid"):
    """Figures that are expected, not observed; None where nothing is expected to be counted."""

    n_rows: int
    precision: float | None
    recall_score: float | None
    f1_score: float | None

    def metrics(self) -> dict[str, float]:
        """Return the figures that there are, by `expected/name`."""
        return {f"expected/{name}": float(of) for name, of in self.model_dump(exclude_none=True).items()}


def expect(profile: ReferenceProfile, y_score: np.ndarray, y_pred: np.ndarray) -> Expectation | None:
    """Return the figures to expect on rows that the model has not learned from; None if the profile cannot calibrate.

    Parameters
    ----------
    profile : ReferenceProfile
        With `score_phishing`, which older versions lack.
    y_score : ndarray of shape (n_samples,)
        The model's probability of phishing.
    y_pred : ndarray of shape (n_samples,)
        1 where the model says phishing.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.monitoring.profile import reference_profile
    >>> rows = validate(make_phishing_websites(1_000, random_state=0)).accepted
    >>> y_score = np.repeat([0.05, 0.95], 500)
    >>> y_true = np.r_[np.arange(500) < 50, np.arange(500) < 400]
    >>> profile = reference_profile(rows, data_sha256="", y_score=y_score, y_true=y_true)
    >>> found = expect(profile, y_score, y_score > 0.5)
    >>> round(found.precision, 2), round(found.recall_score, 2)
    (0.8, 0.89)
    """
    if profile.score_counts is None or profile.score_phishing is None or not len(y_score):
        return None
    middle = (np.array(SCORE_EDGES[:-1]) + np.array(SCORE_EDGES[1:])) / 2
    # One row at the middle of its bin is added: an empty bin is calibrated too.
    calibrated = (np.array(profile.score_phishing) + middle) / (np.array(profile.score_counts) + 1)
    probability, called = calibrated[score_bins(y_score)], np.asarray(y_pred) == 1
    tp, n_called, n_phishing = float(probability[called].sum()), int(called.sum()), float(probability.sum())
    return Expectation(
        n_rows=len(probability),
        precision=tp / n_called if n_called else None,
        recall_score=tp / n_phishing if n_phishing else None,
        f1_score=2 * tp / (n_called + n_phishing) if n_called + n_phishing else None,
    )
