import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics
from threadpoolctl import threadpool_limits

from networksecurity.training.evaluation import evaluate
from networksecurity.training.intervals import difference, intervals, score_intervals


def labels(n_rows, seed, error=0.1):
    generator = np.random.default_rng(seed)
    y_true = generator.random(n_rows) < 0.4
    return y_true, y_true ^ (generator.random(n_rows) < error)


def precision(y_true, y_pred, axis):
    return (y_true & y_pred).sum(axis=axis) / y_pred.sum(axis=axis)


def f1_score(y_true, y_pred, axis):
    return 2 * (y_true & y_pred).sum(axis=axis) / (y_true.sum(axis=axis) + y_pred.sum(axis=axis))


def test_without_copies_the_intervals_are_those_of_scipy():
    y_true, y_pred = labels(500, 0)
    found = intervals(y_true, y_pred, np.arange(500))
    for name, figure in (("f1_score", f1_score), ("precision", precision)):
        of_scipy = bootstrap(
            (y_true, y_pred),
            figure,
            paired=True,
            vectorized=True,
            n_resamples=1_000,
            method="percentile",
            rng=0,
        ).confidence_interval
        assert found[name] == pytest.approx(tuple(of_scipy), abs=0.004)


def test_copies_of_a_row_are_no_further_evidence():
    y_true, y_pred = labels(300, 1)
    once = intervals(y_true, y_pred, np.arange(300))
    tenfold = intervals(np.repeat(y_true, 10), np.repeat(y_pred, 10), np.repeat(np.arange(300), 10))
    for name, bounds in once.items():
        assert tenfold[name] == pytest.approx(bounds)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_bounds_are_shares_in_order(rows):
    y_true, y_pred, groups = map(np.array, zip(*rows, strict=True))
    for low, high in intervals(y_true, y_pred, groups).values():
        assert 0 <= low <= high <= 1


def test_a_figure_lies_within_its_interval():
    y_true, y_pred = labels(400, 2)
    figures = evaluate(y_true, y_pred, y_pred.astype(float))
    for name, (low, high) in intervals(y_true, y_pred, np.arange(400) // 2).items():
        assert low < figures[name] < high


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2_000):
        p, q = generator.binomial(400, 0.9) / 400, generator.binomial(900, 0.85) / 900
        of_p, of_q = 1.96 * np.sqrt(p * (1 - p) / 400), 1.96 * np.sqrt(q * (1 - q) / 900)
        low, high = difference(p, (p - of_p, p + of_p), q, (q - of_q, q + of_q))
        covered += low <= 0.05 <= high
    assert 0.935 < covered / 2_000 < 0.965


def scores(n_rows, seed):
    generator = np.random.default_rng(seed)
    y_true = generator.random(n_rows) < 0.4
    return y_true, np.clip((y_true + generator.normal(0.5, 0.6, n_rows)) / 2, 0, 1).round(2)


def test_each_resample_is_figured_as_scikit_learn_figures_its_rows(monkeypatch):
    monkeypatch.setattr("networksecurity.training.intervals._CELLS_AT_ONCE", 300)  # some resamples at a time
    monkeypatch.setattr("networksecurity.training.intervals._N_RESAMPLES_OF_SCORES", 200)
    y_true, y_score = scores(90, 0)
    groups = np.random.default_rng(1).integers(40, size=90)
    vectors = np.unique(groups)
    generator, found = np.random.default_rng(5), []
    for _ in range(200):
        rows = np.concatenate(
            [np.flatnonzero(groups == vectors[i]) for i in generator.integers(len(vectors), size=len(vectors))]
        )
        y, score = y_true[rows], y_score[rows]
        found.append(
            [
                metrics.roc_auc_score(y, score),
                metrics.average_precision_score(y, score),
                metrics.brier_score_loss(y, score),
                metrics.log_loss(y, score, labels=[False, True]),
            ]
        )
    expected = np.quantile(found, [0.025, 0.975], axis=0).T
    bounds = score_intervals(y_true, y_score, groups, random_state=5)
    assert list(bounds) == ["roc_auc", "average_precision", "brier_score", "log_loss"]
    np.testing.assert_allclose(list(bounds.values()), expected, rtol=1e-9)


def test_a_figure_of_the_scores_lies_within_its_interval_and_copies_do_not_narrow_it():
    y_true, y_score = scores(400, 3)
    figures = evaluate(y_true, y_score >= 0.5, y_score)
    once = score_intervals(y_true, y_score, np.arange(400))
    tenfold = score_intervals(np.repeat(y_true, 10), np.repeat(y_score, 10), np.repeat(np.arange(400), 10))
    for name, (low, high) in once.items():
        assert low < figures[name] < high
        assert tenfold[name] == pytest.approx((low, high))


def test_the_threads_of_blas_change_no_digit():
    generator, found = np.random.default_rng(0), {}
    for n_rows in (500, 650, 780):
        y_true, y_score = generator.integers(2, size=n_rows), generator.random(n_rows)
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, user_api="blas"):
                found[n_rows, n_threads] = score_intervals(y_true, y_score, np.arange(n_rows))
        assert found[n_rows, 1] == found[n_rows, 2]


def test_of_many_rows_fewer_resamples_are_drawn(monkeypatch):
    y_true, y_score = scores(400, 3)
    precise = score_intervals(y_true, y_score, np.arange(400))
    monkeypatch.setattr("networksecurity.training.intervals._MOST_CELLS", 1)
    for name, bounds in score_intervals(y_true, y_score, np.arange(400)).items():
        assert bounds != precise[name]
        assert bounds == pytest.approx(precise[name], abs=0.05)


def test_resamples_of_one_class_are_left_out():
    y_true, y_score = np.array([1, 0, 0]), np.array([0.9, 0.1, 0.95])
    assert score_intervals(y_true, y_score, np.arange(3))["roc_auc"] == (0, 1)
