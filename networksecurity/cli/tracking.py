"""`networksecurity tracking`: what waits to be logged to MLflow."""

import json
from typing import TYPE_CHECKING

import typer

from networksecurity.cli.options import Json, command_group
from networksecurity.cli.tables import print_table
from networksecurity.settings import settings

if TYPE_CHECKING:
    from networksecurity.champion.record import Ledger, Record

tracking = command_group(
    "What waits to be logged to MLflow.", "tracking list", "tracking replay", "tracking list --json"
)


def _ledger() -> "Ledger":
    from networksecurity.champion.record import Ledger
    from networksecurity.data.storage import Storage

    return Ledger(Storage(settings().storage))


@tracking.command("list")
def list_(as_json: Json = False) -> None:
    """Show what waits: of trainings, checks and evaluations that ended while MLflow was away."""
    waiting = _ledger().waiting()
    if as_json:
        print(json.dumps([{"what": of.subject, "since": of.at.isoformat(), "key": of.key} for of in waiting], indent=2))
        return
    rows = [(of.subject, f"{of.at:%Y-%m-%d %H:%M:%S}", _left_of(of)) for of in waiting]
    print_table("Waiting for MLflow", ["what", "since (UTC)", "left to do"], rows)


def _left_of(record: "Record") -> str:
    from networksecurity.champion.record import TrainingRecord

    if not isinstance(record, TrainingRecord):
        return "log it"
    if record.found is None:
        return "close its runs"
    return f"log and register it, promotion: {record.promotion}"


@tracking.command()
def replay(as_json: Json = False) -> None:
    """Deliver what waits, each once, however often it is asked; the exit code is 1 if something still waits."""
    from networksecurity.champion.delivery import replay as deliver_all
    from networksecurity.tracking.server import connect

    ledger = _ledger()
    if not ledger.waiting():
        print(json.dumps({"delivered": [], "left": []}, indent=2) if as_json else "nothing waits for MLflow")
        return
    done = deliver_all(connect(settings()), ledger, settings().signing_key)
    if as_json:
        print(json.dumps({"delivered": done.delivered, "left": done.left}, indent=2))
    else:
        for sentence in done.delivered:
            print(f"delivered: {sentence}")
        for sentence in done.left:
            print(f"still waits: {sentence}")
    if done.left:
        raise typer.Exit(1)
