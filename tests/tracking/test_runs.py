import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from pydantic import SecretStr

from networksecurity.data.schema import FEATURES, to_X_y
from networksecurity.settings import Settings
from networksecurity.tracking import runs as tracking
from networksecurity.tracking import server as tracking_server
from networksecurity.tracking.runs import GRID_POINT_TAG, REASON_TAG, SIDE_TAG, TRAINING_TAG
from networksecurity.tracking.server import TrackingServer

METRICS = {"f1_score", "precision", "recall_score", "accuracy", "roc_auc", "average_precision", "log_loss"}
N_POINTS = 5 + 3  # Random Forest, Decision Tree


@pytest.fixture
def training(server):
    return tracking.start_training(server, "networksecurity", {"k": "v"})


@pytest.fixture
def client(server):
    return MlflowClient(server.uri)


def runs_of(client, training, side=None):
    runs = client.search_runs([training.experiment_id], f"tags.`{TRAINING_TAG}` = '{training.name}'", max_results=1000)
    return [run for run in runs if side in (None, run.data.tags[SIDE_TAG])]


def log_all(server, training, outcome, runs="all"):
    for result in outcome.searches:
        tracking.log_search(server, training, result, runs)
    logged = tracking.log_outcome(server, training, outcome)
    tracking.end_training(server, training)
    return logged


@dataclass(frozen=True)
class Done:
    server: TrackingServer
    client: MlflowClient
    training: tracking.Training
    logged: tracking.Logged


@pytest.fixture(scope="module")
def once(tmp_path_factory, mlflow_database, outcome):
    """Log a training that the tests which only read it share."""
    database = shutil.copy(mlflow_database, tmp_path_factory.mktemp("once"))
    server = tracking_server.connect(Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{database}")))
    training = tracking.start_training(server, "networksecurity", {"k": "v"})
    logged = log_all(server, training, outcome)
    return Done(server, MlflowClient(server.uri), training, logged)


@pytest.fixture
def done(once):
    mlflow.set_tracking_uri(once.server.uri)
    return once


class TestTheTwoRuns:
    def test_have_one_stem_and_the_same_figures(self, done, outcome):
        train, test = done.client.get_run(done.training.train_run_id), done.client.get_run(done.logged.test_run_id)
        for side, run in (("train", train), ("test", test)):
            assert run.info.status == "FINISHED"
            assert run.info.run_name == f"{side}-{done.training.name}"
            assert run.data.tags[TRAINING_TAG] == done.training.name
            assert run.data.tags["k"] == "v"
            assert run.data.params == {name: str(value) for name, value in outcome.params.items()}
            assert set(run.data.metrics) >= METRICS
        for name, value in outcome.test.metrics.items():
            assert test.data.metrics[name] == value
            assert train.data.metrics[name] == outcome.train.metrics[name]
        gap = train.data.metrics["f1_score"] - test.data.metrics["f1_score"]
        assert test.data.metrics["generalisation_gap_f1_score"] == pytest.approx(gap)
        assert test.data.metrics["leakage/grouped_f1_score"] == test.data.metrics["f1_score"]
        assert train.data.metrics["cv_f1"] == outcome.searches[0].best.mean_test_score

    def test_say_which_rows_they_saw(self, done, outcome):
        for side, run_id in (("train", done.training.train_run_id), ("test", done.logged.test_run_id)):
            rows = getattr(outcome, side).rows
            (found,) = done.client.get_run(run_id).inputs.dataset_inputs
            assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": side}
            assert json.loads(found.dataset.source) == {"uri": "mongodb://host/db.rows"}
            assert json.loads(found.dataset.profile) == {"num_rows": rows.n_rows, "sha256": rows.sha256}
            assert rows.sha256.startswith(found.dataset.digest)

    def test_have_their_artifacts(self, done, outcome):
        of_train = {file.path for file in done.client.list_artifacts(done.training.train_run_id)}
        assert {"cv_results.parquet", "cv_results.csv", "model_card.md"} <= of_train
        of_test = {file.path for file in done.client.list_artifacts(done.logged.test_run_id)}
        for part in ("confusion_matrix", "roc_curve", "precision_recall_curve", "calibration_curve"):
            assert {f"{part}.png", f"{part}.json"} <= of_test
        assert {"permutation_importance.png", "permutation_importance.json"} <= of_test
        assert {"classification_report.json", "leakage_ledger.json"} <= of_test
        ledger = mlflow.artifacts.load_dict(f"runs:/{done.logged.test_run_id}/leakage_ledger.json")
        assert ledger == {"grouped_f1_score": outcome.test.metrics["f1_score"], **outcome.leakage.model_dump()}
        path = done.client.download_artifacts(done.training.train_run_id, "cv_results.parquet")
        table = pd.read_parquet(path)
        assert table.groupby("model").size().to_dict() == {"Decision Tree": 3, "Random Forest": 5}
        expected = [point.mean_test_score for result in outcome.searches for point in result.grid]
        assert table["mean_test_score"].tolist() == expected

    def test_card_tells_of_the_model_in_markdown(self, done, outcome):
        run = done.client.get_run(done.training.train_run_id)
        card = mlflow.artifacts.load_text(f"runs:/{done.training.train_run_id}/model_card.md")
        assert run.data.tags["mlflow.note.content"] == card
        assert card.startswith(f"# {outcome.searches[0].candidate} · {done.training.name}\n")
        assert f"{outcome.test.metrics['f1_score']:.4f}" in card
        assert f"{outcome.test.rows.n_rows:,} to test" in card


class TestGridPoints:
    def test_each_is_a_child_run(self, done, outcome):
        children = runs_of(done.client, done.training, "grid point")
        assert len(children) == N_POINTS
        points = {
            f"{result.candidate}/{index}": point
            for result in outcome.searches
            for index, point in enumerate(result.grid)
        }
        for run in children:
            assert run.info.status == "FINISHED"
            assert run.data.tags["mlflow.parentRunId"] == done.training.train_run_id
            point = points[run.data.tags[GRID_POINT_TAG]]
            assert run.data.params == {"model": run.data.params["model"]} | {
                name: str(value) for name, value in point.params.items()
            }
            assert run.data.metrics == point.scores()
            assert {"mean_test_score", "std_test_score", "split0_test_score", "mean_fit_time"} <= set(run.data.metrics)

    @pytest.mark.parametrize(("runs", "expected"), [("best", 2), ("none", 0)])
    def test_may_be_fewer(self, server, client, training, outcome, runs, expected):
        for result in outcome.searches:
            tracking.log_search(server, training, result, runs)
        children = runs_of(client, training, "grid point")
        assert len(children) == expected
        best = {result.candidate: result.best.mean_test_score for result in outcome.searches}
        assert all(run.data.metrics["mean_test_score"] == best[run.data.params["model"]] for run in children)

    def test_make_lines_on_the_train_run(self, done, outcome):
        history = done.client.get_metric_history(done.training.train_run_id, "score_by_n_estimators/Random Forest")
        grid = next(result.grid for result in outcome.searches if result.candidate == "Random Forest")
        assert {of.step: of.value for of in history} == {
            point.params["n_estimators"]: point.mean_test_score for point in grid
        }
        history = done.client.get_metric_history(done.training.train_run_id, "best_score_so_far/Decision Tree")
        scores = [point.mean_test_score for result in outcome.searches[-1:] for point in result.grid]
        assert [of.value for of in sorted(history, key=lambda of: of.step)] == np.maximum.accumulate(scores).tolist()

    def test_searches_logged_by_many_threads_leave_no_stray_runs(self, server, client, training, outcome):
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda result: tracking.log_search(server, training, result), outcome.searches))
        everything = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        assert len(everything) == 1 + N_POINTS
        assert mlflow.active_run() is None


def test_grid_points_are_written_to_a_local_database_as_the_client_writes_them(server, client, training, outcome):
    def content(run):
        info, data = run.info, run.data
        location = info.artifact_uri.replace(info.run_id, "")
        history = {name: client.get_metric_history(run.info.run_id, name) for name in data.metrics}
        kept = (info.run_name, info.status, info.user_id, info.lifecycle_stage, info.experiment_id, location)
        values = {name: [(of.key, of.value, of.step) for of in steps] for name, steps in history.items()}
        return kept, data.params, data.metrics, data.tags, values

    result = outcome.searches[0]
    tracking.log_search(server, training, result)
    written = runs_of(client, training, "grid point")
    for run in written:
        client.delete_run(run.info.run_id)
    for index, point in enumerate(result.grid):
        tracking._log_grid_point(client, training, result.candidate, index, point, None)
    logged = runs_of(client, training, "grid point")
    assert {run.info.run_id for run in written}.isdisjoint(run.info.run_id for run in logged)
    key = lambda run: run.data.tags[GRID_POINT_TAG]  # noqa: E731
    assert [content(run) for run in sorted(written, key=key)] == [content(run) for run in sorted(logged, key=key)]
    assert all(run.info.start_time <= run.info.end_time for run in written)


def test_of_two_monitor_runs_made_at_once_the_older_stays(server, monkeypatch):
    client, create = server.client(), tracking._create_run
    older = []

    def after_another(*args):
        older.append(create(*args))
        time.sleep(0.01)
        return create(*args)

    monkeypatch.setattr(tracking, "_create_run", after_another)
    found = tracking._find_or_create_monitor_run(client, "0", "monitor-x", {})
    assert (
        [found.info.run_id]
        == [run.info.run_id for run in older]
        == [run.info.run_id for run in client.search_runs("0")]
    )
    assert tracking._find_or_create_monitor_run(client, "0", "monitor-x", {}).info.run_id == found.info.run_id
    assert len(older) == 1


def test_a_step_that_is_tried_again_doubles_nothing(server, client, training, outcome):
    first = log_all(server, training, outcome)
    for run in runs_of(client, training, "grid point")[:2]:
        client.update_run(run.info.run_id, status="RUNNING")  # as if the first try had been cut off there
    missing = runs_of(client, training, "grid point")[0]
    tags = {name: value for name, value in missing.data.tags.items() if name.startswith("networksecurity.")}
    client.delete_run(missing.info.run_id)
    client.create_run(training.experiment_id, tags=tags)  # or before anything was logged to it
    assert log_all(server, training, outcome) == first
    assert len(runs_of(client, training)) == 2 + N_POINTS
    assert {run.info.status for run in runs_of(client, training)} == {"FINISHED"}
    history = client.get_metric_history(training.train_run_id, "f1_score")
    assert len(history) == 1
    assert len(client.search_logged_models([training.experiment_id])) == 1


class TestTheModel:
    def test_loads_and_predicts_the_same(self, done, outcome, rows):
        X, _ = to_X_y(rows)
        assert X.isna().any(axis=None)
        again = mlflow.sklearn.load_model(done.logged.model_uri)
        assert (again.predict_proba(X) == outcome.model.predict_proba(X)).all()
        served = mlflow.pyfunc.load_model(done.logged.model_uri)
        assert (served.predict(X) == outcome.model.predict(X)).all()
        with pytest.raises(mlflow.exceptions.MlflowException, match="SFH"):
            served.predict(X.drop(columns="SFH"))

    def test_is_stored_without_pickle_and_described(self, done, outcome):
        folder = mlflow.artifacts.download_artifacts(done.logged.model_uri)
        files = {file for _, _, names in os.walk(folder) for file in names}
        assert not {file for file in files if file.endswith((".pkl", ".pickle", ".cloudpickle"))}
        assert {"input_example.json", "requirements.txt", "model.skops"} <= files
        info = mlflow.models.get_model_info(done.logged.model_uri)
        assert [(column.name, column.type.name, column.required) for column in info.signature.inputs] == [
            (name, "double", True) for name in FEATURES
        ]
        assert info.run_id == done.training.train_run_id
        described = info.metadata
        assert described["class"] == "sklearn.ensemble._forest.RandomForestClassifier"
        assert described["feature_names"] == list(FEATURES)
        assert described["class_labels"] in ({0: "legitimate", 1: "phishing"}, {"0": "legitimate", "1": "phishing"})
        assert described["decision_threshold"] == 0.5
        assert {"python", "scikit-learn", "skops"} <= set(described["versions"])
        assert described["training"] == done.training.name
        assert described["k"] == "v"

    def test_carries_the_figures(self, done, outcome):
        model = done.client.get_logged_model(done.logged.model_uri.removeprefix("models:/"))
        assert model.status.value == "READY"
        by_dataset = {(of.key, of.dataset_name): of.value for of in model.metrics}
        assert by_dataset["f1_score", "db.rows · test"] == outcome.test.metrics["f1_score"]
        assert by_dataset["f1_score", "db.rows · train"] == outcome.train.metrics["f1_score"]

    def test_on_a_server_without_logged_models(self, server, client, training, outcome, rows):
        logged = log_all(replace(server, logged_models=False), training, outcome)
        assert logged.model_uri == f"runs:/{training.train_run_id}/model"
        assert client.search_logged_models([training.experiment_id]) == []
        X, _ = to_X_y(rows)
        assert (mlflow.sklearn.load_model(logged.model_uri).predict(X) == outcome.model.predict(X)).all()


class TestWhatWentWrong:
    def test_is_told_by_every_open_run(self, server, client, training, outcome):
        tracking.log_search(server, training, outcome.searches[0])
        client.create_run(training.experiment_id)  # somebody else's
        tracking.end_training(server, training, "FAILED", "ValueError: no luck")
        run = client.get_run(training.train_run_id)
        assert run.info.status == "FAILED"
        assert run.data.tags[REASON_TAG] == "ValueError: no luck"
        assert {child.info.status for child in runs_of(client, training, "grid point")} == {"FINISHED"}
        assert len(client.search_runs([training.experiment_id], "attributes.status = 'RUNNING'")) == 1

    def test_runs_of_a_killed_process_are_closed_by_the_next_training(self, server, client, tmp_path):
        code = (
            "import os, signal, sys; from networksecurity.tracking import runs as tracking; "
            "from networksecurity.tracking import server as tracking_server; "
            "from networksecurity.settings import Settings; server = tracking_server.connect(Settings()); "
            "print(tracking.start_training(server, 'networksecurity', {}).train_run_id, flush=True); "
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        environment = os.environ | {"MLFLOW_TRACKING_URI": server.uri}
        killed = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        run_id = killed.stdout.strip()
        assert killed.returncode == -9
        assert client.get_run(run_id).info.status == "RUNNING"
        foreign = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
        here = tracking.start_training(server, "networksecurity", {})
        closed = client.get_run(run_id)
        assert closed.info.status == "KILLED"
        assert "ended without closing it" in closed.data.tags[REASON_TAG]
        tracking.start_training(server, "networksecurity", {})
        assert client.get_run(here.train_run_id).info.status == "RUNNING"
        assert client.get_run(foreign).info.status == "RUNNING"

    def test_runs_of_another_machine_are_closed_when_they_are_old(self, server, client, training):
        client.set_tag(training.train_run_id, tracking.PROCESS_TAG, "elsewhere:1")
        tracking.start_training(server, "networksecurity", {})
        assert client.get_run(training.train_run_id).info.status == "RUNNING"
        tracking.start_training(server, "networksecurity", {}, stale_after=1e-9)
        closed = client.get_run(training.train_run_id)
        assert closed.info.status == "KILLED"
        assert closed.data.tags[REASON_TAG].startswith("still open after")


def test_a_second_training_has_another_name_in_the_same_experiment(server, client, training):
    another = tracking.start_training(server, "networksecurity", {})
    assert another.name != training.name
    assert another.experiment_id == training.experiment_id


def test_a_deleted_experiment_is_used_again(server, client, training):
    client.delete_experiment(training.experiment_id)
    assert tracking.start_training(server, "networksecurity", {}).experiment_id == training.experiment_id


def test_names_can_be_remembered():
    name = tracking.training_name()
    adjective, noun, number = name.rsplit("-", 2)
    assert adjective.replace("-", "").isalpha()
    assert noun.isalpha()
    assert int(number) in np.arange(100)
