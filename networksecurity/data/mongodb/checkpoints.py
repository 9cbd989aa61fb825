"""Checkpoints: how far those have come who read only what is new."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from networksecurity.data.mongodb.server import Connection

if TYPE_CHECKING:
    from pymongo.collection import Collection


class Checkpoint(BaseModel, frozen=True):
    """How far a reader of what is new has come."""

    n_checks: int = 0
    watermark: int | None = None
    """The `since` of the next read; None if nothing was ever ingested."""
    state: dict[str, Any] = {}
    """What else the reader has to remember until then, as BSON can hold it."""


def get_checkpoint(opened: Connection, name: str) -> Checkpoint:
    """Return the checkpoint called `name`; if there is none, one that has come nowhere."""
    found = _stored(opened).find_one({"_id": name})
    if not found:
        return Checkpoint()
    return Checkpoint(n_checks=found["n_looks"], watermark=found["watermark"], state=found.get("state", {}))


def advance_checkpoint(opened: Connection, name: str, checkpoint: Checkpoint) -> bool:
    """Record `checkpoint`, one check further than the stored one; return False if another reader was first."""
    from pymongo.errors import DuplicateKeyError

    try:
        # Of two that made the same check only the first finds the one before it.
        done = _stored(opened).update_one(
            {"_id": name, "n_looks": checkpoint.n_checks - 1},
            {
                "$set": {
                    "n_looks": checkpoint.n_checks,
                    "watermark": checkpoint.watermark,
                    "state": checkpoint.state,
                }
            },
            upsert=checkpoint.n_checks == 1,
        )
    except DuplicateKeyError:
        return False
    return bool(done.matched_count or done.upserted_id)


def _stored(opened: Connection) -> "Collection":
    # The names of this collection and of its fields are those of earlier versions: an installation keeps its place.
    return opened.writable("_watches")
