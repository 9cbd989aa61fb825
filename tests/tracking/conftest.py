import shutil
from dataclasses import dataclass

import mlflow
import pytest
from logged import log_all
from mlflow import MlflowClient
from pydantic import SecretStr

from networksecurity.settings import Settings
from networksecurity.tracking import runs
from networksecurity.tracking.outcome import Logged, Training
from networksecurity.tracking.server import TrackingServer, connect


@pytest.fixture
def training(server):
    return runs.start_training(server, "networksecurity", {"k": "v"})


@pytest.fixture
def client(server):
    return MlflowClient(server.uri)


@dataclass(frozen=True)
class Done:
    server: TrackingServer
    client: MlflowClient
    training: Training
    logged: Logged


@pytest.fixture(scope="session")
def once(tmp_path_factory, mlflow_database, outcome):
    """Log a training, shared by the tests that only read it."""
    database = shutil.copy(mlflow_database, tmp_path_factory.mktemp("once"))
    server = connect(Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{database}")))
    training = runs.start_training(server, "networksecurity", {"k": "v"})
    logged = log_all(server, training, outcome)
    return Done(server, MlflowClient(server.uri), training, logged)


@pytest.fixture
def done(once):
    mlflow.set_tracking_uri(once.server.uri)
    return once
