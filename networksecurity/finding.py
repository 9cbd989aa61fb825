"""What a check of this installation found: a value for each line of `networksecurity doctor`."""

import re
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from networksecurity.deadline import within
from networksecurity.exceptions import NetworkSecurityException, one_line

State = Literal["ok", "note", "warning", "failure"]
"""`note`: nothing is wrong, but something is not in use. `warning`: it works, though not as it should."""

Check = Callable[[], "list[Finding]"]

_ADVICE = re.compile(r"[:;,] (?=(?:ask|check|correct|create|install|point|promote|set|start|train|try)\b)")


class Finding(BaseModel, frozen=True):
    """What was checked, what was found, and what to do about it."""

    subject: str
    state: State
    found: str
    fix: str = ""
    """What to do, if something is not as it should be."""


def failure_of(subject: str, exc: NetworkSecurityException, fix: str = "") -> Finding:
    """Return the finding for an error, its advice as the fix.

    Examples
    --------
    >>> failure_of("MongoDB", NetworkSecurityException("MongoDB at a:1 failed: refused; start the server")).fix
    'start the server'
    """
    found, *advice = _ADVICE.split(str(exc), maxsplit=1)
    return Finding(subject=subject, state="failure", found=found, fix=fix or (advice[0] if advice else ""))


def run_check(subject: str, check: Check, seconds: float) -> list[Finding]:
    """Return what a check finds; that it failed, or took longer than `seconds`, is a finding, too."""

    def run() -> list[Finding]:
        try:
            return check()
        except NetworkSecurityException as exc:
            return [failure_of(subject, exc)]
        except ImportError as exc:
            fix = "install what is missing: make install, or pip install networksecurity again"
            return [Finding(subject=subject, state="failure", found=f"cannot be checked: {exc}", fix=fix)]
        except Exception as exc:  # noqa: BLE001 (a check that breaks must not hide what the others find)
            found = f"the check itself failed ({type(exc).__name__}: {one_line(exc)})"
            return [Finding(subject=subject, state="failure", found=found, fix="report this as a bug")]

    try:
        return within(seconds, run)
    except TimeoutError:
        fix = "try again, or allow more with --seconds"
        return [Finding(subject=subject, state="failure", found=f"no answer within {seconds:g} s", fix=fix)]
