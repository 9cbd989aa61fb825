"""From a model's out-of-fold probabilities to what is served: calibration, threshold and band, chosen in this order.

Only training rows take part, each with the probability that a model gave it which had not seen it.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

from networksecurity.training.band import BandChoice, band_by_cost, band_by_share
from networksecurity.training.calibration import CalibrationChoice, calibrate, choose_calibration, correct_own
from networksecurity.training.candidates import DECISION_THRESHOLD
from networksecurity.training.label_rule import LabelRule, with_rule
from networksecurity.training.threshold import ThresholdChoice, TunedThreshold, choose_threshold, tune_threshold


class Labelling(BaseModel, frozen=True):
    """How a model comes from a row to a label, and why."""

    rule: LabelRule
    calibration: CalibrationChoice
    by_costs: ThresholdChoice | None = None
    """How the threshold was chosen, where costs were given."""
    by_score: TunedThreshold | None = None
    """How it was chosen where none were; None for a score without a best threshold."""
    band: BandChoice | None = None
    """None if no row is left to a person."""

    def sentences(self) -> list[str]:
        """Return what was chosen, and why."""
        chosen = (self.calibration, self.by_costs, self.by_score, self.band)
        return [of.sentence() for of in chosen if of]


def choose_labelling(
    y: np.ndarray,
    y_score: np.ndarray,
    test_fold: np.ndarray,
    groups: np.ndarray,
    *,
    scoring: str = "f1",
    costs: Mapping[str, float] | None = None,
    abstain: float | None = None,
    cost_review: float | None = None,
) -> Labelling:
    """Choose calibration, threshold and band.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        1 is phishing.
    y_score : ndarray of shape (n_samples,)
        Out-of-fold probability of phishing.
    test_fold : ndarray of shape (n_samples,)
        The folds; rows of a group are in the same.
    groups : ndarray of shape (n_samples,)
    scoring : str, default="f1"
        What the threshold is to maximize, where no costs are given.
    costs : mapping of str to float, optional
        The arguments of `threshold.choose_threshold` that were given.
    abstain : float, optional
        Largest share of rows that is left to a person.
    cost_review : float, optional
        Of a person's review of one row, in place of `abstain`.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> y, fold = np.arange(3_000) % 2, np.arange(3_000) // 2 % 3
    >>> y_score = np.clip(generator.normal(0.3 + 0.4 * y, 0.15), 0.01, 0.99)
    >>> chosen = choose_labelling(y, y_score, fold, np.arange(3_000), abstain=0.1)
    >>> chosen.calibration.method, chosen.rule.threshold, round(chosen.band.coverage, 2)
    ('temperature', 0.5, 0.9)
    """
    calibration = choose_calibration(y, y_score, test_fold, groups)
    if calibration.method:
        y_score = correct_own(y, y_score, calibration.method)
    by_costs = choose_threshold(y, y_score, **costs) if costs else None
    by_score = None if costs else tune_threshold(y, y_score, test_fold, groups, scoring)
    found = by_costs or by_score
    threshold = found.threshold if found else DECISION_THRESHOLD
    band = None
    if cost_review is not None:
        band = band_by_cost(y, y_score, threshold, cost_review, **(costs or {}))
    elif abstain is not None:
        band = band_by_share(y, y_score, threshold, abstain)
    rule = LabelRule(threshold=threshold, band=(band.lower, band.upper) if band else None)
    return Labelling(rule=rule, calibration=calibration, by_costs=by_costs, by_score=by_score, band=band)


def label_by(pipeline: Pipeline, labelling: Labelling, y: np.ndarray, y_score: np.ndarray) -> Pipeline:
    """Return a fitted pipeline that labels rows as was chosen.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted, with a threshold.
    y, y_score : ndarray of shape (n_samples,)
        The labels and out-of-fold probabilities from which it was chosen.
    """
    method = labelling.calibration.method
    calibrated = calibrate(pipeline[-1].estimator_, y, y_score, method) if method else None
    return with_rule(pipeline, labelling.rule, calibrated)
