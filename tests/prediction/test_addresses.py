import numpy as np
import pandas as pd
import pytest

from networksecurity.data.contracts import Addresses
from networksecurity.data.splitting import split
from networksecurity.data.storage import Storage
from networksecurity.exceptions import DataValidationError
from networksecurity.prediction.checking import check_addresses
from networksecurity.prediction.native import prepare
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


@pytest.mark.parametrize("row", [{"text": "a.test"}, {"uri": "a.test", "link": "b.test"}, {}])
def test_a_row_whose_address_cannot_be_told_is_refused(model, row):
    with pytest.raises(DataValidationError, match="row 1 has (no|2) fields that could be the address: call one `url`"):
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
