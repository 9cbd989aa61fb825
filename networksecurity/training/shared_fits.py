"""One fit for every size of a boosting or forest model, and the scores of them all: what searches do in processes.

A model of 256 stages holds every smaller one: its first n stages are, number for number, the model that a fit with
`n_estimators=n` gives. So one fit of the largest is scored at every size, and the other fits are not done.
"""

import copy
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.pipeline import Pipeline

MADE_OF_STAGES = (AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier)
"""The classifiers whose `n_estimators` stages, or trees, do not depend on how many follow."""


def can_share(estimator: BaseEstimator) -> bool:
    """Return whether one fit of the estimator serves every smaller `n_estimators`."""
    params = estimator.get_params()
    # Early stopping, and anything that looks at rows out of the bag, depends on the number of stages asked for.
    depends = params.get("n_iter_no_change") is not None or params.get("oob_score") or params.get("warm_start")
    return isinstance(estimator, MADE_OF_STAGES) and not depends


def score_name(size: int | None) -> str:
    """Return the name under which `Scoring` tells the score of a size."""
    return "score" if size is None else f"score_at_{size}"


class Scoring:
    """GridSearchCV's `scoring`: one score of a fitted pipeline, or one for each size that its fit serves.

    Parameters
    ----------
    scoring : str
        The name of a scorer.
    sizes : collection of int
        Values of `n_estimators`, none larger than the pipeline's; empty where the fit serves itself alone.
    marks : str or None
        The file to which `mark` is to add one byte for each fit scored.
    """

    def __init__(self, scoring: str, sizes: Collection[int], marks: str | None) -> None:
        self.scoring = scoring
        self.sizes = sizes
        self.marks = marks

    def __call__(self, pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Return the scores of a fitted pipeline by `score_name`."""
        scorer = get_scorer(self.scoring)
        with warnings.catch_warnings():
            # A model that never says phishing has no precision: it scores 0, which is what is meant here.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            if self.sizes:
                imputed = pipeline[:-1].transform(X)
                scores = {
                    score_name(size): scorer(smaller, imputed, y)
                    for size, smaller in _at_sizes(pipeline[-1], self.sizes)
                }
            else:
                scores = {score_name(None): scorer(pipeline, X, y)}
        mark(self.marks)
        return scores


def mark(marks: str | None) -> None:
    """Add one byte to the file, if one is given."""
    if marks:
        with Path(marks).open("ab") as file:
            file.write(b".")


def _at_sizes(estimator: Any, sizes: Collection[int]) -> Iterator[tuple[int, BaseEstimator]]:
    """Yield for each size the estimator that a fit with `n_estimators=size` gives, all to be asked of the same rows."""
    if hasattr(estimator, "staged_predict"):
        staged = _Staged(estimator, sizes)
        yield from ((size, _OfSize(staged, size)) for size in sizes)
        return
    for size in sizes:  # a forest
        first = copy.copy(estimator)
        first.estimators_ = estimator.estimators_[:size]
        yield size, first.set_params(n_estimators=size)


class _Staged:
    """What a boosting model says of some rows at each of its sizes, from one pass over its stages."""

    def __init__(self, estimator: Any, sizes: Collection[int]) -> None:
        self.estimator = estimator
        self.sizes = sizes
        self._responses: dict[str, dict[int, np.ndarray]] = {}

    def respond(self, method: str, size: int, X: np.ndarray) -> np.ndarray:
        if method not in self._responses:
            at, n, response = {}, 0, np.empty(0)
            for n, response in enumerate(getattr(self.estimator, f"staged_{method}")(X), start=1):
                if n in self.sizes:
                    at[n] = response
            # Boosting that ended early is complete: a fit at a larger size would have ended there too.
            self._responses[method] = at | dict.fromkeys([size for size in self.sizes if size > n], response)
        return self._responses[method][size]


class _OfSize(ClassifierMixin, BaseEstimator):
    """A boosting model of one of its sizes, as a scorer wants to see it."""

    def __init__(self, staged: _Staged, size: int) -> None:
        self.staged = staged
        self.size = size
        self.classes_ = staged.estimator.classes_

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.staged.respond("predict", self.size, X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.staged.respond("predict_proba", self.size, X)

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return self.staged.respond("decision_function", self.size, X)
