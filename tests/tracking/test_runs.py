import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import pandas as pd
import pytest
from logged import log_all, runs_of

from networksecurity.tracking import runs
from networksecurity.tracking.markdown import known_table
from networksecurity.tracking.outcome import GRID_POINT_TAG, PROCESS_TAG, REASON_TAG, SIDE_TAG, TRAINING_TAG
from networksecurity.tracking.view import KEY
from networksecurity.training.evaluation import BOUNDS
from networksecurity.training.known_features import KnownFeatures

METRICS = {"f1_score", "precision", "recall_score", "accuracy", "roc_auc", "average_precision", "log_loss"}
N_POINTS = 5 + 3  # Random Forest, Decision Tree


def test_the_two_runs_have_one_stem_and_the_same_figures(done, outcome):
    train, test = done.client.get_run(done.training.train_run_id), done.client.get_run(done.logged.test_run_id)
    for side, run in (("train", train), ("test", test)):
        assert run.info.status == "FINISHED"
        assert run.info.run_name == f"{side}-{done.training.name}"
        assert run.data.tags[TRAINING_TAG] == done.training.name
        assert run.data.tags["k"] == "v"
        assert run.data.params == {name: str(value) for name, value in outcome.params.items()}
        assert set(run.data.metrics) >= METRICS
    for name, value in outcome.test.metrics.items():
        shown = f"uncertainty/{name}" if name in BOUNDS else name
        assert test.data.metrics[shown] == value
        assert train.data.metrics[shown] == outcome.train.metrics[name]
    gap = train.data.metrics["f1_score"] - test.data.metrics["f1_score"]
    assert test.data.metrics["f1_score_gap"] == pytest.approx(gap)
    assert test.data.metrics["leakage/grouped_f1_score"] == test.data.metrics["f1_score"]
    assert test.data.metrics["when_known_f1/address and page"] == outcome.known.nearest(["address", "page"]).f1_score
    assert not any(name.startswith("when_known_f1") for name in train.data.metrics)
    assert train.data.metrics["cv_f1"] == outcome.searches[0].best.mean_test_score


def test_the_test_run_leads_to_the_model_that_it_judges(done):
    (model,) = done.client.search_logged_models([done.training.experiment_id])
    (judged,) = done.client.get_run(done.logged.test_run_id).inputs.model_inputs
    assert judged.model_id == model.model_id


def test_the_page_of_trainings_has_no_grid_points_and_shows_the_columns_that_matter(done):
    of_trainings = done.client.search_runs([done.training.experiment_id])
    assert {run.data.tags[SIDE_TAG] for run in of_trainings} == {"train", "test"}
    shown = done.client.get_experiment(done.training.experiment_id).tags
    assert shown["mlflow.experimentKind"] == "custom_model_development"
    view = json.loads(shown[f"mlflow.sharedViewState.{KEY}"])
    columns = view["selectedColumns"]
    first = ["params.`model`", "metrics.`f1_score`", "metrics.`f1_score_gap`", "metrics.`precision`"]
    assert columns[:5] == [*first, "metrics.`recall_score`"]
    assert set(columns[1:5]) <= {f"metrics.`{name}`" for run in of_trainings for name in run.data.metrics}
    charted = [chart["metricKey"] for chart in view["compareRunCharts"]]
    assert charted[:3] == ["f1_score", "precision", "recall_score"]
    assert all(set(charted) - {"f1_score_gap"} <= run.data.metrics.keys() for run in of_trainings)
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == {view["compareRunSections"][0]["uuid"]}
    grid = done.client.get_experiment(done.training.grid_experiment_id)
    assert grid.name == "networksecurity-grid"


def test_an_experiment_of_an_earlier_version_gets_the_view(server, client):
    client.create_experiment("networksecurity")
    training = runs.start_training(server, "networksecurity", {})
    assert f"mlflow.sharedViewState.{KEY}" in client.get_experiment(training.experiment_id).tags


def test_a_grid_point_that_learned_nothing_does_not_squeeze_the_others(server, client, training, outcome):
    forest = next(result for result in outcome.searches if result.candidate == "Random Forest")
    useless = forest.grid[0].model_copy(update={"mean_test_score": 0.0, "split_test_scores": (0.0,) * 3})
    runs.log_search(server, training, forest.model_copy(update={"grid": (useless, *forest.grid[1:])}))
    children = runs_of(client, training, "grid point")
    assert len(children) == len(forest.grid)
    without = [run.data for run in children if "mean_test_score" not in run.data.metrics]
    assert [of.metrics["learned_nothing/mean_test_score"] for of in without] == [0.0]


def test_the_two_runs_record_the_rows_they_saw(done, outcome):
    for side, run_id in (("train", done.training.train_run_id), ("test", done.logged.test_run_id)):
        rows = getattr(outcome, side).rows
        (found,) = done.client.get_run(run_id).inputs.dataset_inputs
        assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": side}
        assert json.loads(found.dataset.source) == {"uri": "mongodb://host/db.rows"}
        assert json.loads(found.dataset.profile) == {"num_rows": rows.n_rows, "sha256": rows.sha256}
        assert rows.sha256.startswith(found.dataset.digest)


def test_the_two_runs_have_their_artifacts(done, outcome):
    of_train = {file.path for file in done.client.list_artifacts(done.training.train_run_id)}
    assert {"cv_results.parquet", "cv_results.csv", "model_card.md", "leaderboard.png"} <= of_train
    assert "score_by_n_estimators.png" in of_train
    of_test = {file.path for file in done.client.list_artifacts(done.logged.test_run_id)}
    for part in ("confusion_matrix", "roc_curve", "precision_recall_curve", "calibration_curve"):
        assert {f"{part}.png", f"{part}.json"} <= of_test
    assert {"permutation_importance.png", "permutation_importance.json", "known_features.png"} <= of_test
    assert {"classification_report.json", "leakage_ledger.json"} <= of_test
    ledger = mlflow.artifacts.load_dict(f"runs:/{done.logged.test_run_id}/leakage_ledger.json")
    assert ledger == {"grouped_f1_score": outcome.test.metrics["f1_score"], **outcome.leakage.model_dump(mode="json")}
    known = mlflow.artifacts.load_dict(f"runs:/{done.logged.test_run_id}/known_features.json")
    assert KnownFeatures.model_validate(known) == outcome.known
    path = done.client.download_artifacts(done.training.train_run_id, "cv_results.parquet")
    table = pd.read_parquet(path)
    assert table.groupby("model").size().to_dict() == {"Decision Tree": 3, "Random Forest": 5}
    expected = [point.mean_test_score for result in outcome.searches for point in result.grid]
    assert table["mean_test_score"].tolist() == expected


def test_the_model_card_describes_the_model_in_markdown(done, outcome):
    run = done.client.get_run(done.training.train_run_id)
    card = mlflow.artifacts.load_text(f"runs:/{done.training.train_run_id}/model_card.md")
    assert run.data.tags["mlflow.note.content"] == card
    assert card.startswith(f"# {outcome.searches[0].candidate} · {done.training.name}\n")
    assert f"{outcome.test.metrics['f1_score']:.4f}" in card
    assert f"{outcome.test.rows.n_rows:,} to test" in card
    assert known_table(outcome.known) in card


def test_each_grid_point_is_a_child_run(done, outcome):
    children = runs_of(done.client, done.training, "grid point")
    assert len(children) == N_POINTS
    points = {
        f"{result.candidate}/{index}": point for result in outcome.searches for index, point in enumerate(result.grid)
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


@pytest.mark.parametrize(("which", "expected"), [("best", 2), ("none", 0)])
def test_fewer_grid_points_may_be_logged(server, client, training, outcome, which, expected):
    for result in outcome.searches:
        runs.log_search(server, training, result, which)
    children = runs_of(client, training, "grid point")
    assert len(children) == expected
    best = {result.candidate: result.best.mean_test_score for result in outcome.searches}
    assert all(run.data.metrics["mean_test_score"] == best[run.data.params["model"]] for run in children)


def test_grid_points_make_lines_on_the_train_run(done, outcome):
    history = done.client.get_metric_history(done.training.train_run_id, "score_by_n_estimators/Random Forest")
    grid = next(result.grid for result in outcome.searches if result.candidate == "Random Forest")
    assert {of.step: of.value for of in history} == {
        point.params["n_estimators"]: point.mean_test_score for point in grid
    }
    history = done.client.get_metric_history(done.training.train_run_id, "search_best_so_far/Decision Tree")
    scores = [point.mean_test_score for result in outcome.searches[-1:] for point in result.grid]
    assert [of.value for of in sorted(history, key=lambda of: of.step)] == np.maximum.accumulate(scores).tolist()


def test_grid_points_without_a_score_leave_gaps_in_the_lines(server, client, training, outcome):
    forest = next(result for result in outcome.searches if result.candidate == "Random Forest")
    failed = forest.grid[0].model_copy(update={"mean_test_score": np.nan, "split_test_scores": (np.nan,) * 3})
    runs.log_search(server, training, forest.model_copy(update={"grid": (failed, *forest.grid[1:])}))
    history = client.get_metric_history(training.train_run_id, "search_best_so_far/Random Forest")
    scores = [point.mean_test_score for point in forest.grid[1:]]
    assert {of.step: of.value for of in history} == dict(enumerate(np.maximum.accumulate(scores).tolist(), start=2))
    history = client.get_metric_history(training.train_run_id, "score_by_n_estimators/Random Forest")
    assert len(history) == len(scores)
    assert len(runs_of(client, training, "grid point")) == len(forest.grid)


def test_searches_logged_by_many_threads_leave_no_stray_runs(server, client, training, outcome):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda result: runs.log_search(server, training, result), outcome.searches))
    everything = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len(everything) == 1 + N_POINTS
    assert mlflow.active_run() is None


def test_a_repeated_step_duplicates_nothing(server, client, training, outcome):
    first = log_all(server, training, outcome)
    for run in runs_of(client, training, "grid point")[:2]:
        client.update_run(run.info.run_id, status="RUNNING")  # as if the first attempt had been interrupted there
    missing = runs_of(client, training, "grid point")[0]
    tags = {name: value for name, value in missing.data.tags.items() if name.startswith("networksecurity.")}
    client.delete_run(missing.info.run_id)
    client.create_run(training.grid_experiment_id, tags=tags)  # or before anything was logged to it
    again = log_all(server, training, outcome)
    assert (again.test_run_id, again.model_uri) == (first.test_run_id, first.model_uri)
    assert len(runs_of(client, training)) == 2 + N_POINTS
    assert {run.info.status for run in runs_of(client, training)} == {"FINISHED"}
    history = client.get_metric_history(training.train_run_id, "f1_score")
    assert len(history) == 1
    assert len(client.search_logged_models([training.experiment_id])) == 1


def test_a_training_that_goes_on_in_its_runs_tells_which_flow_run_does(server, client):
    first = runs.start_training(server, "networksecurity", {"prefect.flow_run_id": "1", "k": "v"}, name="a", key="b")
    runs.end_training(server, first, "KILLED")
    again = runs.start_training(server, "networksecurity", {"prefect.flow_run_id": "2", "k": "v"}, name="a", key="b")
    assert again.train_run_id == first.train_run_id
    run = client.get_run(again.train_run_id)
    assert (run.info.status, run.data.tags["prefect.flow_run_id"], run.data.tags["k"]) == ("RUNNING", "2", "v")


def test_a_failure_is_recorded_by_every_open_run(server, client, training, outcome):
    runs.log_search(server, training, outcome.searches[0])
    client.create_run(training.experiment_id)  # somebody else's
    runs.end_training(server, training, "FAILED", "ValueError: no luck")
    run = client.get_run(training.train_run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags[REASON_TAG] == "ValueError: no luck"
    assert {child.info.status for child in runs_of(client, training, "grid point")} == {"FINISHED"}
    assert len(client.search_runs([training.experiment_id], "attributes.status = 'RUNNING'")) == 1


def test_runs_of_a_killed_process_are_closed_by_the_next_training(server, client, tmp_path):
    code = (
        "import os, signal, sys; from networksecurity.settings import Settings; "
        "from networksecurity.tracking import runs; from networksecurity.tracking.server import connect; "
        "server = connect(Settings()); "
        "print(runs.start_training(server, 'networksecurity', {}).train_run_id, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": server.uri}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    run_id = killed.stdout.strip()
    assert killed.returncode == -9
    assert client.get_run(run_id).info.status == "RUNNING"
    foreign = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    here = runs.start_training(server, "networksecurity", {})
    closed = client.get_run(run_id)
    assert closed.info.status == "KILLED"
    assert "ended without closing it" in closed.data.tags[REASON_TAG]
    runs.start_training(server, "networksecurity", {})
    assert client.get_run(here.train_run_id).info.status == "RUNNING"
    assert client.get_run(foreign).info.status == "RUNNING"


def test_runs_of_another_machine_are_closed_when_they_are_old(server, client, training):
    client.set_tag(training.train_run_id, PROCESS_TAG, "elsewhere:1")
    runs.start_training(server, "networksecurity", {})
    assert client.get_run(training.train_run_id).info.status == "RUNNING"
    runs.start_training(server, "networksecurity", {}, stale_after=1e-9)
    closed = client.get_run(training.train_run_id)
    assert closed.info.status == "KILLED"
    assert closed.data.tags[REASON_TAG].startswith("still open after")


def test_a_second_training_has_another_name_in_the_same_experiment(server, client, training):
    another = runs.start_training(server, "networksecurity", {})
    assert another.name != training.name
    assert another.experiment_id == training.experiment_id


def test_a_deleted_experiment_is_used_again(server, client, training):
    client.delete_experiment(training.experiment_id)
    assert runs.start_training(server, "networksecurity", {}).experiment_id == training.experiment_id


def test_names_can_be_remembered():
    name = runs.training_name()
    adjective, noun, number = name.rsplit("-", 2)
    assert adjective.replace("-", "").isalpha()
    assert noun.isalpha()
    assert int(number) in np.arange(100)
