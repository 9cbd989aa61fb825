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
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, get_type_hints

from pydantic import BaseModel

from networksecurity.interrupt import hear_ctrl_c
from networksecurity.settings import NO_TELEMETRY, PROJECT_FOLDER, without_credentials
from networksecurity.surroundings import (
    bypass_proxies,
    complete_streams,
    let_warnings_pass,
    refuse_folders,
    refuse_lost_folder,
    refuse_profiles,
    refuse_proxies,
    while_somebody_reads,
)

from .display import display, take_over
from .early import find_wrong
from .ending import FAILURE, INTERRUPTED, SUCCESS, TERMINATED, Terminated, ended, terminate
from .faults import report
from .local_server import local_server
from .options import Output, read_options, refuse

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

_HUSHED, _VERBOSE = "ignore", "ignore:resource_tracker:UserWarning"
"""PYTHONWARNINGS of the processes that share the fits of a search; ours go to the log file. The process of joblib that
deletes the files of an interrupted run would warn of each."""


@dataclass(frozen=True)
class Command:
    """A flow, what it can be asked, and what says how it ended."""

    flow: str
    """Where it is in this package, as `module:function`; imported after the options are read."""
    parameters: type[BaseModel]
    """The type of the flow's one parameter."""
    summarize: str
    """What makes a `Summary` of its result, likewise; not called if the flow returned nothing."""
    beginning: str
    """What is said first; `{source}` stands for the source."""
    examples: tuple[str, ...]
    """Options, for the end of the help."""


def run(command: Command, arguments: list[str] | None, program: str) -> int:
    """Run a flow with the options given on the command line and return the exit code.

    Parameters
    ----------
    arguments : list of str or None
        By default those of this process.
    program : str
        What the help calls it.
    """
    complete_streams()
    let_warnings_pass()
    given = sys.argv[1:] if arguments is None else arguments
    parameters, output = read_options(command.parameters, given, program, command.examples)
    for name, value in {**ENVIRONMENT, "PYTHONWARNINGS": _VERBOSE if output.verbose else _HUSHED}.items():
        os.environ.setdefault(name, value)
    bypass_proxies(os.environ)
    signal.signal(signal.SIGTERM, terminate)
    atexit.register(gc.freeze)  # what is left at the end goes with the process
    try:
        hear_ctrl_c()
        refuse_lost_folder()
        refuse_proxies(os.environ)
        if wrong := list(find_wrong(parameters)):
            refuse(program, [f"--{option}: {reason}" for option, reason in wrong])
        refuse_folders(os.environ, "PREFECT_HOME", "PREFECT_RESULTS_LOCAL_STORAGE_PATH")
        refuse_profiles(os.environ)
        result = _call(command, parameters, output)
        return _say_outcome(result, f"{__package__}.{command.summarize}", output)
    except KeyboardInterrupt as exc:
        code = TERMINATED if isinstance(exc, Terminated) else INTERRUPTED
        how = "terminated" if code == TERMINATED else "interrupted"
        said = f"{how}: finished steps are kept, the same command goes on from there\n"
        print(said, end="", file=sys.stderr)  # at once: threads may print at the same time
        return ended(code)
    except Exception as exc:  # noqa: BLE001 (the boundary: a bug is shown as such)
        report(exc)
        return ended(FAILURE)


def _call(command: Command, parameters: BaseModel, output: Output) -> Any:
    """Return what a flow returns, and show meanwhile how far it is."""
    gc.disable()
    with display(quiet=output.quiet, verbose=output.verbose) as shown:
        source = without_credentials(str(getattr(parameters, "source", "")))
        if not output.quiet:
            shown.say(command.beginning.format(source=source))
        shown.begin("starting Prefect")
        with local_server() as wait_for_server:
            function = resolve_name(f"{__package__}.{command.flow}")
            wait_for_server()
            gc.freeze()
            gc.set_threshold(10_000)
            gc.enable()
            take_over(shown, PROJECT_FOLDER / ".networksecurity" / "logs", verbose=output.verbose)
            return function(parameters)


def _say_outcome(result: Any, summarize: str, output: Output) -> int:
    """Print what a flow returned, and return the exit code; of one that had nothing to do, its log says why."""
    with while_somebody_reads():
        if result is None and output.json_document:
            print("null")
        elif result is None and output.quiet:
            print("nothing to do")
        if result is None:
            return SUCCESS
        make_summary = resolve_name(summarize)
        if isinstance(result, dict):  # the answer to its last state was lost, and Prefect took what the server has
            result = next(iter(get_type_hints(make_summary).values())).model_validate(result)
        summary = make_summary(result)
        if output.json_document:
            print(result.model_dump_json(indent=2))
        elif output.quiet:
            print(" ".join(f"{summary.title}: {summary.outcome}".split()))
        else:
            summary.show()
    return summary.exit_code
