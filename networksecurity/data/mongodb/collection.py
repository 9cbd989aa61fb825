"""A collection as a source and a target: parsed once, then opened once for all that is done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.mongodb import checkpoints, feedback, ingestion, overrides, quarantine, reading, scores
from networksecurity.data.mongodb.server import Address, Connection, connected, resolve
from networksecurity.data.raw import Batches, Rows
from networksecurity.exceptions import ConfigurationError, quoted
from networksecurity.settings import Settings, without_credentials


@dataclass(frozen=True)
class Collection(Address):
    """A collection of rows; `mongodb.open` connects to it."""

    def read(self, *, since: int | datetime | None = None) -> Rows:
        """Connect for one call of `OpenCollection.read`."""
        with open(self) as opened:
            return opened.read(since=since)

    @contextmanager
    def batches(self, batch_rows: int = 20_000, *, since: int | datetime | None = None) -> Iterator[Batches]:
        """Connect for one call of `OpenCollection.batches`."""
        with open(self) as opened, opened.batches(batch_rows, since=since) as batches:
            yield batches


class OpenCollection(Connection):
    """A collection while a client is connected to it."""

    read = reading.read
    batches = reading.batches
    ingest = ingestion.ingest
    count_quarantined = quarantine.count_quarantined
    quarantined = quarantine.quarantined
    resubmit = quarantine.resubmit
    write_predictions = scores.write_predictions
    add_feedback = feedback.add_feedback
    list_feedback = feedback.list_feedback
    accept_feedback = feedback.accept_feedback
    reject_feedback = feedback.reject_feedback
    add_overrides = overrides.add_overrides
    remove_override = overrides.remove_override
    read_overrides = overrides.read_overrides
    get_checkpoint = checkpoints.get_checkpoint
    advance_checkpoint = checkpoints.advance_checkpoint


@contextmanager
def open(collection: Address) -> Iterator[OpenCollection]:
    """Connect to a collection.

    Raises
    ------
    ConfigurationError
        Its address is no connection string that works.
    DataSourceError
        The server refuses.
    SourceUnavailableError
        The server cannot be reached, or was lost in the middle.
    """
    with connected(collection) as client:
        yield OpenCollection(collection, client)


def parse(text: str, settings: Settings, contract: Contract = WEBSITES) -> Collection | None:
    """Return the collection that a text names (`mongodb`, `mongodb://…`, `mongodb+srv://…`), None if it names none.

    `mongodb` is the collection of the contract; see `server.resolve`.

    Raises
    ------
    ConfigurationError
        The address is not valid, or MONGODB_URI is needed and not set.
    """
    address = resolve(text, settings, contract)
    return Collection(**vars(address)) if address else None


def parse_target(text: str, settings: Settings, contract: Contract = WEBSITES) -> Collection:
    """Return the collection that a text names.

    Raises
    ------
    ConfigurationError
        As from `parse`, or it names none.
    """
    if collection := parse(text, settings, contract):
        return collection
    raise ConfigurationError(
        f"{quoted(without_credentials(text))} is not a collection: mongodb://host/database.collection, "
        "mongodb+srv://…, or mongodb (with MONGODB_URI set)"
    )


def parse_output(text: str, settings: Settings, contract: Contract = WEBSITES) -> Collection | None:
    """Return the collection for predictions that a text names, as `parse` does.

    `mongodb` is not the collection of rows, but the one beside it: `C_scores`.
    """
    collection = parse(text, settings, contract)
    return replace(collection, name=f"{collection.name}_scores") if collection and text == "mongodb" else collection
