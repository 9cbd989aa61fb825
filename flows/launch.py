"""A flow as a command: options first, then Prefect, then a result or one line of error.

Options are read before anything slow is imported, hence `--help` and a wrong option answer at once. Without a Prefect
server, one for this run alone is started before the flow's own imports and comes up beside them.

Imports make a million objects and next to no garbage; searching them for it takes seconds, during the imports and again
at exit. Here and in the server they are kept out of the garbage collector's sight. During the flow it runs less often
than by default: 700 new objects are nothing to a table or a picture.
"""

import atexit
import gc
import os
import signal
import sys
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel

from networksecurity.exceptions import NetworkSecurityException
from networksecurity.settings import NO_TELEMETRY, PROJECT_FOLDER, without_credentials

from .display import display, take_over
from .ending import FAILURE, INTERRUPTED, SUCCESS, TERMINATED, Terminated, ended, terminate
from .local_server import local_server
from .options import Output, Parameters, read_options
from .surroundings import bypass_proxies, show_what_can_be_shown, while_somebody_reads

ENVIRONMENT = {
    **NO_TELEMETRY,
    # Arrow's own allocator keeps the memory of a batch for itself; the system's gives it to the next array of any kind.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # Our own processes and threads use all cores; BLAS must not add more.
    "OPENBLAS_NUM_THREADS": "1",
    # The server that Prefect starts for a single run needs more than its default of 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # A Dask cluster of a single run logs only what is wrong.
    "DASK_LOGGING__DISTRIBUTED": "warning",
    # Results lie beside the data they refer to: either both exist or neither.
    "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(PROJECT_FOLDER / ".networksecurity" / "results"),
}
"""Defaults of environment variables for a run on this machine."""

_HUSHED = {
    # Of the processes that share the fits of a search; ours go to the log file.
    "PYTHONWARNINGS": "ignore",
}


def run(
    flow: str,
    parameters_model: type[Parameters],
    summarize: str,
    *,
    arguments: list[str] | None,
    program: str,
    beginning: str,
    examples: tuple[str, ...] = (),
) -> int:
    """Run a flow with the options given on the command line and return the exit code.

    Parameters
    ----------
    flow : str
        Where it is, as `module:function`; imported after the options are read.
    parameters_model : type of pydantic.BaseModel
        The type of the flow's one parameter, `parameters`.
    summarize : str
        What makes a `Summary` of the flow's result, as `module:function`; not called if the flow returned nothing.
    arguments : list of str or None
        By default those of this process.
    program : str
        What the help calls it.
    beginning : str
        What is said first; `{source}` stands for the source.
    examples : tuple of str
        Options, for the end of the help.
    """
    show_what_can_be_shown()
    given = sys.argv[1:] if arguments is None else arguments
    parameters, output = read_options(parameters_model, given, program, examples)
    for name, value in ENVIRONMENT.items() if output.verbose else (*ENVIRONMENT.items(), *_HUSHED.items()):
        os.environ.setdefault(name, value)
    bypass_proxies(os.environ)
    signal.signal(signal.SIGTERM, terminate)
    atexit.register(gc.freeze)  # what is left at the end goes with the process
    gc.disable()
    try:
        result = _call(flow, parameters, beginning, output)
    except NetworkSecurityException as exc:
        print(f"error: {exc}", file=sys.stderr)
        return ended(FAILURE)
    except KeyboardInterrupt as exc:
        code = TERMINATED if isinstance(exc, Terminated) else INTERRUPTED
        how = "terminated" if code == TERMINATED else "interrupted"
        print(f"{how}: finished steps are kept, the same command goes on from there", file=sys.stderr)
        return ended(code)
    except _server_errors() as exc:
        if (reason := _why_no_server(exc)) is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        return ended(FAILURE)
    if result is None:
        _say_nothing_done(output)
        return SUCCESS
    summary = resolve_name(summarize)(result)
    with while_somebody_reads():
        if output.json_document:
            print(result.model_dump_json(indent=2))
        elif output.quiet:
            print(" ".join(f"{summary.title}: {summary.outcome}".split()))
        else:
            summary.show()
    return summary.exit_code


def _call(flow: str, parameters: BaseModel, beginning: str, output: Output) -> Any:
    """Return what a flow returns, and show meanwhile how far it is."""
    with display(quiet=output.quiet, verbose=output.verbose) as shown:
        source = without_credentials(str(getattr(parameters, "source", "")))
        if not output.quiet:
            shown.say(beginning.format(source=source))
        shown.begin("starting Prefect")
        with local_server() as wait_for_server:
            function = resolve_name(flow)
            wait_for_server()
            gc.freeze()
            gc.set_threshold(10_000)
            gc.enable()
            take_over(shown, PROJECT_FOLDER / ".networksecurity" / "logs", verbose=output.verbose)
            return function(parameters)


def _say_nothing_done(output: Output) -> None:
    """Say that the flow had nothing to do; why is in its log."""
    if output.json_document:
        print("null")
    elif output.quiet:
        print("nothing to do")


def _server_errors() -> tuple[type[Exception], ...]:
    """Return what Prefect's client raises about its server; called only once something was raised."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    return PrefectHTTPStatusError, httpx.TransportError, RuntimeError


def _why_no_server(exc: Exception) -> str | None:
    """Return a message if Prefect's server is away or refuses us, and None for any other error."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    if isinstance(exc, PrefectHTTPStatusError) and exc.response.status_code in {401, 403}:
        found = f"answers {exc.response.status_code}"
        remedy = "Set PREFECT_API_KEY or PREFECT_API_AUTH_STRING to what it accepts"
    elif isinstance(exc, httpx.TransportError) or str(exc).startswith("Failed to reach API"):
        found = f"cannot be reached: {exc.__cause__ or exc}"
        remedy = "Start it, or set PREFECT_API_URL to another"
    else:
        return None
    address = without_credentials(get_current_settings().api.url or "")
    return f"Prefect's server at {address} {found}. {remedy}; without PREFECT_API_URL, a run starts its own"
