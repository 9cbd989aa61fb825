import os
from dataclasses import replace

import mlflow
import pytest
from logged import log_all

from networksecurity.data.schema import FEATURES, to_X_y


def test_the_stored_model_predicts_the_same(done, outcome, rows):
    X, _ = to_X_y(rows)
    assert X.isna().any(axis=None)
    again = mlflow.sklearn.load_model(done.logged.model_uri)
    assert (again.predict_proba(X) == outcome.model.predict_proba(X)).all()
    served = mlflow.pyfunc.load_model(done.logged.model_uri)
    assert (served.predict(X) == outcome.model.predict(X)).all()
    with pytest.raises(mlflow.exceptions.MlflowException, match="SFH"):
        served.predict(X.drop(columns="SFH"))


def test_the_model_is_stored_without_pickle_and_described(done, outcome):
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


def test_the_logged_model_carries_the_figures(done, outcome):
    model = done.client.get_logged_model(done.logged.model_uri.removeprefix("models:/"))
    assert model.status.value == "READY"
    by_dataset = {(of.key, of.dataset_name): of.value for of in model.metrics}
    assert by_dataset["f1_score", "db.rows · test"] == outcome.test.metrics["f1_score"]
    assert by_dataset["f1_score", "db.rows · train"] == outcome.train.metrics["f1_score"]


def test_on_a_server_without_logged_models_the_model_belongs_to_the_run(server, client, training, outcome, rows):
    logged = log_all(replace(server, logged_models=False), training, outcome)
    assert logged.model_uri == f"runs:/{training.train_run_id}/model"
    assert client.search_logged_models([training.experiment_id]) == []
    X, _ = to_X_y(rows)
    assert (mlflow.sklearn.load_model(logged.model_uri).predict(X) == outcome.model.predict(X)).all()
