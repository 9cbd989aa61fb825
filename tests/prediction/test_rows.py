import json
import re
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st
from served import CSV, JSON, NAME, ROW, address, crown, running

from networksecurity.data import splitting, validation
from networksecurity.data.files import File
from networksecurity.data.schema import FEATURES, LABELS, to_X
from networksecurity.exceptions import DataError
from networksecurity.prediction import openapi
from networksecurity.prediction.native import prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.prediction.rows import READERS
from networksecurity.settings import Settings
from networksecurity.tracking.model import probe_rows


@pytest.fixture(scope="module")
def real_test_rows(real_data):
    """Return the whole real test set, and once more with every tenth value missing."""
    test = splitting.split(validation.validate(File.at(str(real_data)).read().frame).accepted).test[list(FEATURES)]
    holes = np.random.default_rng(0).random(test.shape) < 0.1
    return {"complete": test.reset_index(drop=True), "with missing values": test.reset_index(drop=True).mask(holes)}


@pytest.fixture(scope="module", params=["1", "2"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def crowned(version, published, tmp_path_factory):
    """Return a service of each version."""
    folder = tmp_path_factory.mktemp("crowned")
    place = Settings(mlflow_tracking_uri=address(shutil.copy(published / "mlflow.db", folder)), serve_refresh=3600)
    crown(place, version)
    with running(place) as service:
        yield service


@pytest.mark.parametrize("form", ["JSON", "CSV"])
@pytest.mark.parametrize("kind", ["complete", "with missing values"])
def test_predictions_are_those_of_the_pipeline(version, crowned, kind, form, real_test_rows, models):
    frame = real_test_rows[kind]
    if form == "JSON":
        answer = crowned.predict({"rows": json.loads(frame.to_json(orient="records"))})
    else:
        answer = crowned("POST", "/predict", content=frame.to_csv(index=False), headers=CSV).json()
    assert answer["model"] == {"name": NAME, "version": version}
    assert (answer["n_rows"], answer["n_rejected"]) == (len(frame), 0)
    found = pd.DataFrame(answer["predictions"])
    X = to_X(frame.astype("Int8"))
    # Up to the order in which another number of rows is added up.
    expected = models[version].predict_proba(X)[:, 1]
    np.testing.assert_allclose(found["phishing_probability"], expected, rtol=0, atol=1e-12)
    expected = np.array([LABELS[code] for code in models[version].predict(X)])
    decided = (found["label"] == expected).to_numpy()  # too little is known of the others
    assert decided.all() or (version, kind) == ("1", "with missing values")
    assert set(found["label"][~decided]) <= {"unsure"}
    assert ("unsure" in expected) == (version == "2")


def test_predictions_of_a_row_do_not_depend_on_other_rows(shared, rows):
    some = json.loads(rows[list(FEATURES)].head(20).to_json(orient="records"))
    some[3] |= {"SFH": "x", "id": 3}
    together = shared.predict({"rows": some})["predictions"]
    assert [shared.predict(row)["predictions"][0] for row in some] == together


def test_other_fields_of_a_row_come_back_as_keys(shared):
    keys = {"url": "https://example.org/", "Result": -1, "more": {"a": [1, None]}}
    (found,) = shared.predict({**keys, **ROW})["predictions"]
    assert found["keys"] == keys
    table = pd.DataFrame([{"id": "7", **ROW}]).to_csv(index=False)
    assert shared("POST", "/predict", content=table, headers=CSV).json()["predictions"][0]["keys"] == {"id": "7"}


def test_features_may_have_any_known_name(shared):
    other = {"port_no" if name == "port" else name: of for name, of in ROW.items()}
    first, second = shared.predict({"rows": [ROW, other]})["predictions"]
    assert first == second
    assert first["reasons"] == []


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("7", "not one of -1, 0, 1"),
        ("0.5", "not a whole number"),
        ("1e999", "not one of"),
        ("-Infinity", "not one of"),
        ("1" + "0" * 400, "not "),
        ("18446744073709551616", "not one of"),
        ("true", "not a whole number"),
        ('"true"', "not a whole number"),
        ('"phishing"', "not a whole number"),
        ('"\\u0000"', "not a whole number"),
        ("[1]", "not a whole number"),
        ('{"a": 1}', "not a whole number"),
    ],
)
def test_a_bad_cell_is_a_reason_and_the_other_rows_are_answered(shared, cell, reason):
    good = json.dumps(ROW)
    bad = json.dumps({**ROW, "SFH": "CELL", "port": 0}).replace('"CELL"', cell)
    for body in (f'{{"rows": [{good}, {bad}, {good}]}}', f'{{"rows": [{bad}, {good}, {good}]}}', bad):
        answer = shared("POST", "/predict", content=body, headers=JSON)
        assert answer.status_code == 200, answer.text
        assert answer.json()["n_rejected"] == 1
        for found in answer.json()["predictions"]:
            openapi.Prediction.model_validate(found)
            if found["reasons"]:
                assert found["label"] is found["phishing_probability"] is None
                assert re.fullmatch(f"SFH is {reason}.*", found["reasons"][1]), found["reasons"]
                assert found["reasons"][0] == "port is not one of -1, 1"
            else:
                assert found["label"] == "legitimate"


@pytest.mark.parametrize("cell", ["null", "NaN", '""', '" na "', "1.0", '"1"', '" 1 "'])
def test_a_missing_value_is_legal_and_a_number_may_be_written_in_any_way(shared, cell):
    body = json.dumps({**ROW, "SFH": "CELL"}).replace('"CELL"', cell)
    answer = shared("POST", "/predict", content=body, headers=JSON).json()
    assert answer["predictions"][0]["reasons"] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text("ab"), values, max_size=2),
    max_leaves=4,
)


@given(cells=st.lists(VALUES, min_size=8, max_size=12), key=VALUES)
@fuzzed(15)
def test_any_json_value_in_a_cell_is_answered(shared, cells, key):
    body = json.dumps({"rows": [{**ROW, "SFH": cell, "key": key} for cell in cells]})
    answer = shared("POST", "/predict", content=body, headers=JSON)
    assert answer.status_code == 200
    openapi.Predictions.model_validate(answer.json())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the body is not JSON"),
        ("{hunter2", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        ("[" * 5000, "the body is not JSON"),
        ("1" * 5000, "the body is not JSON"),
        ('["\\ud800"]', "the body is not JSON"),
        ("null", "neither one row"),
        ('["hunter2"]', "neither one row"),
        ('{"rows": {"SFH": "hunter2"}}', "`rows` must be a list"),
        ('{"rows": ["hunter2"]}', "`rows` must be a list"),
        ('{"rows": [], "more": "hunter2"}', "nothing but `explain` may stand beside it"),
        ('{"rows": [], "explain": "hunter2"}', "`explain` must be true or false"),
        ('{"rows": []}', "there are no rows"),
        ("{}", "row 1 lacks having_IP_Address, .*: all 30 columns"),
        (json.dumps({"rows": [ROW, {**ROW, "port_no": "hunter2"}]}), "row 2 has port twice"),
    ],
)
def test_a_body_without_rows_is_refused(shared, content, said):
    answer = shared("POST", "/predict", content=content, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert re.search(said, answer.json()["detail"])
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "there are no rows"),
        (",".join(FEATURES), "there are no rows"),
        ("hunter2\n1\n", "row 1 lacks having_IP_Address"),
        ("a,a\nhunter2,1\n", "two columns of the same name"),
        ("a,b\n\nhunter2\n", "line 3 of the CSV has 1 cells, its first line 2"),
        ('a\n"hunter2', "not CSV in UTF-8"),
        (b"a\n\xff\n", "not CSV in UTF-8"),
    ],
)
def test_a_malformed_table_is_refused(shared, content, said):
    answer = shared("POST", "/predict", content=content, headers=CSV)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert "hunter2" not in answer.text


def test_a_row_without_a_feature_is_refused(shared):
    incomplete = {name: of for name, of in ROW.items() if name not in ("SFH", "port")}
    for content, number in (({"rows": [ROW, incomplete]}, 2), (incomplete, 1)):
        said = shared.predict(content, 422)["detail"]
        assert said == (f"row {number} lacks port, SFH: all 30 columns are needed, null for an unknown value")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "gzip"}])
def test_another_content_type_and_compression_are_refused(shared, headers):
    answer = shared("POST", "/predict", content="{}", headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (
        415,
        "send application/json or text/csv, not compressed",
    )


@pytest.mark.parametrize("headers", [CSV, JSON])
def test_too_many_rows_are_refused(shared, headers):
    table = pd.DataFrame([ROW] * 3001)
    bodies = {"text/csv": table.to_csv(index=False), "application/json": json.dumps({"rows": [ROW] * 3001})}
    answer = shared("POST", "/predict", content=bodies[headers["Content-Type"]], headers=headers)
    assert answer.status_code == 413
    assert "more than 3,000 rows" in answer.json()["detail"]


# --- with reasons -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected_reasons(outcome):
    """Return the reasons for the prediction of the row that all tests send."""
    explainer = Explainer(prepare(outcome.model, probe_rows()), alternatives_of(outcome.reference))
    return explainer.explain(np.ones((1, len(FEATURES))))[0]


def test_reasons_are_given_where_they_are_asked_for(shared, expected_reasons):
    bad = {**ROW, "SFH": 7}
    answer = shared.predict({"rows": [ROW, bad], "explain": True})
    openapi.Predictions.model_validate(answer)
    assert [found["explanation"] for found in answer["predictions"]] == [expected_reasons, None]
    assert answer["predictions"][0]["reasons"] == []
    table = pd.DataFrame([ROW]).to_csv(index=False)
    for found in (
        shared.predict({**ROW, "explain": True}),
        shared.predict(ROW, params={"explain": "true"}),
        shared("POST", "/predict?explain=1", content=table, headers=CSV).json(),
    ):
        (prediction,) = found["predictions"]
        assert prediction["explanation"] == expected_reasons
        assert prediction["keys"] == {}


def test_reasons_cost_nothing_where_they_are_not_asked_for(shared):
    for content in (ROW, {**ROW, "explain": False}, {"rows": [ROW], "explain": False}):
        (found,) = shared.predict(content)["predictions"]
        assert "explanation" not in found
    (found,) = shared.predict({**ROW, "explain": "a column of the user's own"})["predictions"]
    assert found["keys"] == {"explain": "a column of the user's own"}


def test_a_row_is_explained_alike_alone_and_among_others(shared, rows):
    some = json.loads(rows[list(FEATURES)].head(8).to_json(orient="records"))
    some[3] |= {"SFH": "x"}
    together = shared.predict({"rows": some, "explain": True})["predictions"]
    assert [shared.predict({**row, "explain": True})["predictions"][0] for row in some] == together


def test_too_many_rows_to_explain_are_refused(shared):
    assert shared.predict({"rows": [ROW] * 100, "explain": True})["n_rows"] == 100
    said = shared.predict({"rows": [ROW] * 101, "explain": True}, 413)["detail"]
    assert said == "more than 100 rows to explain: send them in parts, or without `explain`"


def test_a_query_that_is_not_as_described_is_refused_in_one_line(shared):
    said = shared.predict(ROW, 422, params={"explain": "hunter2"})["detail"]
    assert said.startswith("query.explain: Input should be a valid boolean")
    assert "hunter2" not in said


def test_a_model_without_a_profile_says_that_it_has_no_reasons(service):
    assert service("GET", "/model").json()["explains"]
    service.model_in_use.current = replace(service.model_in_use.current, explainer=None)
    said = service.predict({"rows": [ROW], "explain": True}, 409)["detail"]
    assert said.startswith("the model has no reasons to give: no profile of its rows was stored with it; ask without")
    assert "explanation" not in service.predict(ROW)["predictions"][0]
    assert not service("GET", "/model").json()["explains"]


PIECES = [b"{", b"}", b'"rows"', b"[", b"]", b":", b",", b"\n", b'"', b"\0", b"1e999", b"9" * 5_000, b"\xff", b"NaN"]


@fuzzed()
@given(
    kind=st.sampled_from(list(READERS)),
    body=st.binary(max_size=60) | st.lists(st.sampled_from(PIECES)).map(b"".join),
)
@example(kind="text/csv", body=b"a\n" + b"x" * 200_000)
@example(kind="application/json", body=b"[" * 100_000)
def test_any_body_is_read_or_refused(kind, body):
    with suppress(DataError):
        READERS[kind](body, 100)
