"""The tracking server and the registered model of the settings.

Not in `steps`, for MLflow is slow to import and an ingestion does not need it.
"""

from networksecurity.champion.registry import Registry
from networksecurity.settings import settings
from networksecurity.tracking.server import TrackingServer, connect


def tracking_server() -> TrackingServer:
    """Return the tracking server of the settings."""
    return connect(settings())


def registry() -> Registry:
    """Return the registered model of the settings."""
    return Registry(tracking_server(), settings().mlflow_registered_model_name)
