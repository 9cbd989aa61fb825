"""One model with calibration, threshold and band: the same labels wherever it is asked."""

import functools
import json

import mlflow
import numpy as np
import pytest

from networksecurity.data import splitting
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, LABELS, to_X, to_X_y
from networksecurity.data.sources import parse
from networksecurity.data.storage import Storage
from networksecurity.data.validation import validate
from networksecurity.prediction import native, rows, scoring
from networksecurity.prediction.native import prepare
from networksecurity.settings import Settings
from networksecurity.tracking.model import probe_rows
from networksecurity.training import search
from networksecurity.training.calibration import calibrate
from networksecurity.training.candidates import CANDIDATES
from networksecurity.training.domain import with_domain_check
from networksecurity.training.label_rule import LabelRule, with_rule


@pytest.fixture(scope="module")
def sides():
    frame = make_phishing_websites(1_200, random_state=0).astype("Int8")
    holes = np.random.default_rng(0).random((len(frame), len(FEATURES))) < 0.03
    frame[list(FEATURES)] = frame[list(FEATURES)].mask(holes)
    return splitting.split(validate(frame).accepted)


def fit(sides, name):
    """Return a small model of a candidate, and its out-of-fold probabilities."""
    candidate, (X, y) = CANDIDATES[name], to_X_y(sides.train)
    params = {"n_estimators": 8} if "n_estimators" in candidate.param_grid else {}
    params |= {"max_iter": 8} if name == "Hist Gradient Boosting" else {}
    fold = splitting.assign_folds(sides.train)
    return search.fit_best(candidate, params, X, y), search.out_of_fold_scores(candidate, params, X, y, fold)


@pytest.fixture(scope="module")
def fitted(sides):
    """Return a function that fits each candidate once."""
    return functools.cache(lambda name: fit(sides, name))


def made(sides, fitted, name, method, *, banded):
    """Return a model whose bounds are probabilities of test rows.

    Those of a regression depend, in their last digit, on how many rows are added up together: of one, the bounds lie
    between them.
    """
    (_, y), test = to_X_y(sides.train), to_X(sides.test)
    model, y_score = fitted
    calibrated = calibrate(model[-1].estimator_, y, y_score, method) if method else None
    probabilities = np.unique(with_rule(model, LabelRule(), calibrated).predict_proba(test)[:, 1])
    if name == "Logistic Regression":
        probabilities = (probabilities[1:] + probabilities[:-1]) / 2
    lower, threshold, upper = probabilities[(len(probabilities) * np.array([0.3, 0.5, 0.7])).astype(int)]
    rule = LabelRule(threshold=threshold, band=(lower, upper) if banded else None)
    return with_rule(model, rule, calibrated), rule


@pytest.mark.parametrize(
    ("method", "banded"), [("temperature", True), ("temperature", False), ("sigmoid", True), ("isotonic", True)]
)
@pytest.mark.parametrize("name", CANDIDATES)
def test_labels_are_the_same_wherever_a_model_is_asked(sides, fitted, tmp_path, monkeypatch, name, method, banded):
    model, rule = made(sides, fitted(name), name, method, banded=banded)
    test = sides.test
    X = to_X(test)
    y_score = model.predict_proba(X)[:, 1]
    at_bounds = [(y_score == bound).any() for bound in {rule.threshold, *rule.bounds}]
    assert set(at_bounds) == {name != "Logistic Regression"}
    expected = [rule.label(score) for score in y_score]
    assert ("unsure" in expected) == banded

    for crossover in (10**9, 0):  # by the native form where there is one, and by scikit-learn
        monkeypatch.setattr(native, "_crossover", lambda *_, up_to=crossover: up_to)
        fast = prepare(model, probe_rows())
        np.testing.assert_allclose(fast.score(X.to_numpy()), y_score, rtol=0, atol=1e-12)
        answers = rows.predict(fast, json.loads(test[list(FEATURES)].to_json(orient="records")))
        assert [of["label"] for of in answers] == expected

    storage = Storage(str(tmp_path))
    stored = storage.get_model(storage.put_model(model))
    for one in (model, stored):
        assert [LABELS[code] for code in one.predict(X)] == expected
        assert scoring.score(one, test)["label"].tolist() == expected
    mlflow.sklearn.save_model(
        with_domain_check(stored),
        tmp_path / "model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        pip_requirements=[],
    )
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert [LABELS[code] for code in served.predict(X)] == expected


def test_forests_and_boosting_have_a_native_form_with_calibration_and_band(sides, fitted, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10**9)
    for name in ("Random Forest", "Extra Trees", "Gradient Boosting", "Hist Gradient Boosting"):
        fast = prepare(made(sides, fitted(name), name, "temperature", banded=True)[0], probe_rows())
        assert fast.up_to > 0, fast.why
    name = "Gradient Boosting"
    fast = prepare(made(sides, fitted(name), name, "isotonic", banded=True)[0], probe_rows())
    assert (fast.up_to, "steps" in fast.why) == (0, True)


@pytest.fixture(scope="module")
def real_sides(real_data):
    return splitting.split(validate(parse(str(real_data), Settings(_env_file=None)).read().frame).accepted)


@pytest.mark.parametrize("name", ["Random Forest", "Hist Gradient Boosting"])
def test_all_real_test_rows_get_the_labels_of_the_pipeline(real_sides, monkeypatch, name):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10**9)
    real = real_sides
    model, rule = made(real, fit(real, name), name, "temperature", banded=True)
    X = to_X(real.test)
    fast = prepare(model, probe_rows())
    assert fast.up_to > 0, fast.why
    assert rule.codes(fast.score(X.to_numpy())).tolist() == model.predict(X).tolist()


def test_a_summary_counts_the_rows_that_are_left_to_a_person(sides, fitted):
    model, rule = made(sides, fitted("Random Forest"), "Random Forest", "temperature", banded=True)
    scorer = scoring.BatchScorer(model, name="m", version="1", max_rejected=0.1)
    scored, _ = scorer.add(sides.test)
    report = scorer.finish()
    assert report.n_unsure == (scored["label"] == "unsure").sum() > 0
    assert report.n_phishing == (scored["label"] == "phishing").sum()
    assert rule.is_unsure(scored["phishing_probability"].to_numpy()).sum() == report.n_unsure
