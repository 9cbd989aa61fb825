"""What predictions say of rows that lack features."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from served import CSV

from networksecurity.data.contracts import WEBSITES
from networksecurity.data.overrides.override import Override, Overrides, row_value
from networksecurity.data.schema import F1_KNOWN, FEATURE_GROUPS, FEATURES, KNOWN, LABEL, SCORE
from networksecurity.prediction import rows as requests
from networksecurity.prediction.native import prepare
from networksecurity.prediction.scoring import BatchScorer, score
from networksecurity.tracking.model import probe_rows
from networksecurity.training.masking import hide, known_sets


@pytest.fixture(scope="module")
def frame(rows):
    """Return rows, each with another set of groups known, and one of which nothing is known."""
    X = WEBSITES.to_X(rows.dropna()).head(32)
    sets = [*known_sets(FEATURE_GROUPS), ()]
    parts = [hide(X.iloc[[i]], FEATURE_GROUPS, known) for i, known in enumerate(sets)]
    return pd.concat(parts, ignore_index=True).astype("Int8")


def as_rows(frame):
    return json.loads(frame.to_json(orient="records"))


@pytest.fixture(scope="module")
def expected(frame, outcome):
    """Return what has to be said of each row, from the stored table alone."""
    figures = [round(of.f1_score, 4) for of in outcome.known.sets]
    y_score = outcome.model.predict_proba(WEBSITES.to_X(frame))[:, 1]
    too_little = [False, *(of.f1_score < 0.75 for of in outcome.known.sets[1:]), True]
    labels = np.where(too_little, "unsure", np.where(y_score >= 0.5, "phishing", "legitimate"))
    return pd.DataFrame({LABEL: labels, KNOWN: frame.notna().sum(axis=1), F1_KNOWN: [*figures, np.nan]})


def test_some_sets_are_enough_for_a_label_and_some_are_not(expected):
    assert {"unsure", "phishing", "legitimate"} == set(expected[LABEL])


def test_a_batch_says_what_is_known_of_each_row(frame, outcome, expected):
    scorer = BatchScorer(outcome.model, name="m", version="1", max_rejected=0, known=outcome.known)
    found, rejected = scorer.add(frame.astype(object))
    assert rejected.empty
    pd.testing.assert_frame_equal(
        found[[LABEL, KNOWN, F1_KNOWN]].astype({LABEL: "str"}), expected.astype({LABEL: "str"}), check_dtype=False
    )
    assert scorer.finish().n_unsure == (expected[LABEL] == "unsure").sum()


def test_a_request_is_answered_as_a_batch(frame, outcome, expected):
    model = prepare(outcome.model, probe_rows())
    found = pd.DataFrame(requests.predict(model, as_rows(frame), known=outcome.known))
    assert found[LABEL].tolist() == expected[LABEL].tolist()
    assert found[KNOWN].tolist() == expected[KNOWN].tolist()
    np.testing.assert_array_equal(found[F1_KNOWN].astype(float), expected[F1_KNOWN])
    in_batch = score(outcome.model, frame, known=outcome.known)
    np.testing.assert_allclose(found[SCORE].astype(float), in_batch[SCORE], rtol=0, atol=1e-12)


def test_a_row_that_is_not_valid_is_not_judged(frame, outcome):
    bad = as_rows(frame)[0] | {"SFH": 7}
    (found,) = requests.predict(prepare(outcome.model, probe_rows()), [bad], known=outcome.known)
    assert found[LABEL] is None
    assert KNOWN not in found


@pytest.mark.parametrize("form", ["JSON", "CSV"])
def test_the_service_says_what_is_known(shared, frame, expected, form):
    if form == "JSON":
        answer = shared.predict({"rows": as_rows(frame)})
    else:
        answer = shared("POST", "/predict", content=frame.to_csv(index=False), headers=CSV).json()
    found = answer["predictions"]
    assert [one[LABEL] for one in found] == expected[LABEL].tolist()
    assert [one[KNOWN] for one in found] == expected[KNOWN].tolist()
    figures = [None if np.isnan(f1) else f1 for f1 in expected[F1_KNOWN]]
    assert [one[F1_KNOWN] for one in found] == figures


def test_a_version_without_a_table_answers_as_before(frame, outcome):
    (found, *_) = requests.predict(prepare(outcome.model, probe_rows()), as_rows(frame)[-1:])
    assert {KNOWN, F1_KNOWN}.isdisjoint(found)
    assert found[LABEL] in {"phishing", "legitimate"}
    assert list(score(outcome.model, frame)) == [SCORE, LABEL]
    taken = frame.astype(object).assign(known="mine")
    passed_on, _ = BatchScorer(outcome.model, name="m", version="1", max_rejected=0).add(taken)
    assert set(passed_on["known"]) == {"mine"}


def test_a_persons_label_takes_the_place_of_unsure(frame, outcome, expected):
    row = as_rows(frame)[30]
    assert expected.at[30, LABEL] == "unsure"
    assert set(row) == set(FEATURES)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    about = {"label": "phishing", "reason": "seen", "by": "jane", "at": now, "until": now + timedelta(days=1)}
    one = Override(contract="websites", covers="row", value=row_value(row.values()), **about)
    how = {"overrides": Overrides.of("websites", [one]), "now": now, "known": outcome.known}
    (found,) = requests.predict(prepare(outcome.model, probe_rows()), [row], **how)
    assert (found[LABEL], found["by"]) == ("phishing", "override")
    assert found[KNOWN] == expected.at[30, KNOWN]
