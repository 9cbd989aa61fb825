import json
import math

import numpy as np
import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import TARGET, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.evaluation import evaluate, evaluate_model
from networksecurity.training.review import Review, review


@pytest.fixture(scope="module")
def sides():
    return split(validate(make_phishing_websites(4_000, random_state=0)).accepted)


@pytest.fixture(scope="module")
def tree(sides):
    return make_pipeline(get_candidate("Decision Tree"), {"max_depth": 6}).fit(*to_X_y(sides.train))


@pytest.fixture(scope="module")
def known(tree, sides):
    """Return what a review knows of the model."""
    return {"learned": np.unique(vector_codes(sides.train)), "test": evaluate_model(tree, sides.test)}


@pytest.fixture(scope="module")
def new():
    return validate(make_phishing_websites(3_000, random_state=1)).accepted


def wrong_of(rows, share):
    flipped = np.arange(len(rows)) < share * len(rows)
    return rows.assign(**{TARGET: rows[TARGET].where(~flipped, -rows[TARGET])})


def test_new_rows_like_the_old_ones_are_not_worse(tree, new, known):
    found = review(tree, new, **known)
    assert found.verdict == "not_worse"
    assert found.difference[0] < 0 < found.difference[1]
    assert "does not show that it is lower by more than 0.01" in found.reason


def test_rows_are_divided_by_what_the_model_has_learned_from(tree, new, known):
    found = review(tree, new, **known)
    is_learned = np.isin(vector_codes(new), known["learned"])
    assert (found.learned.n_rows, found.unseen.n_rows) == (is_learned.sum(), (~is_learned).sum())
    X, y = to_X_y(new[~is_learned])
    figures = evaluate(y, tree.predict(X), tree.predict_proba(X)[:, 1])
    assert found.unseen.figures == figures
    assert found.unseen.n_vectors == len(np.unique(vector_codes(new[~is_learned])))


def test_wrong_labels_of_unseen_rows_make_it_worse(tree, new, known):
    found = review(tree, wrong_of(new, 0.3), **known)
    assert found.verdict == "worse"
    assert found.difference[1] < -found.margin


def test_wrong_labels_of_learned_rows_are_not_held_against_it(tree, new, known):
    is_learned = np.isin(vector_codes(new), known["learned"])
    rows = new.assign(**{TARGET: new[TARGET].where(~is_learned, -new[TARGET])})
    assert review(tree, rows, **known).verdict == "not_worse"


def test_a_wide_margin_tolerates_what_a_narrow_one_does_not(tree, new, known):
    worse = wrong_of(new, 0.1)
    assert review(tree, worse, **known, margin=0.01).verdict == "worse"
    assert review(tree, worse, **known, margin=0.3).verdict == "not_worse"


def test_what_cannot_be_judged_says_why(tree, sides, new, known):
    of_one_class = new[new[TARGET] == 1]
    for rows, given, why in (
        (sides.train, known, "the model has learned from every group of these rows: none is unseen"),
        (of_one_class, known, "unseen rows are legitimate"),
        (new, known | {"learned": None}, "it is not known which rows this version has learned from"),
        (new, known | {"test": {}}, "registered without the figures of its test rows"),
    ):
        found = review(tree, rows, **given)
        assert found.verdict == "not_judged"
        assert why in found.reason
        assert found.difference is None
        assert found.to_line().startswith("not_judged f1_score=")


def test_rows_of_one_class_have_an_accuracy_only(tree, new, known):
    found = review(tree, new[new[TARGET] == -1], **known)
    assert set(found.total.figures) == set(found.total.intervals) == {"accuracy"}


def test_the_line_for_scripts_holds_the_figures(tree, new, known):
    found = review(tree, new, **known)
    verdict, *values = found.to_line().split()
    values = dict(value.split("=") for value in values)
    assert verdict == "not_worse"
    assert float(values["f1_score"]) == pytest.approx(found.unseen.figures["f1_score"], abs=1e-4)
    assert float(values["low"]) < float(values["f1_score"]) < float(values["high"])
    assert int(values["n_unseen"]) == found.unseen.n_rows


def test_metrics_and_table_hold_every_part(tree, new, known):
    found = review(tree, new, **known)
    figures = found.metrics()
    assert figures["all/n_rows"] == figures["learned/n_rows"] + figures["unseen/n_rows"] == len(new)
    assert figures["unseen/f1_score_low"] < figures["unseen/f1_score"] < figures["unseen/f1_score_high"]
    assert all(map(math.isfinite, figures.values()))
    (f1,) = [row for row in found.to_table() if row[""] == "f1_score"]
    assert list(f1) == ["", "all", "learned", "unseen", "its test rows"]


def test_a_review_goes_through_json(tree, new, known):
    text = review(tree, new, **known).model_dump_json()
    json.loads(text, parse_constant=pytest.fail)
    assert Review.model_validate_json(text) == review(tree, new, **known)
