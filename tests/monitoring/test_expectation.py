import numpy as np
import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.validation import validate
from networksecurity.monitoring.expectation import expect
from networksecurity.monitoring.profile import reference_profile


@pytest.fixture(scope="module")
def accepted():
    return validate(make_phishing_websites(500, random_state=0)).accepted


def scored(n_rows, seed, calibrated=lambda score: score):
    """Return scores, and labels of the probability that `calibrated` makes of each."""
    generator = np.random.default_rng(seed)
    y_score = generator.beta(0.4, 0.4, n_rows)
    return y_score, generator.random(n_rows) < calibrated(y_score)


def precision_and_recall(y_true, y_pred):
    return (y_true & y_pred).sum() / y_pred.sum(), (y_true & y_pred).sum() / y_true.sum()


@pytest.mark.parametrize("calibrated", [lambda score: score, lambda score: score**3, lambda score: 0.2 + 0.6 * score])
def test_expected_figures_are_those_that_labels_would_give(accepted, calibrated):
    y_score, y_true = scored(50_000, 0, calibrated)
    profile = reference_profile(accepted, data_sha256="", y_score=y_score, y_true=y_true)
    y_score, y_true = scored(50_000, 1, calibrated)
    found = expect(profile, y_score, y_score >= 0.5)
    assert (found.precision, found.recall_score) == pytest.approx(
        precision_and_recall(y_true, y_score >= 0.5), abs=0.01
    )
    assert found.f1_score == pytest.approx(
        2 * found.precision * found.recall_score / (found.precision + found.recall_score)
    )


def test_labels_that_change_their_meaning_are_not_seen(accepted):
    y_score, y_true = scored(50_000, 0)
    profile = reference_profile(accepted, data_sha256="", y_score=y_score, y_true=y_true)
    y_score, y_true = scored(50_000, 1, lambda score: 1 - score)
    found = expect(profile, y_score, y_score >= 0.5)
    assert found.precision > 0.8
    assert precision_and_recall(y_true, y_score >= 0.5)[0] < 0.3


def test_nothing_called_phishing_has_no_precision(accepted):
    y_score, y_true = scored(1_000, 0)
    profile = reference_profile(accepted, data_sha256="", y_score=y_score, y_true=y_true)
    found = expect(profile, y_score, np.zeros(1_000, bool))
    assert (found.precision, found.recall_score) == (None, 0)
    assert set(found.metrics()) == {"expected/n_rows", "expected/recall_score", "expected/f1_score"}


def test_a_profile_without_labels_expects_nothing(accepted):
    y_score, _ = scored(1_000, 0)
    assert expect(reference_profile(accepted, data_sha256=""), y_score, y_score > 0.5) is None
    older = reference_profile(accepted, data_sha256="", y_score=y_score)
    assert (older.score_phishing, expect(older, y_score, y_score > 0.5)) == (None, None)
