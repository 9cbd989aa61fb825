"""How a command ends: its exit codes, and the watchdog for a process in which a thread still computes."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from typing import NoReturn

SUCCESS, FAILURE, WRONG_OPTION, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes."""

_watchdogs: list[Timer] = []
_actions: list[Callable[[], object]] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def terminate(*_: object) -> NoReturn:
    """Handle SIGTERM."""
    raise Terminated


def before_the_end(action: Callable[[], object]) -> None:
    """Register what ends processes of ours: a process that is ended at once skips `atexit`.

    The last one registered runs first, once.
    """
    if action not in _actions:
        _actions.append(action)


def end_soon(seconds: float) -> None:
    """End this process and those it started in some seconds, even if a thread still computes or waits."""
    call_off()
    watchdog = Timer(seconds, end_now, [FAILURE])
    watchdog.daemon = True
    watchdog.start()
    _watchdogs.append(watchdog)


def call_off() -> None:
    """Let this process go on after all."""
    while _watchdogs:
        _watchdogs.pop().cancel()


def ends_soon() -> bool:
    """Return whether this process ends in some seconds."""
    return bool(_watchdogs)


def ended(code: int) -> int:
    """Return the exit code, or exit at once if a thread still computes: Python would wait for it."""
    # A thread that was interrupted while it started is unknown to its pool, and nobody has waited for it.
    if _watchdogs or any(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate()):
        end_now(code)
    return code


def end_now(code: int) -> NoReturn:
    """End this process at once, after the processes that it has started."""
    for action in reversed(_actions):
        action()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
