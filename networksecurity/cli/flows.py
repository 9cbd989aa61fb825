"""The flows as commands. Their options are theirs to read, see `flows.commands`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer

COMMANDS = {
    "train": "Train models on rows, choose one, log, register and judge it.",
    "ingest": "Write the rows of a file to MongoDB, each exactly once.",
    "monitor": "Compare new rows with those behind the model in use.",
    "score": "Say of each row of a source how probably it is phishing.",
    "evaluate": "Compare a version on labelled rows with its own test rows.",
}
_PASSED_ON = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
    "ignore_unknown_options": True,
}


def find_in_flows(place: str) -> Any:
    """Return what a module of the flows holds; `place` is `module:name`.

    They are in `networksecurity.flows` where the package is installed, and in `flows` of a checkout that is not.
    """
    module, _, name = place.partition(":")
    package = "networksecurity.flows" if find_spec("networksecurity.flows") else "flows"
    return getattr(import_module(f"{package}.{module}"), name)


def add_flows(app: typer.Typer) -> None:
    """Add a command for each flow."""
    for name, summary in COMMANDS.items():
        app.command(name, help=summary, add_help_option=False, context_settings=_PASSED_ON)(_run)


def _run(context: typer.Context) -> None:
    name = context.info_name
    raise typer.Exit(find_in_flows("commands:run_command")(name, context.args, f"networksecurity {name}"))
