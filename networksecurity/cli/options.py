"""What several commands share: options, new files, the registered model, and a collection."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from networksecurity.champion.registry import Registry
    from networksecurity.data.mongodb import OpenCollection

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Contract = Annotated[
    str,
    typer.Option("--contract", metavar="CONTRACT", help="What the rows are: websites, addresses, or a table's file."),
]
Positive = Annotated[
    str | None, typer.Option("--positive", metavar="LABEL", help="The value of the target that means phishing.")
]
Label = Annotated[
    Literal["phishing", "legitimate"], typer.Option("--label", metavar="LABEL", help="phishing or legitimate.")
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]


def examples(*commands: str) -> str:
    """Return the end of a command's help, with lines that are kept as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  networksecurity {command}" for command in commands)


def command_group(summary: str, *commands: str) -> typer.Typer:
    """Return a group of commands, which shows its help when none is named; `commands` are its examples."""
    made = typer.Typer(invoke_without_command=True)

    @made.callback(help=summary, epilog=examples(*commands))
    def show_help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    return made


def refuse_old(file: Path, kinds: Sequence[str] = ()) -> None:
    """Raise an error for a file to be written that exists, or whose name ends in none of `kinds`."""
    if kinds and file.suffix.lower() not in kinds:
        raise typer.BadParameter(f"{file}: its name must end in {' or '.join(kinds)}")
    if file.exists():
        raise ConfigurationError(f"{file} exists already and is not overwritten: name another file")


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Raise ConfigurationError for what goes wrong while a file is written."""
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be written: {exc.strerror or exc}") from exc


def open_registry(contract: str = "websites") -> "Registry":
    """Return the registered model of a contract."""
    from networksecurity.champion.registry import Registry
    from networksecurity.data.contracts import get_contract

    return Registry.of(settings(), get_contract(contract))


def open_collection(place: str, contract: str) -> "AbstractContextManager[OpenCollection]":
    """Connect to the collection that an option names, of rows of a contract."""
    from networksecurity.data import mongodb
    from networksecurity.data.contracts import get_contract

    return mongodb.open(mongodb.parse_target(place, settings(), get_contract(contract)))
