import json
import logging
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from served import JSON, ROW, address, running

from networksecurity import cli
from networksecurity.data.schema import FEATURES
from networksecurity.prediction import openapi
from networksecurity.prediction.native import FastPipeline
from networksecurity.prediction.server import JsonLines
from networksecurity.settings import Settings, settings


@pytest.mark.parametrize("declared", [True, False])
def test_an_oversized_body_is_refused_and_mostly_not_read(place, declared):
    sent = []

    async def body():
        for _ in range(1000):
            sent.append(100)
            yield b" " * 100

    with running(place.model_copy(update={"serve_max_bytes": 950})) as service:
        headers = {**JSON, **({"Content-Length": "100000"} if declared else {})}
        answer = service("POST", "/predict", content=body(), headers=headers)
        assert answer.status_code == 413
        assert "more than 950 bytes" in answer.json()["detail"]
        fits = json.dumps(ROW).encode()
        assert service("POST", "/predict", content=fits.ljust(950), headers=JSON).status_code == 200
    assert sum(sent) == (0 if declared else 9600)


@pytest.fixture
def quick(shared, monkeypatch):
    """Return a service whose native form answers up to ten rows, however busy this machine was when it was timed."""
    current = shared.model_in_use.current
    monkeypatch.setattr(shared.model_in_use, "current", replace(current, model=replace(current.model, up_to=10)))
    return shared


@pytest.fixture
def scored_by(monkeypatch):
    """Return where the rows of each request were scored: the event loop's thread, or one of the pool."""
    threads, score = [], FastPipeline.score

    def noted(self, X):
        threads.append("pool" if threading.current_thread().name.startswith("predict") else "event loop")
        return score(self, X)

    monkeypatch.setattr(FastPipeline, "score", noted)
    return threads


def test_one_row_is_scored_without_a_thread_more_rows_and_explanations_in_one(quick, scored_by):
    quick.predict(ROW)
    quick.predict({"rows": [ROW] * 20})
    assert scored_by == ["event loop", "pool"]
    hidden = json.dumps({"rows": [ROW], "explain": True}).replace("explain", "\\u0065xplain")
    for content, options in (
        (json.dumps({**ROW, "explain": True}), {}),
        (hidden, {}),
        (json.dumps(ROW), {"params": {"explain": "true"}}),
    ):
        scored_by.clear()
        assert quick("POST", "/predict", content=content, headers=JSON, **options).status_code == 200
        assert set(scored_by) == {"pool"}


def test_a_model_without_a_native_form_scores_in_a_thread(shared, scored_by, monkeypatch):
    current = shared.model_in_use.current
    monkeypatch.setattr(shared.model_in_use, "current", replace(current, model=replace(current.model, up_to=0)))
    shared.predict(ROW)
    assert scored_by == ["pool"]


def test_others_are_answered_while_many_rows_are_scored(quick, monkeypatch):
    began, may_end, score = threading.Event(), threading.Event(), FastPipeline.score

    def slow(self, X):
        if len(X) > 1:
            began.set()
            assert may_end.wait(60)
        return score(self, X)

    monkeypatch.setattr(FastPipeline, "score", slow)
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(quick.predict, {"rows": [ROW] * 20})
        assert began.wait(60)
        try:
            assert quick("GET", "/health").status_code == 200
            assert quick.predict(ROW)["n_rows"] == 1
            assert not many.done()
        finally:
            may_end.set()
        assert many.result()["n_rows"] == 20


def test_unknown_paths_and_methods_are_refused(shared):
    assert shared("GET", "/train").status_code == 404
    assert shared("GET", "/predict").status_code == 405
    paths = set(shared("GET", "/openapi.json").json()["paths"])
    assert paths == {"/predict", "/model", "/health", "/ready"}


PATHS = ["/", "/predict", "/model", "/health", "/ready", "/feedback", "/docs", "/openapi.json", "/static/", "/none"]
VALUES = st.sampled_from(["application/json", "text/csv", "gzip", "*/*", "0", "chunked"]) | st.text(
    st.characters(min_codepoint=32, max_codepoint=255), max_size=20
)


@fuzzed()
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "ODD"]),
    path=st.sampled_from(PATHS) | st.text(max_size=10).map("/{}".format),
    query=st.dictionaries(
        st.sampled_from(["explain", "format"]) | st.text(max_size=5), st.text(max_size=5), max_size=2
    ),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "Content-Encoding", "Accept", "Authorization", "Origin", "X-Odd"]), VALUES
    ),
    body=st.sampled_from([b"", json.dumps(ROW).encode(), b"[]", b"{}"]) | st.binary(max_size=50),
)
def test_any_request_is_answered_or_refused(shared, method, path, query, headers, body):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = shared(method, quote(path), params=query, headers=encoded, content=body)
    assert answer.status_code < 500, answer.text


TOKEN = {"serve_token": SecretStr("hunter2")}


@pytest.fixture(scope="module")
def guarded(published):
    """Return a service with a token, whose champion no test changes."""
    settings = Settings(mlflow_tracking_uri=address(published / "mlflow.db"), serve_refresh=3600)
    with running(settings.model_copy(update=TOKEN)) as service:
        yield service


@pytest.mark.parametrize(
    "given",
    ["", "hunter2", "Bearer", "Bearer hunter", "Bearer hünter2", "Basic hunter2", "Basic aHVudGVyMg==", "Basic ü"],
)
def test_a_wrong_token_is_refused(guarded, given):
    headers = {"Authorization": given.encode()}
    for method, path in (("GET", "/model"), ("POST", "/predict")):
        answer = guarded(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer, Basic")
        assert answer.json() == {"detail": "the token is missing or wrong"}


def test_the_token_gives_access(guarded, caplog):
    caplog.set_level(logging.INFO)
    for login in ({"headers": {"Authorization": "Bearer hunter2"}}, {"auth": ("anybody", "hunter2")}):
        assert guarded.predict(ROW, **login)["n_rows"] == 1
        assert guarded("GET", "/model", **login).status_code == 200
    assert "hunter2" not in caplog.text


def test_nothing_but_health_answers_without_the_token(guarded, shared):
    assert guarded("GET", "/health").json() == {"status": "alive"}
    for path in ("/", "/docs", "/ready", "/model", "/openapi.json", "/nowhere", "/health/", "/HEALTH"):
        assert guarded("GET", path).status_code == 401
        assert shared("GET", path).status_code != 401


def test_the_openapi_document_asks_for_the_token(guarded, shared):
    paths = guarded("GET", "/openapi.json", auth=("", "hunter2")).json()["paths"]
    assert {path for path, methods in paths.items() for of in methods.values() if "security" in of} == {
        "/predict",
        "/model",
        "/ready",
    }
    assert "401" in paths["/predict"]["post"]["responses"]
    assert "security" not in str(shared("GET", "/openapi.json").json()["paths"])


@pytest.mark.parametrize("token", ["with blank", "ü"])
def test_a_token_that_does_not_fit_into_a_header_is_refused(token):
    with pytest.raises(ValidationError, match="without blanks"):
        Settings(serve_token=SecretStr(token))


def test_the_log_has_one_line_per_request_and_no_values(shared, caplog):
    caplog.set_level(logging.INFO, "networksecurity")
    shared.predict({"rows": [{**ROW, "SFH": "hunter2", "url": "hunter2"}, ROW]}, params={"token": "hunter2"})
    shared("GET", "/no%0Aline")
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    first, second = lines
    assert set(first) == set("time level method path status seconds client rows rejected version".split())
    assert (first["method"], first["path"], first["status"]) == ("POST", "/predict", 200)
    assert (first["rows"], first["rejected"], first["version"]) == (2, 1, "1")
    assert (second["path"], second["status"]) == ("/no\nline", 404)
    assert not any("hunter2" in json.dumps(line) for line in lines)


def test_a_bug_is_logged_with_its_place_and_without_values(service, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("hunter2")

    caplog.set_level(logging.INFO, "networksecurity")
    monkeypatch.setattr(FastPipeline, "score", fail)
    assert service("POST", "/predict", json=ROW).status_code == 500
    (line,) = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert line["status"] == 500
    try:
        fail()
    except ZeroDivisionError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["error"]) == ("failed", "ZeroDivisionError")
    assert line["traceback"][-1].endswith(" fail")
    assert "hunter2" not in json.dumps(line)


def test_the_examples_of_the_openapi_document_are_answered_as_described(shared):
    document = shared("GET", "/openapi.json").json()
    bodies = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    tried = 0
    for kind, body in bodies.items():
        for example in body["examples"].values():
            value = example["value"]
            content = value if isinstance(value, str) else json.dumps(value)
            answer = shared("POST", "/predict", content=content, headers={"Content-Type": kind})
            assert answer.status_code == 200
            assert any(not found.reasons for found in openapi.Predictions.model_validate(answer.json()).predictions)
            tried += 1
    assert tried == 3


def test_features_are_described_with_their_domains(shared):
    document = shared("GET", "/openapi.json").json()
    one, _ = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert {name: of["enum"] for name, of in one["properties"].items()} == {
        name: [*domain, None] for name, domain in FEATURES.items()
    }
    assert all(of["description"] for of in one["properties"].values())
    for name, of in one["properties"].items():
        assert set(of["x-enum-descriptions"]) == {str(value) for value in FEATURES[name]}


def test_the_page_loads_nothing_from_elsewhere(shared):
    page = shared("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(r"(?:src|href)=\"(?!data:|openapi\.json)[^\"]*\"|@import|url\(|https?:", page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert shared("GET", "/docs").headers["location"] == "/#api"


@pytest.mark.parametrize("path", ["/", "/health", "/nowhere", "/predict"])
def test_every_answer_restricts_the_browser(shared, path):
    headers = shared("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_a_taken_port_is_reported_in_one_line(monkeypatch, capsys, closed_port, place):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.mlflow_tracking_uri.get_secret_value())
    settings.cache_clear()
    monkeypatch.setattr(sys, "argv", ["networksecurity", "serve", "--port", str(closed_port)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    settings.cache_clear()
    assert ended.value.code == 1
    said = (
        f"error: 127.0.0.1 port {closed_port} is not available (Address already in use): name another, --host, --port\n"
    )
    assert capsys.readouterr().err == said
