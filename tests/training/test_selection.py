import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from networksecurity.data.schema import to_X_y
from networksecurity.data.splitting import assign_folds
from networksecurity.data.vectors import vector_codes
from networksecurity.training import selection
from networksecurity.training.candidates import CANDIDATES, Candidate
from networksecurity.training.search import GridPoint, SearchResult, search

COSTS = {"cheap": 1, "middling": 2, "dear": 3}


def result(name, scores):
    return SearchResult(
        candidate=name,
        scoring="f1",
        grid=(
            GridPoint(
                params={},
                mean_test_score=float(np.mean(scores)),
                std_test_score=float(np.std(scores)),
                rank_test_score=1,
                split_test_scores=tuple(map(float, scores)),
                mean_fit_time=0.0,
            ),
        ),
        n_fits=len(scores),
        seconds=0.0,
    )


def around(mean, deviations=(0.004, -0.004, 0.0, 0.006, -0.006, 0.002, -0.002, 0.003, -0.003)):
    return mean + np.array(deviations)


FLAT = [0.0] * 9


def test_the_cheapest_model_within_one_standard_error_of_the_best_wins():
    found = selection.compare(
        [result("dear", around(0.950, FLAT)), result("middling", around(0.949)), result("cheap", around(0.900))],
        COSTS,
        n_splits=3,
    )
    assert [(of.model, of.verdict) for of in found.standings] == [
        ("middling", "tied with the best"),
        ("dear", "best"),
        ("cheap", "behind"),
    ]
    assert found.sentence() == (
        "middling is the cheapest model that is tied with the best, dear: mean f1 over 3 repeats of 3 folds 0.9490 "
        "against 0.9500, a difference of -0.0010 with a standard error of 0.0032."
    )


def test_a_model_beyond_one_standard_error_of_the_best_does_not_win_however_cheap():
    found = selection.compare([result("dear", around(0.95, FLAT)), result("cheap", around(0.946))], COSTS, n_splits=3)
    assert [of.verdict for of in found.standings] == ["best", "behind"]
    assert found.sentence() == (
        "dear has the highest mean f1 over 3 repeats of 3 folds, 0.9500; no other model is tied with it."
    )


def test_a_dearer_model_that_is_tied_is_named_and_does_not_win():
    found = selection.compare([result("dear", around(0.949)), result("cheap", around(0.95, FLAT))], COSTS, n_splits=3)
    assert found.standings[0].model == "cheap"
    assert "; dear, tied with it, cost more." in found.sentence()


def test_the_standard_error_is_that_of_paired_scores_corrected_for_overlapping_training_sets():
    best, other = around(0.95, FLAT), around(0.94)
    standing = selection.compare([result("dear", best), result("cheap", other)], COSTS, n_splits=3).of("cheap")
    uncorrected = (other - best).mean() / ttest_rel(other, best).statistic
    assert standing.standard_error == pytest.approx(uncorrected * np.sqrt((1 / 9 + 1 / 2) / (1 / 9)))
    assert standing.difference == pytest.approx(-0.01)


@given(st.lists(st.lists(st.floats(0, 1), min_size=6, max_size=6), min_size=1, max_size=3), st.randoms())
def test_the_winner_is_never_behind_and_does_not_depend_on_the_order_of_the_models(scores, random):
    repeated = [result(name, of) for name, of in zip(COSTS, scores, strict=False)]
    found = selection.compare(repeated, COSTS, n_splits=3)
    random.shuffle(repeated)
    assert selection.compare(repeated, COSTS, n_splits=3) == found
    assert sum(of.verdict == "best" for of in found.standings) == 1
    assert max(of.mean_score for of in found.standings) == next(
        of.mean_score for of in found.standings if of.verdict == "best"
    )
    winner = found.standings[0]
    assert winner.verdict != "behind"
    assert not [of for of in found.standings if of.verdict != "behind" and COSTS[of.model] < COSTS[winner.model]]


def test_a_model_without_a_score_is_not_compared():
    broken = result("cheap", [np.nan] * 9)
    found = selection.compare([result("dear", around(0.9)), broken], COSTS, n_splits=3)
    assert [of.model for of in found.standings] == ["dear"]
    assert selection.compare([broken], COSTS, n_splits=3) is None
    assert selection.contenders([result("dear", [0.9, 0.91, 0.92]), broken])[0].candidate == "dear"


def test_only_a_model_that_is_far_behind_in_the_search_is_not_compared_again():
    ranked = [
        result("dear", [0.95, 0.94, 0.96]),
        result("middling", [0.94, 0.93, 0.955]),
        result("cheap", [0.90, 0.89, 0.905]),
    ]
    assert [of.candidate for of in selection.contenders(ranked)] == ["dear", "middling"]
    same = [result(name, [0.9, 0.9, 0.9]) for name in COSTS]
    assert selection.contenders(same) == same
    assert selection.contenders(ranked[:1]) == ranked[:1]


def test_models_that_were_not_compared_follow_in_the_order_of_the_search():
    ranked = [result(name, [score] * 9) for name, score in (("dear", 0.95), ("middling", 0.949), ("cheap", 0.9))]
    found = selection.compare([ranked[0], ranked[1]], COSTS, n_splits=3)
    assert [of.candidate for of in selection.order(ranked, found)] == ["dear", "middling", "cheap"]
    found = selection.compare([result("dear", around(0.95, FLAT)), result("middling", around(0.949))], COSTS, 3)
    assert [of.candidate for of in selection.order(ranked, found)] == ["middling", "dear", "cheap"]
    assert selection.order(ranked, None) == ranked


def test_repeated_folds_are_grouped_and_are_other_folds_than_the_searchs(rows):
    folds = selection.repeated_folds(rows, n_splits=3, n_repeats=4, random_state=5)
    assert folds.shape == (len(rows), 4)
    assert (pd.DataFrame(folds).groupby(vector_codes(rows)).nunique() == 1).all(axis=None)
    columns = [assign_folds(rows, random_state=5), *folds.T]
    assert len({column.tobytes() for column in columns}) == 5
    np.testing.assert_array_equal(selection.repeated_folds(rows, n_repeats=2, random_state=5), folds[:, :2])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_point_scored_again_has_the_scores_of_a_search_on_each_set_of_folds(rows, n_jobs):
    X, y = to_X_y(rows)
    folds = selection.repeated_folds(rows, n_repeats=2)
    params = {"learning_rate": 0.1, "subsample": 0.7, "n_estimators": 8}
    again = selection.score_again(CANDIDATES["Gradient Boosting"], params, X, y, folds, n_jobs=n_jobs)
    point = Candidate(
        "Gradient Boosting",
        CANDIDATES["Gradient Boosting"].estimator,
        {name: (value,) for name, value in params.items()},
        cost=1,
    )
    alone = [score for of in folds.T for score in search(point, X, y, of).best.split_test_scores]
    assert again.best.split_test_scores == tuple(alone)
    assert again.best.params == params


def test_a_selection_survives_json():
    found = selection.compare([result("dear", around(0.95)), result("cheap", around(0.949))], COSTS, n_splits=3)
    assert selection.Selection.model_validate_json(found.model_dump_json()) == found
