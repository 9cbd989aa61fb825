import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.exceptions import DataValidationError
from networksecurity.training import explanation as explanation_module
from networksecurity.training.candidates import CANDIDATES, make_pipeline
from networksecurity.training.evaluation import evaluate_model
from networksecurity.training.explanation import Explanation, explain


def fit(name, rows, params=None):
    return make_pipeline(CANDIDATES[name], params or {}, threshold=0.5).fit(*to_X_y(rows))


@pytest.fixture(scope="module")
def sides():
    raw = make_phishing_websites(2000, random_state=0)
    rng = np.random.default_rng(0)
    missing = rng.random((len(raw), len(FEATURES))) < 0.02
    raw[list(FEATURES)] = raw[list(FEATURES)].mask(missing)
    return split(validate(raw).accepted)


@pytest.fixture(scope="module", params=["Decision Tree", "Logistic Regression"])
def model(request, sides):
    return fit(request.param, sides.train)


@pytest.fixture(scope="module")
def explanation(model, sides):
    return explain(model, sides.test)


class ByState(ClassifierMixin, BaseEstimator):
    """Gives the probability of phishing by SSLfinal_State."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        phishing = X["SSLfinal_State"].map({-1: 0.9, 0: 0.55, 1: 0.2}).fillna(0.55).to_numpy()
        return np.column_stack([1 - phishing, phishing])

    def predict(self, X):
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)


def rows_of(states, results):
    rows = pd.DataFrame(1, index=range(len(states)), columns=[*FEATURES, TARGET], dtype="Int8")
    rows["SSLfinal_State"] = pd.array(states, "Int8")
    rows[TARGET] = pd.array(results, "Int8")
    return rows


def test_the_explanation_of_a_small_case_is_that_computed_by_hand():
    # Given .9: two phishing, one not; .55: one of each; .2: three not.
    explanation = explain(ByState(), rows_of([-1, -1, -1, 0, 0, 1, 1, 1], [-1, -1, 1, -1, 1, 1, 1, 1]))
    assert explanation.confusion_matrix.labels == ("legitimate", "phishing")
    assert explanation.confusion_matrix.counts == ((3, 2), (0, 3))
    roc = explanation.roc_curve
    assert roc.fpr == pytest.approx((0, 1 / 5, 2 / 5, 1))
    assert roc.tpr == pytest.approx((0, 2 / 3, 1, 1))
    assert roc.thresholds == (None, 0.9, 0.55, 0.2)
    assert roc.auc == pytest.approx((2 * 4.5 + 1 * 3.5) / 15)
    curve = explanation.precision_recall_curve
    assert curve.precision == pytest.approx((3 / 8, 3 / 5, 2 / 3, 1))
    assert curve.recall == pytest.approx((1, 1, 2 / 3, 0))
    assert curve.thresholds == (0.2, 0.55, 0.9, None)
    assert curve.average_precision == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    calibration = explanation.calibration_curve
    assert calibration.prob_true == pytest.approx((0, 1 / 2, 2 / 3))
    assert calibration.prob_pred == pytest.approx((0.2, 0.55, 0.9))
    assert calibration.count == (3, 2, 3)
    assert calibration.brier_score == pytest.approx(
        (3 * 0.2**2 + 0.45**2 + 0.55**2 + 2 * 0.1**2 + 0.9**2) / 8, rel=1e-12
    )
    phishing = explanation.classification_report["phishing"]
    assert (phishing.precision, phishing.recall, phishing.f1_score) == pytest.approx((3 / 5, 1, 3 / 4))
    assert phishing.support == 3
    first, *others = explanation.permutation_importance
    assert first.feature == "SSLfinal_State"
    assert first.mean > 0
    assert {(other.mean, other.std) for other in others} == {(0, 0)}
    assert [other.feature for other in others] == [name for name in FEATURES if name != "SSLfinal_State"]


def test_curves_and_tables_are_those_of_scikit_learn(model, sides, explanation):
    X, y = to_X_y(sides.test)
    assert X.isna().any().any()
    y_pred, y_score = model.predict(X), model.predict_proba(X)[:, 1]

    fpr, tpr, thresholds = metrics.roc_curve(y, y_score)
    assert (explanation.roc_curve.fpr, explanation.roc_curve.tpr) == (tuple(fpr), tuple(tpr))
    assert explanation.roc_curve.thresholds == (None, *thresholds[1:])
    assert explanation.roc_curve.auc == metrics.roc_auc_score(y, y_score)

    precision, recall, thresholds = metrics.precision_recall_curve(y, y_score, drop_intermediate=True)
    curve = explanation.precision_recall_curve
    assert (curve.precision, curve.recall) == (tuple(precision), tuple(recall))
    assert curve.thresholds == (*thresholds, None)
    assert curve.average_precision == metrics.average_precision_score(y, y_score)

    prob_true, prob_pred = calibration_curve(y, y_score, n_bins=10)
    calibration = explanation.calibration_curve
    assert (calibration.prob_true, calibration.prob_pred) == (tuple(prob_true), tuple(prob_pred))
    assert sum(calibration.count) == len(y)
    assert np.dot(calibration.count, prob_pred) == pytest.approx(y_score.sum())
    assert calibration.brier_score == metrics.brier_score_loss(y, y_score)

    assert explanation.confusion_matrix.counts == tuple(map(tuple, metrics.confusion_matrix(y, y_pred)))
    report = metrics.classification_report(y, y_pred, target_names=["legitimate", "phishing"], output_dict=True)
    del report["accuracy"]
    assert report == {
        name: {"f1-score": figures.f1_score, **figures.model_dump(exclude={"f1_score"})}
        for name, figures in explanation.classification_report.items()
    }


def test_importances_are_those_of_scikit_learn(model, sides, explanation):
    X, y = to_X_y(sides.test)
    found = permutation_importance(model, X, y, scoring="f1", random_state=0)
    expected = dict(zip(FEATURES, zip(found.importances_mean, found.importances_std, strict=True), strict=True))
    assert {item.feature: (item.mean, item.std) for item in explanation.permutation_importance} == expected
    means = [item.mean for item in explanation.permutation_importance]
    assert means == sorted(means, reverse=True)


def test_importances_in_a_sample_compare_scores_of_the_same_rows(monkeypatch, sides):
    monkeypatch.setattr(explanation_module, "_MAX_IMPORTANCE_ROWS", 50)
    explanation = explain(ByState(), sides.test)
    assert explanation == explain(ByState(), sides.test)
    assert explanation != explain(ByState(), sides.test, random_state=1)
    assert {item.mean for item in explanation.permutation_importance[1:]} == {0}
    assert sum(map(sum, explanation.confusion_matrix.counts)) == len(sides.test)


def test_an_explanation_survives_json(explanation):
    text = json.dumps(explanation.model_dump(mode="json"), allow_nan=False)
    assert Explanation.model_validate_json(text) == explanation


def test_thinned_curves_keep_their_ends_and_areas(monkeypatch, sides):
    model = fit("Logistic Regression", sides.train)
    whole = explain(model, sides.test)
    monkeypatch.setattr(explanation_module, "_MAX_POINTS", 9)
    thinned = explain(model, sides.test)
    for few, all_ in (
        (thinned.roc_curve, whole.roc_curve),
        (thinned.precision_recall_curve, whole.precision_recall_curve),
    ):
        few_points, all_points = (
            list(zip(*(values for _, values in curve if isinstance(values, tuple)), strict=True))
            for curve in (few, all_)
        )
        assert len(few_points) == 9 < len(all_points) <= 500
        assert (few_points[0], few_points[-1]) == (all_points[0], all_points[-1])
        assert set(few_points) < set(all_points)
    assert thinned.roc_curve.auc == whole.roc_curve.auc
    assert thinned.precision_recall_curve.average_precision == whole.precision_recall_curve.average_precision


def test_a_model_that_never_says_phishing_is_explained_without_a_warning():
    class SaysLegitimate(ByState):
        def predict_proba(self, X):
            return np.tile([0.9, 0.1], (len(X), 1))

    explanation = explain(SaysLegitimate(), rows_of([-1, 0, 1], [-1, 1, 1]))
    assert explanation.confusion_matrix.counts == ((2, 0), (1, 0))
    assert explanation.classification_report["phishing"].f1_score == 0
    assert explanation.calibration_curve.count == (3,)


@pytest.mark.parametrize(
    ("results", "absent"), [([1, 1], "phishing"), ([-1, -1], "legitimate"), ([], "legitimate or phishing")]
)
def test_rows_of_one_class_are_not_explained(results, absent):
    with pytest.raises(DataValidationError, match=f"{len(results)}.* labelled {absent}$"):
        explain(ByState(), rows_of([1] * len(results), results))


def test_the_real_data_is_explained_by_its_known_strongest_features(real_data):
    sides = split(validate(pd.read_csv(real_data)).accepted)
    model = fit("Decision Tree", sides.train)
    figures, explanation = evaluate_model(model, sides.test), explain(model, sides.test)
    assert explanation.classification_report["phishing"].f1_score == figures["f1_score"]
    assert explanation.roc_curve.auc == figures["roc_auc"]
    assert {item.feature for item in explanation.permutation_importance[:2]} == {"SSLfinal_State", "URL_of_Anchor"}
