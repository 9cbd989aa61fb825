import functools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_info

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.splitting import assign_folds
from networksecurity.data.validation import validate
from networksecurity.exceptions import ConfigurationError
from networksecurity.training.candidates import CANDIDATES, STEP, Candidate, get_candidate, make_pipeline
from networksecurity.training.search import (
    SearchResult,
    available_cores,
    cv_results,
    fit_best,
    search,
)
from networksecurity.training.selection import rank

SCORINGS = ["f1", "roc_auc", "neg_log_loss"]
"""Of each way in which scikit-learn asks a model one: by labels, in order, and by probabilities."""
OTHER_SCORINGS = ["precision", "recall", "accuracy", "balanced_accuracy", "average_precision"]
# Small enough to be searched twice; sizes beyond the point where AdaBoost may stop are among them.
GRIDS = {
    "Random Forest": {"n_estimators": (4, 9)},
    "Extra Trees": {"n_estimators": (4, 9)},
    "Gradient Boosting": {"learning_rate": (0.1, 0.01), "subsample": (0.6, 1.0), "n_estimators": (3, 12, 5)},
    "AdaBoost": {"learning_rate": (1.0, 0.1), "n_estimators": (2, 10, 5)},
    "Hist Gradient Boosting": {"learning_rate": (0.1,), "max_iter": (3, 6)},
}


@pytest.fixture(scope="module")
def data():
    frame = make_phishing_websites(900, random_state=2).astype("Int8")
    rng = np.random.default_rng(0)
    for name in frame.columns[:-1]:
        frame.loc[rng.random(len(frame)) < 0.03, name] = None
    accepted = validate(frame).accepted
    X, y = to_X_y(accepted)
    return X, y, assign_folds(accepted)


def small(name):
    candidate = CANDIDATES[name]
    return Candidate(
        name, candidate.estimator, GRIDS.get(name, candidate.param_grid), candidate.cost, params=candidate.params
    )


@pytest.fixture(scope="module")
def plain_grid(data):
    """Return what has GridSearchCV search the grid of a candidate, once for every scoring."""
    X, y, test_fold = data

    @functools.cache
    def find(name):
        candidate = small(name)
        grid = {f"{STEP}__{param}": values for param, values in candidate.param_grid.items()}
        how = {"cv": PredefinedSplit(test_fold), "scoring": SCORINGS + OTHER_SCORINGS, "refit": False}
        return GridSearchCV(make_pipeline(candidate), grid, **how).fit(X, y).cv_results_

    return find


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")  # of the plain grid
@pytest.mark.parametrize(
    ("name", "scoring"), [*product(CANDIDATES, SCORINGS), *product(["Gradient Boosting"], OTHER_SCORINGS)]
)
def test_scores_are_those_of_the_plain_grid(data, plain_grid, name, scoring):
    found, expected = search(small(name), *data, scoring=scoring), plain_grid(name)
    mean, std, rank = (expected[f"{kind}_test_{scoring}"] for kind in ("mean", "std", "rank"))
    params = [{param.removeprefix(f"{STEP}__"): value for param, value in of.items()} for of in expected["params"]]
    assert [point.params for point in found.grid] == params
    assert [point.mean_test_score for point in found.grid] == pytest.approx(list(mean), abs=1e-9)
    assert [point.std_test_score for point in found.grid] == pytest.approx(list(std), abs=1e-9)
    assert [point.rank_test_score for point in found.grid] == list(rank)
    assert found.best.params == params[rank.argmin()]  # as GridSearchCV chooses


def test_fits_are_shared_where_they_can_be(data):
    X, y, test_fold = data
    assert search(small("Gradient Boosting"), X, y, test_fold).n_fits == 4 * 3
    assert search(small("Random Forest"), X, y, test_fold).n_fits == 3
    assert search(small("Decision Tree"), X, y, test_fold).n_fits == 3 * 3


def test_a_model_that_may_stop_early_is_fitted_at_each_size(data):
    X, y, test_fold = data
    stopping = Candidate(
        "Stopping",
        "sklearn.ensemble:GradientBoostingClassifier",
        {"n_estimators": (3, 30)},
        cost=1,
        params={"n_iter_no_change": 1, "tol": 0.01},
    )
    found = search(stopping, X, y, test_fold)
    assert found.n_fits == 2 * 3
    assert isinstance(make_pipeline(stopping)[-1], GradientBoostingClassifier)


def candidate_of(name, grid, **params):
    return Candidate(name, CANDIDATES[name].estimator, grid, cost=1, params=params)


def plain_grid_search(candidate, X, y, test_fold, scoring="f1"):
    """Return GridSearchCV's `cv_results_` of the candidate's grid, NumPy's values among its parameters included."""
    grids = [candidate.param_grid] if isinstance(candidate.param_grid, dict) else candidate.param_grid
    return (
        GridSearchCV(
            make_pipeline(candidate),
            [{f"{STEP}__{name}": values for name, values in grid.items()} for grid in grids],
            cv=PredefinedSplit(test_fold),
            scoring=scoring,
            refit=False,
        )
        .fit(X.to_numpy(), y)
        .cv_results_
    )


def assert_same(found, expected):
    assert [{f"{STEP}__{name}": value for name, value in point.params.items()} for point in found.grid] == list(
        expected["params"]
    )
    for figure in ("mean_test_score", "std_test_score", "rank_test_score"):
        np.testing.assert_allclose([getattr(point, figure) for point in found.grid], expected[figure], atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")  # once by each search, once by GridSearchCV
@pytest.mark.filterwarnings("ignore:.* scores are non-finite:UserWarning")
@pytest.mark.parametrize(
    ("name", "params", "grid"),
    [
        ("Gradient Boosting", {}, {"max_depth": (3, 0), "n_estimators": (3, 5)}),
        ("Gradient Boosting", {}, {"n_estimators": (0, 5, 3)}),
        ("Gradient Boosting", {}, {"n_estimators": (5, "many", 3.0, None, 2)}),
        ("AdaBoost", {"estimator": DecisionTreeClassifier()}, {"estimator__max_depth": (1, 0), "n_estimators": (2, 3)}),
        ("Decision Tree", {}, {"criterion": ("gini", "giny"), "max_depth": (3,)}),
    ],
)
def test_a_grid_point_that_cannot_be_fitted_is_ranked_last_as_in_the_plain_grid(data, name, params, grid):
    candidate = candidate_of(name, grid, **params)
    found = search(candidate, *data)
    assert_same(found, plain_grid_search(candidate, *data))
    assert np.isnan(max(found.grid, key=lambda point: point.rank_test_score).mean_test_score)
    assert found.best.mean_test_score > 0.5


def test_a_grid_point_that_cannot_be_fitted_is_warned_of(data):
    with (
        pytest.warns(FitFailedWarning, match="'max_depth' parameter of Gradient"),
        pytest.warns(UserWarning, match="scores are non-finite"),
    ):
        search(candidate_of("Gradient Boosting", {"max_depth": (3, 0), "n_estimators": (3, 5)}), *data)


@pytest.mark.parametrize(
    ("name", "grid", "wrong"),
    [
        ("Random Forest", {"min_samples_leaf": (0.0,)}, "'min_samples_leaf' parameter of RandomForest"),
        ("Hist Gradient Boosting", {"learning_rate": (-1.0,)}, "'learning_rate' parameter of HistGradient"),
        ("Decision Tree", {"depth": (1,)}, "Invalid parameter 'depth' for estimator DecisionTree"),
        ("Random Forest", {"depth": (1,)}, "Invalid parameter 'depth' for estimator RandomForest"),
        ("Decision Tree", {"max_depth": ()}, "non-empty sequence"),
    ],
)
def test_a_grid_without_a_valid_point_is_refused_in_the_words_of_scikit_learn(data, name, grid, wrong):
    with pytest.raises(ValueError, match=wrong):
        search(candidate_of(name, grid), *data)


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("Decision Tree", [{"criterion": ("gini", "entropy")}, {"max_depth": (2, 3)}, {}]),
        (
            "Gradient Boosting",
            [
                {"learning_rate": (0.1, 0.3), "n_estimators": (2, 9)},
                {"n_estimators": (12, 4), "max_depth": (2,)},
                {"n_iter_no_change": (None, 1), "tol": (0.01,), "n_estimators": (3, 30)},
            ],
        ),
    ],
)
def test_a_list_of_grids_is_searched_as_by_the_plain_grid(data, name, grids):
    candidate = candidate_of(name, grids)
    found = search(candidate, *data)
    assert_same(found, plain_grid_search(candidate, *data))
    if name == "Gradient Boosting":
        assert found.n_fits == (2 + 1 + 1 + 2) * 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")  # of the plain grid
@pytest.mark.filterwarnings("ignore:.* scores are non-finite:UserWarning")
@pytest.mark.parametrize("name", ["Decision Tree", "Gradient Boosting", "Random Forest"])
def test_a_score_that_is_not_a_number_ranks_its_points_as_in_the_plain_grid(data, name):
    X, y, test_fold = data
    one_class = np.where(y == 1, test_fold, np.minimum(test_fold, 1))  # the last fold holds phishing only
    candidate = small(name)
    found = search(candidate, X, y, one_class, scoring="roc_auc")
    assert_same(found, plain_grid_search(candidate, X, y, one_class, scoring="roc_auc"))
    assert {point.rank_test_score for point in found.grid} == {1}
    assert np.isnan(found.best.mean_test_score)
    text = found.model_dump_json()
    assert SearchResult.model_validate_json(text).model_dump_json() == text
    assert "NaN" in text
    finite = search(candidate, *data, scoring="roc_auc")
    costs = {candidate.name: candidate.cost}
    assert rank([found, finite], costs) == [finite, found]


def test_a_scorer_that_fails_is_warned_of_and_ranks_its_points_last(data):
    # Ridge has no probabilities.
    candidate = Candidate("Ridge", "sklearn.linear_model:RidgeClassifier", {"alpha": (1.0, 2.0)}, cost=1)
    with (
        pytest.warns(UserWarning, match=r"Scoring failed[\s\S]*none of the following attributes: predict_proba"),
        pytest.warns(UserWarning, match="scores are non-finite"),
    ):
        found = search(candidate, *data, scoring="neg_log_loss")
    assert [(point.rank_test_score, np.isnan(point.mean_test_score)) for point in found.grid] == [(1, True)] * 2


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("Gradient Boosting", {"learning_rate": np.array([0.1, 0.3]), "n_estimators": np.array([2, 5])}),
        ("Decision Tree", {"max_depth": np.arange(2, 4), "criterion": np.array(["gini", "entropy"])}),
        ("Random Forest", {"n_estimators": (4,), "bootstrap": np.array([True, False])}),
    ],
)
def test_grid_points_of_numpy_values_are_plain_values(data, name, grid):
    candidate = candidate_of(name, grid)
    found = search(candidate, *data)
    assert_same(found, plain_grid_search(candidate, *data))
    assert {type(value) for point in found.grid for value in point.params.values()} <= {int, float, bool, str}
    assert SearchResult.model_validate_json(found.model_dump_json()) == found
    cv_results([found])


def test_boosting_that_ends_early_is_scored_at_every_size():
    # AdaBoost stops at its first stage on separable data; a plain grid gives the same score for every size.
    X, y = make_classification(
        200,
        n_features=30,
        n_informative=1,
        n_redundant=0,
        n_clusters_per_class=1,
        class_sep=9,
        flip_y=0,
        random_state=0,
    )
    accepted = validate(make_phishing_websites(200, random_state=0)).accepted
    frame, _ = to_X_y(accepted)
    frame.iloc[:, :] = X
    found = search(small("AdaBoost"), frame, y, np.repeat([-1, 0], 100))
    assert {point.mean_test_score for point in found.grid} == {found.best.mean_test_score}


def test_processes_do_not_change_the_result(data):
    X, y, test_fold = data
    seen = []
    in_processes = search(small("AdaBoost"), X, y, test_fold, n_jobs=2, on_progress=seen.append)
    alone = search(small("AdaBoost"), X, y, test_fold)
    assert [point.split_test_scores for point in in_processes.grid] == [point.split_test_scores for point in alone.grid]
    assert [seen[0].n_done, seen[-1].n_done] == [0, alone.n_fits]
    assert seen[-1].share == 1
    assert seen[-1].best_score == pytest.approx(alone.best.mean_test_score)


class ThreadCounter(DummyClassifier):
    """Write down, at each fit, its process and the threads that BLAS and OpenMP would take."""

    def __init__(self, notes="", strategy="prior"):
        super().__init__(strategy=strategy)
        self.notes = notes

    def fit(self, X, y):
        pools = {pool["num_threads"] for pool in threadpool_info()} | {_openmp_effective_n_threads()}
        with Path(self.notes).open("a") as notes:
            notes.write(f"{os.getpid()} {max(pools)}\n")
        return super().fit(X, y)


@pytest.fixture
def counter(tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the pool's processes cannot import a test
    yield Candidate(
        "Counter",
        f"{__name__}:ThreadCounter",
        {"strategy": ("prior", "most_frequent", "stratified")},
        cost=1,
        params={"notes": str(tmp_path / "notes")},
    )
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_fit_of_a_budget_has_one_thread(data, counter, n_jobs):
    X, y, test_fold = data
    with ThreadPoolExecutor(n_jobs) as threads:  # on a single core the fits run in the thread, so one at a time
        list(threads.map(lambda _: search(counter, X, y, test_fold, n_jobs=n_jobs), range(3)))
    notes = [line.split() for line in Path(counter.params["notes"]).read_text().splitlines()]
    assert len(notes) == 3 * 9
    assert len({process for process, _ in notes}) <= n_jobs
    assert {n_threads for _, n_threads in notes} == {"1"}


def test_a_result_survives_json(data):
    X, y, test_fold = data
    result = search(small("Decision Tree"), X, y, test_fold)
    assert SearchResult.model_validate_json(result.model_dump_json()) == result


def test_the_better_candidate_is_selected_then_the_cheaper(data):
    X, y, test_fold = data
    tree = search(small("Decision Tree"), X, y, test_fold)
    forest = search(small("Random Forest"), X, y, test_fold)
    tied = forest.model_copy(update={"grid": tree.grid})
    costs = {name: candidate.cost for name, candidate in CANDIDATES.items()}
    assert [result.candidate for result in rank([tied, tree], costs)] == ["Decision Tree", "Random Forest"]
    better = max((tree, forest), key=lambda result: result.best.mean_test_score)
    assert rank([tree, forest], costs)[0] is better


@pytest.mark.parametrize("imputer", ["most_frequent", "knn"])
def test_a_fitted_winner_predicts_rows_with_missing_values(data, imputer):
    X, y, _ = data
    X = X.assign(SFH=np.nan)  # even a feature that no training row has
    model = fit_best(CANDIDATES["Decision Tree"], {"criterion": "gini"}, X, y, imputer=imputer)
    assert model.n_features_in_ == 30
    assert model.predict_proba(X).shape == (len(X), 2)


def test_an_unknown_candidate_is_refused_with_a_list_of_the_known():
    with pytest.raises(ConfigurationError, match="no model 'SVM'; known are Random Forest, Decision Tree"):
        get_candidate("SVM")


def test_the_last_fit_has_the_threads_it_is_given(data, counter):
    X, y, _ = data
    fit_best(counter, {}, X, y, n_threads=1)
    assert Path(counter.params["notes"]).read_text().split()[1] == "1"


def test_the_core_budget_is_a_limit():
    assert available_cores(1) == 1
    assert available_cores(10_000) == available_cores()
