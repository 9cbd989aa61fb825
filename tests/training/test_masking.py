from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURE_GROUPS, FEATURES
from networksecurity.data.splitting import assign_folds
from networksecurity.data.validation import validate
from networksecurity.training.candidates import CANDIDATES, Candidate
from networksecurity.training.masking import MAX_SETS, hide, known_sets, show_masked
from networksecurity.training.search import fit_best, out_of_fold_scores

GROUPS = WEBSITES.feature_groups


@pytest.fixture(scope="module")
def accepted():
    return validate(make_phishing_websites(700, random_state=0)).accepted


@pytest.fixture(scope="module")
def data(accepted):
    return WEBSITES.to_X_y(accepted)


def known_of(row):
    """Return the groups without a missing value, and those without any value."""
    present = {group: row[list(names)].notna() for group, names in GROUPS.items()}
    return (
        tuple(group for group, of in present.items() if of.all()),
        tuple(group for group, of in present.items() if not of.any()),
    )


def test_each_feature_of_a_website_is_in_one_group():
    assert sorted(name for names in FEATURE_GROUPS.values() for name in names) == sorted(FEATURES)
    assert len(FEATURE_GROUPS["address"]) == 9
    assert Addresses().feature_groups == {}


def test_known_sets_are_all_subsets_but_the_empty_one_the_largest_first():
    subsets = [
        tuple(name for name, is_in in zip(GROUPS, choice, strict=True) if is_in)
        for choice in product([True, False], repeat=len(GROUPS))
    ]
    found = known_sets(GROUPS)
    assert sorted(found) == sorted(filter(None, subsets))
    assert [len(known) for known in found] == sorted(map(len, found), reverse=True)
    assert found[0] == tuple(GROUPS)


def test_of_many_groups_the_sets_in_which_little_is_missing_are_told_apart():
    found = known_sets({str(n): [f"x{n}"] for n in range(12)})
    assert len(found) == len(set(found)) == MAX_SETS
    assert {len(known) for known in found} == {12, 11, 10}


def test_hidden_groups_are_missing_and_the_others_unchanged(data):
    X, _ = data
    hidden = hide(X, GROUPS, ("address", "certificate"))
    kept = [*FEATURE_GROUPS["address"], "SSLfinal_State"]
    pd.testing.assert_frame_equal(hidden[kept], X[kept])
    assert hidden.drop(columns=kept).isna().all(axis=None)
    assert X.notna().all(axis=None)


def test_a_masked_copy_lacks_whole_groups_and_is_its_row_otherwise(data):
    X, y = data
    shown = show_masked(X, y, GROUPS)
    assert shown.row.tolist() == [*range(len(X)), *range(len(X))]
    pd.testing.assert_frame_equal(shown.X.head(len(X)), X)
    copies = shown.X.tail(len(X)).reset_index(drop=True)
    assert (shown.y == np.concatenate([y, y])).all()
    assert (copies.isna() | (copies == X)).all(axis=None)
    sets = set()
    for _, copy in copies.iterrows():
        known, hidden = known_of(copy)
        assert sorted([*known, *hidden]) == sorted(GROUPS)
        assert known
        assert hidden
        sets.add(known)
    assert sets == set(known_sets(GROUPS)[1:])


def test_masks_depend_on_the_seed_alone(data):
    X, y = data
    one, again, other = (show_masked(X, y, GROUPS, random_state=seed).X for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_rows_without_groups_of_features_are_shown_once(data):
    X, y = data
    for groups in ({}, {"all": tuple(X)}):
        shown = show_masked(X, y, groups)
        assert shown.X is X
        assert shown.y is y


class Remembering(ClassifierMixin, BaseEstimator):
    """Says phishing, for certain, of a row whose number it has been fitted on."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = np.unique(X[:, 0])
        return self

    def predict_proba(self, X):
        seen = np.isin(X[:, 0], self.seen_).astype(float)
        return np.column_stack([1 - seen, seen])

    def predict(self, X):
        return self.predict_proba(X)[:, 1]


def test_no_copy_of_a_row_is_learned_from_when_the_row_is_predicted_out_of_fold(accepted):
    # The row's number stands in a column of no group, which every copy keeps.
    n_rows = len(accepted)
    X = pd.DataFrame({"number": np.arange(n_rows, dtype=float), "a": 1.0, "b": 1.0})
    y = WEBSITES.to_y(accepted)
    candidate = Candidate("Remembering", f"{__name__}:Remembering", {}, cost=1)
    groups = {"first": ("a",), "second": ("b",)}
    y_score = out_of_fold_scores(candidate, {}, X, y, assign_folds(accepted), feature_groups=groups)
    assert y_score.tolist() == [0] * n_rows


@pytest.mark.parametrize("imputer", ["most_frequent", "knn"])
@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_is_fitted_on_masked_rows_with_columns_that_do_not_depend_on_them(data, name, imputer):
    X, y = data[0].head(300), data[1][:300]
    params = {"n_estimators": 8} if "n_estimators" in CANDIDATES[name].param_grid else {}
    groups = {"address": GROUPS["address"], "page": GROUPS["page"]}  # the other features are never missing
    model = fit_best(CANDIDATES[name], params, X, y, imputer=imputer, feature_groups=groups)
    assert model[:-1].transform(X).shape == (len(X), 60)
    only_address = hide(X, GROUPS, ("address",))
    y_score = model.predict_proba(only_address)
    assert np.isfinite(y_score).all()
    imputed = model[:-1].transform(only_address)
    assert np.isfinite(imputed).all()
    assert (imputed[:, 30:] == only_address.isna().to_numpy()).all()


def test_a_model_shown_masked_rows_finds_phishing_by_the_address_alone(real_data):
    from sklearn.metrics import f1_score

    from networksecurity.data.splitting import split

    train = split(validate(pd.read_csv(real_data)).accepted).train
    is_held_back = assign_folds(train) == 0
    X, y = WEBSITES.to_X_y(train[~is_held_back])
    X_held_back, y_held_back = WEBSITES.to_X_y(train[is_held_back])
    found = {}
    for name, groups in (("complete", {}), ("masked", GROUPS)):
        model = fit_best(CANDIDATES["Random Forest"], {"n_estimators": 64}, X, y, feature_groups=groups)
        found[name] = [
            f1_score(y_held_back, model.predict(hide(X_held_back, GROUPS, known)))
            for known in (tuple(GROUPS), ("address",))
        ]
    assert found["complete"][1] < 0.4
    assert found["masked"][1] > 0.6
    assert found["masked"][0] > found["complete"][0] - 0.01
