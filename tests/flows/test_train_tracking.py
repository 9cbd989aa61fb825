import pytest
from trainings import QUICK, RIVALS, champion, logged_runs, run

from flows import train as flow_module
from flows import training_steps
from flows.parameters import TrainParameters
from flows.train import train
from flows.training_report import summarize
from networksecurity.champion import delivery
from networksecurity.champion.delivery import replay
from networksecurity.champion.record import Ledger
from networksecurity.data.storage import Storage
from networksecurity.exceptions import (
    TrackingUnavailableError,
)
from networksecurity.settings import settings
from networksecurity.tracking.outcome import REASON_TAG
from networksecurity.tracking.server import connect


def test_the_error_that_ends_a_training_is_reported_by_its_run_without_passwords(empty_workplace, monkeypatch):
    monkeypatch.setenv("MONGODB_URI", "mongodb://me:hush@host/")
    settings.cache_clear()

    def stop(*args):
        raise RuntimeError("at mongodb://me:hush@host/")

    monkeypatch.setattr(flow_module, "_search", stop)
    with pytest.raises(RuntimeError):
        train(TrainParameters(**QUICK))
    (logged,) = logged_runs()
    assert logged.info.status == "FAILED"
    assert logged.data.tags[REASON_TAG] == "RuntimeError: at mongodb://host/"


def test_only_the_best_point_of_each_grid_has_a_run_where_that_is_asked_for(workplace):
    report = run(**RIVALS, candidate_runs="best").result()
    children = [run for run in logged_runs() if run.data.tags.get("mlflow.parentRunId") == report.train_run_id]
    assert sorted(run.data.params["model"] for run in children) == ["Decision Tree", "Logistic Regression"]
    assert len(logged_runs()) == 2 + 2


@pytest.fixture
def at_once(monkeypatch):
    """Let nothing wait before another attempt."""
    monkeypatch.setattr(delivery, "_PAUSES", (0, 0))
    monkeypatch.setattr(training_steps, "reach", training_steps.reach.with_options(retries=0))


def test_a_training_does_without_a_dead_tracking_server(empty_workplace, monkeypatch, at_once, capsys):
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        away.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", "1")
        settings.cache_clear()
        state = run(promotion="auto", skip_unchanged=True)
        assert state.name == "Completed · tracking deferred"
        assert "`networksecurity tracking replay` delivers it" in state.message
        report = state.result()
        assert (report.model_version, report.links()) == (None, {})
        summarize(report).show()
        shown = capsys.readouterr().out
        assert "tracking replay" in shown
        assert "waits until MLflow can be reached" in shown
    settings.cache_clear()
    anew = run()  # which delivers what waits
    assert anew.name == "Completed"
    named = {logged.info.run_name: logged.info.status for logged in logged_runs()}
    for name in (report.name, anew.result().name):
        assert named[f"train-{name}"] == named[f"test-{name}"] == "FINISHED"
    version, (event,) = champion()
    assert (version.version, event.why) == ("1", "There is no champion yet.")
    assert float(version.tags["f1_score"]) == report.test_metrics["f1_score"]


def test_a_training_survives_a_tracking_server_that_dies_in_its_middle(empty_workplace, monkeypatch, at_once):
    with monkeypatch.context() as away:
        away.setattr(training_steps.runs, "log_outcome", _unavailable)
        state = run(**RIVALS)
        assert state.name == "Completed · tracking deferred"
    (said,) = replay(connect(settings()), Ledger(Storage(settings().storage))).delivered
    assert said.startswith(f"training {state.result().name}: logged, version 1 of ")
    names = [logged.info.run_name for logged in logged_runs()]
    assert sorted(name for name in names if name.endswith(state.result().name)) == [
        f"test-{state.result().name}",
        f"train-{state.result().name}",
    ]
    assert len(names) == 2 + 3 + 1


def test_a_training_that_was_interrupted_goes_on_in_the_same_runs(empty_workplace, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(flow_module, "_compare", stop)
        with pytest.raises(KeyboardInterrupt):
            train(TrainParameters(**QUICK | RIVALS))
    (before,) = [logged for logged in logged_runs() if logged.info.run_name.startswith("train-")]
    assert before.info.status == "KILLED"
    assert before.data.tags[REASON_TAG] == "KeyboardInterrupt"
    report = run(**RIVALS).result()
    assert report.train_run_id == before.info.run_id
    assert {logged.info.status for logged in logged_runs()} == {"FINISHED"}
    assert len(logged_runs()) == 2 + 3 + 1


def _unavailable(*args):
    raise TrackingUnavailableError("away")
