import json
import logging
import shutil
import threading
from queue import Queue

import anyio
import numpy as np
import pytest
from served import JSON, NAME, ROW, address, crown, running

from networksecurity.champion.registry import Registry
from networksecurity.data.schema import FEATURES, to_X
from networksecurity.exceptions import TrackingUnavailableError
from networksecurity.settings import Settings
from networksecurity.tracking.server import connect


def test_the_champion_is_described(shared):
    found = shared("GET", "/model").json()
    assert (found["name"], found["version"], found["threshold"]) == (NAME, "1", 0.5)
    assert found["figures"] == {"f1_score": 0.951234}
    assert found["card"].startswith("# Random Forest · ")
    assert shared("GET", "/ready").json() == {
        "status": "ready",
        "model": {"name": NAME, "version": "1"},
        "problem": None,
    }


def test_the_service_waits_for_its_first_champion(tmp_path, mlflow_database, published):
    empty = Settings(mlflow_tracking_uri=address(shutil.copy(mlflow_database, tmp_path)), serve_refresh=3600)
    with running(empty) as service:
        assert service("GET", "/health").json() == {"status": "alive"}
        for method, path in (("GET", "/ready"), ("GET", "/model"), ("POST", "/predict")):
            answer = service(method, path, **({"json": ROW} if method == "POST" else {}))
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "3600"
            assert "networksecurity champion promote VERSION" in answer.json()["detail"]
        folder = next(published.rglob("MLmodel")).parent
        with connect(empty).client() as client:
            client.create_registered_model(NAME)
            client.create_model_version(NAME, f"file://{folder}", client.create_run("0").info.run_id)
        crown(empty, "1")
        service.model_in_use.refresh()
        assert service.predict(ROW)["model"]["version"] == "1"
        assert service("GET", "/model").json()["card"] is None


def test_a_champion_that_cannot_be_loaded_does_not_replace_the_old_one(place, service, caplog):
    crown(place, "3")
    service.model_in_use.refresh()
    service.model_in_use.refresh()
    assert service.predict(ROW)["model"]["version"] == "1"
    ready = service("GET", "/ready")
    assert ready.status_code == 200
    assert ready.json()["problem"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.endswith("(version 1 stays in use)")
    crown(place, "2")
    service.model_in_use.refresh()
    assert service("GET", "/ready").json() == {
        "status": "ready",
        "model": {"name": NAME, "version": "2"},
        "problem": None,
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [(TrackingUnavailableError("the server is down"), "the server is down"), (ZeroDivisionError("hunter2"), "see")],
)
def test_the_model_stays_in_use_when_checking_for_a_new_one_fails(service, monkeypatch, caplog, error, said):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "find", fail)
        service.model_in_use.refresh()
    answer = service("GET", "/ready")
    assert said in answer.json()["problem"]
    assert "hunter2" not in answer.text
    assert service.predict(ROW)["n_rejected"] == 0
    caplog.set_level(logging.INFO, "networksecurity")
    service.model_in_use.refresh()
    assert "checking for a new champion works again" in caplog.messages
    assert service("GET", "/ready").json()["problem"] is None


def test_a_request_is_answered_by_one_version_from_start_to_end(place, service, models):
    text = json.dumps(ROW).encode()

    async def body():
        yield text[:100]
        crown(place, "2")
        await anyio.to_thread.run_sync(service.model_in_use.refresh)
        yield text[100:]

    assert service("POST", "/predict", content=body(), headers=JSON).json()["model"]["version"] == "1"
    assert service.predict(ROW)["model"]["version"] == "2"


def test_a_new_champion_takes_over_without_dropped_or_mixed_requests(place, service, models, rows):
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
            service.model_in_use.refresh()
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
