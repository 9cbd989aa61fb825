import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.tree import DecisionTreeClassifier

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, to_X_y, validate
from networksecurity.data.splitting import split
from networksecurity.exceptions import DataValidationError
from networksecurity.training import evaluation
from networksecurity.training.candidates import CANDIDATES, make_pipeline
from networksecurity.training.evaluation import (
    Explanation,
    LeakageLedger,
    evaluate,
    evaluate_model,
    explain,
    leakage_ledger,
)


def test_figures_of_a_small_case_by_hand():
    y_true = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    y_score = np.array([0.9, 0.8, 0.2, 0.7, 0.1, 0.1, 0.3, 0.4])
    figures = evaluate(y_true, (y_score > 0.5).astype(int), y_score)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall_score"] == pytest.approx(2 / 3)
    assert figures["f1_score"] == pytest.approx(2 / 3)
    assert figures["accuracy"] == pytest.approx(6 / 8)
    assert figures["false_positive_rate"] == pytest.approx(1 / 5)
    assert figures["roc_auc"] == pytest.approx(12 / 15)
    assert figures["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.2, 0.3, 0.9, 0.9, 0.7, 0.6])), rel=1e-12)
    counts = ("true_positives", "false_negatives", "false_positives", "true_negatives")
    assert [figures[name] for name in counts] == [2, 1, 1, 4]


def test_precision_at_a_base_rate_is_that_of_rows_with_this_share_of_phishing():
    # 1,000 websites, 20 of them phishing: 15 are found, and 98 of the 980 others are called so too.
    assert evaluation.precision_at(0.02, 0.75, 0.1) == pytest.approx(15 / (15 + 98))
    assert evaluation.precision_at(0.02, 0.0, 0.0) == 0


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])), min_size=2, max_size=40
    ).filter(lambda rows: len({label for label, _ in rows}) == 2),
    st.sampled_from([0.1, 1.0, 20.0]),
    st.sampled_from([0.1, 1.0, 20.0]),
    st.sampled_from([None, 0.01, 0.5, 0.9]),
)
def test_no_threshold_is_cheaper_than_the_chosen_one(rows, cost_false_negative, cost_false_positive, base_rate):
    y, y_score = np.array([label for label, _ in rows]).astype(int), np.array([score for _, score in rows])
    share = y.mean() if base_rate is None else base_rate

    def cost(threshold):
        y_pred = y_score >= threshold
        missed, stopped = np.mean(~y_pred[y == 1]), np.mean(y_pred[y == 0])
        return share * cost_false_negative * missed + (1 - share) * cost_false_positive * stopped

    choice = evaluation.choose_threshold(
        y,
        y_score,
        cost_false_negative=cost_false_negative,
        cost_false_positive=cost_false_positive,
        base_rate=base_rate,
    )
    assert choice.expected_cost == pytest.approx(cost(choice.threshold))
    assert choice.expected_cost_at_default == pytest.approx(cost(0.5))
    assert choice.expected_cost_of_never == pytest.approx(cost(2))
    assert choice.expected_cost_of_always == pytest.approx(cost(0))
    between = [(low + high) / 2 for low, high in itertools.pairwise(np.unique(y_score))]
    assert choice.threshold in (between or [0.5])
    assert choice.expected_cost == pytest.approx(min(map(cost, between or [0.5])))


def test_the_dearer_error_moves_the_threshold():
    y, y_score = np.tile([1, 0], 500), np.random.default_rng(0).random(1_000)
    y_score[y == 1] = np.sqrt(y_score[y == 1])

    def threshold(**costs):
        return evaluation.choose_threshold(y, y_score, **costs).threshold

    assert threshold(cost_false_negative=5) < threshold() < threshold(cost_false_positive=5)
    assert threshold(base_rate=0.1) > threshold()


def test_nothing_called_phishing_scores_zero_without_a_warning():
    figures = evaluate(np.array([1, 0]), np.array([0, 0]), np.array([0.4, 0.1]))
    assert (figures["precision"], figures["recall_score"], figures["f1_score"]) == (0, 0, 0)


def test_positive_class_is_phishing():
    accepted = validate(make_phishing_websites(500, random_state=0)).accepted

    class SaysPhishing:
        def predict(self, X):
            return np.ones(len(X), dtype=int)

        def predict_proba(self, X):
            return np.tile([0.0, 1.0], (len(X), 1))

    figures = evaluate_model(SaysPhishing(), accepted)
    assert figures["recall_score"] == 1
    assert figures["precision"] == pytest.approx((accepted[TARGET] == -1).mean())
    assert to_X_y(accepted)[1].mean() == figures["precision"]


def fit(name, rows, params=None):
    return make_pipeline(CANDIDATES[name], params or {}).fit(*to_X_y(rows))


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


def test_explanation_of_a_small_case_by_hand():
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


def test_explanation_is_what_scikit_learn_says(model, sides, explanation):
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
    monkeypatch.setattr(evaluation, "_MAX_IMPORTANCE_ROWS", 50)
    explanation = explain(ByState(), sides.test)
    assert explanation == explain(ByState(), sides.test)
    assert explanation != explain(ByState(), sides.test, random_state=1)
    assert {item.mean for item in explanation.permutation_importance[1:]} == {0}
    assert sum(map(sum, explanation.confusion_matrix.counts)) == len(sides.test)


def test_explanation_survives_json(explanation):
    text = json.dumps(explanation.model_dump(mode="json"), allow_nan=False)
    assert Explanation.model_validate_json(text) == explanation


def test_thinned_curves_keep_their_ends_and_areas(monkeypatch, sides):
    model = fit("Logistic Regression", sides.train)
    whole = explain(model, sides.test)
    monkeypatch.setattr(evaluation, "_MAX_POINTS", 9)
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


BITS = [name for name, domain in FEATURES.items() if domain == (-1, 1)]


def rows_with(counts, start=0):
    """Return rows of as many distinct vectors as there are (n_phishing, n_legitimate) in `counts`."""
    vectors = np.repeat(np.arange(len(counts)) + start, [sum(pair) for pair in counts])
    results = np.concatenate([np.repeat([-1, 1], pair) for pair in counts])
    rows = rows_of([1] * len(vectors), results)
    for bit, name in enumerate(BITS):
        rows[name] = pd.array(1 - 2 * (vectors >> bit & 1), "Int8")
    return rows


def memoriser(train):
    return DecisionTreeClassifier(random_state=0).fit(*to_X_y(train))


def test_ledger_shows_what_duplicates_are_worth_to_a_memoriser():
    # Labels that have nothing to do with the features: what is not remembered cannot be known.
    rng = np.random.default_rng(0)
    counts = [(6, 0) if phishing else (0, 6) for phishing in rng.random(400) < 0.5]
    train, test = rows_with(counts[:320]), rows_with(counts[320:], start=320)
    model = memoriser(train)
    ledger = leakage_ledger(model, train, test)
    assert evaluate_model(model, test)["f1_score"] < 0.65
    assert ledger.random_split_f1_score > 0.98
    assert ledger.random_split_seen_share > 0.98
    assert (ledger.ceiling_f1_score, ledger.ceiling_accuracy) == (1, 1)
    assert ledger == leakage_ledger(model, train, test)
    assert LeakageLedger.model_validate_json(ledger.model_dump_json()) == ledger


def test_ledger_of_rows_without_duplicates_finds_nothing_seen():
    rng = np.random.default_rng(0)
    counts = [(1, 0) if phishing else (0, 1) for phishing in rng.random(400) < 0.5]
    train, test = rows_with(counts[:320]), rows_with(counts[320:], start=320)
    ledger = leakage_ledger(memoriser(train), train, test)
    assert ledger.random_split_seen_share == 0
    assert ledger.n_unseen_rows == len(test)
    assert ledger.unseen_vectors_f1_score == ledger.random_split_f1_score < 0.65
    assert ledger.unseen_vectors_reason is None
    assert 0.4 < ledger.unseen_phishing_share < 0.6


def test_ledger_says_why_there_is_no_figure_for_unseen_vectors():
    repeated = [(20, 0), (0, 20)]
    train, test = rows_with(repeated), rows_with(repeated, start=2)
    ledger = leakage_ledger(memoriser(train), train, test)
    assert (ledger.n_unseen_rows, ledger.random_split_seen_share) == (0, 1)
    assert (ledger.unseen_vectors_f1_score, ledger.unseen_phishing_share) == (None, None)
    assert "every feature vector" in ledger.unseen_vectors_reason

    train = rows_with([*repeated, *[(0, 1)] * 30], start=4)
    ledger = leakage_ledger(memoriser(train), train, test)
    assert ledger.n_unseen_rows > 0
    assert (ledger.unseen_vectors_f1_score, ledger.unseen_phishing_share) == (None, 0)
    assert "one class only" in ledger.unseen_vectors_reason


def ceilings(counts):
    train = rows_with([(1, 0), (0, 1)])
    ledger = leakage_ledger(memoriser(train), train, rows_with(counts, start=2))
    return ledger.ceiling_f1_score, ledger.ceiling_accuracy


def test_ceilings_by_hand():
    # The tie is worth calling phishing for F1 (6 / 8 against 4 / 6), the vector of one in three is not (8 / 11).
    assert ceilings([(2, 0), (1, 1), (1, 2), (0, 3)]) == pytest.approx((6 / 8, 8 / 10))
    # Here even a vector that is legitimate more often than not is.
    assert ceilings([(1, 0), (2, 3)]) == pytest.approx((6 / 9, 4 / 6))


@pytest.mark.parametrize("seed", range(5))
def test_no_function_of_the_features_is_above_the_ceilings_and_one_reaches_each(seed):
    counts = np.random.default_rng(seed).integers([1, 0], 6, (7, 2))
    n_phishing, n_rows = counts[:, 0].sum(), counts.sum()
    f1_scores, accuracies = [], []
    for called in itertools.product([False, True], repeat=len(counts)):
        tp, fp = counts[list(called)].sum(axis=0)
        f1_scores.append(2 * tp / (tp + fp + n_phishing))
        accuracies.append((tp + n_rows - n_phishing - fp) / n_rows)
    assert ceilings(counts.tolist()) == pytest.approx((max(f1_scores), max(accuracies)))


def test_ledger_refuses_sides_that_are_none():
    train = rows_with([(2, 0), (0, 2)])
    model = memoriser(train)
    with pytest.raises(DataValidationError, match="1 feature vectors are in both"):
        leakage_ledger(model, train, rows_with([(1, 0), (0, 1)], start=1))
    with pytest.raises(DataValidationError, match="test rows .* labelled legitimate"):
        leakage_ledger(model, train, rows_with([(1, 0), (2, 0)], start=2))
    with pytest.raises(DataValidationError, match="training rows .* labelled phishing"):
        leakage_ledger(model, rows_with([(0, 2)]), rows_with([(1, 0), (0, 2)], start=2))


def test_real_data(real_data):
    sides = split(validate(pd.read_csv(real_data)).accepted)
    model = fit("Decision Tree", sides.train)
    figures, explanation = evaluate_model(model, sides.test), explain(model, sides.test)
    assert explanation.classification_report["phishing"].f1_score == figures["f1_score"]
    assert explanation.roc_curve.auc == figures["roc_auc"]
    assert {item.feature for item in explanation.permutation_importance[:2]} == {"SSLfinal_State", "URL_of_Anchor"}

    ledger = leakage_ledger(model, sides.train, sides.test)
    assert figures["f1_score"] < ledger.random_split_f1_score < ledger.ceiling_f1_score
    assert ledger.random_split_seen_share == pytest.approx(0.65, abs=0.02)
    assert ledger.ceiling_accuracy == pytest.approx(0.99, abs=0.005)
