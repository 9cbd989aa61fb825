"""The MLflow that runs and models go to: a local database, a server, or a DagsHub repository.

`connect` reports within seconds what is wrong with the place that the settings name. The `TrackingServer` it returns
knows what that place supports, and is the only way to an MLflow client: its errors are translated here.
"""

import logging
import os
import shlex
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import quote, urlsplit

import mlflow
import requests
from google.protobuf.json_format import ParseError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from networksecurity.deadline import within
from networksecurity.exceptions import (
    ConfigurationError,
    NetworkSecurityException,
    TrackingError,
    TrackingUnavailableError,
    one_line,
)
from networksecurity.parent import alone_in
from networksecurity.settings import PROJECT_FOLDER, Settings, is_escaped, without_credentials
from networksecurity.tracking.connection import (
    TO_SERVER,
    lend,
    may_pass,
    reach,
    split_credentials,
    unavailable,
    without_secrets,
)
from networksecurity.tracking.dagshub import TO_DAGSHUB, open_repository
from networksecurity.tracking.migration import migrate, refuse_another_schema
from networksecurity.tracking.view import KEY, PAGES

_log = logging.getLogger(__name__)

_LOCAL_DATABASE = f"sqlite:///{PROJECT_FOLDER / 'mlflow.db'}"
_LOCAL_UI = "http://127.0.0.1:5000"
_LONGEST_PROBE = 5.0
"""Upper bound in seconds, even if the settings allow more: an unreachable server has to be known before a training
computes anything for it."""
_ADVICE = "check that it runs and can be reached (MLFLOW_TRACKING_URI, DAGSHUB_REPO)"
_UNREADABLE = ParseError, ValueError, TypeError, LookupError, AttributeError
"""What MLflow's client raises of an answer that is JSON, and not what it expects."""
_SERVERS = ("postgresql", "mysql", "mssql")
"""What begins the address of a database that is no file."""
_MLFLOW = str(Path(mlflow.__file__).parent)
_PASSING_CODES = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


@dataclass(frozen=True)
class TrackingServer:
    """An MLflow that was reached, and what it supports."""

    uri: str = field(repr=False)
    """As MLflow's client takes it; may hold credentials."""
    address: str
    """The same without credentials, to be shown."""
    logged_models: bool
    """Whether it has MLflow 3's logged models; DagsHub may not."""
    aliases: bool
    """Whether a version of a registered model can have an alias."""
    _credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """Open a client of the runs and the registry; in the context, MLflow's errors become this package's.

        Raises
        ------
        TrackingUnavailableError
            The place cannot be reached, or failed in a way that may pass.
        TrackingError
            It answered and refused, or one of its files cannot be read or written.
        """
        try:
            yield MlflowClient(self.uri, registry_uri=self.uri)
        except (MlflowException, OSError) as exc:
            raise self.translate(exc) from None  # the cause may hold a secret
        except _UNREADABLE as exc:
            if not _came_through_mlflow(exc):
                raise
            happened = f"gave an answer that cannot be read ({without_secrets(one_line(exc))})"
            raise unavailable(f"the MLflow server {self.address}", happened, _ADVICE) from None

    def translate(self, exc: MlflowException | OSError) -> NetworkSecurityException:
        """Return this package's error for one that MLflow raised, without any secret."""
        message = without_secrets(str(exc).replace(self.uri, self.address))
        if not _is_transient(exc):
            return TrackingError(f"MLflow at {self.address} refused: {message}")
        return unavailable(f"the MLflow server {self.address}", f"failed ({message})", _ADVICE)


def _is_transient(exc: MlflowException | OSError) -> bool:
    if isinstance(exc, MlflowException):
        return exc.error_code in _PASSING_CODES
    if isinstance(exc, requests.HTTPError) and exc.response is not None:  # MLflow's artifact code lets these through
        return may_pass(exc.response)
    return isinstance(exc, requests.RequestException | ConnectionError | TimeoutError)


def _came_through_mlflow(exc: BaseException) -> bool:
    return any(frame.f_code.co_filename.startswith(_MLFLOW) for frame, _ in traceback.walk_tb(exc.__traceback__))


_lock = Lock()
_servers: dict[Settings, TrackingServer] = {}


def connect(settings: Settings, *, create_repo: bool = False, public_repo: bool = False) -> TrackingServer:
    """Reach the MLflow that the settings name, and make it MLflow's current one.

    That is the DagsHub repository of DAGSHUB_REPO, else what MLFLOW_TRACKING_URI names, else `mlflow.db` in the
    project's folder. A process probes each place once. A failure takes seconds at most, even if the other side is
    silent.

    Parameters
    ----------
    create_repo : bool
        Create the DagsHub repository if it is missing: private, unless `public_repo`.

    Raises
    ------
    ConfigurationError
        A setting is missing or not usable; nothing was attempted.
    TrackingUnavailableError
        The place cannot be reached, or does not answer in time.
    TrackingError
        It answered and refused: credentials, a missing repository, something other than MLflow.
    """
    # MLflow's own limit, 7 tries of 120 s each, would hold a training for minutes. And it repeats what creates a run or
    # a version without asking whether the first try did: what is repeated here looks first.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(settings.mlflow_timeout))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # Two lines for every run that ends, of which a training has 149.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    with _lock:
        server = _servers.get(settings) or _connect(settings, create_repo, public_repo)
        _servers[settings] = server
        lend(dict(server._credentials))
        mlflow.set_tracking_uri(server.uri)
        if mlflow.get_registry_uri() != server.uri:
            mlflow.set_registry_uri(server.uri)
    return server


def look(settings: Settings) -> TrackingServer | None:
    """Reach the MLflow that the settings name, as `connect` does, without making anything there.

    A local database is opened for reading only. Returns None for one that MLflow has not set up yet.

    Raises
    ------
    ConfigurationError, TrackingUnavailableError, TrackingError
        As from `connect`.
    """
    uri = _named(settings)
    if settings.dagshub_repo is not None or uri.startswith(("http://", "https://")):
        return connect(settings)
    return _look_into_database(uri)


def forget() -> None:
    """Forget all connections of this process, and the credentials they lent to MLflow."""
    with _lock:
        _servers.clear()
        lend({})


def _named(settings: Settings) -> str:
    return settings.mlflow_tracking_uri.get_secret_value() if settings.mlflow_tracking_uri else _LOCAL_DATABASE


def _connect(settings: Settings, create_repo: bool, public_repo: bool) -> TrackingServer:
    seconds = min(_LONGEST_PROBE, settings.mlflow_timeout)
    advice = TO_SERVER
    if settings.dagshub_repo is not None:
        uri, credentials = open_repository(
            settings.dagshub_repo, settings, seconds, create=create_repo, public=public_repo
        )
        advice = TO_DAGSHUB
    else:
        uri = _named(settings)
        if not uri.startswith(("http://", "https://")):
            return _open_database(uri)
        uri, credentials = split_credentials(uri)
    lend(credentials)
    features, address = reach(uri, seconds, advice), without_credentials(uri)
    has = ["" if feature else "no " for feature in features]
    _log.info("MLflow at %s has %slogged models and %saliases", address, *has)
    return TrackingServer(uri, address, *features, tuple(credentials.items()))


# --- Pages ------------------------------------------------------------------------------------------------------------


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    """Return the page of a run; a local database's is served by `ui_command`."""
    return f"{_ui(address)}/#/experiments/{experiment_id}/runs/{run_id}?{PAGES}"


def experiment_url(address: str, experiment_id: str) -> str:
    """Return the page of an experiment's runs, with the columns that matter.

    A filter typed there keeps the columns; one in the address would make MLflow ignore the view.
    """
    return f"{_ui(address)}/#/experiments/{experiment_id}/runs?{PAGES}&viewStateShareKey={KEY}"


def model_version_url(address: str, name: str, version: str | int) -> str:
    """Return the page of a version of a registered model; a local database's is served by `ui_command`."""
    return f"{_ui(address)}/#/models/{quote(name, safe='')}/versions/{version}?{PAGES}"


def ui_command(address: str) -> str | None:
    """Return the command that shows a local database in the browser; None for a server, which has its own pages."""
    if not address.startswith("sqlite:"):
        return None
    if address == _LOCAL_DATABASE and Path.cwd() == PROJECT_FOLDER and (PROJECT_FOLDER / "Makefile").exists():
        return "make ui"
    host, _, port = _LOCAL_UI.removeprefix("http://").partition(":")
    # This environment need not be on the user's path.
    mlflow_command = "mlflow" if shutil.which("mlflow") else shlex.quote(str(Path(sys.executable).with_name("mlflow")))
    return f"{mlflow_command} ui --backend-store-uri {shlex.quote(address)} --host {host} --port {port}"


def _ui(address: str) -> str:
    return address.rstrip("/") if address.startswith(("http://", "https://")) else _LOCAL_UI


# --- A database -------------------------------------------------------------------------------------------------------


def _open_database(uri: str) -> TrackingServer:
    path = _file_of(uri)
    if path is not None:
        uri = _absolute(uri)
    _check_address(uri)
    server = TrackingServer(uri, without_credentials(uri), logged_models=True, aliases=True)

    def touch() -> None:
        if uri.startswith(_SERVERS):  # MLflow would try again and again, and log each time what the driver says
            engine = create_engine(uri)
            engine.connect().close()
            engine.dispose()
        MlflowClient(uri, registry_uri=uri).search_experiments(max_results=1)

    with _database_errors(server):
        if path is not None:
            _open_file(path, uri, touch)
        else:
            within(_LONGEST_PROBE, touch)
    return server


def _check_address(uri: str) -> None:
    """Raise ConfigurationError for an address that drivers would divide elsewhere; they quote parts of the login."""
    try:
        is_right = is_escaped(uri)
        if uri.startswith(_SERVERS):
            make_url(uri)
            urlsplit(uri)  # as MLflow does
    except (ValueError, ArgumentError):
        is_right = False
    if not is_right:
        raise ConfigurationError(
            "MLFLOW_TRACKING_URI is not the address of a database: ports must be numbers, and user name and password "
            "in it must be percent-escaped (urllib.parse.quote_plus)"
        ) from None


def _file_of(uri: str) -> Path | None:
    """Return the file of an SQLite database; None for any other."""
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path not in ("", ":memory:") else None


def _absolute(uri: str) -> str:
    """Return the address of an SQLite file for processes that may have another current folder."""
    path, mark, query = uri.removeprefix("sqlite:///").partition("?")
    return f"sqlite:///{Path(path).absolute()}{mark}{query}"


@contextmanager
def _database_errors(server: TrackingServer) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError) as exc:
        raise server.translate(exc) from None
    except (sqlite3.Error, SQLAlchemyError) as exc:
        cause = (exc.orig if isinstance(exc, DBAPIError) else None) or exc
        busy = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        is_away = isinstance(exc, OperationalError) and server.uri.startswith(_SERVERS)
        error = TrackingUnavailableError if busy or is_away else TrackingError
        raise error(f"{server.address} cannot be used as MLflow's database: {without_secrets(str(cause))}") from None
    except ImportError as exc:
        raise TrackingError(f"{server.address} needs a library that is not installed: {exc}") from None


def _look_into_database(uri: str) -> TrackingServer | None:
    """Open a database without making anything in it; None if MLflow has not made its tables yet."""
    path = _file_of(uri)
    _check_address(uri)
    shown, opened = uri, uri
    if path is not None:
        if not path.exists():
            return None
        shown, opened = _absolute(uri), f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true"
    server = TrackingServer(opened, without_credentials(shown), logged_models=True, aliases=True)
    with _database_errors(server):
        if path is not None:
            refuse_another_schema(path)
        return server if within(_LONGEST_PROBE, lambda: _has_tables(opened, path is not None)) else None


def _has_tables(uri: str, is_file: bool) -> bool:
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() if is_file else "ok"
            if damage != "ok":
                raise sqlite3.DatabaseError(f"the file is damaged ({damage})")
            if not inspect(connection).has_table("experiments"):
                return False
    finally:
        engine.dispose()
    MlflowClient(uri, registry_uri=uri).search_experiments(max_results=1)
    return True


def _open_file(path: Path, uri: str, touch: Callable[[], None]) -> None:
    """Create or migrate MLflow's tables if need be, one process at a time: two at once break them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        # MLflow tries for 100 s before it reports that a file is not a database, or not writable.
        with closing(sqlite3.connect(path, timeout=_LONGEST_PROBE)) as connection:
            connection.execute("PRAGMA user_version")
        migrate(path, uri)
        touch()
