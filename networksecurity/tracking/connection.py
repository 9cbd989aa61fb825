"""Reaching an MLflow server within a few seconds, and what to tell the user if that fails.

MLflow reads user names, passwords and tokens from its environment variables. They never become part of an address,
which MLflow prints and stores.
"""

import json
import os
from collections.abc import Callable, Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from networksecurity.deadline import within
from networksecurity.exceptions import ConfigurationError, TrackingError, TrackingUnavailableError
from networksecurity.settings import is_escaped, without_credentials

if TYPE_CHECKING:
    import httpx

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


class Advice(NamedTuple):
    """Advice for each way a server can turn us away."""

    silent: str
    unauthorized: str
    forbidden: str
    wrong: str


TO_SERVER = Advice(
    silent="start it, or correct MLFLOW_TRACKING_URI",
    unauthorized=f"set {USER} and {PASSWORD}, or MLFLOW_TRACKING_TOKEN",
    forbidden=f"check {USER} and {PASSWORD}, or MLFLOW_TRACKING_TOKEN; an `mlflow server` also answers this to a host "
    "name that its --allowed-hosts does not list",
    wrong="correct MLFLOW_TRACKING_URI",
)


class Features(NamedTuple):
    """What an MLflow server supports."""

    logged_models: bool
    aliases: bool


# --- The server -------------------------------------------------------------------------------------------------------


def reach(uri: str, seconds: float, advice: Advice) -> Features:
    """Ask a server for something that needs its database and a login, then for what only some servers support.

    Raises
    ------
    TrackingUnavailableError
        It cannot be reached, does not answer within `seconds`, or reports a failure that may pass.
    TrackingError
        It refused the login, or is not an MLflow server.
    """
    address = without_credentials(uri)
    answer = _ask(uri, seconds, advice, "POST", "experiments/search", json={"max_results": 1})
    status = f"{answer.status_code} {answer.reason}".strip()
    if answer.status_code in (401, 403):
        what_to_do = advice.unauthorized if answer.status_code == 401 else advice.forbidden
        raise TrackingError(f"MLflow at {address} refused this user ({status}): {what_to_do}")
    if answer.status_code != 200 or read_json(answer.text) is None:
        error = TrackingUnavailableError if answer.status_code == 200 else TrackingError  # a page may be a proxy's
        raise error(f"{address} is not an MLflow server; it answered {status}: {advice.wrong}")
    search = {"experiment_ids": ["0"], "max_results": 1}
    lookup = {"name": "networksecurity.probe", "alias": "probe"}
    return Features(
        logged_models=_knows(lambda: _ask(uri, seconds, advice, "POST", "logged-models/search", json=search)),
        aliases=_knows(lambda: _ask(uri, seconds, advice, "GET", "registered-models/alias", params=lookup)),
    )


def _ask(uri: str, seconds: float, advice: Advice, method: str, endpoint: str, **content: Any) -> requests.Response:
    """Send one request the way MLflow's client does, with its credentials and certificates, but with a hard limit.

    `MlflowClient` hides the status and retries for minutes. Its own `http_request` is no documented interface; the
    tests ask real servers through it, with credentials, and so notice when it changes.
    """
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
        answer = within(seconds, request)
    except OSError as exc:
        raise unavailable(place, describe_failure(exc, seconds), advice.silent) from None
    except MlflowException as exc:
        if exc.error_code == "INTERNAL_ERROR":  # the connection was cut
            raise unavailable(place, f"failed ({without_secrets(str(exc))})", advice.silent) from None
        raise TrackingError(f"{place} cannot be queried ({without_secrets(str(exc))}): {advice.wrong}") from None
    if may_pass(answer):
        raise unavailable(place, f"answered {answer.status_code} {answer.reason}", advice.silent)
    return answer


def _knows(ask: Callable[[], requests.Response]) -> bool:
    """Tell "no such model" from "no such endpoint": both are 404, only the first has one of MLflow's error codes."""
    answer = ask()
    content = read_json(answer.text)
    if content is None and answer.status_code == 200:  # a page once may be a proxy's; twice, it is the server's
        answer = ask()
        content = read_json(answer.text)
    if content is None:
        return False
    code = content.get("error_code")
    return answer.status_code == 200 or code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def read_json(text: str) -> dict[str, Any] | None:
    """Return the JSON object in `text`, or None if it holds anything else."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


# --- Failures ---------------------------------------------------------------------------------------------------------


def describe_failure(exc: OSError, seconds: float) -> str:
    """Return why a server could not be reached."""
    if isinstance(exc, TimeoutError):
        return f"does not answer within {seconds:g} s"
    return f"cannot be reached ({without_secrets(str(exc.strerror or exc))})"


def may_pass(answer: "requests.Response | httpx.Response") -> bool:
    """Return whether a server's answer may be another one later."""
    status = answer.status_code
    return status in (408, 425, 429) or (status >= 500 and status != 501)


def unavailable(place: str, happened: str, advice: str) -> TrackingUnavailableError:
    """Return the error for a place that cannot be used at the moment."""
    return TrackingUnavailableError(f"{place} {happened}: {advice}")


# --- Credentials ------------------------------------------------------------------------------------------------------

_lent: dict[str, str] = {}


def split_credentials(uri: str) -> tuple[str, dict[str, str]]:
    """Split a web address into the address without a login, and MLflow's variables for the login.

    Raises
    ------
    ConfigurationError
        It is not a web address.
    """
    if not is_escaped(uri) or without_credentials(uri).endswith(("/…", "@…")):
        raise ConfigurationError(
            "MLFLOW_TRACKING_URI is not a web address: ports must be numbers, and user name and password in it must "
            "be percent-escaped (urllib.parse.quote_plus)"
        )
    parts = urlsplit(uri)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if not (parts.username and parts.password):
        return bare, {}
    return bare, {USER: unquote(parts.username), PASSWORD: unquote(parts.password)}


def lend(credentials: Mapping[str, str]) -> None:
    """Set the login that MLflow reads from the environment, and remove that of the server before.

    Otherwise a token would travel to the next server this process connects to.
    """
    for name, value in _lent.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    _lent.clear()
    _lent.update(credentials)
    os.environ.update(credentials)


def without_secrets(text: str) -> str:
    """Return one line of at most 500 characters, without the secrets in MLflow's and DagsHub's variables."""
    for name in (PASSWORD, "MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN"):
        if secret := os.environ.get(name, "").strip():  # a line feed at its end is shown as two signs
            text = text.replace(secret, "…")
    return shorten(text, 500, placeholder=" …")
