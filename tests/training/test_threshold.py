import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from networksecurity.training.threshold import N_ERRORS, choose_threshold, tune_threshold


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

    choice = choose_threshold(
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


def test_the_costlier_error_moves_the_threshold():
    y, y_score = np.tile([1, 0], 500), np.random.default_rng(0).random(1_000)
    y_score[y == 1] = np.sqrt(y_score[y == 1])

    def threshold(**costs):
        return choose_threshold(y, y_score, **costs).threshold

    assert threshold(cost_false_negative=5) < threshold() < threshold(cost_false_positive=5)
    assert threshold(base_rate=0.1) > threshold()


def test_of_equally_cheap_thresholds_the_highest_is_chosen():
    # 0.25, 0.45 and 0.65 make two errors each.
    y = np.array([0, 0, 1, 0, 1, 0, 1, 1])
    y_score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    choice = choose_threshold(y, y_score, cost_false_negative=0.7, cost_false_positive=0.7)
    assert choice.threshold == pytest.approx(0.65)


SCORES = {
    "f1": metrics.f1_score,
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
}


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])), min_size=6, max_size=40
    ).filter(lambda rows: all(len({label for label, _ in rows[fold::3]}) == 2 for fold in range(3))),
    st.sampled_from(list(SCORES)),
)
def test_the_gain_is_that_of_thresholds_chosen_on_the_other_folds(rows, scoring):
    y, y_score = np.array([label for label, _ in rows]).astype(int), np.array([score for _, score in rows])
    fold, score = np.arange(len(y)) % 3, SCORES[scoring]

    def best(chosen):
        between = [(low + high) / 2 for low, high in itertools.pairwise(np.unique(y_score[chosen]))] or [0.5]
        # Of equally good thresholds the highest.
        return max(between, key=lambda t: (round(score(y[chosen], y_score[chosen] >= t), 9), t))

    y_pred = np.empty(len(y), bool)
    for k in range(3):
        y_pred[fold == k] = y_score[fold == k] >= best(fold != k)
    tuned = tune_threshold(y, y_score, fold, np.arange(len(y)), scoring)
    assert tuned.best == pytest.approx(best(np.ones(len(y), bool)))
    assert tuned.gain == pytest.approx(score(y, y_pred) - score(y, y_score >= 0.5))
    assert tuned.threshold == (tuned.best if tuned.gain > N_ERRORS * tuned.standard_error else 0.5)


def test_scores_that_are_lucky_at_another_threshold_leave_it_at_one_half():
    generator = np.random.default_rng(0)
    moved = 0
    for _ in range(100):
        probability = generator.beta(0.6, 0.6, 400)
        y = (generator.random(400) < probability).astype(int)
        tuned = tune_threshold(y, probability, np.arange(400) % 3, np.arange(400), "accuracy")
        moved += tuned.threshold != 0.5
    assert moved <= 6  # 2.5 are expected by luck, and fewer where a choice costs something


def test_copies_of_a_row_do_not_make_a_gain_certain():
    generator = np.random.default_rng(3)
    y, fold = np.arange(90) % 2, np.arange(90) // 2 % 3
    y_score = np.clip(generator.normal(0.35 + 0.2 * y, 0.2), 0, 1)
    once = tune_threshold(y, y_score, fold, np.arange(90), "f1")
    tenfold = tune_threshold(*(np.repeat(of, 10) for of in (y, y_score, fold, np.arange(90))), "f1")
    assert tenfold == once


@pytest.mark.parametrize("scoring", ["precision", "recall", "roc_auc", "average_precision", "neg_log_loss"])
def test_scores_without_a_best_threshold_leave_it_alone(scoring):
    assert tune_threshold(np.array([0, 1]), np.array([0.1, 0.9]), np.array([0, 1]), np.array([0, 1]), scoring) is None
