"""The MLflow that runs and models go to: a local database, a server, or a DagsHub repository.

The only module that meets dagshub. `connect` says at once, and within seconds, what is wrong with the place that the
settings name; what it returns knows what that place can do. User names, passwords and tokens reach MLflow through its
environment variables, never through an address, which MLflow prints and stores.
"""

import json
import logging
import os
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from networksecurity.exceptions import ConfigurationError, TrackingError, TrackingUnavailableError
from networksecurity.settings import PROJECT_FOLDER, Settings, without_credentials

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOCAL_DATABASE = f"sqlite:///{PROJECT_FOLDER / 'mlflow.db'}"
_LOCAL_UI = "http://127.0.0.1:5000"
_USER, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_LONGEST_PROBE = 5.0
"""Seconds, whatever the settings allow: a server that is down shall be known before anything is computed for it."""
_LONGEST_CREATION = 10.0
"""Seconds DagsHub may take to make a repository."""
_PASSING_CODES = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


@dataclass(frozen=True)
class TrackingServer:
    """A place that was reached, and what it can do.

    Attributes
    ----------
    uri : str
        As the MLflow client takes it; may hold credentials.
    address : str
        The same, fit to be shown.
    logged_models : bool
        Whether it has MLflow 3's logged models; DagsHub's may not.
    aliases : bool
        Whether a version of a registered model can have an alias.
    """

    uri: str = field(repr=False)
    address: str
    logged_models: bool
    aliases: bool
    _credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def client(self) -> MlflowClient:
        """Return a client of its runs and of its registry."""
        return MlflowClient(self.uri, registry_uri=self.uri)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what MLflow raises inside as this package's errors, without any secret.

        Raises
        ------
        TrackingUnavailableError
            The place cannot be reached, or failed in a way that may pass.
        TrackingError
            It answered and refused, or a file of it cannot be read or written.
        """
        try:
            yield
        except MlflowException as exc:
            message = self._shown(exc)
            if exc.error_code not in _PASSING_CODES:
                raise TrackingError(f"MLflow at {self.address} refused: {message}") from None
            raise self._unavailable(message) from None
        except OSError as exc:  # requests' errors are some; MLflow's code for artifacts lets them through
            message = self._shown(exc)
            refused = isinstance(exc, requests.HTTPError) and exc.response is not None and not _passes(exc.response)
            if refused or not isinstance(exc, requests.RequestException | ConnectionError | TimeoutError):
                raise TrackingError(f"MLflow at {self.address} refused: {message}") from None
            raise self._unavailable(message) from None

    def _unavailable(self, message: str) -> TrackingUnavailableError:
        advice = "see that it runs and can be reached (MLFLOW_TRACKING_URI, DAGSHUB_REPO)"
        return _unavailable(f"the MLflow server {self.address}", f"did not do its part ({message})", advice)

    def _shown(self, exc: Exception) -> str:
        return _without_secrets(str(exc).replace(self.uri, self.address))


_lock = Lock()
_servers: dict[Settings, TrackingServer] = {}
_lent: dict[str, str] = {}


def connect(settings: Settings, *, create_repo: bool = False, public_repo: bool = False) -> TrackingServer:
    """Return the place that the settings name, reached and ready, and make it MLflow's current one.

    That is the DagsHub repository of DAGSHUB_REPO, else what MLFLOW_TRACKING_URI names, else `mlflow.db` in the
    project's folder. A place that was reached once is not asked again in this process. A failure takes at most some
    seconds, however silent the other side is.

    Parameters
    ----------
    settings : Settings
    create_repo : bool
        Make the DagsHub repository where there is none: private, unless `public_repo`.
    public_repo : bool

    Raises
    ------
    ConfigurationError
        A setting is missing or cannot be used; nothing was tried.
    TrackingUnavailableError
        The place cannot be reached, or does not answer in time.
    TrackingError
        It answered and refused: credentials, a missing repository, something that is no MLflow.
    """
    # MLflow's own limits, 7 tries of 120 s each, would hold a training for minutes; the flow's retries come on top.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(settings.mlflow_timeout))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    # Two lines for every run that ends, of which a training has 149.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    with _lock:
        server = _servers.get(settings) or _connect(settings, create_repo, public_repo)
        _servers[settings] = server
        _lend(dict(server._credentials))
        mlflow.set_tracking_uri(server.uri)
        if mlflow.get_registry_uri() != server.uri:
            mlflow.set_registry_uri(server.uri)
    return server


def forget() -> None:
    """Forget all connections of this process, and the credentials they lent to MLflow."""
    with _lock:
        _servers.clear()
        _lend({})


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    """Return the page of a run; for a local database that of the command of `ui_command`."""
    return f"{_ui(address)}/#/experiments/{experiment_id}/runs/{run_id}"


def model_version_url(address: str, name: str, version: str | int) -> str:
    """Return the page of a version of a registered model; for a local database that of the command of `ui_command`."""
    return f"{_ui(address)}/#/models/{quote(name, safe='')}/versions/{version}"


def ui_command(address: str) -> str | None:
    """Return the command that shows a local database in the browser; None for a server, which has its own pages."""
    if not address.startswith("sqlite:"):
        return None
    host, _, port = _LOCAL_UI.removeprefix("http://").partition(":")
    # Not everybody has this environment on the path.
    mlflow_command = "mlflow" if shutil.which("mlflow") else shlex.quote(str(Path(sys.executable).with_name("mlflow")))
    return f"{mlflow_command} ui --backend-store-uri {shlex.quote(address)} --host {host} --port {port}"


def _ui(address: str) -> str:
    return address.rstrip("/") if address.startswith(("http://", "https://")) else _LOCAL_UI


def _uri(settings: Settings) -> str:
    return settings.mlflow_tracking_uri.get_secret_value() if settings.mlflow_tracking_uri else _LOCAL_DATABASE


def _connect(settings: Settings, create_repo: bool, public_repo: bool) -> TrackingServer:
    seconds = min(_LONGEST_PROBE, settings.mlflow_timeout)
    if settings.dagshub_repo is not None:
        uri, credentials = _enter_dagshub(settings.dagshub_repo, settings, seconds, create_repo, public_repo)
        return _reach(uri, credentials, seconds, _TO_DAGSHUB)
    uri = _uri(settings)
    if uri.startswith(("http://", "https://")):
        return _reach(*_apart(uri), seconds, _TO_SERVER)
    return _open(uri)


# --- A server ---------------------------------------------------------------------------------------------------------


class _Advice(NamedTuple):
    """What to do where the way to a server is barred."""

    silent: str
    unauthorized: str
    forbidden: str
    wrong: str


_TO_SERVER = _Advice(
    silent="start it, or correct MLFLOW_TRACKING_URI",
    unauthorized=f"set {_USER} and {_PASSWORD}, or MLFLOW_TRACKING_TOKEN",
    forbidden=f"check {_USER} and {_PASSWORD}, or MLFLOW_TRACKING_TOKEN; an `mlflow server` also says so to a name of "
    "its host that --allowed-hosts does not list",
    wrong="correct MLFLOW_TRACKING_URI",
)
_TO_DAGSHUB = _Advice(
    silent="try again later",
    unauthorized="check DAGSHUB_USER_TOKEN",
    forbidden="ask the owner to let the user of DAGSHUB_USER_TOKEN write to the repository",
    wrong="look at the repository's page; its MLflow may be switched off",
)


def _reach(uri: str, credentials: Mapping[str, str], seconds: float, advice: _Advice) -> TrackingServer:
    """Ask a server for something that needs a database and a password, then for what not every server has."""
    _lend(credentials)
    address = without_credentials(uri)
    answer = _ask(uri, seconds, advice, "POST", "experiments/search", json={"max_results": 1})
    status = f"{answer.status_code} {answer.reason}".strip()
    if answer.status_code in (401, 403):
        what_to_do = advice.unauthorized if answer.status_code == 401 else advice.forbidden
        raise TrackingError(f"MLflow at {address} does not let this user in ({status}): {what_to_do}")
    if answer.status_code != 200 or _json(answer.text) is None:
        raise TrackingError(f"{address} is no MLflow, it answered {status} and not what MLflow would: {advice.wrong}")
    search = {"experiment_ids": ["0"], "max_results": 1}
    lookup = {"name": "networksecurity.probe", "alias": "probe"}
    logged_models = _knows(_ask(uri, seconds, advice, "POST", "logged-models/search", json=search))
    aliases = _knows(_ask(uri, seconds, advice, "GET", "registered-models/alias", params=lookup))
    _log.info(
        "MLflow at %s has %slogged models and %saliases",
        address,
        "" if logged_models else "no ",
        "" if aliases else "no ",
    )
    return TrackingServer(uri, address, logged_models, aliases, tuple(credentials.items()))


def _ask(uri: str, seconds: float, advice: _Advice, method: str, endpoint: str, **content: Any) -> requests.Response:
    """Send one request as MLflow's client sends it, with its credentials and certificates, but with a hard limit."""
    place = f"the MLflow server {without_credentials(uri)}"

    def request() -> Any:
        return http_request(
            get_default_host_creds(uri),
            f"/api/2.0/mlflow/{endpoint}",
            method,
            max_retries=0,
            timeout=seconds,
            raise_on_status=False,
            **content,
        )

    try:
        answer = _within(seconds, request)
    except OSError as exc:
        raise _unavailable(place, _happened(exc, seconds), advice.silent) from None
    except MlflowException as exc:
        raise TrackingError(f"{place} cannot be asked ({_without_secrets(str(exc))}): {advice.wrong}") from None
    if _passes(answer):
        raise _unavailable(place, f"answered {answer.status_code} {answer.reason}", advice.silent)
    return answer


def _happened(exc: OSError, seconds: float) -> str:
    if isinstance(exc, TimeoutError):
        return f"does not answer within {seconds:g} s"
    return f"cannot be reached ({exc.strerror or exc})"


def _passes(answer: "requests.Response | httpx.Response") -> bool:
    status = answer.status_code
    return status in (408, 425, 429) or (status >= 500 and status != 501)


def _unavailable(place: str, happened: str, advice: str) -> TrackingUnavailableError:
    return TrackingUnavailableError(
        f"{place} {happened}: {advice}; what was computed is kept, and the same command goes on from there"
    )


def _json(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _knows(answer: requests.Response) -> bool:
    """Tell "no such model" from "no such endpoint": both are 404, only the first carries one of MLflow's own codes."""
    content = _json(answer.text)
    if content is None:
        return False
    code = content.get("error_code")
    return answer.status_code == 200 or code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def _within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns; raise TimeoutError a second after the limit that its sockets were given.

    Those limits hold for one address and do not cover the lookup of a name, which can take a minute. An error of the
    operating system that libraries have wrapped is raised bare.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as exc:  # noqa: BLE001 (`result` raises it)
            root = exc
            while inner := root.__cause__ or root.__context__:
                root = inner
            outcome.set_exception(root if isinstance(root, OSError) else exc)

    Thread(target=run, daemon=True).start()  # a daemon: nobody waits for it at the end of the process
    try:
        return outcome.result(seconds + 1)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


# --- DagsHub ----------------------------------------------------------------------------------------------------------


def _enter_dagshub(
    repo: str, settings: Settings, seconds: float, create_repo: bool, public_repo: bool
) -> tuple[str, dict[str, str]]:
    """Return the address of a repository's MLflow server and the credentials for it, as `dagshub.init` sets them.

    Left alone, `dagshub.init` waits for ever for somebody to log in with a browser where it has no token, and makes a
    public repository where it finds none. So both are made sure of first.
    """
    host = settings.dagshub_client_host
    token = settings.dagshub_user_token.get_secret_value().strip() if settings.dagshub_user_token else ""
    how = f"make one at {host}/user/settings/tokens and set DAGSHUB_USER_TOKEN, in the environment or in .env"
    if not re.fullmatch("[!-~]+", token):
        raise ConfigurationError(f"DAGSHUB_REPO is {repo}, but DAGSHUB_USER_TOKEN is not set to an access token: {how}")
    user = _ask_dagshub(host, "user", token, seconds)
    if user.status_code in (401, 403):
        raise TrackingError(f"DagsHub at {host} refused the access token ({user.status_code}): {how}")
    username = (_json(user.text) or {}).get("username")
    if user.status_code != 200 or username is None:
        raise TrackingError(f"there is no DagsHub at {host} ({user.status_code}): correct DAGSHUB_CLIENT_HOST")
    found = _ask_dagshub(host, f"repos/{repo}", token, seconds)
    if found.status_code not in (200, 404):
        raise TrackingError(f"DagsHub at {host} does not show the repository {repo} ({found.status_code})")
    missing = found.status_code == 404
    if missing and not create_repo:
        raise TrackingError(
            f"there is no repository {repo} at {host}, or this access token may not see it: correct DAGSHUB_REPO, or "
            "make it with --create-repo (private, unless --public-repo)"
        )
    with _configured_dagshub(settings, token, seconds):
        import dagshub
        from dagshub.upload import create_repo as make_repo

        owner, _, name = repo.partition("/")
        if missing:
            organisation = "" if owner == username else owner
            make_repo(name, organisation, private=not public_repo, host=host)
            _log.info("made the %s DagsHub repository %s", "public" if public_repo else "private", repo)
        dagshub.init(repo_name=name, repo_owner=owner, mlflow=True)
    return os.environ["MLFLOW_TRACKING_URI"], {name: os.environ[name] for name in (_USER, _PASSWORD)}


@contextmanager
def _configured_dagshub(settings: Settings, token: str, seconds: float) -> Iterator[None]:
    """Give dagshub a token and limits, keep it from printing, and raise its errors as this package's."""
    import dacite
    import dagshub
    import dagshub.upload.wrapper
    import httpx
    from dagshub.common import config
    from dagshub.common.api.user import UserNotFoundError

    # Set here, since dagshub reads the environment only while it is imported, and time limits there as text. With a
    # token in `config` it looks at no other: neither at those of `dagshub login` nor for a browser.
    config.set_host(settings.dagshub_client_host)
    config.token, config.username, config.password = token, None, None
    config.quiet, config.http_timeout = True, seconds
    dagshub.upload.wrapper.s.timeout = _LONGEST_CREATION
    log = logging.getLogger("dagshub")  # what matters is said again in an error
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    place = f"DagsHub at {config.host}"
    try:
        yield
    except httpx.HTTPError as exc:
        raise _unavailable(place, f"stopped answering ({type(exc).__name__})", "try again later") from None
    except (RuntimeError, ValueError, KeyError, UserNotFoundError, dacite.DaciteError) as exc:
        reason = _without_secrets(str(exc).replace(token, "…"))
        raise TrackingError(f"{place} did not open or make {settings.dagshub_repo}: {reason}") from None
    finally:
        log.setLevel(level)


def _ask_dagshub(host: str, endpoint: str, token: str, seconds: float) -> "httpx.Response":
    import httpx

    place, advice = f"DagsHub at {host}", "check the network and DAGSHUB_CLIENT_HOST"

    def request() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{host}/api/v1/{endpoint}", headers=headers, timeout=seconds, follow_redirects=True)

    try:
        answer = _within(seconds, request)
    except httpx.InvalidURL:
        raise ConfigurationError(f"DAGSHUB_CLIENT_HOST is {host}, which is not a web address") from None
    except OSError as exc:
        raise _unavailable(place, _happened(exc, seconds), advice) from None
    except httpx.RequestError as exc:
        raise _unavailable(place, f"cannot be reached ({exc})", advice) from None
    if _passes(answer):
        raise _unavailable(place, f"answered {answer.status_code} {answer.reason_phrase}", "try again later")
    return answer


# --- Credentials ------------------------------------------------------------------------------------------------------


def _apart(uri: str) -> tuple[str, dict[str, str]]:
    """Take user name and password out of a web address."""
    if without_credentials(uri).endswith("://…"):
        raise ConfigurationError(
            "MLFLOW_TRACKING_URI is not a web address: user name and password in it must be percent-escaped "
            "(urllib.parse.quote_plus)"
        )
    parts = urlsplit(uri)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if not (parts.username and parts.password):
        return bare, {}
    return bare, {_USER: unquote(parts.username), _PASSWORD: unquote(parts.password)}


def _lend(credentials: Mapping[str, str]) -> None:
    """Give MLflow user name and password, which it reads in the environment, and take back those of the place before.

    Else a token would travel to the next server that this process speaks to.
    """
    for name, value in _lent.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    _lent.clear()
    _lent.update(credentials)
    os.environ.update(credentials)


def _without_secrets(text: str) -> str:
    """Return one line of at most 500 characters, without the secrets that MLflow was given."""
    for name in (_PASSWORD, "MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN"):
        if secret := os.environ.get(name):
            text = text.replace(secret, "…")
    return shorten(text, 500, placeholder=" …")


# --- A database -------------------------------------------------------------------------------------------------------


def _open(uri: str) -> TrackingServer:
    path, mark, query = uri.removeprefix("sqlite:///").partition("?")
    local = uri.startswith("sqlite:///") and path not in ("", ":memory:")
    if local:
        uri = f"sqlite:///{Path(path).absolute()}{mark}{query}"  # other processes may have another current folder
    server = TrackingServer(uri, without_credentials(uri), logged_models=True, aliases=True)

    def touch() -> None:
        server.client().search_experiments(max_results=1)

    try:
        with server.errors():
            if local:
                _open_file(Path(path), touch)
            else:
                _within(_LONGEST_PROBE, touch)
    except (sqlite3.Error, SQLAlchemyError) as exc:
        cause = (exc.orig if isinstance(exc, DBAPIError) else None) or exc
        busy = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        error = TrackingUnavailableError if busy else TrackingError
        raise error(f"{server.address} cannot be used as MLflow's database: {_without_secrets(str(cause))}") from None
    except ImportError as exc:
        raise TrackingError(f"{server.address} needs a library that is not installed: {exc}") from None
    return server


def _open_file(path: Path, touch: Callable[[], None]) -> None:
    """Make MLflow's tables where there are none: it takes seconds, and breaks where two processes begin at once."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        # MLflow tries for 100 s before it says that a file is no database, or may not be written.
        connection = sqlite3.connect(path, timeout=_LONGEST_PROBE)
        try:
            connection.execute("PRAGMA user_version")
        finally:
            connection.close()
        touch()
    finally:
        os.close(folder)
