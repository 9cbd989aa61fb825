import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import f1_score

from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURE_GROUPS, FEATURES
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.training.candidates import CANDIDATES
from networksecurity.training.intervals import intervals
from networksecurity.training.known_features import KnownFeatures, KnownSet, evaluate_known
from networksecurity.training.search import fit_best


@pytest.fixture(scope="module")
def sides():
    return split(validate(make_phishing_websites(2000, random_state=0)).accepted)


@pytest.fixture(scope="module")
def model(sides):
    X, y = WEBSITES.to_X_y(sides.train)
    return fit_best(CANDIDATES["Decision Tree"], {}, X, y, feature_groups=FEATURE_GROUPS)


@pytest.fixture(scope="module")
def known(model, sides):
    return evaluate_known(model, sides.test, floor=0.8)


def test_each_figure_is_that_of_the_test_rows_with_the_other_features_missing(known, model, sides):
    X, y = WEBSITES.to_X_y(sides.test)
    assert len(known.sets) == 31
    for of in known.sets:
        hidden = X.copy()
        for group, names in FEATURE_GROUPS.items():
            if group not in of.groups:
                hidden[list(names)] = np.nan
        y_pred = model.predict(hidden)
        assert of.f1_score == f1_score(y, y_pred)
        assert (of.f1_low, of.f1_high) == intervals(y, y_pred, WEBSITES.groups(sides.test))["f1_score"]
        assert of.n_features == hidden.notna().sum(axis=1).max()
    assert KnownFeatures.model_validate_json(known.model_dump_json()) == known


class Counting(ClassifierMixin, BaseEstimator):
    def __init__(self):
        self.asked = []

    def predict_proba(self, X):
        self.asked.append(X)
        return np.eye(2)[(X["port"] == -1).to_numpy("int8")]


def test_of_rows_that_look_the_same_one_is_predicted(sides):
    counting = Counting()
    evaluate_known(counting, sides.test)
    assert not any(X.duplicated().any() for X in counting.asked)
    assert min(map(len, counting.asked)) < 10


def test_rows_of_a_contract_without_groups_of_features_have_no_table(model):
    assert evaluate_known(model, pd.DataFrame(), contract=Addresses()) is None


def nearest_by_trying(known, row):
    """Return F1 of the largest set of which every feature is known; NaN if there is none."""
    present = set(row.index[row.notna()])
    within = [of for of in known.sets if {name for group in of.groups for name in FEATURE_GROUPS[group]} <= present]
    return max(within, key=lambda of: of.n_features).f1_score if within else np.nan


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1])
def test_a_row_is_judged_by_the_largest_set_that_is_whole(known, sides, share):
    rng = np.random.default_rng(0)
    X = WEBSITES.to_X(sides.test).head(150)
    X = X.mask(rng.random(X.shape) < share)
    for group in FEATURE_GROUPS.values():
        X = X.mask((rng.random((len(X), 1)) < 0.2) & X.columns.isin(list(group)))
    found = known.judge(X)
    assert found.n_known.tolist() == X.notna().sum(axis=1).tolist()
    expected = np.array([nearest_by_trying(known, row) for _, row in X.iterrows()])
    np.testing.assert_array_equal(found.f1, expected.round(4))
    complete = X.notna().all(axis=1).to_numpy()
    np.testing.assert_array_equal(found.is_unsure, ~complete & ~(expected >= 0.8))
    np.testing.assert_array_equal(known.judge(X.to_numpy()).f1, found.f1)


def test_a_row_of_which_everything_is_known_is_never_left_to_a_person_for_that(known, sides):
    complete = WEBSITES.to_X(sides.test).head(3)
    strict = known.model_copy(update={"floor": 1.0})
    assert not strict.judge(complete).is_unsure.any()
    assert strict.judge(complete.assign(port=np.nan)).is_unsure.all()


def test_of_two_sets_that_are_as_large_the_worse_one_counts():
    figures = {"f1_low": 0.1, "f1_high": 0.9}
    sets = tuple(
        KnownSet(groups=groups, n_features=n, f1_score=f1, **figures)
        for groups, n, f1 in ((("a", "b", "c"), 3, 0.9), (("a",), 1, 0.7), (("b",), 1, 0.6))
    )
    groups = {"a": ("x",), "b": ("y",), "c": ("z",)}
    known = KnownFeatures(columns=("x", "y", "z"), groups=groups, floor=0.65, sets=sets)
    found = known.judge(np.array([[1, 1, np.nan], [1, np.nan, np.nan], [np.nan, np.nan, 1], [np.nan] * 3]))
    np.testing.assert_array_equal(found.f1, [0.6, 0.7, np.nan, np.nan])
    assert found.n_known.tolist() == [2, 1, 1, 0]
    assert found.is_unsure.tolist() == [True, False, True, True]


def test_reports_show_the_sets_with_the_first_group(known):
    table = known.to_table()
    assert [row["known"] for row in table][:2] == ["everything", "all but ended services"]
    assert table[-1]["known"] == "only address"
    assert table[-1]["features"] == "9"
    assert table[-1]["label"] == "unsure"
    assert len(table) == 16
    n_unsure = sum(row["label"] == "unsure" for row in table)
    assert f"{n_unsure} of 15 such sets are below 0.8" in known.sentence()
    assert len(known.metrics()) == 30
    assert known.metrics()["when_known_f1/address"] == known.sets[-5].f1_score
    assert known.columns == tuple(FEATURES)
