import shutil
from dataclasses import replace

import pytest
from served import NAME, address, running

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.schema import to_X_y
from networksecurity.settings import Settings
from networksecurity.tracking import runs
from networksecurity.tracking.server import connect
from networksecurity.training.calibration import calibrate
from networksecurity.training.candidates import CANDIDATES, make_pipeline
from networksecurity.training.label_rule import LabelRule, with_rule


@pytest.fixture(scope="session")
def models(outcome, rows):
    """Return two pipelines by their version: both predict, and rarely alike; the second is calibrated, with a band."""
    X, y = to_X_y(rows)
    second = make_pipeline(CANDIDATES["Logistic Regression"], threshold=0.2).fit(X, y)
    calibrated = calibrate(second[-1].estimator_, y, second.predict_proba(X)[:, 1] ** 2, "temperature")
    return {"1": outcome.model, "2": with_rule(second, LabelRule(threshold=0.2, band=(0.1, 0.4)), calibrated)}


@pytest.fixture(scope="session")
def published(made_once, mlflow_database, outcome, models):
    """Return the folder of a database with both models, the first the champion, and a third without files."""

    def publish(folder):
        server = connect(Settings(mlflow_tracking_uri=address(shutil.copy(mlflow_database, folder))))
        registry = Registry(server, NAME)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for model in models.values():
                training = runs.start_training(server, "serving", {})
                known = outcome.known if model is outcome.model else None  # as of an older version
                logged = runs.log_outcome(server, training, replace(outcome, model=model, known=known))
                tags = {"f1_score": "0.951234", "data.source": "sample", **logged.seal}
                registry.register(logged.model_uri, training.train_run_id, tags=tags, description="")
        with server.client() as client:
            client.create_model_version(NAME, f"file://{folder}/nowhere", client.create_run("0").info.run_id)
        registry.set_alias(CHAMPION, "1")

    return made_once("published", publish)


@pytest.fixture
def place(published, tmp_path):
    """Return settings of a service that checks for its champion on request only, in a database of the test's own."""
    uri = address(shutil.copy(published / "mlflow.db", tmp_path))
    return Settings(mlflow_tracking_uri=uri, serve_refresh=3600, cores=2)


@pytest.fixture
def service(place):
    with running(place) as service:
        yield service


@pytest.fixture(scope="session")
def shared(published, tmp_path_factory):
    """Return a service for tests that do not change its champion."""
    uri = address(shutil.copy(published / "mlflow.db", tmp_path_factory.mktemp("shared")))
    with running(Settings(mlflow_tracking_uri=uri, serve_refresh=3600, serve_max_rows=3000)) as service:
        yield service
