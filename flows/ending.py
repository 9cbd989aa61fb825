"""How a command ends: its exit codes, and the watchdog for a process in which a thread still computes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from typing import Any, NoReturn

from networksecurity.parent import after_parent

SUCCESS, FAILURE, WRONG_OPTION, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes."""

_LONGEST_END = 60.0
"""Seconds in which a run whose worker is gone may record that it ends."""

_watchdogs: list[Timer] = []
_actions: list[Callable[[], object]] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def terminate(*_: object) -> NoReturn:
    """Handle SIGTERM."""
    raise Terminated


def end_with_worker(flow: Any, flow_run: Any, state: Any) -> None:
    """End a run of a deployment when the worker that started its process is gone: as SIGTERM does, then by force.

    A hook for Prefect, as `on_running` of a flow. A worker that is killed would leave its runs to nobody.
    """
    if flow_run.deployment_id:
        after_parent(_end_as_told)


def _end_as_told() -> NoReturn:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LONGEST_END)
    _end(FAILURE)


def before_the_end(action: Callable[[], object]) -> None:
    """Register what ends processes of ours: a process that is ended at once skips `atexit`.

    The last one registered runs first, once.
    """
    if action not in _actions:
        _actions.append(action)


def end_soon(seconds: float) -> None:
    """End this process and those it started in some seconds, even if a thread still computes or waits."""
    call_off()
    watchdog = Timer(seconds, _end, [FAILURE])
    watchdog.daemon = True
    watchdog.start()
    _watchdogs.append(watchdog)


def call_off() -> None:
    """Let this process go on after all."""
    while _watchdogs:
        _watchdogs.pop().cancel()


def ended(code: int) -> int:
    """Return the exit code, or exit at once if a thread still computes: Python would wait for it."""
    if _watchdogs:
        _end(code)
    return code


def _end(code: int) -> NoReturn:
    for action in reversed(_actions):
        action()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
