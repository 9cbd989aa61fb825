"""A fast form of a fitted pipeline, made from it when it is loaded, proven equal, never stored in its place.

scikit-learn predicts one row of a large forest in tens of milliseconds, nearly all of it Python around each tree.
Treelite's general tree inference library (GTIL) walks the same trees in C++ in a fraction of one. From some tens of
rows on, scikit-learn's own trees are faster, without the Python around them. The only module that imports treelite.
"""

import copy
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from networksecurity.training.calibration import calibrated_in, corrector, quick_corrector
from networksecurity.training.candidates import get_classifier
from networksecurity.training.label_rule import LabelRule, rule_of

TIES = 1e-9
"""Scores closer than this to a bound of the rule are left to the pipeline itself: there the last digit decides."""

_TOLERANCE = 1e-12
"""Largest difference of a probability that counts as rounding; 9e-16 was the largest seen."""
_SIZES = (1, 3, 10, 30, 100, 300, 1000)
"""Rows per request at which the CPU times of the two forms are compared."""
_N_ROUNDS = 5
_SHARED_FROM = 50
"""Rows from which the trees of a forest are shared among threads: below, handing them over takes as long."""
_BLOCK = 1000
"""Rows whose answers of all trees are kept at once: 2 MB for 256 trees."""

Transform = Callable[[np.ndarray], np.ndarray]
"""Takes and gives features of shape (n_samples, n_features)."""
Scorer = Callable[[np.ndarray], np.ndarray]
"""Takes features of shape (n_samples, n_features), gives the probability of phishing of shape (n_samples,)."""


@dataclass(frozen=True)
class FastPipeline:
    """A pipeline that scores arrays, in whichever form is faster for their number of rows."""

    model: Pipeline
    """The pipeline itself."""
    rule: LabelRule
    """What it calls phishing."""
    up_to: int
    """Rows up to which the native form answers; 0 where the pipeline always does."""
    why: str
    """How that was decided, in a sentence."""
    _plain: Scorer
    _native: Scorer

    @property
    def threshold(self) -> float:
        """The probability of phishing from which it says phishing, if it has to decide."""
        return self.rule.threshold

    def score(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of phishing of each row.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            What the pipeline is given: float64, NaN where a value is missing; of addresses, str.

        Returns
        -------
        y_score : ndarray of shape (n_samples,), float64
        """
        if len(X) > self.up_to:
            return self._plain(X)
        y_score = self._native(X)
        ties = np.zeros(len(X), bool)
        for bound in {self.rule.threshold, *self.rule.bounds}:
            ties |= np.abs(y_score - bound) < TIES
        if ties.any():
            y_score[ties] = self._plain(X[ties])
        return y_score


def prepare(model: Pipeline, X: pd.DataFrame, n_threads: int = 1) -> FastPipeline:
    """Return the fast form of a pipeline, after the native form has answered probe rows as the pipeline does.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        Fitted; its last step is a classifier, with or without a decision threshold around it.
    X : DataFrame of shape (n_samples, n_features)
        Probe rows, some with missing values: the proof, and what the two forms are timed on.
    n_threads : int, default=1
        Threads that share the trees of a forest from 50 rows on; its threads end with the pipeline.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.schema import to_X_y
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> X, y = to_X_y(validate(make_phishing_websites(500)).accepted)
    >>> fast = prepare(make_pipeline(get_candidate("Random Forest"), {"n_estimators": 8}).fit(X, y), X)
    >>> bool((fast.score(X.to_numpy()) == fast.model.predict_proba(X)[:, 1]).all())
    True
    """
    rule = rule_of(model)
    rows = np.ascontiguousarray(X.to_numpy())
    expected = model.predict_proba(X)[:, 1]
    if rows.dtype == object and get_tags(model[0]).requires_fit:

        def score_text(X: np.ndarray) -> np.ndarray:
            return model.predict_proba(pd.DataFrame(X, columns=model.feature_names_in_))[:, 1]

        return FastPipeline(model, rule, 0, "it reads text itself", score_text, score_text)
    to_features = [_transform(_without_names(step)) for _, step in model.steps[:-1]]
    classifier, calibrated = _without_names(get_classifier(model)), calibrated_in(model)
    answering = _without_names(calibrated) if calibrated else classifier
    plain = _chain(to_features, _sum_of_trees(classifier, calibrated, n_threads) or _predict_proba(answering))
    if not (plain(rows) == expected).all():  # to the last digit: `plain` decides ties
        steps = [_without_names(step).transform for _, step in model.steps[:-1]]
        plain = _chain(steps, _predict_proba(answering))

    def as_it_is(why: str) -> FastPipeline:
        return FastPipeline(model, rule, 0, why, plain, plain)

    if calibrated and calibrated.method == "isotonic" and hasattr(classifier, "decision_function"):
        return as_it_is("isotonic calibration has steps, at which rounding of the native form would show")
    scorer = _compile(classifier, calibrated)
    if scorer is None:
        return as_it_is(f"{type(classifier).__name__} has no native form")
    native = _chain(to_features, scorer)
    differences = np.abs(native(rows) - expected)
    if not (differences <= _TOLERANCE).all():
        return as_it_is(f"the native form differs by up to {differences.max():.2g} on {len(rows)} probe rows")
    up_to = _crossover(plain, native, rows)
    fast = FastPipeline(model, rule, up_to, "", plain, native)
    if not (rule.codes(fast.score(rows)) == rule.codes(expected)).all():
        return as_it_is("the native form labels probe rows differently")
    why = f"differs by {differences.max():.2g} at most on {len(rows)} probe rows; faster up to {up_to:,} rows"
    return FastPipeline(model, rule, up_to, why, plain, native)


def _chain(steps: list[Transform], scorer: Scorer) -> Scorer:
    def score(X: np.ndarray) -> np.ndarray:
        for step in steps:
            X = step(X)
        return scorer(np.ascontiguousarray(X, dtype=np.float64))

    return score


def _transform(step: Any) -> Transform:
    """Return a step's `transform`; that of an imputer without its checks, which take half a millisecond a row."""
    if isinstance(step, FeatureUnion) and [type(part) for _, part in step.transformer_list[1:]] == [MissingIndicator]:
        fill = _transform(step.transformer_list[0][1])
        return lambda X: np.hstack([fill(X), np.isnan(X)])
    if not isinstance(step, SimpleImputer | KNNImputer) or step.add_indicator:
        return step.transform

    def impute(X: np.ndarray) -> np.ndarray:
        missing = np.isnan(X)
        if not missing.any():
            return X
        return np.where(missing, step.statistics_, X) if isinstance(step, SimpleImputer) else step.transform(X)

    return impute


def _predict_proba(classifier: Any) -> Scorer:
    return lambda X: classifier.predict_proba(X)[:, 1]


def _sum_of_trees(classifier: Any, calibrated: CalibratedClassifierCV | None, n_threads: int) -> Scorer | None:
    """Return what adds up a forest's trees in scikit-learn's order, to the same last digit; None if it is no forest."""
    if not isinstance(classifier, RandomForestClassifier | ExtraTreesClassifier):
        return None
    trees = [tree.tree_ for tree in classifier.estimators_]
    correct = corrector(calibrated) if calibrated else None
    pool = ThreadPoolExecutor(n_threads, "trees")
    parts = np.array_split(np.arange(len(trees)), n_threads)

    def answer(numbers: np.ndarray, seen: np.ndarray, answers: np.ndarray) -> None:
        for i in numbers:
            answers[i] = trees[i].predict(seen)[:, 1]

    def mean(seen: np.ndarray) -> np.ndarray:
        answers = np.empty((len(trees), len(seen)))
        if n_threads > 1 and len(seen) >= _SHARED_FROM:
            list(pool.map(lambda numbers: answer(numbers, seen, answers), parts))
        else:
            answer(np.arange(len(trees)), seen, answers)
        total = np.zeros(len(seen))
        for of_tree in answers:  # one after the other: `sum` may pair them
            total += of_tree
        return total / len(trees)

    def score(X: np.ndarray) -> np.ndarray:
        seen = X.astype(np.float32)
        y_score = np.empty(len(seen))
        for start in range(0, len(seen), _BLOCK):
            y_score[start : start + _BLOCK] = mean(seen[start : start + _BLOCK])
        return correct(y_score) if correct else y_score

    return score


def _without_names(step: Any) -> Any:
    """Return a step that takes arrays, and does not warn that it was fitted on columns with names."""
    step = copy.copy(step)
    if isinstance(step, FeatureUnion):
        step.transformer_list = [(name, _without_names(part)) for name, part in step.transformer_list]
    elif hasattr(step, "feature_names_in_"):
        del step.feature_names_in_
    return step


def _compile(classifier: Any, calibrated: CalibratedClassifierCV | None) -> Scorer | None:
    """Return what scores rows with a classifier's trees; None if treelite does not know the class."""
    import treelite

    try:
        trees = treelite.sklearn.import_model(classifier)
    except treelite.TreeliteError:
        return None
    # scikit-learn's trees see their features as float32, those of its histogram boosting as float64.
    dtype = np.float64 if isinstance(classifier, HistGradientBoostingClassifier) else np.float32
    correct = quick_corrector(calibrated) if calibrated else None
    of_margins = correct is not None and hasattr(classifier, "decision_function")  # what scikit-learn calibrates

    def score(X: np.ndarray) -> np.ndarray:
        seen = X.astype(dtype).astype(np.float64)
        # Forests answer with both classes, boosting with the positive one.
        answers = treelite.gtil.predict(trees, seen, nthread=1, pred_margin=of_margins).reshape(len(X), -1)[:, -1]
        return correct(answers) if correct else answers

    return score


def _crossover(plain: Scorer, native: Scorer, rows: np.ndarray) -> int:
    """Return the largest of the timed sizes up to which the native form is the faster one; 0 if it never is."""
    up_to = 0
    for size in _SIZES:
        X = np.resize(rows, (size, rows.shape[1]))
        if _seconds(native, X) >= _seconds(plain, X):
            break
        up_to = size
    return up_to


def _seconds(scorer: Scorer, X: np.ndarray) -> float:
    """Return the shortest of some times that scoring `X` takes: the least disturbed one."""
    best = float("inf")
    for _ in range(_N_ROUNDS):
        started = time.thread_time()
        scorer(X)
        best = min(best, time.thread_time() - started)
    return best
