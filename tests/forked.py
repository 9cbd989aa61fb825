"""Commands in processes that are forked from one with everything imported, which saves each of them seconds."""

import atexit
import multiprocessing
import os
import sys
import time
from threading import Thread

import psutil
from prefect.context import refresh_global_settings_context

from flows import evaluate, ingest, monitor, score, train  # noqa: F401 (for the commands)
from flows.commands import COMMANDS, run_command
from networksecurity import cli
from networksecurity.settings import settings

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def fork(command, environment, folder):
    """Start a command in a folder, a flow or another of `networksecurity`.

    What it says on the way goes to the file `log` there, its result to `out`.
    """
    process = _FORKS.Process(target=_run, args=[command, environment, folder, os.getpid()])
    process.start()
    return process


def _run(command, environment, folder, tests):
    Thread(target=_end_with, args=[tests], daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((1, "out"), (2, "log")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    settings.cache_clear()
    refresh_global_settings_context()
    try:
        if command[0] in COMMANDS:
            sys.exit(run_command(command[0], list(command[1:])))
        sys.argv = ["networksecurity", *command]
        cli.main()
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out


def _end_with(tests):
    """End with the tests: their end does not end the process that forks as long as one that it forked runs."""
    while psutil.pid_exists(tests):
        time.sleep(1)
    os._exit(1)
