"""Opening a DagsHub repository as an MLflow server. The only module that imports dagshub."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from networksecurity.deadline import within
from networksecurity.exceptions import ConfigurationError, TrackingError
from networksecurity.settings import Settings
from networksecurity.tracking.connection import (
    PASSWORD,
    USER,
    Advice,
    describe_failure,
    may_pass,
    read_json,
    unavailable,
    without_secrets,
)

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

_LONGEST_CREATION = 10.0
"""Seconds that DagsHub may take to create a repository."""

TO_DAGSHUB = Advice(
    silent="try again later",
    unauthorized="check DAGSHUB_USER_TOKEN",
    forbidden="ask the owner to let the user of DAGSHUB_USER_TOKEN write to the repository",
    wrong="check the repository's page; its MLflow may be disabled",
)


def open_repository(
    repo: str, settings: Settings, seconds: float, *, create: bool, public: bool
) -> tuple[str, dict[str, str]]:
    """Return the address of a repository's MLflow server and MLflow's variables for its login, from `dagshub.init`.

    Without a token, `dagshub.init` waits forever for a login in a browser; without a repository, it creates a public
    one. Both are therefore checked first.

    Raises
    ------
    ConfigurationError
        The token or the host is not usable; nothing was attempted.
    TrackingUnavailableError
        DagsHub cannot be reached, or reports a failure that may pass.
    TrackingError
        It refused the token, or the repository is missing and `create` is false.
    """
    host = settings.dagshub_client_host
    token = settings.dagshub_user_token.get_secret_value().strip() if settings.dagshub_user_token else ""
    how = f"create one at {host}/user/settings/tokens and set DAGSHUB_USER_TOKEN, in the environment or in .env"
    if not re.fullmatch("[!-~]+", token):
        raise ConfigurationError(f"DAGSHUB_REPO is {repo}, but DAGSHUB_USER_TOKEN is not set to an access token: {how}")
    user = _ask(host, "user", token, seconds)
    if user.status_code in (401, 403):
        raise TrackingError(f"DagsHub at {host} refused the access token ({user.status_code}): {how}")
    username = (read_json(user.text) or {}).get("username")
    if user.status_code != 200 or username is None:
        raise TrackingError(f"there is no DagsHub at {host} ({user.status_code}): correct DAGSHUB_CLIENT_HOST")
    found = _ask(host, f"repos/{repo}", token, seconds)
    if found.status_code not in (200, 404):
        raise TrackingError(
            f"DagsHub at {host} does not show the repository {repo} ({found.status_code}): try again later"
        )
    missing = found.status_code == 404
    if missing and not create:
        raise TrackingError(
            f"there is no repository {repo} at {host}, or this access token may not see it: correct DAGSHUB_REPO, or "
            "create it with --create-repo (private, unless --public-repo)"
        )
    with _configured(settings, token, seconds):
        import dagshub
        from dagshub.upload import create_repo

        owner, _, name = repo.partition("/")
        if missing:
            organisation = "" if owner == username else owner
            within(_LONGEST_CREATION, lambda: create_repo(name, organisation, private=not public, host=host))
            _log.info("created the %s DagsHub repository %s", "public" if public else "private", repo)
        dagshub.init(repo_name=name, repo_owner=owner, mlflow=True)
    return os.environ["MLFLOW_TRACKING_URI"], {name: os.environ[name] for name in (USER, PASSWORD)}


@contextmanager
def _configured(settings: Settings, token: str, seconds: float) -> Iterator[None]:
    """Give dagshub a token and limits, silence it, and translate its errors."""
    # dagshub takes this time limit as text, on import, and its requests fail on it. Ours is set below.
    os.environ.pop("DAGSHUB_HTTP_TIMEOUT", None)
    import dacite
    import httpx
    from dagshub.common import config
    from dagshub.common.api.user import UserNotFoundError

    # Set here, because dagshub reads the environment only on import. With a token in
    # `config` it looks for no other, neither in the cache of `dagshub login` nor with a browser.
    config.set_host(settings.dagshub_client_host)
    config.token, config.username, config.password = token, None, None
    config.quiet, config.http_timeout = True, seconds
    log = logging.getLogger("dagshub")  # our error repeats what matters
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    place = f"DagsHub at {config.host}"
    try:
        yield
    except (httpx.HTTPError, OSError) as exc:
        raise unavailable(place, f"stopped answering ({type(exc).__name__})", "try again later") from None
    except (RuntimeError, ValueError, KeyError, UserNotFoundError, dacite.DaciteError) as exc:
        reason = without_secrets(str(exc).replace(token, "…"))
        raise TrackingError(f"{place} did not open or create {settings.dagshub_repo}: {reason}") from None
    finally:
        log.setLevel(level)


def _ask(host: str, endpoint: str, token: str, seconds: float) -> "httpx.Response":
    import httpx

    place, advice = f"DagsHub at {host}", "check the network and DAGSHUB_CLIENT_HOST"

    def request() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{host}/api/v1/{endpoint}", headers=headers, timeout=seconds, follow_redirects=True)

    try:
        answer = within(seconds, request)
    except httpx.InvalidURL:
        raise ConfigurationError(f"DAGSHUB_CLIENT_HOST is {host}, which is not a web address") from None
    except OSError as exc:
        raise unavailable(place, describe_failure(exc, seconds), advice) from None
    except httpx.RequestError as exc:
        raise unavailable(place, f"cannot be reached ({exc})", advice) from None
    if may_pass(answer):
        raise unavailable(place, f"answered {answer.status_code} {answer.reason_phrase}", "try again later")
    return answer
