"""What several commands take: their options, and the registered model."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from networksecurity.settings import settings

if TYPE_CHECKING:
    from networksecurity.champion.registry import Registry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ContractName = Literal["websites", "addresses"]
Contract = Annotated[ContractName, typer.Option("--contract", help="What the rows are.")]
Positive = Annotated[str | None, typer.Option("--positive", help="The label that means phishing, of addresses.")]


def open_registry(contract: str = "websites") -> "Registry":
    """Return the registered model of a contract."""
    from networksecurity.champion.registry import Registry
    from networksecurity.data.contracts import get_contract
    from networksecurity.tracking.server import connect

    of_rows = get_contract(contract)
    return Registry(connect(settings()), settings().registered_model(of_rows.name), of_rows)
