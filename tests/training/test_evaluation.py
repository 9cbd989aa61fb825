import numpy as np
import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import TARGET, to_X_y
from networksecurity.data.validation import validate
from networksecurity.training.evaluation import evaluate, evaluate_model, precision_at


def test_figures_of_a_small_case_are_those_computed_by_hand():
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
    assert precision_at(0.02, 0.75, 0.1) == pytest.approx(15 / (15 + 98))
    assert precision_at(0.02, 0.0, 0.0) == 0


def test_nothing_called_phishing_scores_zero_without_a_warning():
    figures = evaluate(np.array([1, 0]), np.array([0, 0]), np.array([0.4, 0.1]))
    assert (figures["precision"], figures["recall_score"], figures["f1_score"]) == (0, 0, 0)


def test_the_positive_class_is_phishing():
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
