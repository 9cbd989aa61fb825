"""A run that a worker started: it ends with its worker, and its log says in one line what went wrong."""

import logging
import os
import re
import signal
import time
from functools import partial
from typing import Any, NoReturn

from prefect.logging.handlers import PrefectConsoleHandler

from networksecurity.exceptions import NetworkSecurityException
from networksecurity.parent import after_parent

from .ending import FAILURE, end_now, ends_soon

_LONGEST_END = 60.0
"""Seconds in which a run whose worker is gone may record that it ends."""
_FLOW_RUNS, _TASK_RUNS = "prefect.flow_runs", "prefect.task_runs"
"""Where Prefect logs what becomes of runs."""
_SAID_BEFORE = re.compile(r"Finished in state (Failed|TimedOut)\(")


def begin_under_worker(flow: Any, flow_run: Any, state: Any) -> None:
    """Prepare the process that a worker has started for a run of a deployment.

    A hook for Prefect, as `on_running` of a flow. When the worker is gone, the run ends: as SIGTERM ends it, then by
    force. A worker that is killed would leave its runs to nobody.
    """
    if flow_run.deployment_id:
        _outlive_reader()
        after_parent(_end_as_told)
        for name in (_FLOW_RUNS, _TASK_RUNS):
            logging.getLogger(name).addFilter(_in_one_line)


def _outlive_reader() -> None:
    """Let a run go on without its worker, which reads its log: rich would exit at the first line that nobody reads.

    A task then crashed, or the run itself, before it had recorded its end in MLflow and in Prefect.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.console.on_broken_pipe = partial(setattr, handler.console, "quiet", True)


def _end_as_told() -> NoReturn:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LONGEST_END)
    end_now(FAILURE)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Take the traceback from an error of ours; return whether the log does not say this anyway."""
    if record.name == _TASK_RUNS:
        return not ends_soon()  # tasks of a run that is ended fail one after the other
    if record.exc_info and isinstance(record.exc_info[1], NetworkSecurityException):
        record.exc_info = None
        return not record.getMessage().startswith("Engine execution exited")
    return not _SAID_BEFORE.match(record.getMessage())
