import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import PredefinedSplit

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.storage import Storage
from networksecurity.data.validation import validate
from networksecurity.training.calibration import (
    CalibrationCurve,
    calibrate,
    calibrated_in,
    choose_calibration,
    corrector,
    method_of,
    quick_corrector,
)
from networksecurity.training.candidates import CANDIDATES, get_classifier
from networksecurity.training.label_rule import LabelRule, with_rule
from networksecurity.training.search import fit_best, out_of_fold_scores

METHODS = ("temperature", "sigmoid", "isotonic")
FOLD = np.arange(700) % 3


@pytest.fixture(scope="module")
def rows():
    return to_X_y(validate(make_phishing_websites(700, random_state=0)).accepted)


@pytest.fixture(scope="module", params=CANDIDATES)
def fitted(request, rows):
    """Return a fitted candidate and its out-of-fold probabilities."""
    candidate = CANDIDATES[request.param]
    params = {"n_estimators": 16} if "n_estimators" in candidate.param_grid else {}
    return fit_best(candidate, params, *rows), out_of_fold_scores(candidate, params, *rows, FOLD)


@pytest.mark.parametrize("method", METHODS)
def test_the_prefit_form_is_what_scikit_learn_fits_on_these_folds(fitted, rows, method):
    (X, y), (model, y_score) = rows, fitted
    features, classifier = model[:-1].transform(X), model[-1].estimator_
    theirs = CalibratedClassifierCV(model[-1].estimator, method=method, cv=PredefinedSplit(FOLD), ensemble=False)
    expected = theirs.fit(features, y).predict_proba(features)
    found = calibrate(classifier, y, y_score, method).predict_proba(features)
    # Margins are computed from probabilities: their last digits, and where the search for the temperature ends.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_pipeline_is_stored_and_loaded_and_its_answers_can_be_corrected_outside(
    fitted, rows, tmp_path, method
):
    (X, y), (model, y_score) = rows, fitted
    pipeline = with_rule(model, LabelRule(), calibrate(model[-1].estimator_, y, y_score, method))
    assert (method_of(pipeline), method_of(model)) == (method, None)
    assert get_classifier(pipeline) is get_classifier(model)
    storage = Storage(str(tmp_path))
    again = storage.get_model(storage.put_model(pipeline))
    assert (again.predict_proba(X) == pipeline.predict_proba(X)).all()
    assert (again.predict(X) == pipeline.predict(X)).all()

    classifier, features = get_classifier(model), model[:-1].transform(X)
    has_margins = hasattr(classifier, "decision_function")
    answers = classifier.decision_function(features) if has_margins else classifier.predict_proba(features)[:, 1]
    expected = pipeline.predict_proba(X)[:, 1]
    assert (corrector(calibrated_in(pipeline))(answers) == expected).all()
    np.testing.assert_allclose(quick_corrector(calibrated_in(pipeline))(answers), expected, rtol=0, atol=1e-14)


def test_temperature_keeps_every_label_and_ties_at_one_half(rows):
    X, y = rows
    candidate, params = CANDIDATES["Random Forest"], {"n_estimators": 8}
    model, y_score = fit_best(candidate, params, X, y), out_of_fold_scores(candidate, params, X, y, FOLD)
    pipeline = with_rule(model, LabelRule(), calibrate(model[-1].estimator_, y, y_score, "temperature"))
    before, after = model.predict_proba(X)[:, 1], pipeline.predict_proba(X)[:, 1]
    assert (before == 0.5).any()
    assert (after[before == 0.5] == 0.5).all()
    assert (model.predict(X) == pipeline.predict(X)).all()
    assert (after != before).any()


def made(n_rows, distort, seed=0):
    generator = np.random.default_rng(seed)
    probability = generator.beta(0.5, 0.5, n_rows)
    return (generator.random(n_rows) < probability).astype(int), distort(probability)


def test_probabilities_that_are_right_are_left_alone():
    y, y_score = made(3_000, lambda p: p)
    chosen = choose_calibration(y, y_score, np.arange(3_000) % 3, np.arange(3_000))
    assert chosen.method is None
    assert "which no calibration is shown to better" in chosen.sentence()


@pytest.mark.parametrize(
    ("distort", "expected"),
    [
        (lambda p: p**0.3 / (p**0.3 + (1 - p) ** 0.3), "temperature"),
        (lambda p: p / (p + 6 * (1 - p)), "isotonic"),  # Platt's curve is of probabilities here, and not of log-odds
        (lambda p: np.where(p < 0.5, p / 4, p), "isotonic"),
    ],
)
def test_the_simplest_method_that_is_good_enough_is_chosen(distort, expected):
    y, y_score = made(6_000, distort)
    chosen = choose_calibration(y, y_score, np.arange(6_000) % 3, np.arange(6_000))
    assert chosen.method == expected, chosen
    assert f"calibrated ({expected})" in chosen.sentence()


def test_figures_are_those_of_rows_corrected_by_the_other_folds():
    y, y_score = made(900, lambda p: 0.3 + 0.4 * p)
    fold = np.arange(900) % 3
    chosen = choose_calibration(y, y_score, fold, np.arange(900))
    assert chosen.brier_score == pytest.approx(brier_score_loss(y, y_score))
    assert chosen.log_loss == pytest.approx(log_loss(y, y_score))
    assert [of.method for of in chosen.compared] == list(METHODS)
    isotonic, corrected = chosen.compared[2], np.empty(900)
    for k in range(3):
        curve = IsotonicRegression(out_of_bounds="clip").fit(y_score[fold != k], y[fold != k])
        corrected[fold == k] = curve.predict(y_score[fold == k])
    assert isotonic.brier_score == pytest.approx(brier_score_loss(y, corrected))
    assert isotonic.log_loss == pytest.approx(log_loss(y, corrected))
    assert isotonic.curve == CalibrationCurve.of(y, corrected)
    assert chosen.curve == CalibrationCurve.of(y, y_score)
    assert sum(chosen.curve.count) == sum(isotonic.curve.count) == 900
    low, high = isotonic.brier_interval
    assert isotonic.brier_difference == pytest.approx(isotonic.brier_score - chosen.brier_score)
    assert low < isotonic.brier_difference < high


def test_copies_of_a_row_are_no_evidence_for_calibration():
    y, y_score = made(60, lambda p: 0.3 + 0.4 * p)
    groups, fold = np.arange(60), np.arange(60) % 3
    once = choose_calibration(y, y_score, fold, groups)
    tenfold = choose_calibration(*(np.repeat(of, 20) for of in (y, y_score, fold, groups)))
    for of, copied in zip(once.compared[2:], tenfold.compared[2:], strict=True):  # isotonic: the same fit
        assert np.diff(of.brier_interval) == pytest.approx(np.diff(copied.brier_interval), rel=1e-6)
