"""Each kind of fault at each request of a delivery: nothing is lost, and nothing is there twice."""

import json

import pytest
from faulty_proxy import KINDS, spoiling
from mlflow import MlflowClient
from recorded import check_delivered, record_of

from networksecurity.champion import delivery
from networksecurity.champion.record import Ledger
from networksecurity.data.storage import Storage
from networksecurity.settings import settings
from networksecurity.tracking.server import TrackingServer, forget

CREATING = (
    "experiments/create",
    "runs/create",
    "logged-models",
    "runs/outputs",
    "runs/log-batch",
    "model-versions/create",
)


@pytest.fixture
def proxy(mlflow_server, tmp_path, monkeypatch):
    """Return a proxy before a real MLflow server, which is this installation's tracking server."""
    with spoiling(mlflow_server) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        monkeypatch.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", "2")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
        monkeypatch.setattr(delivery, "_PAUSES", (0, 0))
        settings.cache_clear()
        yield proxy
    forget()
    settings.cache_clear()


@pytest.fixture
def sweep(proxy, command, outcome, rows, mlflow_server):
    """Return a function that spoils a request of a delivery and returns how the command ended, and the requests."""
    ledger = Ledger(Storage(settings().storage))
    few = {name: outcome.pictures[name] for name in list(outcome.pictures)[:1]}
    whole = record_of(outcome, rows, ledger.storage, candidate_runs="best")
    whole = whole.model_copy(update={"found": whole.found.model_copy(update={"pictures": few})})

    def deliver(kind, at):
        named = f"{kind}-{at}"
        record = whole.model_copy(update={"key": named, "name": named, "experiment": named, "registered_model": named})
        ledger.release(record)
        forget()
        proxy.spoil(kind, at)
        code, out, err = command("tracking", "replay", "--json")
        requests = [*proxy.seen]
        proxy.spoil(None)
        assert code in (0, 1)
        assert err.count("\n") == (1 if err.startswith("error: ") else 0), err
        if code == 0:
            assert ledger.waiting() == []
        else:
            assert [of.key for of in ledger.waiting()] == [named]
            assert err.startswith("error: ") or json.loads(out)["left"], (out, err)
            code_again, out, err = command("tracking", "replay")
            assert (code_again, err) == (0, "")
            assert out.startswith(f"delivered: training {named}: logged, version 1 of {named}"), out
        server = TrackingServer(mlflow_server, mlflow_server, logged_models=True, aliases=True)
        check_delivered(MlflowClient(mlflow_server, registry_uri=mlflow_server), server, record)
        assert ledger.storage.documents("tracking/*") == {}
        return code, requests

    return deliver


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_fault_of_each_kind_loses_and_doubles_nothing(sweep):
    _, requests = sweep("none", 0)
    first = [next(n for n, request in enumerate(requests, 1) if name in request) for name in CREATING]
    for kind, at in zip(KINDS, [1, *first, len(requests) // 2], strict=True):
        sweep(kind, at)


@pytest.mark.faults
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_at_each_request_loses_and_doubles_nothing(sweep, kind, capsys):
    _, requests = sweep(f"none-{kind}", 0)
    codes = [sweep(kind, at)[0] for at in range(1, len(requests) + 1)]
    with capsys.disabled():
        print(f"\n{kind}: {len(requests)} requests, {codes.count(0)} delivered at once, {codes.count(1)} by the replay")
