import platform
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import requests
from mlflow import MlflowClient
from recorded import check_delivered, record_of

from networksecurity.champion import delivery
from networksecurity.champion.changes import history
from networksecurity.champion.delivery import deliver_training, replay
from networksecurity.champion.record import CheckRecord, Ledger
from networksecurity.champion.registry import CANDIDATE, Registry
from networksecurity.data.storage import Storage
from networksecurity.monitoring import drift
from networksecurity.monitoring.quality import QualityReport
from networksecurity.tracking import runs
from networksecurity.tracking import server as tracking_server
from networksecurity.tracking.outcome import PROCESS_TAG, REASON_TAG, TRAINING_TAG
from networksecurity.tracking.writer import this_process


@pytest.fixture
def ended():
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(delivery, "_PAUSES", (0, 0))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(Storage(str(tmp_path / "storage")))


@pytest.fixture
def record(outcome, rows, ledger):
    return record_of(outcome, rows, ledger.storage)


@pytest.fixture
def client(server):
    return MlflowClient(server.uri)


def flaky(monkeypatch, fails):
    """Let calls of MLflow's client fail, before or after they have acted; return the names of all calls."""
    called = []

    class Flaky:
        def __init__(self, *args, **kwargs):
            self._client = MlflowClient(*args, **kwargs)

        def __getattr__(self, name):
            def call(*args, **kwargs):
                called.append(name)
                how = fails(len(called))
                if how == "cut":
                    raise requests.ConnectionError("cut")
                answer = getattr(self._client, name)(*args, **kwargs)
                if how == "lost":
                    raise requests.ConnectionError("answer lost")
                return answer

            return call

    monkeypatch.setattr(tracking_server, "MlflowClient", Flaky)
    return called


def test_a_record_comes_back_from_the_storage_as_it_was(ledger, record):
    ledger.write(ledger.release(record))
    assert ledger.waiting() == [record.model_copy(update={"process": ""})]


def test_a_record_is_delivered_once_however_often(server, client, ledger, record):
    done = deliver_training(server, record, ledger)
    check_delivered(client, server, record)
    assert list(done.version.tags)[:4] == [
        "f1_score",
        "precision",
        "recall_score",
        TRAINING_TAG,
    ]  # as its page lists them
    again = deliver_training(server, record, ledger)
    assert (again.training, again.test_run_id, again.version.version) == (done.training, done.test_run_id, "1")
    check_delivered(client, server, record)


def test_whatever_answer_is_lost_the_delivery_leaves_one_of_each(server, client, ledger, record, monkeypatch):
    called = flaky(monkeypatch, lambda n: "")
    deliver_training(server, record.model_copy(update={"key": "first"}), ledger)
    creating = {name for name in called if name.startswith("create_")} | {"log_outputs", "set_terminated"}
    assert {"create_run", "create_logged_model", "create_registered_model", "create_model_version"} < creating
    for name in creating:
        n = 1 + called.index(name)
        again = record.model_copy(update={"key": f"failing at {n}", "name": name, "experiment": name})
        flaky(monkeypatch, lambda call, n=n: "lost" if call == n else "")
        deliver_training(server, again, ledger)
        check_delivered(client, server, again)


def test_what_mlflow_does_not_take_waits_for_the_next_delivery(server, client, ledger, record, monkeypatch):
    ledger.write(ledger.release(record))
    with monkeypatch.context() as away:
        flaky(away, lambda n: "cut" if n > 12 else "")
        done = replay(server, ledger)
    assert done.delivered == ()
    assert done.left[0].startswith(f"training {record.name}: the MLflow server")
    assert [of.key for of in ledger.waiting()] == [record.key]
    assert replay(server, ledger).delivered == (
        f"training {record.name}: logged, version 1 of {record.registered_model}",
    )
    check_delivered(client, server, record)
    assert replay(server, ledger).delivered == ()
    assert ledger.storage.documents("tracking/*") == {}


def test_promotion_waits_for_the_delivery(server, ledger, outcome, rows):
    ledger.release(record_of(outcome, rows, ledger.storage, promotion="auto", gate={"min_f1_score": 1}))
    (said,) = replay(server, ledger).delivered
    assert "not promoted: F1 is" in said
    (event,) = history(Registry(server, "networksecurity-phishing"))
    assert (event.action, event.version) == ("keep", "1")


def test_an_interrupted_training_goes_on_in_the_same_runs(server, client, ledger, record):
    begun = ledger.write(
        record.model_copy(update={"found": None, "process": "elsewhere:1", "at": record.at - timedelta(hours=1)})
    )
    training = runs.start_training(server, "networksecurity", {}, name=begun.name, key=begun.key)
    client.set_tag(training.train_run_id, PROCESS_TAG, "elsewhere:1")
    (said,) = replay(server, ledger).delivered  # another training comes first
    assert said.endswith("its runs are closed; the same command goes on in them")
    assert client.get_run(training.train_run_id).info.status == "KILLED"
    assert ledger.waiting() == []
    again = record.model_copy(update={"key": "new", "name": "new"})
    with ledger.begun(again.model_copy(update={"command": "other"})) as begun:
        assert begun.key == "new"
    with ledger.begun(again) as begun:
        assert (begun.key, begun.name) == (training.key, training.name)
        with ledger.begun(again) as at_the_same_time:
            assert at_the_same_time.key == "new"
    assert runs.start_training(server, "networksecurity", {}, name=begun.name, key=begun.key) == training
    run = client.get_run(training.train_run_id)
    assert (run.info.status, REASON_TAG in run.data.tags) == ("RUNNING", False)
    deliver_training(server, begun, ledger)
    check_delivered(client, server, begun)


def test_what_a_living_process_works_on_is_left_to_it(ledger, record):
    for process in (record.process, "elsewhere:1"):
        ledger.write(record.model_copy(update={"process": process}))
        assert ledger.waiting() == []
    long_ago = record.model_copy(update={"process": "elsewhere:1", "at": record.at - timedelta(hours=1)})
    ledger.write(long_ago)
    assert len(ledger.waiting()) == 1
    with ledger.held(long_ago) as is_ours:
        assert is_ours
        assert ledger.waiting() == []


def test_a_killed_process_leaves_no_sign_of_life_without_a_record(ledger, record, ended):
    alive, killed, elsewhere = (f"tracking/{record.key}.{name}.alive" for name in ("alive", "killed", "elsewhere"))
    ledger.storage.put_document(alive, f"{this_process()} {time.time()}".encode())
    ledger.storage.put_document(killed, f"{platform.node()}:{ended} {time.time()}".encode())
    ledger.storage.put_document(elsewhere, f"elsewhere:1 {time.time() - 3_600}".encode())
    assert ledger.waiting() == []
    assert ledger.storage.documents("tracking/*").keys() == {alive}


def test_of_two_that_deliver_at_the_same_time_never_both_do(ledger, record):
    ledger.release(record)
    with ledger.held(record) as first, ledger.held(record) as second:
        assert (first, second) == (True, False)
    with ledger.held(record) as again:
        assert again
        ledger.drop(record)
    with ledger.held(record) as too_late:
        assert not too_late
    assert ledger.storage.documents("tracking/*") == {}


def test_two_deliveries_at_the_same_time_leave_one_of_each(server, client, ledger, record, monkeypatch):
    ledger.release(record)
    deliver, others = delivery.deliver_training, []

    def beside_another(*args, **how):
        others.append(replay(server, ledger))
        return deliver(*args, **how)

    monkeypatch.setattr(delivery, "deliver_training", beside_another)
    assert len(replay(server, ledger).delivered) == 1
    assert [(other.delivered, other.left) for other in others] == [((), ())]
    check_delivered(client, server, record)


def test_a_check_whose_process_was_killed_is_the_same_check_when_it_is_made_again(ledger, outcome, rows, ended):
    about = {"report": drift.compare(outcome.reference, rows), "step": None, "expected": None, "tags": {}}
    quality = QualityReport(verdict="not_judged", reason="there are no labels")
    check = {"experiment": "checks", "monitored": "model-1", "quality": quality} | about
    killed = ledger.write(CheckRecord(process=f"{platform.node()}:{ended}", **check))
    with ledger.begun(CheckRecord(**check)) as begun:
        assert begun.key == killed.key
    ledger.release(begun)
    with ledger.begun(CheckRecord(**check)) as another:  # whose delivery is deferred was made, and is not made again
        assert another.key != killed.key


def test_a_late_delivery_does_not_take_the_alias_from_a_later_version(server, ledger, record):
    deliver_training(server, record, ledger)
    deliver_training(server, record.model_copy(update={"key": "b" * 32, "name": "later"}), ledger)
    deliver_training(server, record, ledger)
    assert Registry(server, record.registered_model).get(CANDIDATE).version == "2"


def test_a_training_whose_model_is_gone_does_not_hold_up_the_others(server, client, ledger, record, tmp_path):
    gone = record.found.model_copy(update={"model": record.found.model.model_copy(update={"sha256": "0" * 64})})
    ledger.release(record.model_copy(update={"key": "gone", "found": gone, "at": record.at - timedelta(hours=1)}))
    ledger.release(record)
    done = replay(server, ledger)
    assert "is gone" in done.left[0]
    assert len(done.delivered) == 1
    check_delivered(client, server, record)


def test_whatever_answer_or_last_request_is_lost_a_check_is_one_step(
    server, client, ledger, outcome, rows, monkeypatch
):
    report = drift.compare(outcome.reference, rows)
    quality = QualityReport(verdict="not_judged", reason="there are no labels")
    about = {"experiment": "checks", "tags": {}, "step": None, "expected": None, "report": report, "quality": quality}
    delivery.deliver_check(server, CheckRecord(monitored="first", **about))  # makes the experiment
    called = flaky(monkeypatch, lambda n: "")
    delivery.deliver_check(server, CheckRecord(monitored="whole", **about))
    n_calls, monitored = len(called), ["first", "whole"]
    for n, how in [*((n, "lost") for n in range(1, n_calls + 1)), (n_calls, "cut")]:
        flaky(monkeypatch, lambda call, n=n, how=how: how if call == n else "")
        monitored.append(f"{how}-{n}")
        record = CheckRecord(monitored=monitored[-1], **about)
        ledger.release(record)
        assert replay(server, ledger).delivered == (f"check of {record.monitored}: logged",)
        assert delivery.deliver_check(server, record).step == 1
    monitoring = client.search_runs([client.get_experiment_by_name("checks").experiment_id])
    assert sorted(run.info.run_name for run in monitoring) == sorted(f"monitor-{name}" for name in monitored)
    assert {run.info.status for run in monitoring} == {"FINISHED"}
    assert all(len(client.get_metric_history(run.info.run_id, "n_rows")) == 1 for run in monitoring)
