"""Where flows run that a test calls."""

import shutil
from contextlib import contextmanager

from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from networksecurity.settings import settings


@contextmanager
def working_in(folder, mlflow_database, kept, monkeypatch):
    """Give flows a folder and a tracking database of their own, one core, and a storage and cache in `kept`."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(kept / "storage"))
    monkeypatch.setenv("NETWORKSECURITY_CORES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(mlflow_database, folder)}")
    settings.cache_clear()
    with temporary_settings(
        {
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_LOCAL_STORAGE_PATH: kept / "results",
        }
    ):
        yield
    settings.cache_clear()
