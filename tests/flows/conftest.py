import os
import shutil
import subprocess

import pytest
from leash import leashed_children
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from networksecurity.settings import settings


@pytest.fixture(scope="session")
def prefect_server():
    with leashed_children() as tie, prefect_test_harness(server_startup_timeout=180):
        tie()
        yield


@pytest.fixture
def workplace(tmp_path, mlflow_database, monkeypatch, prefect_server):
    """Give a flow an empty storage, cache and tracking database of its own, and one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("NETWORKSECURITY_CORES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}")
    settings.cache_clear()
    with temporary_settings(
        {
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results",
        }
    ):
        yield tmp_path
    settings.cache_clear()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the folder in which the commands of a module keep Prefect's, MLflow's and stored data."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home):
    """Return the environment of the commands of a module: all they keep is in one folder, warm from test to test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return kept | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
        "NETWORKSECURITY_STORAGE": str(home / "storage"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "NETWORKSECURITY_MONGODB_TIMEOUT": "1",
    }


@pytest.fixture
def command(request, environment, tmp_path):
    """Run a module's `COMMAND` with options, and with changes of the environment."""

    def run(*options, **changes):
        return subprocess.run(
            [*request.module.COMMAND, *options],
            cwd=tmp_path,
            env=environment | changes,
            capture_output=True,
            text=True,
            timeout=1_000,
            check=False,
        )

    return run
