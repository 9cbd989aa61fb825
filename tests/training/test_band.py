import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from networksecurity.training import band
from networksecurity.training.band import band_by_cost, band_by_share

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])), min_size=2, max_size=30
).filter(lambda rows: len({label for label, _ in rows}) == 2)
THRESHOLDS = st.sampled_from([0.05, 0.25, 0.5, 0.6])


def arrays(rows):
    return np.array([label for label, _ in rows]).astype(int), np.array([score for _, score in rows])


def bands(y_score, threshold):
    between = [(low + high) / 2 for low, high in itertools.pairwise(np.unique(y_score))]
    lowers = [threshold, *(of for of in between if of < threshold)]
    return list(itertools.product(lowers, [threshold, *(of for of in between if of > threshold)]))


def of_decided(y, y_score, threshold, bounds):
    decided = (y_score < bounds[0]) | (y_score >= bounds[1])
    return f1_score(y[decided], y_score[decided] >= threshold, zero_division=0.0) if decided.any() else 0.0, decided


@given(ROWS, THRESHOLDS, st.sampled_from([0.05, 0.2, 0.5, 0.9]))
def test_no_band_with_as_few_unsure_rows_has_a_higher_f1(rows, threshold, abstain):
    y, y_score = arrays(rows)
    chosen = band_by_share(y, y_score, threshold, abstain)
    f1, decided = of_decided(y, y_score, threshold, (chosen.lower, chosen.upper))
    assert chosen.f1_score == pytest.approx(f1)
    assert chosen.coverage == pytest.approx(decided.mean())
    assert 1 - chosen.coverage <= abstain + 1e-12
    assert chosen.lower <= threshold <= chosen.upper
    for bounds in bands(y_score, threshold):
        other, is_decided = of_decided(y, y_score, threshold, bounds)
        if 1 - is_decided.mean() <= abstain:
            assert other <= chosen.f1_score + 1e-12


@given(
    ROWS,
    THRESHOLDS,
    st.sampled_from([0.05, 0.3, 2.0]),
    st.sampled_from([0.5, 1.0, 10.0]),
    st.sampled_from([0.5, 1.0, 10.0]),
    st.sampled_from([None, 0.01, 0.5]),
)
def test_no_band_is_cheaper(rows, threshold, look, missed, stopped, base_rate):
    y, y_score = arrays(rows)
    rate = y.mean() if base_rate is None else base_rate

    def cost(bounds):
        lower, upper = bounds
        of_phishing = np.where(y_score < lower, missed, np.where(y_score < upper, look, 0))[y == 1].mean()
        of_legitimate = np.where(y_score >= upper, stopped, np.where(y_score >= lower, look, 0))[y == 0].mean()
        return rate * of_phishing + (1 - rate) * of_legitimate

    costs = {"cost_false_negative": missed, "cost_false_positive": stopped, "base_rate": base_rate}
    chosen = band_by_cost(y, y_score, threshold, look, **costs)
    cheapest = min(map(cost, bands(y_score, threshold)))
    if chosen is None:
        assert cheapest == pytest.approx(cost((threshold, threshold)))
    else:
        assert chosen.expected_cost == pytest.approx(cost((chosen.lower, chosen.upper)))
        assert chosen.expected_cost == pytest.approx(cheapest)


def test_a_share_too_small_for_any_row_leaves_none_to_a_person():
    y, y_score = np.tile([0, 1], 10), np.linspace(0, 1, 20)
    chosen = band_by_share(y, y_score, threshold=0.5, abstain=0.01)
    assert chosen.lower == chosen.upper == 0.5
    assert chosen.coverage == 1


def test_a_dearer_look_leaves_fewer_rows_to_a_person():
    generator = np.random.default_rng(0)
    y = np.arange(2_000) % 2
    y_score = np.clip(generator.normal(0.3 + 0.4 * y, 0.15), 0, 1)
    chosen = [band_by_cost(y, y_score, 0.5, look) for look in (0.05, 0.2, 0.4)]
    coverages = [of.coverage for of in chosen]
    assert coverages == sorted(set(coverages))
    assert "a review costs 0.05" in chosen[0].sentence()
    assert band_by_cost(y, y_score, 0.5, 1.5) is None  # an error costs 1


def test_of_many_bounds_some_are_tried(monkeypatch):
    generator = np.random.default_rng(1)
    y = np.arange(4_000) % 2
    y_score = np.clip(generator.normal(0.3 + 0.4 * y, 0.15), 0, 1)
    fine = band_by_share(y, y_score, 0.5, 0.1)
    monkeypatch.setattr(band, "_MOST_BOUNDS", 50)
    coarse = band_by_share(y, y_score, 0.5, 0.1)
    assert 0.9 <= coarse.coverage < 1
    assert fine.f1_score_of_all < coarse.f1_score <= fine.f1_score + 0.002
