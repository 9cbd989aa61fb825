import shutil

import pytest
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
    with prefect_test_harness(server_startup_timeout=180):
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
