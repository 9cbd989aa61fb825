"""The tracking server and the registered model of the settings.

Not in `steps`, for MLflow is slow to import and an ingestion does not need it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prefect.logging import get_run_logger

from networksecurity.champion.delivery import UNDELIVERED, replay
from networksecurity.champion.record import CheckRecord, Ledger, ReviewRecord
from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.data import gaps
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.storage import Storage
from networksecurity.exceptions import NetworkSecurityException, TrackingError
from networksecurity.settings import settings
from networksecurity.tracking.server import TrackingServer, connect

_Record = TypeVar("_Record", CheckRecord, ReviewRecord)
_Logged = TypeVar("_Logged")


def tracking_server() -> TrackingServer:
    """Return the tracking server of the settings."""
    return connect(settings())


def registry(contract: Contract = WEBSITES) -> Registry:
    """Return the registered model of a contract."""
    return Registry.of(settings(), contract)


def ledger() -> Ledger:
    """Return the records of what is to be logged."""
    return Ledger(Storage(settings().storage))


def deliver_pending() -> None:
    """Deliver what earlier runs have left, and say what became of it."""
    done = replay(tracking_server(), ledger(), settings().signing_key)
    for sentence in done.delivered:
        get_run_logger().info("delivered to MLflow: %s", sentence)
    for sentence in done.left:
        get_run_logger().warning("still waits for MLflow: %s", sentence)


def deferred(exc: NetworkSecurityException) -> str:
    """Return a sentence about what could not be logged, with the command that delivers it."""
    return (
        f"tracking is deferred, nothing is lost: `networksecurity tracking replay` delivers it, or the next training "
        f"does ({exc})"
    )


def log_or_leave(record: _Record, log: Callable[[_Record], _Logged]) -> tuple[_Logged | None, str | None]:
    """Return where a record was logged, or else a sentence about its later delivery."""
    with ledger().begun(record) as begun:
        try:
            logged = log(begun)
        except UNDELIVERED as exc:
            ledger().release(begun)
            get_run_logger().warning("%s", deferred(exc))
            return None, deferred(exc)
        ledger().drop(begun)
        return logged, None


def find_gaps(version: RegisteredVersion | None, n_rows: int, n_missing: dict[str, int]) -> list[str]:
    """Return what `gaps.find_gaps` finds in rows, compared with those behind a version of the model."""
    expected = None
    if version and n_missing:
        with suppress(TrackingError):  # an old version without a reference profile
            expected = registry(version.contract).load_reference(version).profile.missing_shares
    return gaps.find_gaps(n_rows, n_missing, expected)
