import numpy as np
import pandas as pd
import pytest

from networksecurity.data.contracts import Addresses
from networksecurity.data.splitting import split
from networksecurity.data.storage import Storage
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring.profile import reference_profile
from networksecurity.prediction.address_parts import PARTS
from networksecurity.prediction.checking import check_addresses
from networksecurity.prediction.native import prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.prediction.rows import predict
from networksecurity.prediction.scoring import BatchScorer, score
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import ADDRESS_CANDIDATES, get_candidate
from networksecurity.training.search import fit_best

CONTRACT = Addresses()


@pytest.fixture(scope="module")
def rows():
    return CONTRACT.validate(CONTRACT.make_sample(800)).accepted


@pytest.fixture(scope="module")
def model(rows):
    return fitted("Decision Tree", rows)


def fitted(name, rows):
    candidate = get_candidate(name, "addresses")
    params = {"n_estimators": 16} if "n_estimators" in candidate.param_grid else {}
    return fit_best(candidate, params, *CONTRACT.to_X_y(rows))


@pytest.mark.parametrize("name", ADDRESS_CANDIDATES)
def test_every_candidate_gives_the_same_answers_stored_in_batch_and_in_the_service(name, rows, tmp_path):
    pipeline = fitted(name, rows)
    storage = Storage(str(tmp_path))
    reference = storage.put_model(pipeline)
    stored = Storage(str(tmp_path)).get_model(reference)
    sides = split(CONTRACT.validate(CONTRACT.make_sample(600, random_state=1)).accepted, contract=CONTRACT)
    test = sides.test
    expected = pipeline.predict_proba(CONTRACT.to_X(test))[:, 1]
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(stored.predict_proba(CONTRACT.to_X(test))[:, 1], expected)
    np.testing.assert_allclose(score(stored, test, CONTRACT)["phishing_probability"], expected, rtol=0, atol=1e-12)
    fast = prepare(stored, probe_rows(CONTRACT))
    answers = predict(fast, [{"url": url} for url in test["url"]], contract=CONTRACT)
    np.testing.assert_allclose([of["phishing_probability"] for of in answers], expected, rtol=0, atol=1e-12)
    assert [of["label"] == "phishing" for of in answers] == (pipeline.predict(CONTRACT.to_X(test)) == 1).tolist()


def test_a_request_gets_a_reason_for_what_is_no_address_and_its_fields_back(model):
    fast = prepare(model, probe_rows(CONTRACT))
    found = predict(fast, [{"link": "hxxp://a[.]test", "id": 1}, {"url": "ftp://a.test"}], contract=CONTRACT)
    assert found[0]["keys"] == {"link": "hxxp://a[.]test", "id": 1}
    assert found[0]["label"] in {"phishing", "legitimate"}
    assert (found[1]["label"], found[1]["reasons"]) == (None, ["url: the scheme is not http or https"])


@pytest.mark.parametrize(
    ("row", "said"),
    [({"text": "a.test"}, "lacks url"), ({"uri": "a.test", "link": "b.test"}, "has url twice"), ({}, "lacks url")],
)
def test_a_row_whose_address_cannot_be_told_is_refused(model, row, said):
    with pytest.raises(DataValidationError, match=f"^row 1 {said}$"):
        predict(prepare(model, probe_rows(CONTRACT)), [row], contract=CONTRACT)


def test_the_address_as_it_was_given_stands_beside_its_prediction(model):
    scorer = BatchScorer(model, name="addresses", version="3", max_rejected=0.5, contract=CONTRACT)
    predictions, rejected = scorer.add(pd.DataFrame({"URL": ["hxxp://a[.]test", "?"], "key": ["x", "y"]}))
    assert predictions[["row", "URL", "key", "model_version"]].values.tolist() == [[0, "hxxp://a[.]test", "x", "3"]]
    assert rejected[["row", "URL", "url", "reasons"]].values.tolist() == [[1, "?", "?", "url: there is no host"]]
    assert scorer.finish().n_rejected == 1


def test_each_address_gets_a_verdict_in_its_order(model):
    found = check_addresses(model, ["http://a.test/", "no address", "http://b.test/"])
    assert [verdict.url for verdict in found] == ["http://a.test/", "no address", "http://b.test/"]
    assert [verdict.problem for verdict in found] == [None, "the host is no host name", None]


def test_control_characters_of_an_address_do_not_reach_the_terminal(model):
    (verdict,) = check_addresses(model, ["http://a.test/\x1b[2J"])
    assert "\x1b" not in verdict.to_line()


def test_reasons_are_the_same_in_the_service_in_batch_and_for_a_command(model, rows):
    explainer = Explainer(
        prepare(model, probe_rows(CONTRACT)),
        alternatives_of(reference_profile(rows, data_sha256="", contract=CONTRACT)),
    )
    urls = rows["url"].head(5).tolist()
    answers = predict(prepare(model, probe_rows(CONTRACT)), [{"url": url} for url in urls], explainer, CONTRACT)
    explained = [answer["explanation"] for answer in answers]
    assert any(explained)
    assert {reason["feature"] for reasons in explained for reason in reasons} <= set(PARTS)
    assert [verdict.explanation for verdict in check_addresses(model, urls, explainer=explainer)] == explained
    scorer = BatchScorer(model, name="m", version="1", max_rejected=0.5, explainer=explainer, contract=CONTRACT)
    scored, _ = scorer.add(pd.DataFrame({"link": [*urls, urls[0]]}))
    kept = ("feature", "value", "effect")
    short = [[{key: reason[key] for key in kept} for reason in reasons] for reasons in explained]
    assert scored["explanation"].tolist() == [*short, short[0]]


def test_a_verdict_shows_its_reasons_without_control_characters(rows):
    model = fitted("Logistic Regression", rows)
    profile = reference_profile(rows, data_sha256="", contract=CONTRACT)
    explainer = Explainer(prepare(model, probe_rows(CONTRACT)), alternatives_of(profile))
    (verdict,) = check_addresses(
        model, ["http://login-verify.bank.example.test/a%1B\x1b/signin.php"], explainer=explainer
    )
    first, *lines = verdict.to_line().splitlines()
    assert first.startswith(verdict.label)
    assert len(lines) == len(verdict.explanation) > 0
    assert "\x1b" not in verdict.to_line()


def test_a_rejected_address_stands_once_beside_its_reason(model):
    scorer = BatchScorer(model, name="m", version="1", max_rejected=1, contract=CONTRACT)
    _, rejected = scorer.add(pd.DataFrame({"id": [1], "url": ["?"]}))
    assert rejected.to_dict("records") == [{"row": 0, "id": 1, "url": "?", "reasons": "url: there is no host"}]
