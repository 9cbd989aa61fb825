import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from networksecurity.training.threshold import choose_threshold


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
