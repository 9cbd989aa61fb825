"""A flow as a command: options first, then Prefect, then a result or one line of error.

Options are read before anything slow is imported, so that `--help` and a wrong option answer at once. Where there is no
Prefect server, one that serves this run only is started before the flow's own imports, and comes up beside them.

Imports make a million objects and next to no garbage. To look for it among them takes seconds, while they are made and
again when the process ends; so here, as in the server, they are kept out of the garbage collector's sight. For the flow
itself it looks less often than by default, 700 new objects being nothing to a table or a picture.
"""

import atexit
import gc
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from threading import Timer
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from networksecurity.exceptions import NetworkSecurityException
from networksecurity.settings import PROJECT_FOLDER, without_credentials

Parameters = TypeVar("Parameters", bound=BaseModel)

SUCCESS, FAILURE, WRONG_OPTION, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes."""

ENVIRONMENT = {
    # Arrow's own allocator keeps what a batch of rows has left; this one gives it to the next array, of whatever kind.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # What computes takes its cores as processes and threads of its own; BLAS's would be too many.
    "OPENBLAS_NUM_THREADS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The server that Prefect starts for a single run needs more than its default of 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Of a Dask cluster that is there for one run only what is wrong.
    "DASK_LOGGING__DISTRIBUTED": "warning",
    # Results lie beside the data they refer to, so that both are there or neither is.
    "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(PROJECT_FOLDER / ".networksecurity" / "results"),
}
"""Variables that a run on this machine is given, where they are not set."""


def run(
    flow: str,
    parameters_model: type[Parameters],
    show: str | None = None,
    arguments: list[str] | None = None,
) -> int:
    """Run a flow with the options given on the command line and return the exit code.

    Parameters
    ----------
    flow : str
        Where it is, as `module:function`; imported after the options are read.
    parameters_model : type of pydantic.BaseModel
        The type of the flow's one parameter, `parameters`.
    show : str, optional
        What prints the flow's result, as `module:function`; not called where the flow returned nothing.
    arguments : list of str, optional
        By default those of this process.
    """
    program = f"{flow.partition(':')[2]}.py"
    parameters = _read_options(parameters_model, sys.argv[1:] if arguments is None else arguments, program)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, _terminate)
    atexit.register(gc.freeze)  # what is there at the end goes with the process
    gc.disable()
    try:
        with _server() as wait_for_server:
            function = resolve_name(flow)
            wait_for_server()
            gc.freeze()
            gc.set_threshold(10_000)
            gc.enable()
            _hush_expected_errors()
            result = function(parameters)
    except NetworkSecurityException as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _ended(FAILURE)
    except KeyboardInterrupt as exc:
        code = TERMINATED if isinstance(exc, _Terminated) else INTERRUPTED
        how = "terminated" if code == TERMINATED else "interrupted"
        print(f"{how}: finished steps are kept, the same command goes on from there", file=sys.stderr)
        return _ended(code)
    except _server_errors() as exc:
        if (reason := _why_no_server(exc)) is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        return _ended(FAILURE)
    if show is not None and result is not None:
        resolve_name(show)(result)
    return SUCCESS


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which is to end a run as Ctrl-C does."""


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


_SERVER_LOG = "server-of-single-runs.log"
_SERVE = """
import gc
import os
import sys

gc.disable()
from prefect.settings import get_current_settings

settings = get_current_settings()
if settings.api.url is None and settings.server.ephemeral.enabled:
    with open(settings.home / sys.argv[2], "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    import uvicorn
    from prefect.server.api.server import create_app

    gc.freeze()
    gc.enable()
    uvicorn.run(create_app, factory=True, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="on")
"""
_watchdogs: list[Timer] = []
_servers: list[subprocess.Popen] = []


def end_soon(seconds: float) -> None:
    """End this process and those it has started after some seconds, whatever still computes or waits in it."""
    call_off()
    watchdog = Timer(seconds, _end, [FAILURE])
    watchdog.daemon = True
    watchdog.start()
    _watchdogs.append(watchdog)


def call_off() -> None:
    """Let this process go on after all."""
    while _watchdogs:
        _watchdogs.pop().cancel()


def _ended(code: int) -> int:
    if _watchdogs:  # a thread still computes, and Python would wait for it
        _end(code)
    return code


def _end(code: int) -> NoReturn:
    if search := sys.modules.get("networksecurity.training.search"):
        search.end_processes()
    for server in _servers:
        _end_server(server)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _read_options(model: type[Parameters], arguments: list[str], program: str) -> Parameters:
    base: Any = model

    class Command(base, BaseSettings):
        __doc__ = model.__doc__
        model_config = SettingsConfigDict(
            cli_parse_args=arguments,
            cli_prog_name=program,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_implicit_flags=True,
            cli_kebab_case=True,
            cli_shortcuts=None,
        )

        @classmethod
        def settings_customise_sources(  # the command line is added to these; the environment is no source of options
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic-settings calls by these names)
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    try:
        return model(**Command().model_dump())
    except ValidationError as exc:
        for error in exc.errors():
            option = ".".join(map(str, error["loc"])).replace("_", "-")
            # Our own messages say what was wrong with the value, and may be about a password in it.
            given = "" if error["type"] in {"value_error", "missing"} else f", not {error['input']!r}"
            print(f"{program}: error: --{option}: {error['msg'].removeprefix('Value error, ')}{given}", file=sys.stderr)
        sys.exit(WRONG_OPTION)


@contextmanager
def _server() -> Iterator[Callable[[], None]]:
    """Start a Prefect server for this process where none is set; give what waits until it answers.

    Prefect does the same by itself, but imports all of its server here first, for seconds, to learn the command. Here
    its process is the first thing that is started; where a profile names another server, it finds out and ends. What it
    prints goes to a file: it is ended in the middle of whatever it does for itself, and would tell the terminal so, in
    tracebacks that mean nothing.
    """
    if os.environ.get("PREFECT_API_URL"):
        yield lambda: None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _SERVE, str(port), _SERVER_LOG]
    environment = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    # Ctrl-C reaches every process of the terminal. The server inherits this mask and lives on, so that Prefect can note
    # how the run ended, and then it is ended.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server = subprocess.Popen(command, env=os.environ | environment)  # noqa: S603 (this interpreter, a fixed command)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _servers.append(server)
    atexit.register(_end_server, server)  # after what Prefect registers later, and sends to it

    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        yield lambda: None
        return
    os.environ |= {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_UI_URL": ""}  # it shows no pages
    refresh_global_settings_context()
    timeout, log = settings.server.ephemeral.startup_timeout_seconds, settings.home / _SERVER_LOG
    # It ends with the run, so nobody would miss its heartbeats; without them it ends up to a second earlier.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield lambda: _wait_for_server(server, port, timeout, log)


def _wait_for_server(server: subprocess.Popen, port: int, timeout: float, log: Path) -> None:
    import httpx

    started = time.monotonic()
    while time.monotonic() - started < timeout and server.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=timeout).is_success:
                return
        time.sleep(0.05)
    found = f"ended with {server.returncode}" if server.returncode is not None else f"did not answer within {timeout} s"
    raise NetworkSecurityException(
        f"Prefect's server did not start, {log} says why: at 127.0.0.1:{port} it {found}. Name one that runs in "
        "PREFECT_API_URL, or give it more time by PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
    )


def _end_server(server: subprocess.Popen) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _server_errors() -> tuple[type[Exception], ...]:
    """Return the types of what Prefect's client raises about its server: asked for only where something was raised."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    return PrefectHTTPStatusError, httpx.TransportError, RuntimeError


def _why_no_server(exc: Exception) -> str | None:
    """Return what to say where Prefect's server is not there or lets nobody in, and None of any other error."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    if isinstance(exc, PrefectHTTPStatusError) and exc.response.status_code in {401, 403}:
        found = f"answers {exc.response.status_code}"
        remedy = "Set PREFECT_API_KEY or PREFECT_API_AUTH_STRING to what it accepts"
    elif isinstance(exc, httpx.TransportError) or str(exc).startswith("Failed to reach API"):
        found = f"cannot be reached: {exc.__cause__ or exc}"
        remedy = "Start it, or name another in PREFECT_API_URL"
    else:
        return None
    address = without_credentials(get_current_settings().api.url or "")
    return f"Prefect's server at {address} {found}. {remedy}; where none is named, a run starts its own"


def _hush_expected_errors() -> None:
    """Keep the terminal free of tracebacks of errors that `run` says in one line; Prefect's own log has them."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)


_SAID_AGAIN = re.compile(r"Finished in state (Failed|TimedOut)\(|^Flow run failed due to timeout: ")


def _is_news(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], NetworkSecurityException):
        return False
    return not (record.name.startswith("prefect.") and _SAID_AGAIN.search(record.getMessage()))
