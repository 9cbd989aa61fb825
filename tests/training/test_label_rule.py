import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import LABELS, to_X_y
from networksecurity.data.validation import validate
from networksecurity.training.candidates import get_candidate
from networksecurity.training.label_rule import BandClassifier, LabelRule, classify, rule_of, with_rule
from networksecurity.training.search import fit_best

SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)


@pytest.fixture(scope="module")
def forest():
    """Return a fitted forest of eight trees, whose probabilities are eighths, and rows."""
    X, y = to_X_y(validate(make_phishing_websites(600, random_state=0)).accepted)
    return fit_best(get_candidate("Random Forest"), {"n_estimators": 8}, X, y), X


@given(st.tuples(SHARES, SHARES, SHARES).map(sorted), st.lists(SHARES, min_size=1, max_size=20))
def test_one_rule_labels_one_row_and_many(bounds, scores):
    lower, threshold, upper = bounds
    rule = LabelRule(threshold=threshold, band=(lower, upper))
    expected = ["phishing" if p >= upper else "unsure" if p >= lower else "legitimate" for p in scores]
    assert [LABELS[code] for code in rule.codes(np.array(scores)).tolist()] == expected
    assert [rule.label(p) for p in scores] == expected
    assert rule.is_unsure(np.array(scores)).tolist() == [label == "unsure" for label in expected]
    assert rule.classes(np.array(scores)).tolist() == [int(p >= threshold) for p in scores]


def test_without_a_band_every_row_is_decided():
    rule, scores = LabelRule(threshold=0.3), np.linspace(0, 1, 11)
    assert rule.codes(scores).tolist() == rule.classes(scores).tolist()


def test_a_threshold_outside_the_band_is_refused():
    with pytest.raises(ValidationError, match="the threshold 0.5 is outside the band"):
        LabelRule(threshold=0.5, band=(0.6, 0.7))


def test_a_pipeline_carries_its_rule(forest):
    model, X = forest
    rule = LabelRule(threshold=0.5, band=(0.25, 0.625))  # probabilities of rows stand at all three
    banded = with_rule(model, rule)
    y_score = model.predict_proba(X)[:, 1]
    assert {0.25, 0.5, 0.625} <= set(y_score)
    assert rule_of(banded) == rule
    assert banded.predict(X).tolist() == rule.codes(y_score).tolist()
    assert set(banded.predict(X)) == {0, 1, 2}
    assert (banded.predict_proba(X) == model.predict_proba(X)).all()
    assert classify(banded, X).tolist() == (y_score >= 0.5).astype(int).tolist() == model.predict(X).tolist()
    assert isinstance(banded[-1], BandClassifier)
    assert rule_of(model) == LabelRule(threshold=0.5)  # the pipeline itself is left as it was


def test_a_rule_without_a_band_is_scikit_learns_own_threshold(forest):
    model, X = forest
    moved = with_rule(model, LabelRule(threshold=0.25))
    assert type(moved[-1]) is type(model[-1])
    assert moved.predict(X).tolist() == (model.predict_proba(X)[:, 1] >= 0.25).astype(int).tolist()
    assert rule_of(moved) == LabelRule(threshold=0.25)
    assert rule_of(model[-1].estimator_) == LabelRule()
