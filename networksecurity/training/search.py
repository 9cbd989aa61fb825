"""The search of one candidate's grid by cross-validation: scikit-learn's GridSearchCV, with shared fits.

Points that differ in `n_estimators` only share one fit (`shared_fits`). Scores, ranks, warnings and errors are those of
the plain GridSearchCV at a fraction of the work.
"""

import contextvars
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

import joblib
import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, ParameterGrid, PredefinedSplit, check_cv, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from networksecurity.training.candidates import DECISION_THRESHOLD, STEP, Candidate, Imputer, make_pipeline
from networksecurity.training.masking import FeatureGroups, show_masked
from networksecurity.training.pool import MakeBackend, fitting
from networksecurity.training.shared_fits import MADE_OF_STAGES, FitPlan, SharedScorer, mark, plan_fits

_SECONDS_BETWEEN_REPORTS = 1.0


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is."""

    n_done: int
    """Fits done."""
    n_fits: int
    """Fits in all."""
    best_score: float | None = None
    """The best mean score of the points that are scored on every fold; None as long as there is none, and where fits
    run elsewhere, which do not tell."""

    @property
    def share(self) -> float:
        """Return the share of fits done, in [0, 1]."""
        return min(1.0, self.n_done / self.n_fits)


class GridPoint(BaseModel, frozen=True, ser_json_inf_nan="constants"):
    """One point of a grid and its cross-validated scores."""

    params: dict[str, Any]
    """In plain Python values."""
    mean_test_score: float
    """NaN if a fit or a score failed."""
    std_test_score: float
    rank_test_score: int
    split_test_scores: tuple[float, ...]
    mean_fit_time: float
    """Seconds of one fit; points that share a fit all carry its whole time."""

    def scores(self) -> dict[str, float]:
        """Return the scores under the names of GridSearchCV's `cv_results_`."""
        return {
            "mean_test_score": self.mean_test_score,
            "std_test_score": self.std_test_score,
            "rank_test_score": self.rank_test_score,
            **{f"split{fold}_test_score": score for fold, score in enumerate(self.split_test_scores)},
            "mean_fit_time": self.mean_fit_time,
        }


class SearchResult(BaseModel, frozen=True, ser_json_inf_nan="constants"):
    """The outcome of one candidate's search."""

    candidate: str
    scoring: str
    grid: tuple[GridPoint, ...]
    """In the order of `sklearn.model_selection.ParameterGrid`."""
    n_fits: int
    """Fits done: fewer than grid points times folds where fits are shared."""
    seconds: float
    """Wall time of the search."""

    @property
    def best(self) -> GridPoint:
        """The first of the best points, as in GridSearchCV."""
        return min(self.grid, key=lambda point: point.rank_test_score)


def available_cores(limit: int | None = None) -> int:
    """Return how many cores this process may use (by affinity and cgroup), at most `limit`."""
    cores = joblib.cpu_count()
    return min(cores, limit) if limit else cores


def search(
    candidate: Candidate,
    X: pd.DataFrame,
    y: np.ndarray,
    test_fold: np.ndarray,
    *,
    scoring: str = "f1",
    imputer: Imputer = "most_frequent",
    random_state: int = 0,
    n_jobs: int = 1,
    backend: MakeBackend | None = None,
    on_progress: Callable[[SearchProgress], None] | None = None,
) -> SearchResult:
    """Score every point of a candidate's grid by cross-validation.

    A point whose fit or score fails is ranked last, with a warning, as by GridSearchCV.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        1 is phishing.
    test_fold : ndarray of shape (n_samples,) or (n_samples, n_repeats)
        The fold in which each row is scored, from 0; -1 for a row that is in none. Each column is a cross-validation.
    scoring : str, default="f1"
        Any scorer name of `sklearn.metrics.get_scorer_names` for classification; greater is better.
    imputer, random_state
        As for `candidates.make_pipeline`.
    n_jobs : int, default=1
        Processes. Searches that run at the same time in threads share one pool, and must all ask for the same number.
    backend : callable, optional
        Runs the fits elsewhere, in place of the processes.
    on_progress : callable, optional
        Called at the beginning, then about once a second from another thread, and at the end.

    Raises
    ------
    ValueError
        All fits failed, or the grid is not one: in scikit-learn's words.

    Examples
    --------
    >>> from networksecurity.data import sample, schema, splitting, validation
    >>> from networksecurity.training.candidates import CANDIDATES
    >>> rows = validation.validate(sample.make_phishing_websites(300, random_state=0)).accepted
    >>> X, y = schema.to_X_y(rows)
    >>> found = search(CANDIDATES["Decision Tree"], X, y, splitting.assign_folds(rows))
    >>> [point.params["criterion"] for point in found.grid]
    ['gini', 'entropy', 'log_loss']
    >>> found.best.mean_test_score > 0.8
    True
    """
    pipeline, rows = _after_stateless_steps(make_pipeline(candidate, imputer=imputer, random_state=random_state), X)
    points = _grid_points(candidate)
    plan = plan_fits(pipeline, points)
    cv = check_cv([split for repeat in np.atleast_2d(test_fold.T) for split in PredefinedSplit(repeat).split()])
    n_fits = len(plan.fits) * cv.get_n_splits()
    made_of_stages = isinstance(pipeline[-1], MADE_OF_STAGES)
    if made_of_stages:
        # A tree scans one feature of many rows at a time, which is faster if they are adjacent in memory.
        pipeline.steps.insert(-1, ("columns", FunctionTransformer(np.asfortranarray)))

    started = time.perf_counter()
    with ExitStack() as stack:
        # X comes from validated rows and an imputer: checking for infinite values in each of a fit's 256 stages costs
        # 5% of its time, validating each stage's parameters up to 15%. GridSearchCV passes this on to its processes.
        skip = made_of_stages and _are_valid(pipeline[-1], plan.fits, rows.shape[1])
        stack.enter_context(config_context(assume_finite=True, skip_parameter_validation=skip))
        marks = stack.enter_context(_progress(n_fits, cv.get_n_splits(), on_progress))
        stack.enter_context(fitting(n_jobs, backend, partial(mark, marks)))
        outcome = GridSearchCV(
            pipeline,
            [{name: [value] for name, value in fit.items()} for fit in plan.fits],
            scoring=SharedScorer(scoring, plan.sizes, None if backend else marks),
            cv=cv,
            n_jobs=-1 if backend else n_jobs,
            refit=False,
        ).fit(rows, y)
    return SearchResult(
        candidate=candidate.name,
        scoring=scoring,
        grid=_scored(points, plan, outcome.cv_results_, cv.get_n_splits()),
        n_fits=n_fits,
        seconds=time.perf_counter() - started,
    )


def _after_stateless_steps(pipeline: Pipeline, X: pd.DataFrame) -> tuple[Pipeline, pd.DataFrame | np.ndarray]:
    """Return the steps that learn, and `X` as the steps before them leave it: these need not run again in each fold."""
    if isinstance(pipeline[0], ColumnTransformer):  # which tells columns apart by their dtype
        return pipeline, X
    rows, steps = X.to_numpy(), list(pipeline.steps)
    while not get_tags(steps[0][1]).requires_fit:
        rows = steps.pop(0)[1].fit_transform(rows)
    return Pipeline(steps), rows


def _grid_points(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the points of a candidate's grid, in ParameterGrid's order; NumPy's scalars become plain, for JSON."""
    return [
        {f"{STEP}__{name}": value.item() if isinstance(value, np.generic) else value for name, value in point.items()}
        for point in ParameterGrid(candidate.param_grid)
    ]


def _are_valid(estimator: Any, fits: Sequence[Mapping[str, Any]], n_features: int) -> bool:
    """Return whether a model of one stage can be fitted with the parameters of every fit.

    If one cannot, the search leaves the judgement on each point to scikit-learn.
    """
    X, y = np.tile([[0.0], [1.0]], (10, n_features)), np.tile([0, 1], 10)
    for params in fits:
        of_one_stage = {name.removeprefix(f"{STEP}__"): value for name, value in params.items()}
        if type(of_one_stage.get("n_estimators")) is int:
            of_one_stage["n_estimators"] = min(1, of_one_stage["n_estimators"])
        try:
            clone(estimator).set_params(**of_one_stage).fit(X, y)
        except (TypeError, ValueError):
            return False
    return True


def _scored(
    points: Sequence[Mapping[str, Any]], plan: FitPlan, results: Mapping[str, Any], n_splits: int
) -> tuple[GridPoint, ...]:
    """Return the grid points with the scores of the fits that serve them, ranked as GridSearchCV ranks."""
    scores = np.array(
        [[results[f"split{fold}_test_{name}"][fit] for fold in range(n_splits)] for fit, name in plan.serving]
    )
    means = scores.mean(axis=1)
    failed = np.isnan(means)
    lowest = means[~failed].min(initial=0) - 1
    ranks = rankdata(-np.where(failed, lowest, means), method="min")
    return tuple(
        GridPoint(
            params={name.removeprefix(f"{STEP}__"): value for name, value in point.items()},
            mean_test_score=float(mean),
            std_test_score=float(of_folds.std()),
            rank_test_score=int(rank),
            split_test_scores=tuple(map(float, of_folds)),
            mean_fit_time=float(results["mean_fit_time"][fit]),
        )
        for point, (fit, _), of_folds, mean, rank in zip(points, plan.serving, scores, means, ranks, strict=True)
    )


def fit_best(
    candidate: Candidate,
    params: Mapping[str, Any],
    X: pd.DataFrame,
    y: np.ndarray,
    *,
    imputer: Imputer = "most_frequent",
    random_state: int = 0,
    threshold: float = DECISION_THRESHOLD,
    feature_groups: FeatureGroups = MappingProxyType({}),
    n_threads: int = 1,
) -> Pipeline:
    """Return the candidate's pipeline with the given parameters, fitted on all rows of `X` and `y`.

    The pipeline predicts phishing from `threshold` on. With `feature_groups` it is also shown a masked copy of each
    row: see `masking.show_masked`. A multi-threaded model (Hist Gradient Boosting) takes at most `n_threads` threads.
    """
    how = {"imputer": imputer, "random_state": random_state, "threshold": threshold}
    pipeline = make_pipeline(candidate, params, indicators=bool(feature_groups), **how)
    shown = show_masked(X, y, feature_groups, random_state=random_state)
    with threadpool_limits(n_threads):
        return pipeline.fit(shown.X, shown.y)


def out_of_fold_scores(
    candidate: Candidate,
    params: Mapping[str, Any],
    X: pd.DataFrame,
    y: np.ndarray,
    test_fold: np.ndarray,
    *,
    imputer: Imputer = "most_frequent",
    random_state: int = 0,
    feature_groups: FeatureGroups = MappingProxyType({}),
    n_jobs: int = 1,
    backend: MakeBackend | None = None,
) -> np.ndarray:
    """Return each row's probability of phishing, predicted by the candidate fitted on the other folds.

    Parameters
    ----------
    candidate, params, imputer, random_state, feature_groups
        As for `fit_best`. The masked copies of a row are in its fold.
    X, y, test_fold, n_jobs, backend
        As for `search`; each row is in a fold.

    Returns
    -------
    y_score : ndarray of shape (n_samples,)
    """
    how = {"imputer": imputer, "random_state": random_state, "indicators": bool(feature_groups)}
    shown = show_masked(X, y, feature_groups, random_state=random_state)
    pipeline, rows = _after_stateless_steps(make_pipeline(candidate, params, **how), shown.X)
    cv, n_jobs = PredefinedSplit(test_fold[shown.row]), -1 if backend else n_jobs
    with fitting(n_jobs, backend, lambda: None):
        return cross_val_predict(pipeline, rows, shown.y, cv=cv, method="predict_proba", n_jobs=n_jobs)[: len(X), 1]


def cv_results(results: Sequence[SearchResult]) -> pd.DataFrame:
    """Return every grid point of every search in one table, with the column names of GridSearchCV's `cv_results_`.

    Returns
    -------
    DataFrame of shape (n_points, n_columns)
        `model`, `params` (JSON), one `param_<name>` for each parameter of any model (missing if a model lacks it),
        `mean_test_score`, `std_test_score`, `rank_test_score` (within the model), `split<i>_test_score`,
        `mean_fit_time` (seconds).
    """
    rows = [
        {
            "model": result.candidate,
            "params": json.dumps(point.params),
            **{f"param_{name}": value for name, value in point.params.items()},
            **point.scores(),
        }
        for result in results
        for point in result.grid
    ]
    table = pd.DataFrame(rows).convert_dtypes()
    for name in table.select_dtypes(object):  # a parameter of several types, such as 0.5 and "sqrt"
        table[name] = table[name].map(str, na_action="ignore").astype("string")
    first = [name for name in table.columns if name in {"model", "params"} or name.startswith("param_")]
    return table[[*first, *table.columns.difference(first, sort=False)]]


@contextmanager
def _progress(n_fits: int, n_splits: int, on_progress: Callable[[SearchProgress], None] | None) -> Iterator[str | None]:
    """Yield the name of a file to which each fit adds one line, from any process, and report its growth."""
    if on_progress is None:
        yield None
        return
    done = Event()
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        marks = Path(folder) / "fits"
        marks.touch()

        def report_growth() -> None:
            seen = 0
            while not done.wait(_SECONDS_BETWEEN_REPORTS):
                if (size := marks.stat().st_size) > seen:
                    seen = size
                    on_progress(_read_marks(marks, n_fits, n_splits))

        on_progress(SearchProgress(0, n_fits))
        # The copied context carries the caller's own settings to `on_progress`.
        reporter = Thread(target=contextvars.copy_context().run, args=(report_growth,), daemon=True)
        reporter.start()
        try:
            yield str(marks)
        finally:
            done.set()
            reporter.join()
        on_progress(_read_marks(marks, n_fits, n_splits))


def _read_marks(marks: Path, n_fits: int, n_splits: int) -> SearchProgress:
    whole, _, _ = marks.read_text(encoding="utf-8").rpartition("\n")
    lines = whole.splitlines()
    by_point = defaultdict(list)
    for fit, scores in map(json.loads, lines):
        for name, score in scores.items():
            by_point[fit, name].append(score)
    means = [sum(scores) / n_splits for scores in by_point.values() if len(scores) == n_splits]
    return SearchProgress(len(lines), n_fits, max((mean for mean in means if isfinite(mean)), default=None))
