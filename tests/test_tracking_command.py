import json

import pytest
from recorded import check_delivered, record_of

from networksecurity.champion import delivery
from networksecurity.champion.record import Ledger
from networksecurity.data.storage import Storage
from networksecurity.settings import settings
from networksecurity.tracking.server import connect, forget


@pytest.fixture
def waiting(server, outcome, rows, tmp_path, monkeypatch):
    """Return the record of a training that waits, in an installation of the test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", "1")
    monkeypatch.setattr(delivery, "_PAUSES", (0, 0))
    settings.cache_clear()
    ledger = Ledger(Storage(settings().storage))
    yield ledger.release(record_of(outcome, rows, ledger.storage))
    forget()
    settings.cache_clear()


def test_what_waits_is_listed_delivered_and_gone(command, waiting):
    code, out, _ = command("tracking", "list")
    assert code == 0
    assert f"training {waiting.name}" in out
    assert "log and register it, promotion: off" in out
    (listed,) = json.loads(command("tracking", "list", "--json")[1])
    assert (listed["what"], listed["key"]) == (f"training {waiting.name}", waiting.key)
    said = f"delivered: training {waiting.name}: logged, version 1 of {waiting.registered_model}\n"
    assert command("tracking", "replay") == (0, said, "")
    server = connect(settings())
    with server.client() as client:
        check_delivered(client, server, waiting)
    assert command("tracking", "replay") == (0, "nothing waits for MLflow\n", "")
    assert json.loads(command("tracking", "replay", "--json")[1]) == {"delivered": [], "left": []}


def test_a_replay_that_cannot_deliver_says_so_and_loses_nothing(command, waiting, monkeypatch, closed_port):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    settings.cache_clear()
    code, out, err = command("tracking", "replay")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: the MLflow server http://127.0.0.1:{closed_port} cannot be reached")
    assert json.loads(command("tracking", "list", "--json")[1])[0]["key"] == waiting.key
