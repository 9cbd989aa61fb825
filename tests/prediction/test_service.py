import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Queue

import anyio
import httpx
import numpy as np
import pandas as pd
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from leash import LEASH
from pydantic import SecretStr, ValidationError

from networksecurity import cli
from networksecurity.champion import registry
from networksecurity.data import schema, splitting
from networksecurity.data.schema import FEATURES, to_X
from networksecurity.data.sources import read
from networksecurity.exceptions import TrackingUnavailableError
from networksecurity.prediction import service as serving
from networksecurity.settings import Settings, settings
from networksecurity.tracking import runs as tracking
from networksecurity.tracking import server as tracking_server
from networksecurity.training.candidates import CANDIDATES, make_pipeline

NAME = "networksecurity-phishing"
PROJECT = Path(__file__).resolve().parents[2]
ROW = dict.fromkeys(FEATURES, 1)
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def models(outcome, rows):
    """Return two pipelines by their version: both answer, and rarely alike; the second has a threshold."""
    second = make_pipeline(CANDIDATES["Logistic Regression"], threshold=0.2).fit(*schema.to_X_y(rows))
    return {"1": outcome.model, "2": second}


@pytest.fixture(scope="module")
def published(tmp_path_factory, mlflow_database, outcome, models):
    """Return the address of a database with both models as versions, and a third whose files are gone."""
    folder = tmp_path_factory.mktemp("published")
    server = tracking_server.connect(Settings(mlflow_tracking_uri=address(shutil.copy(mlflow_database, folder))))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for model in models.values():
            training = tracking.start_training(server, "serving", {})
            uri = tracking.log_outcome(server, training, replace(outcome, model=model)).model_uri
            tags = {"f1_score": "0.951234", "data.source": "sample"}
            registry.register(server, NAME, uri, training.train_run_id, tags=tags, description="")
    client = server.client()
    client.create_model_version(NAME, f"file://{folder}/nowhere", client.create_run("0").info.run_id)
    registry.set_alias(server, NAME, registry.CHAMPION, "1")
    return folder


def address(path):
    return SecretStr(f"sqlite:///{path}")


@pytest.fixture
def place(published, tmp_path):
    """Return settings of a service that looks for its champion when it is told to, in a database of the test's own."""
    uri = address(shutil.copy(published / "mlflow.db", tmp_path))
    return Settings(mlflow_tracking_uri=uri, serve_refresh=3600, cores=2)


def crown(place, version):
    registry.set_alias(tracking_server.connect(place), NAME, registry.CHAMPION, version)


class Service:
    """A service in this process, behind no socket."""

    def __init__(self, app, portal, client):
        self.champion = app.state.champion
        self._portal, self._client = portal, client

    def __call__(self, method, path, **content):
        return self._portal.call(partial(self._client.request, method, path, **content))

    def predict(self, content, status=200, **options):
        answer = self("POST", "/predict", json=content, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


@contextmanager
def running(place):
    app = serving.create_app(place)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        portal.wrap_async_context_manager(httpx.AsyncClient(transport=transport, base_url="http://service")) as client,
    ):
        app.state.champion.refresh()
        yield Service(app, portal, client)


@pytest.fixture
def service(place):
    with running(place) as service:
        yield service


@pytest.fixture(scope="module")
def shared(published):
    """Return a service for tests that leave its champion alone."""
    uri = address(published / "mlflow.db")
    with running(Settings(mlflow_tracking_uri=uri, serve_refresh=3600, serve_max_rows=3000)) as service:
        yield service


@pytest.fixture(scope="module")
def real_test_rows(real_data):
    """Return the whole real test set, and once more with every tenth value missing."""
    test = splitting.split(schema.validate(read(str(real_data))).accepted).test[list(FEATURES)]
    holes = np.random.default_rng(0).random(test.shape) < 0.1
    return {"complete": test.reset_index(drop=True), "with missing values": test.reset_index(drop=True).mask(holes)}


class TestPredictions:
    @pytest.mark.parametrize("form", ["JSON", "CSV"])
    @pytest.mark.parametrize("kind", ["complete", "with missing values"])
    @pytest.mark.parametrize("version", ["1", "2"])
    def test_are_those_of_the_pipeline(self, version, kind, form, real_test_rows, models, place):
        frame = real_test_rows[kind]
        crown(place, version)
        with running(place) as service:
            if form == "JSON":
                answer = service.predict({"rows": json.loads(frame.to_json(orient="records"))})
            else:
                answer = service("POST", "/predict", content=frame.to_csv(index=False), headers=CSV).json()
        assert answer["model"] == {"name": NAME, "version": version}
        assert (answer["n_rows"], answer["n_rejected"]) == (len(frame), 0)
        found = pd.DataFrame(answer["predictions"])
        X = to_X(frame.astype("Int8"))
        # Up to the order in which another number of rows is added up.
        expected = models[version].predict_proba(X)[:, 1]
        np.testing.assert_allclose(found["phishing_probability"], expected, rtol=0, atol=1e-12)
        assert (found["label"] == "phishing").tolist() == (models[version].predict(X) == 1).tolist()

    def test_of_a_row_do_not_depend_on_the_others(self, shared, rows):
        some = json.loads(rows[list(FEATURES)].head(20).to_json(orient="records"))
        some[3] |= {"SFH": "x", "id": 3}
        together = shared.predict({"rows": some})["predictions"]
        assert [shared.predict(row)["predictions"][0] for row in some] == together

    def test_come_with_whatever_else_was_in_the_row(self, shared):
        keys = {"url": "https://example.org/", "Result": -1, "more": {"a": [1, None]}}
        (found,) = shared.predict({**keys, **ROW})["predictions"]
        assert found["keys"] == keys
        table = pd.DataFrame([{"id": "7", **ROW}]).to_csv(index=False)
        assert shared("POST", "/predict", content=table, headers=CSV).json()["predictions"][0]["keys"] == {"id": "7"}

    def test_know_the_other_names_of_the_features(self, shared):
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
    def test_a_bad_cell_is_a_reason_and_the_other_rows_are_answered(self, shared, cell, reason):
        good = json.dumps(ROW)
        bad = json.dumps({**ROW, "SFH": "CELL", "port": 0}).replace('"CELL"', cell)
        for body in (f'{{"rows": [{good}, {bad}, {good}]}}', f'{{"rows": [{bad}, {good}, {good}]}}', bad):
            answer = shared("POST", "/predict", content=body, headers=JSON)
            assert answer.status_code == 200, answer.text
            assert answer.json()["n_rejected"] == 1
            for found in answer.json()["predictions"]:
                serving.Prediction.model_validate(found)
                if found["reasons"]:
                    assert found["label"] is found["phishing_probability"] is None
                    assert re.fullmatch(f"SFH is {reason}.*", found["reasons"][1]), found["reasons"]
                    assert found["reasons"][0] == "port is not one of -1, 1"
                else:
                    assert found["label"] == "legitimate"

    @pytest.mark.parametrize("cell", ["null", "NaN", '""', '" na "', "1.0", '"1"', '" 1 "'])
    def test_a_missing_value_is_legal_and_a_number_is_one_however_written(self, shared, cell):
        body = json.dumps({**ROW, "SFH": "CELL"}).replace('"CELL"', cell)
        answer = shared("POST", "/predict", content=body, headers=JSON).json()
        assert answer["predictions"][0]["reasons"] == []

    VALUES = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text("ab"), values, max_size=2),
        max_leaves=4,
    )

    @given(cells=st.lists(VALUES, min_size=1, max_size=4), key=VALUES)
    @hypothesis_settings(max_examples=60, derandomize=True)
    def test_no_value_is_too_much(self, shared, cells, key):
        body = json.dumps({"rows": [{**ROW, "SFH": cell, "key": key} for cell in cells]})
        answer = shared("POST", "/predict", content=body, headers=JSON)
        assert answer.status_code == 200
        serving.Predictions.model_validate(answer.json())


class TestRefusals:
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
            ('{"rows": {"SFH": "hunter2"}}', "`rows` is not a list"),
            ('{"rows": ["hunter2"]}', "`rows` is not a list"),
            ('{"rows": [], "more": "hunter2"}', "does not stand alone"),
            ('{"rows": []}', "there are no rows"),
            ("{}", "row 1 lacks having_IP_Address, .*: all 30 features"),
            (json.dumps({"rows": [ROW, {**ROW, "port_no": "hunter2"}]}), "row 2 has port twice"),
        ],
    )
    def test_of_a_body_that_is_no_rows(self, shared, content, said):
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
    def test_of_a_table_that_is_none(self, shared, content, said):
        answer = shared("POST", "/predict", content=content, headers=CSV)
        assert answer.status_code == 422, answer.text
        assert said in answer.json()["detail"]
        assert "hunter2" not in answer.text

    def test_of_a_feature_that_is_missing_anywhere(self, shared):
        incomplete = {name: of for name, of in ROW.items() if name not in ("SFH", "port")}
        for content, number in (({"rows": [ROW, incomplete]}, 2), (incomplete, 1)):
            said = shared.predict(content, 422)["detail"]
            assert said == (
                f"row {number} lacks port, SFH: all 30 features are needed, null where a value is not known"
            )

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "gzip"}])
    def test_of_another_kind_of_content(self, shared, headers):
        answer = shared("POST", "/predict", content="{}", headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (
            415,
            "send application/json or text/csv, not compressed",
        )

    @pytest.mark.parametrize("headers", [CSV, JSON])
    def test_of_too_many_rows(self, shared, headers):
        table = pd.DataFrame([ROW] * 3001)
        bodies = {"text/csv": table.to_csv(index=False), "application/json": json.dumps({"rows": [ROW] * 3001})}
        answer = shared("POST", "/predict", content=bodies[headers["Content-Type"]], headers=headers)
        assert answer.status_code == 413
        assert "more than 3,000 rows" in answer.json()["detail"]

    @pytest.mark.parametrize("declared", [True, False])
    def test_of_too_many_bytes_of_which_most_are_not_read(self, place, declared):
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

    def test_of_unknown_paths_and_methods(self, shared):
        assert shared("GET", "/train").status_code == 404
        assert shared("GET", "/predict").status_code == 405
        paths = set(shared("GET", "/openapi.json").json()["paths"])
        assert paths == {"/predict", "/model", "/health", "/ready"}


class TestChampion:
    def test_is_said(self, shared):
        found = shared("GET", "/model").json()
        assert (found["name"], found["version"], found["threshold"]) == (NAME, "1", 0.5)
        assert found["figures"] == {"f1_score": 0.951234}
        assert found["card"].startswith("# Random Forest · ")
        assert shared("GET", "/ready").json() == {
            "status": "ready",
            "model": {"name": NAME, "version": "1"},
            "problem": None,
        }

    def test_is_waited_for(self, tmp_path, mlflow_database, published):
        empty = Settings(mlflow_tracking_uri=address(shutil.copy(mlflow_database, tmp_path)), serve_refresh=3600)
        with running(empty) as service:
            assert service("GET", "/health").json() == {"status": "alive"}
            for method, path in (("GET", "/ready"), ("GET", "/model"), ("POST", "/predict")):
                answer = service(method, path, **({"json": ROW} if method == "POST" else {}))
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "3600"
                assert "networksecurity champion promote VERSION" in answer.json()["detail"]
            client = tracking_server.connect(empty).client()
            client.create_registered_model(NAME)
            folder = next(published.rglob("MLmodel")).parent
            client.create_model_version(NAME, f"file://{folder}", client.create_run("0").info.run_id)
            crown(empty, "1")
            service.champion.refresh()
            assert service.predict(ROW)["model"]["version"] == "1"
            assert service("GET", "/model").json()["card"] is None

    def test_that_cannot_be_loaded_does_not_replace_the_one_that_is(self, place, service, caplog):
        crown(place, "3")
        service.champion.refresh()
        service.champion.refresh()
        assert service.predict(ROW)["model"]["version"] == "1"
        ready = service("GET", "/ready")
        assert ready.status_code == 200
        assert ready.json()["problem"]
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warning.endswith("(version 1 goes on)")
        crown(place, "2")
        service.champion.refresh()
        assert service("GET", "/ready").json() == {
            "status": "ready",
            "model": {"name": NAME, "version": "2"},
            "problem": None,
        }

    @pytest.mark.parametrize(
        ("error", "said"),
        [(TrackingUnavailableError("the server is down"), "the server is down"), (ZeroDivisionError("hunter2"), "see")],
    )
    def test_goes_on_where_the_server_does_not(self, service, monkeypatch, caplog, error, said):
        def fail(*_):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(registry, "find_version", fail)
            service.champion.refresh()
        answer = service("GET", "/ready")
        assert said in answer.json()["problem"]
        assert "hunter2" not in answer.text
        assert service.predict(ROW)["n_rejected"] == 0
        caplog.set_level(logging.INFO, "networksecurity")
        service.champion.refresh()
        assert "the champion can be looked for again" in caplog.messages
        assert service("GET", "/ready").json()["problem"] is None

    def test_is_the_same_from_the_start_of_a_request_to_its_end(self, place, service, models):
        text = json.dumps(ROW).encode()

        async def body():
            yield text[:100]
            crown(place, "2")
            await anyio.to_thread.run_sync(service.champion.refresh)
            yield text[100:]

        assert service("POST", "/predict", content=body(), headers=JSON).json()["model"]["version"] == "1"
        assert service.predict(ROW)["model"]["version"] == "2"

    def test_changes_without_a_request_dropped_or_mixed(self, place, service, models, rows):
        some = rows[list(FEATURES)].head(50)
        content = {"rows": json.loads(some.to_json(orient="records"))}
        expected = {version: model.predict_proba(to_X(some))[:, 1] for version, model in models.items()}
        answers, ended = Queue(), threading.Event()

        def ask():
            while not ended.is_set():
                answers.put(service("POST", "/predict", json=content))

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        try:
            for version in "2121":
                crown(place, version)
                service.champion.refresh()
                seen = None
                while seen != version:
                    answer = answers.get(timeout=60)
                    assert answer.status_code == 200
                    seen = answer.json()["model"]["version"]
                    found = [prediction["phishing_probability"] for prediction in answer.json()["predictions"]]
                    np.testing.assert_allclose(found, expected[seen], rtol=0, atol=1e-12)
        finally:
            ended.set()
            for asker in askers:
                asker.join()
        while not answers.empty():
            assert answers.get().status_code == 200


class TestToken:
    @pytest.fixture
    def guarded(self, place):
        with running(place.model_copy(update={"serve_token": SecretStr("hunter2")})) as service:
            yield service

    @pytest.mark.parametrize("given", ["", "hunter2", "Bearer", "Bearer hunter", "Bearer hünter2", "Basic hunter2"])
    def test_that_is_wrong_opens_nothing(self, guarded, given):
        headers = {"Authorization": given.encode()}
        for method, path in (("GET", "/model"), ("POST", "/predict")):
            answer = guarded(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"

    def test_opens_what_it_guards(self, guarded, caplog):
        caplog.set_level(logging.INFO)
        headers = {"Authorization": "Bearer hunter2"}
        assert guarded.predict(ROW, headers=headers)["n_rows"] == 1
        assert guarded("GET", "/model", headers=headers).status_code == 200
        assert "hunter2" not in caplog.text

    def test_keeps_what_is_wrong_from_others(self, guarded, place):
        crown(place, "3")
        guarded.champion.refresh()
        assert guarded("GET", "/ready").json()["problem"] == "see the log"

    @pytest.mark.parametrize("path", ["/", "/health", "/ready", "/openapi.json"])
    def test_is_not_asked_for_where_nothing_is_told(self, guarded, path):
        assert guarded("GET", path).status_code == 200

    def test_is_in_the_openapi_document(self, guarded, shared):
        paths = guarded("GET", "/openapi.json").json()["paths"]
        assert {path for path, methods in paths.items() for of in methods.values() if "security" in of} == {
            "/predict",
            "/model",
        }
        assert "401" in paths["/predict"]["post"]["responses"]
        assert "security" not in str(shared("GET", "/openapi.json").json()["paths"])

    @pytest.mark.parametrize("token", ["with blank", "ü"])
    def test_fits_into_a_header(self, token):
        with pytest.raises(ValidationError, match="without blanks"):
            Settings(serve_token=SecretStr(token))


class TestLog:
    def test_has_a_line_per_request_and_no_value(self, shared, caplog):
        caplog.set_level(logging.INFO, "networksecurity")
        shared.predict({"rows": [{**ROW, "SFH": "hunter2", "url": "hunter2"}, ROW]}, params={"token": "hunter2"})
        shared("GET", "/no%0Aline")
        lines = [json.loads(serving.JsonLines().format(record)) for record in caplog.records]
        first, second = lines
        assert set(first) == set("time level method path status seconds client rows rejected version".split())
        assert (first["method"], first["path"], first["status"]) == ("POST", "/predict", 200)
        assert (first["rows"], first["rejected"], first["version"]) == (2, 1, "1")
        assert (second["path"], second["status"]) == ("/no\nline", 404)
        assert not any("hunter2" in json.dumps(line) for line in lines)

    def test_of_a_bug_tells_where_and_not_what(self, service, monkeypatch, caplog):
        def fail(*_):
            raise ZeroDivisionError("hunter2")

        caplog.set_level(logging.INFO, "networksecurity")
        monkeypatch.setattr(serving.scoring, "score", fail)
        assert service("POST", "/predict", json=ROW).status_code == 500
        (line,) = [json.loads(serving.JsonLines().format(record)) for record in caplog.records]
        assert line["status"] == 500
        try:
            fail()
        except ZeroDivisionError:
            record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
        line = json.loads(serving.JsonLines().format(record))
        assert (line["message"], line["error"]) == ("failed", "ZeroDivisionError")
        assert line["traceback"][-1].endswith(" fail")
        assert "hunter2" not in json.dumps(line)


class TestDocuments:
    def test_examples_are_answered_as_described(self, shared):
        document = shared("GET", "/openapi.json").json()
        bodies = document["paths"]["/predict"]["post"]["requestBody"]["content"]
        tried = 0
        for kind, body in bodies.items():
            for example in body["examples"].values():
                value = example["value"]
                content = value if isinstance(value, str) else json.dumps(value)
                answer = shared("POST", "/predict", content=content, headers={"Content-Type": kind})
                assert answer.status_code == 200
                assert any(not found.reasons for found in serving.Predictions.model_validate(answer.json()).predictions)
                tried += 1
        assert tried == 3

    def test_features_are_described_with_their_domains(self, shared):
        document = shared("GET", "/openapi.json").json()
        one, _ = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        assert {name: of["enum"] for name, of in one["properties"].items()} == {
            name: [*domain, None] for name, domain in FEATURES.items()
        }
        assert all(of["description"] for of in one["properties"].values())

    def test_the_page_loads_nothing_from_elsewhere(self, shared):
        page = shared("GET", "/")
        assert page.headers["content-type"].startswith("text/html")
        assert not re.findall(r"(?:src|href)=\"(?!data:|openapi\.json)[^\"]*\"|@import|url\(|https?:", page.text)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert shared("GET", "/docs").headers["location"] == "/#api"

    @pytest.mark.parametrize("path", ["/", "/health", "/nowhere", "/predict"])
    def test_every_answer_binds_the_browser(self, shared, path):
        headers = shared("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


# --- The process ------------------------------------------------------------------------------------------------------


class Process:
    """The command, and where it answers."""

    def __init__(self, popen, url, log):
        self._popen, self.url, self._log = popen, url, log

    def end(self, number):
        """Return its exit code after a signal."""
        self.signal(number)
        return self.wait()

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self):
        return self._popen.wait(timeout=120)

    def log(self):
        return self._log.read_text()

    def wait_until_ready(self):
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            while client.get(f"{self.url}/ready").status_code != 200:
                threading.Event().wait(0.2)


@contextmanager
def started(folder, tracking_uri, **environment):
    """Run the command on a free port; its log goes to a file in `folder`: in a pipe that nobody reads it would stop."""
    command = [*LEASH, sys.executable, "-m", "networksecurity.cli", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": tracking_uri, **environment}
    log = folder / "serve.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as popen,
    ):
        try:
            url = re.search(r"http://\S+\d", popen.stdout.readline())
            assert url, log.read_text()
            yield Process(popen, url[0], log)
        finally:
            popen.kill()


@pytest.fixture(scope="module")
def process(published, tmp_path_factory):
    """Run the command with the champion of the database, and return its address."""
    folder = tmp_path_factory.mktemp("process")
    limits = {"NETWORKSECURITY_SERVE_MAX_BYTES": "2000000", "NETWORKSECURITY_SERVE_MAX_ROWS": "50"}
    with started(folder, f"sqlite:///{published / 'mlflow.db'}", **limits) as process:
        process.wait_until_ready()
        yield process.url


@pytest.mark.integration
class TestProcess:
    def test_without_a_tracking_server_is_alive_and_ends_when_told(self, tmp_path, closed_port):
        with started(tmp_path, f"http://127.0.0.1:{closed_port}") as process:
            with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
                assert client.get(f"{process.url}/health").status_code == 200
                while "cannot be reached" not in (said := client.get(f"{process.url}/ready")).text:
                    threading.Event().wait(0.2)
            assert said.status_code == 503
            assert process.end(signal.SIGTERM) == 0
            lines = [json.loads(line) for line in process.log().splitlines()]
        assert any("cannot be reached" in line.get("message", "") for line in lines)

    def test_is_ended_by_ctrl_c(self, tmp_path, closed_port):
        with started(tmp_path, f"http://127.0.0.1:{closed_port}") as process:
            assert process.end(signal.SIGINT) == 130
            assert "Traceback" not in process.log()

    def test_finishes_what_is_in_flight(self, tmp_path, published):
        body = json.dumps(ROW).encode()
        with started(tmp_path, f"sqlite:///{published / 'mlflow.db'}") as process:
            process.wait_until_ready()
            place = ("127.0.0.1", httpx.URL(process.url).port)
            with socket.create_connection(place, timeout=60) as connection:
                head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
                assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # it has begun to read the body
                process.signal(signal.SIGTERM)
                while True:  # until it takes no new ones
                    try:
                        socket.create_connection(place, timeout=60).close()
                    except OSError:
                        break
                connection.sendall(body)
                answer = b"".join(iter(partial(connection.recv, 65536), b""))
            assert process.wait() == 0
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"n_rows":1' in answer

    @pytest.mark.parametrize("declared", [True, False])
    def test_refuses_a_body_that_is_too_large(self, process, declared):
        content = b" " * 10_000_000
        parts = (content[i : i + 100_000] for i in range(0, len(content), 100_000))
        answer = httpx.post(f"{process}/predict", content=content if declared else parts, headers=JSON, timeout=60)
        assert answer.status_code == 413
        assert httpx.get(f"{process}/health").status_code == 200

    @pytest.mark.timeout(900)
    def test_withstands_what_its_document_allows(self, process, tmp_path):
        schemathesis = Path(sys.executable).parent / "schemathesis"
        options = "--max-examples 40 --seed 1 --generation-deterministic --suppress-health-check all --no-color"
        done = subprocess.run(
            [schemathesis, "run", f"{process}/openapi.json", *options.split(), "--exclude-checks", LEFT_OUT],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr
        assert "No issues found" in done.stdout


# The document says which values and tables are good. Of others, a row is answered with its reasons, and a text that is
# no such table is refused.
LEFT_OUT = "negative_data_rejection,positive_data_acceptance"


def test_a_port_that_is_taken_is_one_line(monkeypatch, capsys, closed_port, place):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.mlflow_tracking_uri.get_secret_value())
    settings.cache_clear()
    monkeypatch.setattr(sys, "argv", ["networksecurity", "serve", "--port", str(closed_port)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    settings.cache_clear()
    assert ended.value.code == 1
    said = f"error: 127.0.0.1 port {closed_port} cannot be had (Address already in use): name another, --host, --port\n"
    assert capsys.readouterr().err == said


@pytest.mark.integration
@pytest.mark.timeout(600)
class TestPage:
    def test_predicts_one_row(self, page, process):
        from playwright.sync_api import expect

        page.goto(process)
        expect(page.get_by_text(f"{NAME} version 1")).to_be_visible()
        page.get_by_role("button", name="All unknown").click()
        page.get_by_label("SSLfinal_State").select_option("-1 · phishing")
        page.get_by_role("button", name="Predict", exact=True).click()
        row = {**dict.fromkeys(FEATURES), "SSLfinal_State": -1}
        (expected,) = httpx.post(f"{process}/predict", json=row).json()["predictions"]
        cells = page.get_by_role("table").get_by_role("cell")
        expect(cells).to_have_text(["1", f" {expected['phishing_probability']:.4f}", expected["label"], ""])

    def test_predicts_a_file_and_shows_what_is_not_valid(self, page, process, tmp_path, rows):
        from playwright.sync_api import expect

        errors = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        table = rows[list(FEATURES)].head(6).astype(object)
        table.loc[table.index[2], "SFH"] = "<b>7</b>"
        table.insert(0, "url", [f"https://example.org/{i}" for i in range(6)])
        table.to_csv(tmp_path / "rows.csv", index=False)
        page.goto(process)
        page.get_by_label("File UTF-8").set_input_files(tmp_path / "rows.csv")
        page.get_by_role("button", name="Predict all").click()
        expect(page.get_by_text("6 rows by version 1")).to_contain_text("1 not valid")
        third = page.get_by_role("row").nth(3)
        expect(third).to_contain_text("https://example.org/2")
        expect(third).to_contain_text("SFH is not a whole number")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save all as CSV").click()
        saved = pd.read_csv(download.value.path())
        assert saved["url"].tolist() == table["url"].tolist()
        assert saved["label"].isna().tolist() == [i == 2 for i in range(6)]
        assert errors == []

    def test_says_what_is_wrong(self, page, process, tmp_path):
        from playwright.sync_api import expect

        (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
        page.goto(process)
        page.get_by_label("File UTF-8").set_input_files(tmp_path / "rows.csv")
        page.get_by_role("button", name="Predict all").click()
        expect(page.get_by_text("row 1 lacks having_IP_Address")).to_be_visible()

    def test_asks_for_the_token(self, page, published, tmp_path):
        from playwright.sync_api import expect

        database = f"sqlite:///{published / 'mlflow.db'}"
        with started(tmp_path, database, NETWORKSECURITY_SERVE_TOKEN="hunter2") as process:
            process.wait_until_ready()
            page.goto(process.url)
            page.get_by_role("textbox", name="Token").fill("hunter2")
            page.get_by_role("button", name="Use it").click()
            expect(page.get_by_text(f"{NAME} version 1")).to_be_visible()
            page.get_by_role("button", name="Predict", exact=True).click()
            expect(page.get_by_role("table")).to_be_visible()

    def test_shows_the_documentation(self, page, process):
        from playwright.sync_api import expect

        page.goto(f"{process}/docs")
        expect(page.get_by_role("heading", name="POST /predict")).to_be_visible()
