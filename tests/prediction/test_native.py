import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, to_X, to_X_y
from networksecurity.data.sources import parse
from networksecurity.data.splitting import split
from networksecurity.data.validation import Validation, validate
from networksecurity.exceptions import DataValidationError
from networksecurity.prediction import native, rows, scoring
from networksecurity.prediction.native import prepare
from networksecurity.settings import Settings
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import CANDIDATES, get_classifier, make_pipeline

NATIVE = {"Random Forest", "Extra Trees", "Gradient Boosting", "Hist Gradient Boosting"}


@pytest.fixture(scope="module")
def learned():
    """Return rows with gaps, and their target."""
    X, y = to_X_y(validate(make_phishing_websites(1500, random_state=0)).accepted)
    return X.mask(np.random.default_rng(0).random(X.shape) < 0.05), y


def fitted(learned, name, *, threshold=0.5, **options):
    params = {"n_estimators": 8} if "n_estimators" in CANDIDATES[name].param_grid else {}
    params |= {"max_iter": 8} if name == "Hist Gradient Boosting" else {}
    return make_pipeline(CANDIDATES[name], params, threshold=threshold, **options).fit(*learned)


@pytest.fixture
def always_native(monkeypatch):
    """Whatever this machine is busy with, the native form counts as the faster one."""
    monkeypatch.setattr(native, "_crossover", lambda *_: 10**9)


FORMS = [("most_frequent", False, 0.5), ("most_frequent", True, 0.25), ("knn", False, 0.25), ("knn", True, 0.5)]
"""Each imputer with and without indicators, and a threshold."""


@pytest.mark.parametrize(
    ("name", "imputer", "indicators", "threshold"),
    [(name, *form) for name in CANDIDATES for form in (FORMS if name in NATIVE else FORMS[1:2])],
)
@pytest.mark.usefixtures("always_native")
def test_the_native_form_predicts_as_the_pipeline_does(learned, name, imputer, indicators, threshold):
    model = fitted(learned, name, imputer=imputer, indicators=indicators, threshold=threshold)
    fast = prepare(model, probe_rows())
    assert (fast.up_to > 0) == (name in NATIVE), fast.why
    X = learned[0].head(400)
    y_score = fast.score(X.to_numpy())
    np.testing.assert_allclose(y_score, model.predict_proba(X)[:, 1], rtol=0, atol=1e-12)
    assert ((y_score >= fast.threshold) == (model.predict(X) == 1)).all()  # trees of 8 stand at the threshold at times


@pytest.fixture(scope="module")
def real_test_rows(real_data):
    real = parse(str(real_data), Settings(_env_file=None)).read().frame
    return to_X(split(validate(real).accepted).test)


@pytest.mark.parametrize("name", sorted(NATIVE))
@pytest.mark.usefixtures("always_native")
def test_the_native_form_predicts_all_real_test_rows_as_the_pipeline_does(real_test_rows, learned, name):
    X = real_test_rows
    model = fitted(learned, name)
    fast = prepare(model, probe_rows())
    y_score = fast.score(X.to_numpy())
    np.testing.assert_allclose(y_score, model.predict_proba(X)[:, 1], rtol=0, atol=1e-12)
    assert ((y_score >= fast.threshold) == (model.predict(X) == 1)).all()


@pytest.mark.parametrize("wrong_by", [1e-6, np.nan])
def test_a_native_form_that_differs_is_not_used(learned, monkeypatch, wrong_by):
    compiled = native._compile
    monkeypatch.setattr(native, "_compile", lambda *of: lambda X: compiled(*of)(X) + wrong_by)
    model = fitted(learned, "Random Forest")
    fast = prepare(model, probe_rows())
    assert fast.up_to == 0
    assert "differs by up to" in fast.why
    X = learned[0].head(20)
    assert (fast.score(X.to_numpy()) == model.predict_proba(X)[:, 1]).all()


@pytest.mark.parametrize(
    ("name", "imputer", "indicators"),
    [
        ("Random Forest", "most_frequent", False),
        ("Random Forest", "knn", True),
        ("Extra Trees", "most_frequent", True),
        ("Extra Trees", "knn", False),
    ],
)
def test_a_forest_beyond_its_native_form_predicts_to_the_last_digit_as_scikit_learn_does(
    learned, monkeypatch, name, imputer, indicators
):
    monkeypatch.setattr(native, "_crossover", lambda *_: 0)
    monkeypatch.setattr(native, "_predict_proba", None)  # what is proven to be the same needs no other
    model = fitted(learned, name, imputer=imputer, indicators=indicators)
    on_one_thread, on_three = (prepare(model, probe_rows(), n_threads) for n_threads in (1, 3))
    for n_rows in (1, 20, 60, 1500):
        X = learned[0].head(n_rows)
        expected = model.predict_proba(X)[:, 1]
        assert (on_one_thread.score(X.to_numpy()) == expected).all()
        assert (on_three.score(X.to_numpy()) == expected).all()


def test_the_threads_of_a_forest_end_with_its_pipeline(learned, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 0)
    before = threading.enumerate()  # other pipelines have some, too
    fast = prepare(fitted(learned, "Random Forest"), probe_rows(), n_threads=2)
    fast.score(learned[0].head(100).to_numpy())
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert started
    del fast
    gc.collect()
    for thread in started:
        thread.join(60)
    assert not any(thread.is_alive() for thread in started)


def test_a_sum_of_trees_that_differs_in_the_last_digit_is_not_used(learned, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 0)
    summed = native._sum_of_trees
    monkeypatch.setattr(native, "_sum_of_trees", lambda *of: lambda X: np.nextafter(summed(*of)(X), 2))
    model = fitted(learned, "Random Forest")
    X = learned[0].head(20)
    assert (prepare(model, probe_rows()).score(X.to_numpy()) == model.predict_proba(X)[:, 1]).all()


def test_more_rows_than_the_native_form_is_good_for_go_to_scikit_learn(learned, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10)
    monkeypatch.setattr(native, "_compile", lambda *_: lambda X: (sizes.append(len(X)), trees(X))[1])
    model = fitted(learned, "Random Forest")
    sizes, trees = [], lambda X: get_classifier(model).predict_proba(X)[:, 1]
    fast = prepare(model, probe_rows())
    sizes.clear()
    for n_rows in (1, 10, 11):
        fast.score(learned[0].head(n_rows).to_numpy())
    assert sizes == [1, 10]


class Threshold(ClassifierMixin, BaseEstimator):
    """A classifier whose every score is the threshold itself, up to rounding that only it knows."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.tile([0.5, 0.5], (len(X), 1))

    def predict(self, X):
        return np.ones(len(X), int)


def test_a_score_at_the_threshold_is_left_to_the_pipeline(learned, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10)
    monkeypatch.setattr(native, "_compile", lambda *_: lambda X: np.full(len(X), 0.5 - 1e-15))
    fast = prepare(Pipeline([("classifier", Threshold())]).fit([[0], [0]], [0, 1]), probe_rows())
    assert fast.up_to == 10
    assert fast.score(np.zeros((3, 30))).tolist() == [0.5, 0.5, 0.5]


CELLS = (
    st.sampled_from([-1, 0, 1, None, "1", "-1", "0", "", 1.0, -1.0, 0.0, True, False, " 1", "na", "1.0", 2, "x", [1]])
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
)


@given(some=st.lists(st.dictionaries(st.sampled_from(list(FEATURES)), CELLS, max_size=6), min_size=15, max_size=19))
@hypothesis_settings(max_examples=30)
def test_rows_of_a_request_are_judged_as_the_validation_judges_them(tree, some):
    model, fast = tree
    full = [{**dict.fromkeys(FEATURES, 1), **changed} for changed in some]
    found = rows.predict(fast, full)
    cells = {name: [row[name] for row in full] for name in FEATURES}
    accepted, rejected = Validation(with_target=False).add(rows.pd.DataFrame(cells, dtype=object))
    assert sorted([*accepted.index, *rejected.index]) == list(range(len(found)))
    for number, reasons in rejected["reasons"].items():
        assert found[number]["reasons"] == reasons.split("; ")
        assert found[number]["label"] is found[number]["phishing_probability"] is None
    if len(accepted):
        expected = scoring.score(model, accepted)
        good = [found[number] for number in accepted.index]
        assert [prediction["reasons"] for prediction in good] == [[]] * len(good)
        assert [prediction["label"] for prediction in good] == expected["label"].tolist()
        assert [prediction["phishing_probability"] for prediction in good] == pytest.approx(
            expected["phishing_probability"].tolist(), abs=1e-12
        )


@pytest.fixture(scope="module")
def tree(learned):
    model = fitted(learned, "Decision Tree")
    return model, prepare(model, probe_rows())


def test_no_rows_are_refused(tree):
    with pytest.raises(DataValidationError, match="there are no rows"):
        rows.predict(tree[1], [])
