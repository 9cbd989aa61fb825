import os
import shutil

import mlflow
import numpy as np
import pytest
from pydantic import SecretStr

from networksecurity import tracking
from networksecurity.candidates import CANDIDATES, make_pipeline
from networksecurity.evaluation import evaluate_model
from networksecurity.exceptions import TrackingError, TrackingUnavailableError
from networksecurity.sample import make_phishing_websites
from networksecurity.schema import FEATURES, to_X_y, validate
from networksecurity.settings import Settings

METRICS = {"f1_score", "precision", "recall_score", "accuracy", "roc_auc", "average_precision", "log_loss"}


@pytest.fixture
def settings(tmp_path, mlflow_database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}"))


@pytest.fixture(scope="module")
def rows():
    frame = make_phishing_websites(300, random_state=0).astype("Int8")
    frame.loc[0, "SFH"] = None
    return validate(frame).accepted


@pytest.fixture(scope="module")
def training(rows):
    X, y = to_X_y(rows)
    model = make_pipeline(CANDIDATES["Random Forest"], {"n_estimators": 5}).fit(X, y)
    figures = evaluate_model(model, rows)
    return tracking.Training(model, {"model": "Random Forest", "n_estimators": 5}, figures, figures, {"k": "v"}, X[:5])


def test_a_training_is_two_runs_with_the_same_metrics(training, settings):
    logged = tracking.log_training(training, settings)
    runs = mlflow.search_runs(experiment_names=["networksecurity"], output_format="list")
    assert len(runs) == 2
    by_side = {run.data.tags[tracking.SIDE_TAG]: run for run in runs}
    assert set(by_side) == {"train", "test"}
    assert by_side["train"].info.run_id == logged.train_run_id
    assert by_side["test"].info.run_id == logged.test_run_id
    for side, run in by_side.items():
        assert run.info.status == "FINISHED"
        assert run.info.run_name == f"{side}-{logged.name}"
        assert run.data.tags[tracking.TRAINING_TAG] == logged.name
        assert set(run.data.metrics) >= METRICS
        assert run.data.params["n_estimators"] == "5"
    assert set(by_side["train"].data.metrics) == set(by_side["test"].data.metrics)


def test_model_loads_and_predicts_the_same(training, settings, rows):
    logged = tracking.log_training(training, settings)
    X, _ = to_X_y(rows)
    again = mlflow.sklearn.load_model(logged.model_uri)
    assert (again.predict_proba(X) == training.model.predict_proba(X)).all()
    served = mlflow.pyfunc.load_model(logged.model_uri)
    assert (served.predict(X) == training.model.predict(X)).all()
    with pytest.raises(mlflow.exceptions.MlflowException, match="SFH"):
        served.predict(X.drop(columns="SFH"))


def test_model_is_stored_without_pickle_and_described(training, settings):
    logged = tracking.log_training(training, settings)
    folder = mlflow.artifacts.download_artifacts(logged.model_uri)
    files = {file for _, _, names in os.walk(folder) for file in names}
    assert not {file for file in files if file.endswith((".pkl", ".pickle", ".cloudpickle"))}
    assert "input_example.json" in files
    info = mlflow.models.get_model_info(logged.model_uri)
    assert [(column.name, column.type.name, column.required) for column in info.signature.inputs] == [
        (name, "double", True) for name in FEATURES
    ]


def test_a_second_training_has_another_name(training, settings):
    names = {tracking.log_training(training, settings).name for _ in range(2)}
    assert len(names) == 2
    assert len(mlflow.search_experiments(filter_string="name = 'networksecurity'")) == 1


def test_a_deleted_experiment_is_used_again(training, settings):
    experiment = tracking.log_training(training, settings).experiment_id
    mlflow.delete_experiment(experiment)
    assert tracking.log_training(training, settings).experiment_id == experiment


def test_dead_server_is_an_error_without_credentials(training):
    settings = Settings(mlflow_tracking_uri=SecretStr("http://me:hush@127.0.0.1:9"), mlflow_timeout=1)
    with pytest.raises(TrackingUnavailableError, match=r"http://127.0.0.1:9 .*MLFLOW_TRACKING_URI") as raised:
        tracking.log_training(training, settings)
    assert "hush" not in str(raised.value)


def test_unknown_kind_of_server(training):
    with pytest.raises(TrackingError, match="nosuch://host refused"):
        tracking.log_training(training, Settings(mlflow_tracking_uri=SecretStr("nosuch://host")))


def test_names_can_be_remembered():
    name = tracking.training_name()
    adjective, noun, number = name.rsplit("-", 2)
    assert adjective.replace("-", "").isalpha()
    assert noun.isalpha()
    assert int(number) in np.arange(100)
