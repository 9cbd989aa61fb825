"""Each kind of fault at each request of a delivery: nothing is lost, and nothing is there twice."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest
from faulty_proxy import KINDS, spoiling
from mlflow import MlflowClient
from recorded import check_delivered, record_of

from networksecurity.champion import changes, delivery
from networksecurity.champion.changes import history
from networksecurity.champion.record import CheckRecord, Ledger, ReviewRecord
from networksecurity.champion.registry import CHAMPION, PREVIOUS, Registry
from networksecurity.data.storage import Storage
from networksecurity.monitoring import drift
from networksecurity.monitoring.quality import QualityReport
from networksecurity.settings import settings
from networksecurity.tracking.server import TrackingServer, forget
from networksecurity.training.candidates import get_classifier
from networksecurity.training.review import review

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
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
        monkeypatch.setattr(delivery, "_PAUSES", (0, 0))
        settings.cache_clear()
        yield proxy
    forget()
    settings.cache_clear()


@pytest.fixture
def spoiled(proxy, command, monkeypatch, capsys):
    """Return a function that runs a command, spoils one of its requests, and runs it again if it failed.

    It returns how the first attempt ended: its exit code, what it printed, and its requests.
    """

    def run(kind, at, *arguments):
        # On a busy machine an answer takes its time, so the wait is short only where nothing answers.
        seconds = "2" if kind == "silence" else "30"
        monkeypatch.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", seconds)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", seconds)
        settings.cache_clear()
        forget()
        proxy.spoil(kind, at)
        capsys.readouterr()  # what fixtures have said
        code, out, err = command(*arguments)
        requests = [*proxy.seen]
        proxy.spoil(None)
        assert code in (0, 1)
        assert err.count("\n") == err.startswith("error: "), err
        if code:
            monkeypatch.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", "30")
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
            settings.cache_clear()
            forget()
            again, _, err_again = command(*arguments)
            assert (again, err_again) == (0, "")
        return code, out, err, requests

    return run


@pytest.fixture
def at_server(mlflow_server):
    """Return the MLflow server as it is without the proxy, and a client of it."""
    server = TrackingServer(mlflow_server, mlflow_server, logged_models=True, aliases=True)
    return server, MlflowClient(mlflow_server, registry_uri=mlflow_server)


@pytest.fixture
def ledger(proxy):
    return Ledger(Storage(settings().storage))


@pytest.fixture
def deliver(spoiled, ledger):
    """Return a function that leaves a record to be delivered and spoils a request of its delivery."""

    def run(kind, at, record, check):
        for left in ledger.storage.documents("tracking/*"):  # of a case that failed
            ledger.storage.drop_document(left)
        ledger.release(record)
        code, out, err, requests = spoiled(kind, at, "tracking", "replay", "--json")
        assert code == 0 or err.startswith("error: ") or json.loads(out)["left"], (out, err)
        check(record)
        assert ledger.storage.documents("tracking/*") == {}
        return code, requests

    return run


@pytest.fixture
def whole(outcome, rows, ledger):
    """Return a record of a training, small: it is delivered a thousand times."""
    model = deepcopy(outcome.model)
    forest = get_classifier(model)
    forest.estimators_ = forest.estimators_[:2]
    record = record_of(replace(outcome, model=model), rows, ledger.storage, candidate_runs="best")
    few = {"pictures": dict([*outcome.pictures.items()][:1]), "known": None, "searches": record.found.searches[:1]}
    return record.model_copy(update={"found": record.found.model_copy(update=few)})


@pytest.fixture
def spoil_training(deliver, whole, at_server):
    server, client = at_server

    def spoil(kind, at):
        about = dict.fromkeys(("key", "name", "experiment", "registered_model"), f"training-{kind}-{at}")
        return deliver(kind, at, whole.model_copy(update=about), lambda of: check_delivered(client, server, of))

    return spoil


@pytest.fixture
def spoil_monitor(deliver, outcome, rows, at_server):
    client = at_server[1]
    found = {"report": drift.compare(outcome.reference, rows), "expected": None, "step": None, "tags": {}}
    quality = QualityReport(verdict="not_judged", reason="there are no labels")

    def check(record):
        run = the_run(client, record)
        assert run.info.run_name == f"monitor-{record.monitored}"
        assert [of.step for of in client.get_metric_history(run.info.run_id, "n_rows")] == [1]
        files = {file.path for file in client.list_artifacts(run.info.run_id, "look-0001")}
        assert {f"look-0001/{name}" for name in ("drift_report.json", "drift.png", "quality_report.json")} < files

    def spoil(kind, at):
        about = dict.fromkeys(("key", "monitored", "experiment"), f"monitor-{kind}-{at}")
        return deliver(kind, at, CheckRecord(**about, **found, quality=quality), check)

    return spoil


@pytest.fixture
def spoil_evaluate(deliver, outcome, rows, at_server):
    client = at_server[1]
    found = review(outcome.model, rows, margin=0.02, learned=outcome.learned, test=outcome.test.metrics)

    def check(record):
        run = the_run(client, record)
        assert (run.info.run_name, run.data.tags["verdict"]) == (f"evaluate-{record.reviewed}", found.verdict)
        assert run.data.metrics == pytest.approx(found.metrics())
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["review.json"]

    def spoil(kind, at):
        about = dict.fromkeys(("key", "reviewed", "experiment"), f"evaluate-{kind}-{at}")
        return deliver(kind, at, ReviewRecord(**about, tags={}, review=found), check)

    return spoil


def the_run(client, record):
    """Return the only run of a record's experiment, which is closed."""
    (run,) = client.search_runs([client.get_experiment_by_name(record.experiment).experiment_id])
    assert run.info.status == "FINISHED"
    return run


@pytest.fixture
def spoil_promotion(spoiled, whole, ledger, at_server, monkeypatch):
    server, client = at_server
    stored = delivery.deliver_training(server, whole, ledger).version

    def download(registry, version):  # without the process that loads the model, which takes seconds
        with registry.files(version):
            pass

    monkeypatch.setattr(changes, "verify", download)

    def spoil(kind, at):
        named = f"promotion-{kind}-{at}"
        client.create_registered_model(named)
        for _ in range(2):
            model_id = stored.source.removeprefix("models:/")
            client.create_model_version(named, stored.source, stored.run_id, tags=stored.tags, model_id=model_id)
        client.set_registered_model_alias(named, CHAMPION, "1")
        monkeypatch.setenv("NETWORKSECURITY_MLFLOW_REGISTERED_MODEL_NAME", named)
        code, _, err, requests = spoiled(kind, at, "champion", "promote", "2")
        assert code == 0 or err.startswith("error: "), err
        registry = Registry(server, named)
        assert (registry.get(CHAMPION).version, registry.get(PREVIOUS).version) == ("2", "1")
        assert [event.version for event in history(registry) if event.action == "promote" and event.done] == ["2"]
        return code, requests

    return spoil


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_fault_of_each_kind_loses_and_doubles_nothing(spoil_training):
    _, requests = spoil_training("none", 0)
    first = [next(n for n, request in enumerate(requests, 1) if name in request) for name in CREATING]
    for kind, at in zip(KINDS, [1, *first, len(requests) // 2], strict=True):
        spoil_training(kind, at)


@pytest.mark.faults
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subject", ["training", "monitor", "evaluate", "promotion"])
def test_each_kind_of_fault_at_each_request_loses_and_doubles_nothing(request, subtests, capsys, subject, kind):
    spoil = request.getfixturevalue(f"spoil_{subject}")
    _, requests = spoil(f"none-{kind}", 0)
    codes = []
    for at, asked in enumerate(requests, start=1):
        with subtests.test(at=at, asked=asked):
            codes.append(spoil(kind, at)[0])
    at_once, again, failed = codes.count(0), codes.count(1), len(requests) - len(codes)
    with capsys.disabled():
        print(
            f"\n{subject}, {kind}: {len(requests)} requests, {at_once} at once, {again} on the replay, {failed} failed"
        )
