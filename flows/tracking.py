"""The tracking server and the registered model of the settings.

Not in `steps`, for MLflow is slow to import and an ingestion does not need it.
"""

from contextlib import suppress

from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.data import gaps
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.exceptions import TrackingError
from networksecurity.settings import settings
from networksecurity.tracking.server import TrackingServer, connect


def tracking_server() -> TrackingServer:
    """Return the tracking server of the settings."""
    return connect(settings())


def registry(contract: Contract = WEBSITES) -> Registry:
    """Return the registered model of a contract."""
    return Registry.of(settings(), contract)


def find_gaps(version: RegisteredVersion | None, n_rows: int, n_missing: dict[str, int]) -> list[str]:
    """Return what `gaps.find_gaps` finds in rows, compared with those behind a version of the model."""
    expected = None
    if version and n_missing:
        with suppress(TrackingError):  # an old version without a reference profile
            expected = registry(version.contract).load_reference(version).profile.missing_shares
    return gaps.find_gaps(n_rows, n_missing, expected)
