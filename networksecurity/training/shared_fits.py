"""One fit for every size of a boosting or forest model, and the scores of them all.

A model of 256 stages holds every smaller one: its first n stages are, number for number, the model that a fit with
`n_estimators=n` gives. One fit of the largest is scored at every size, and the other fits are not done. scikit-learn's
own ways were considered: `warm_start` keeps a model between the points of a grid, which GridSearchCV clones away, and
successive halving drops points on fewer rows, and so finds others.
"""

import copy
import json
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline

from networksecurity.training.candidates import STEP

MADE_OF_STAGES = (AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier)
"""The classifiers whose `n_estimators` stages, or trees, do not depend on how many follow."""

SIZE_PARAM = f"{STEP}__n_estimators"


@dataclass(frozen=True)
class FitPlan:
    """The fits that score every point of a grid."""

    fits: tuple[Mapping[str, Any], ...]
    """The parameters of each fit."""
    serving: tuple[tuple[int, str], ...]
    """For each grid point, the position of the fit that serves it and the name of its score there."""
    sizes: tuple[int, ...]
    """Values of `n_estimators` at which fits are scored; empty if no fit is shared."""


def plan_fits(pipeline: Pipeline, points: Sequence[Mapping[str, Any]]) -> FitPlan:
    """Return the fits of a search: one for all points that differ in their size only, one for each other point."""
    fits: list[dict[str, Any]] = []
    serving: list[tuple[int, int | None]] = []
    largest: dict[str, int] = {}
    for point in points:
        size = point.get(SIZE_PARAM)
        if not can_share(clone(pipeline).set_params(**point)[-1]) or type(size) is not int or size < 1:
            serving.append((len(fits), None))
            fits.append(dict(point))
            continue
        fit = largest.setdefault(joblib.hash({**point, SIZE_PARAM: None}), len(fits))
        serving.append((fit, size))
        if fit == len(fits):
            fits.append(dict(point))
        fits[fit][SIZE_PARAM] = max(size, fits[fit][SIZE_PARAM])
    sizes = sorted({size for _, size in serving if size}) if len(fits) < len(points) else []
    return FitPlan(
        fits=tuple(fits),
        serving=tuple((fit, _score_name(size if sizes else None)) for fit, size in serving),
        sizes=tuple(sizes),
    )


def can_share(estimator: BaseEstimator) -> bool:
    """Return whether one fit of the estimator serves every smaller `n_estimators`."""
    params = estimator.get_params()
    # Early stopping and out-of-bag scores depend on the number of stages asked for.
    depends = params.get("n_iter_no_change") is not None or params.get("oob_score") or params.get("warm_start")
    return isinstance(estimator, MADE_OF_STAGES) and not depends


def _score_name(size: int | None) -> str:
    return "score" if size is None else f"score_at_{size}"


class SharedScorer:
    """GridSearchCV's `scoring`: the score of a fitted pipeline, and of each size that its fit serves.

    Parameters
    ----------
    scoring : str
        The name of a scorer.
    sizes : collection of int
        Values of `n_estimators`; empty if no fit is shared.
    marks : str or None
        The file to which `mark` adds one line for each fit scored.
    """

    def __init__(self, scoring: str, sizes: Collection[int], marks: str | None) -> None:
        self.scoring = scoring
        self.sizes = sizes
        self.marks = marks

    def __call__(self, pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Return the scores of a fitted pipeline by their names in `FitPlan.serving`; NaN for those that failed."""
        with warnings.catch_warnings():
            # A model that never predicts phishing has no defined precision; the score of 0 is intended.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            if self.sizes and can_share(pipeline[-1]):
                largest = pipeline[-1].n_estimators
                imputed = pipeline[:-1].transform(X)
                # GridSearchCV wants the same names from every fit; a size beyond this one's is looked up in another.
                sizes = sorted({largest, *(min(size, largest) for size in self.sizes)})
                by_size = {size: self._score(of_size, imputed, y) for size, of_size in _at_sizes(pipeline[-1], sizes)}
            else:
                largest, by_size = 0, {0: self._score(pipeline, X, y)}
        scores = {
            _score_name(None): by_size[largest],
            **{_score_name(size): by_size[min(size, largest)] for size in self.sizes},
        }
        mark(self.marks, str(sorted(pipeline[-1].get_params().items())), scores)
        return scores

    def _score(self, estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
        scored = check_scoring(scoring=[self.scoring], raise_exc=False)(estimator, X, y)[self.scoring]
        if isinstance(scored, str):  # the traceback
            warnings.warn(
                "Scoring failed. The score on this train-test partition for these parameters will be set to nan. "
                f"Details: \n{scored}",
                stacklevel=2,
            )
            return np.nan
        return float(scored)


def mark(marks: str | None, fit: str = "", scores: Mapping[str, float] = MappingProxyType({})) -> None:
    """Add one line to the file, if any: a fit of one fold, by its parameters, and its scores."""
    if marks:
        line = json.dumps([joblib.hash(fit), dict(scores)]) + "\n"
        with Path(marks).open("ab", buffering=0) as file:  # one write, whole beside those of other processes
            file.write(line.encode())


def _at_sizes(estimator: Any, sizes: Collection[int]) -> Iterator[tuple[int, BaseEstimator]]:
    """Yield, for each size, the estimator that a fit with `n_estimators=size` gives, to predict the same rows."""
    if hasattr(estimator, "staged_predict"):
        staged = _Staged(estimator, sizes)
        yield from ((size, _OfSize(staged, size)) for size in sizes)
        return
    for size in sizes:  # a forest
        first = copy.copy(estimator)
        first.estimators_ = estimator.estimators_[:size]
        yield size, first.set_params(n_estimators=size)


class _Staged:
    """The responses of a boosting model at each of its sizes, from one pass over its stages."""

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
            # Boosting that ended early is complete: a fit with more stages would have ended there too.
            self._responses[method] = at | dict.fromkeys([size for size in self.sizes if size > n], response)
        return self._responses[method][size]


class _OfSize(ClassifierMixin, BaseEstimator):
    """A boosting model at one of its sizes, with the interface that a scorer needs."""

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
