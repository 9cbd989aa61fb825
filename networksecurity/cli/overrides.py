"""`networksecurity overrides`: verdicts that a person sets in place of the model's."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from networksecurity.cli.options import By, Contract, Json, Label, command_group
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import settings

if TYPE_CHECKING:
    from networksecurity.data.overrides.override import Override


overrides = command_group(
    "Verdicts set by hand in place of the model's; each ends on a day.",
    "overrides add example.com --label legitimate --by jane \\\n      --reason 'our own' --contract addresses",
    "overrides list --contract addresses",
)


@overrides.command(short_help="Set the verdict on rows or addresses.")
def add(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A file of rows, .csv or .parquet; of addresses also one itself.")
    ],
    label: Label,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shown with each answer.")],
    by: By,
    until: Annotated[
        str, typer.Option(metavar="DAY", help="Its last day, UTC, as 2026-12-31; by default 90 days.")
    ] = "",
    covers: Annotated[
        Literal["address", "host", "domain"] | None,
        typer.Option(help="Of addresses; by default a domain, or as much as was given."),
    ] = None,
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Set the verdict on rows; or, with --contract addresses, on a domain, a host or an address.

    example.com covers every host under it, login.example.com that host, and https://example.com/a that address alone.
    """
    from networksecurity.data.contracts import get_contract
    from networksecurity.data.overrides.override import parse_until
    from networksecurity.data.overrides.store import override_store
    from networksecurity.data.overrides.targets import find_targets, make_overrides

    now = datetime.now(UTC)
    ends, store = parse_until(until, now), override_store(settings())
    targets = find_targets(what, get_contract(contract), settings(), covers=covers)
    made = make_overrides(targets, contract=contract, label=label, reason=reason, by=by, at=now, until=ends)
    store.add(made)
    if as_json:
        _print_json(made)
        return
    for one in made:
        print(f"{one.id}  {one.label} until {one.until:%Y-%m-%d %H:%M} UTC: {one.shown}")


@overrides.command("list")
def list_overrides(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Show the overrides in force, oldest first."""
    from networksecurity.data.overrides.store import override_store

    store, now = override_store(settings()), datetime.now(UTC)
    found = [one for one in store.read(contract) if every or one.is_in_force(now)]
    if as_json:
        _print_json(found)
        return
    columns = ["id", "label", "until (UTC)", "covers", "reason", "by", "since (UTC)"]
    rows = [
        (one.id, one.label, _end_of(one, now), one.shown, one.reason, one.by, f"{one.at:%Y-%m-%d %H:%M}")
        for one in found
    ]
    print_table(f"Overrides of {contract} in {store.shown}", columns, rows)


@overrides.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="ID", help="As `overrides list` shows them.")], by: By
) -> None:
    """End overrides: the model decides again."""
    from networksecurity.data.overrides.store import override_store

    store = override_store(settings())
    for name in names:
        ended = store.remove(name, at=datetime.now(UTC), by=by)
        if ended is None:
            raise ConfigurationError(
                f"there is no override {name} that has not ended: `networksecurity overrides list` shows them, "
                "those of addresses with --contract addresses"
            )
        print(f"{name}: ended, {ended.shown}")


def _end_of(one: "Override", now: datetime) -> str:
    if one.ended_at is not None:
        return f"{one.ended_at:%Y-%m-%d %H:%M}, ended by {one.ended_by}"
    return f"{one.until:%Y-%m-%d %H:%M}" + (", over" if one.until <= now else "")


def _print_json(found: "list[Override]") -> None:
    print(json.dumps([{"id": one.id, **one.model_dump(mode="json")} for one in found], indent=2))
