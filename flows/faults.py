"""What the surroundings of a command do wrong, as one line; what is left is a bug."""

import re
import sys
import traceback

from pydantic import ValidationError

from networksecurity.exceptions import NetworkSecurityException
from networksecurity.settings import without_credentials
from networksecurity.surroundings import report_bug, report_error


def report(exc: Exception) -> None:
    """Say on standard error why a command failed: a line, or for a bug its traceback and what to do with it."""
    if isinstance(exc, NetworkSecurityException):
        report_error(exc)
    elif reason := _why(exc):
        report_error(reason)
    else:
        report_bug(exc)


def _why(exc: Exception) -> str | None:
    """Return a message if Prefect or its server cannot do their part as they are set up; None for any other error."""
    if isinstance(exc, ValidationError) and re.search("Settings$|^Serializer$", exc.title):
        wrong = exc.errors()[0]
        place = ".".join([exc.title, *map(str, wrong["loc"])])
        return (
            f"Prefect's settings (PREFECT_… or its profile) hold a value that cannot be used: {place}: {wrong['msg']}"
        )
    if "prefect" not in sys.modules:
        return None
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.results.default_storage_block and isinstance(exc, ValueError) and _is_of_a_block(exc):
        return (
            f"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: there is no block {settings.results.default_storage_block}: create "
            "it on the page Blocks of Prefect's server, or unset the variable"
        )
    status = exc.response.status_code if isinstance(exc, PrefectHTTPStatusError) else None
    if status in {401, 403}:
        found = f"answers {status}"
        remedy = "Set PREFECT_API_KEY or PREFECT_API_AUTH_STRING to what it accepts"
    elif status in {502, 503, 504}:
        found = f"has too much to do, it answers {status}"
        remedy = "Try again later, or set PREFECT_API_URL to another"
    elif isinstance(exc, httpx.TransportError) or str(exc).startswith("Failed to reach API"):
        reason = str(exc.__cause__ or exc)
        for secret in (settings.api.key, settings.api.auth_string):  # a header that is not valid is quoted
            if secret and (value := secret.get_secret_value().strip()):
                reason = reason.replace(value, "…")
        found = f"cannot be reached: {reason}"
        remedy = "Start it, or set PREFECT_API_URL to another"
    else:
        return None
    address = without_credentials(settings.api.url or "")
    return f"Prefect's server at {address} {found}. {remedy}; without PREFECT_API_URL, a run starts its own"


def _is_of_a_block(exc: BaseException) -> bool:
    import prefect.blocks.core

    places = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(exc.__traceback__)]
    return prefect.blocks.core.__file__ in places
