"""A flow as a command: options first, then Prefect, then a result or one line of error.

Options are read before anything slow is imported, so that `--help` and a wrong option answer at once; the server that
Prefect starts for a single run comes up while the flow's own imports go on.
"""

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pkgutil import resolve_name
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from networksecurity.exceptions import NetworkSecurityError
from networksecurity.settings import PROJECT_FOLDER

Parameters = TypeVar("Parameters", bound=BaseModel)

SUCCESS, FAILURE, WRONG_OPTION, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

ENVIRONMENT = {
    # Arrow's own allocator keeps what a batch of rows has left; this one gives it to the next array, of whatever kind.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The server that Prefect starts for a single run needs more than its default of 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
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
    try:
        with ThreadPoolExecutor(1) as background:
            server = background.submit(_start_server)
            function = resolve_name(flow)
            server.result()
        _hush_expected_errors()
        result = function(parameters)
    except NetworkSecurityError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        print("interrupted: finished steps are kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    if show is not None and result is not None:
        resolve_name(show)(result)
    return SUCCESS


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


def _start_server() -> None:
    # Ctrl-C reaches every process of the terminal. The server inherits this thread's mask and lives on, so that Prefect
    # can note how the run ended, and then ends it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None and settings.server.ephemeral.enabled:
        from prefect.server.api.server import SubprocessASGIServer

        SubprocessASGIServer().start()


def _hush_expected_errors() -> None:
    """Keep the terminal free of tracebacks of errors that `run` says in one line; Prefect's own log has them."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], NetworkSecurityError):
        return False
    return not (record.name.startswith("prefect.") and "Finished in state Failed(" in record.getMessage())
