"""Overrides in MongoDB, in a collection beside the rows: for a team, whose machines all see the same."""

from datetime import UTC, datetime
from typing import Any

from networksecurity.data.mongodb.server import Connection
from networksecurity.data.overrides.override import Override, check_number


def add_overrides(opened: Connection, overrides: list[Override]) -> None:
    """Store overrides; each ends those before it that cover the same.

    Raises
    ------
    DataValidationError
        There would be too many in force. Nothing was written.
    DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    stored = opened.writable("_overrides")
    for contract in {one.contract for one in overrides}:
        now = max(one.at for one in overrides)
        check_number(len(read_overrides(opened, contract, in_force_at=now)), len(overrides))
    for one in overrides:
        # The new one first: interrupted here, both are in force, and the newer one decides. Only older ones are ended:
        # of two writers at once, each would otherwise end the other's.
        stored.update_one({"_id": one.id}, {"$setOnInsert": one.model_dump()}, upsert=True)
        same: dict[str, Any] = {"contract": one.contract, "covers": one.covers, "value": one.value}
        older = {"$or": [{"at": {"$lt": one.at}}, {"at": one.at, "_id": {"$lt": one.id}}]}
        stored.update_many({**same, **older, "ended_at": None}, {"$set": {"ended_at": one.at, "ended_by": one.by}})


def remove_override(opened: Connection, name: str, *, at: datetime, by: str) -> Override | None:
    """End an override by its id and return it; None if there is none that could be ended.

    Raises
    ------
    DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    from pymongo import ReturnDocument

    ended = {"$set": {"ended_at": at, "ended_by": by}}
    found = opened.writable("_overrides").find_one_and_update(
        {"_id": name, "ended_at": None}, ended, return_document=ReturnDocument.AFTER
    )
    return _as_value(found) if found else None


def read_overrides(opened: Connection, contract: str, *, in_force_at: datetime | None = None) -> list[Override]:
    """Return the overrides of a contract, all that ever were or those in force at a time, the oldest first."""
    wanted: dict[str, Any] = {"ended_at": None, "until": {"$gt": in_force_at}} if in_force_at else {}
    found = opened.beside("_overrides").find({"contract": contract, **wanted}, sort=[("at", 1), ("_id", 1)])
    return [_as_value(one) for one in found]


def _as_value(found: dict[str, Any]) -> Override:
    times = {name: found[name].replace(tzinfo=UTC) for name in ("at", "until", "ended_at") if found.get(name)}
    return Override(**{**found, **times})
