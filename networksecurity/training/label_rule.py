"""From a probability to a label: the one rule, and where a pipeline keeps it.

A row is phishing from the threshold on (`>=`). With a band around the threshold, the rows in it are `unsure`: they are
left to a person.
"""

import copy
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, model_validator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from networksecurity.data.schema import LABELS
from networksecurity.training.candidates import DECISION_THRESHOLD

PHISHING, LEGITIMATE, UNSURE_CODE = 1, 0, 2
"""The codes of `schema.LABELS`."""


class LabelRule(BaseModel, frozen=True, extra="forbid"):
    """What is called phishing, and what is left to a person.

    Examples
    --------
    >>> rule = LabelRule(threshold=0.5, band=(0.4, 0.7))
    >>> [rule.label(score) for score in (0.39, 0.4, 0.69, 0.7)]
    ['legitimate', 'unsure', 'unsure', 'phishing']
    >>> rule.classes(np.array([0.39, 0.4, 0.5, 0.7])).tolist()
    [0, 0, 1, 1]
    """

    threshold: float = DECISION_THRESHOLD
    """The probability from which a row is phishing, if it has to be decided."""
    band: tuple[float, float] | None = None
    """Its bounds: a row is legitimate below the first, phishing from the second on, and unsure in between. The
    threshold lies within."""

    @model_validator(mode="after")
    def _threshold_lies_in_the_band(self) -> Self:
        if self.band and not self.band[0] <= self.threshold <= self.band[1]:
            raise ValueError(
                f"the threshold {self.threshold} is outside the band from {self.band[0]} to {self.band[1]}"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The band's bounds, or twice the threshold."""
        return self.band or (self.threshold, self.threshold)

    def classes(self, y_score: np.ndarray) -> np.ndarray:
        """Return the classes, int8, if every row has to be decided: 1 is phishing."""
        return (y_score >= self.threshold).astype("int8")

    def is_unsure(self, y_score: np.ndarray) -> np.ndarray:
        """Return whether rows are left to a person, bool."""
        lower, upper = self.bounds
        return (y_score >= lower) & (y_score < upper)

    def codes(self, y_score: np.ndarray) -> np.ndarray:
        """Return the codes of the labels, int8: `schema.LABELS` has their names."""
        lower, upper = self.bounds
        return np.where(y_score >= upper, PHISHING, np.where(y_score >= lower, UNSURE_CODE, LEGITIMATE)).astype("int8")

    def label(self, score: float) -> str:
        """Return the label of one row."""
        lower, upper = self.bounds
        return LABELS[PHISHING if score >= upper else UNSURE_CODE if score >= lower else LEGITIMATE]


class BandClassifier(FixedThresholdClassifier):
    """A classifier with a band: `predict` gives 2 for a row that is left to a person, beside 0 and 1.

    A pipeline with one needs this package wherever it is loaded; one without needs scikit-learn alone.

    Parameters
    ----------
    estimator, threshold, pos_label, response_method
        As of FixedThresholdClassifier.
    lower, upper : float
        The bounds of `LabelRule.band`.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: float = DECISION_THRESHOLD,
        lower: float = DECISION_THRESHOLD,
        upper: float = DECISION_THRESHOLD,
        pos_label: int = 1,
        response_method: str = "predict_proba",
    ) -> None:
        super().__init__(estimator, threshold=threshold, pos_label=pos_label, response_method=response_method)
        self.lower = lower
        self.upper = upper

    def predict(self, X: Any) -> np.ndarray:
        """Return the code of each row's label."""
        return rule_of(self).codes(self.predict_proba(X)[:, 1]).astype("int64")


def rule_of(model: Any) -> LabelRule:
    """Return the rule by which a pipeline, or a classifier, labels rows; the default rule if it has none of its own."""
    last = model[-1] if isinstance(model, Pipeline) else model
    if isinstance(last, BandClassifier):
        return LabelRule(threshold=last.threshold, band=(last.lower, last.upper))
    if isinstance(last, FixedThresholdClassifier):
        return LabelRule(threshold=last.threshold)
    return LabelRule()


def classify(model: Any, X: Any) -> np.ndarray:
    """Return the classes, int8, that a model gives if it has to decide every row: 1 is phishing."""
    return rule_of(model).classes(model.predict_proba(X)[:, 1])


def with_rule(pipeline: Pipeline, rule: LabelRule, calibrated: CalibratedClassifierCV | None = None) -> Pipeline:
    """Return a fitted pipeline that labels rows by a rule, with its own or with calibrated probabilities.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted, with a threshold of its own, which the rule's replaces; it is left as it is.
    calibrated : CalibratedClassifierCV, optional
        The pipeline's own classifier, calibrated: see `calibration.calibrate`.
    """
    steps = list(pipeline.steps)
    name, last = steps[-1]
    with_band = rule.band is not None
    made = BandClassifier(last.estimator, threshold=rule.threshold) if with_band else copy.copy(last)
    made.threshold = rule.threshold
    if with_band:
        made.lower, made.upper = rule.bounds
    made.estimator_ = calibrated or last.estimator_
    for attribute in ("n_features_in_", "feature_names_in_"):
        if hasattr(last, attribute):
            setattr(made, attribute, getattr(last, attribute))
    steps[-1] = (name, made)
    return Pipeline(steps)
