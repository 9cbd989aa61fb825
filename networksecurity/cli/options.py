"""What several commands take: their options, and the registered model."""

from typing import TYPE_CHECKING, Annotated

import typer

from networksecurity.settings import settings

if TYPE_CHECKING:
    from networksecurity.champion.registry import Registry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Contract = Annotated[
    str,
    typer.Option("--contract", metavar="CONTRACT", help="What the rows are: websites, addresses, or a table's file."),
]
Positive = Annotated[
    str | None, typer.Option("--positive", metavar="LABEL", help="The value of the target that means phishing.")
]


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


def open_registry(contract: str = "websites") -> "Registry":
    """Return the registered model of a contract."""
    from networksecurity.champion.registry import Registry
    from networksecurity.data.contracts import get_contract

    return Registry.of(settings(), get_contract(contract))
