"""`networksecurity champion`: the version of the model in use."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from networksecurity.cli.options import Contract, Json, command_group, open_registry
from networksecurity.cli.tables import print_table
from networksecurity.exceptions import TrackingError

if TYPE_CHECKING:
    from networksecurity.champion.registry import RegisteredVersion


champion = command_group(
    "The version of the model in use.",
    "champion show",
    "champion promote 3 --reason 'found more phishing last week'",
    "champion rollback --contract addresses",
    "champion history --json",
)

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stored with the version.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A number.")]


@champion.command(short_help="Show the version in use.")
def show(contract: Contract = "websites", as_json: Json = False) -> None:
    """Show the version in use, the one before it and the newest candidate."""
    from networksecurity.champion.registry import CANDIDATE, CHAMPION, PREVIOUS

    registry = open_registry(contract)
    found = {alias: registry.find(alias) for alias in (CHAMPION, PREVIOUS, CANDIDATE)}
    if as_json:
        versions = {alias: version and version.model_dump(exclude={"tags"}) for alias, version in found.items()}
        print(json.dumps({"name": registry.name, **versions}, indent=2))
        return
    print(f"{registry.name} at {registry.server.address}")
    for alias, version in found.items():
        print(f"{alias:>9}  {_version_line(version)}")


def _version_line(version: "RegisteredVersion | None") -> str:
    if version is None:
        return "none"
    figures = [f"{name} {float(of):.4f}" for name in ("f1_score", "recall_score") if (of := version.tags.get(name))]
    return ", ".join([f"version {version.version}", *figures, *filter(None, [version.tags.get("data.source")])])


@champion.command()
def history(contract: Contract = "websites", as_json: Json = False) -> None:
    """Show all decisions, the oldest first."""
    from networksecurity.champion.changes import history

    registry = open_registry(contract)
    events = history(registry)
    if as_json:
        print(json.dumps([event.model_dump(mode="json") for event in events], indent=2))
        return
    columns = ["when (UTC)", "what", "version", "champion before", "by", "why"]
    rows = [
        (
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            event.action if event.done else f"{event.action}, not finished",
            event.version,
            event.champion or "none",
            f"flow run {event.flow_run}" if event.flow_run else "hand",
            event.why,
        )
        for event in events
    ]
    print_table(f"Decisions about {registry.name}", columns, rows)


@champion.command(short_help="Put a version in use, regardless of the gate.")
def promote(
    version: Version, reason: Reason = "by hand", contract: Contract = "websites", as_json: Json = False
) -> None:
    """Put a version in use, regardless of the gate; its stored model is verified first."""
    from networksecurity.champion.changes import promote

    _say_in_use(promote(open_registry(contract), version, why=reason), as_json)


@champion.command(short_help="Put an earlier version in use again.")
def rollback(
    to: Annotated[str, typer.Option(metavar="VERSION", help="By default the one in use before.")] = "",
    reason: Reason = "by hand",
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Put an earlier version in use again; a second rollback undoes the first."""
    from networksecurity.champion.changes import rollback

    _say_in_use(rollback(open_registry(contract), to or None, why=reason), as_json)


def _say_in_use(version: "RegisteredVersion", as_json: bool) -> None:
    if as_json:
        print(version.model_dump_json(indent=2, exclude={"tags"}))
    else:
        print(f"version {version.version} of {version.name} is the champion")


@champion.command(short_help="Say why a version is or is not the champion.")
def explain(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="By default the champion.")] = "",
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Say why a version is or is not the champion: the last decision about it and its reasons."""
    from networksecurity.champion.changes import history

    registry = open_registry(contract)
    version = version or registry.choose().version
    events = [event for event in history(registry) if event.version == version]
    if not events:
        raise TrackingError(f"there is no decision about a version {version} of {registry.name}")
    last = events[-1]
    if as_json:
        print(last.model_dump_json(indent=2))
        return
    against = f"version {last.champion} was the champion" if last.champion else "there was no champion"
    print(f"version {version} of {registry.name}: {last.action} at {last.at:%Y-%m-%d %H:%M:%S} UTC, when {against}")
    reasons = last.decision.reasons if last.decision and last.why in last.decision.reasons else (last.why,)
    for reason in reasons:
        print(f"- {reason}")
