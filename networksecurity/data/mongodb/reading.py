"""Reading a collection: all of its rows, or those of the ingestions that finished since a watermark."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from networksecurity.data.mongodb import server
from networksecurity.data.mongodb.bson import take_keys, to_frame
from networksecurity.data.mongodb.server import Address, Connection
from networksecurity.data.raw import Batches, Rows
from networksecurity.data.schema import DOMAINS, FEATURES, canonical_name
from networksecurity.exceptions import ConfigurationError, DataSourceError

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

_log = logging.getLogger(__name__)

_ENDS = 20
"""Documents looked at, at either end of a collection, for the spellings of columns: two imports may differ in them."""


def parse_since(text: str) -> int | datetime:
    """Return the starting point that an option gives: the number of an ingestion or an ISO 8601 time, by default UTC.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is neither the number of an ingestion nor a time such as 2026-01-31T12:00:00+00:00"
        ) from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)


def read(opened: Connection, *, since: int | datetime | None = None) -> Rows:
    """Return the rows of a collection, all or those that are new.

    The known columns only, one byte per cell where they hold small whole numbers; documents are in memory one batch
    at a time.

    Parameters
    ----------
    opened : Connection
    since : int or datetime, optional
        A watermark: rows of the ingestions that finished after that one. Or a time: of those that finished then or
        later. By default all rows, also those that were not written by `ingest`.

    Returns
    -------
    Rows
        All: ordered by `_id`. Since: by ingestion, then `_id`; the frame is empty when there is nothing new.

    Raises
    ------
    DataSourceError
        The collection is empty, holds something else or may not be read; `since` is no finished ingestion.
    SourceUnavailableError
        The server could not be reached, or was lost while rows were read.
    """
    with _selected(opened, since) as selected:
        frame = to_frame(selected.messages(), selected.fields, selected.rows.codec_options)
        if selected.filter or selected.ingestions.find_one(session=selected.session) is None:
            return Rows(frame, selected.watermark)
    return read(opened)  # the first ingestion ever began meanwhile, and half of it may have been read


@contextmanager
def batches(opened: Connection, batch_rows: int = 20_000, *, since: int | datetime | None = None) -> Iterator[Batches]:
    """Read the features that `read` reads, with its errors, in batches and with the keys of the documents in `_id`.

    If something else is ingested into the collection for the first time ever meanwhile, some of its rows may be among
    them; the watermark then is None, so the next reading is of all rows again.
    """
    with _selected(opened, since) as selected:
        n_rows = selected.rows.count_documents(selected.filter, session=selected.session)
        features = [name for name in selected.fields if canonical_name(name) in FEATURES]
        yield Batches(_frames(replace(selected, fields=features), batch_rows), n_rows, selected.watermark)


def _frames(selected: "_Selection", batch_rows: int) -> Iterator[pd.DataFrame]:
    messages = selected.messages(with_id=True)
    n_rows = 0
    while True:
        keys: list[Any] = []

        def without_keys(keys: list[Any] = keys) -> Iterator[list[bytes]]:
            for message in itertools.islice(messages, max(1, batch_rows // server.BATCH_SIZE)):
                found, contents = take_keys(message, selected.rows.codec_options)
                keys.extend(found)
                yield contents

        frame = to_frame(without_keys(), selected.fields, selected.rows.codec_options)
        if not keys:
            return
        yield frame.assign(_id=pd.Series(keys, dtype=object)).set_axis(pd.RangeIndex(n_rows, n_rows + len(frame)))
        n_rows += len(frame)


@dataclass(frozen=True)
class _Selection:
    """What is to be read of a collection."""

    rows: "Collection"
    ingestions: "Collection"
    session: "ClientSession"
    filter: dict[str, Any]
    order: dict[str, int]
    fields: list[str]
    watermark: int | None

    def messages(self, *, with_id: bool = False) -> Iterator[list[bytes]]:
        """Yield the documents, as BSON, a message at a time."""
        projection = {"_id": with_id} | dict.fromkeys(self.fields, True)
        cursor = self.rows.with_options(server.raw()).find(
            self.filter, projection, batch_size=server.BATCH_SIZE, session=self.session, sort=self.order
        )
        return iter(lambda: [bytes(document.raw) for document in cursor.to_list(server.BATCH_SIZE)], [])


@contextmanager
def _selected(opened: Connection, since: int | datetime | None) -> Iterator[_Selection]:
    from pymongo.read_concern import ReadConcern

    with opened.client.start_session(causal_consistency=True) as session:
        rows, ingestions = opened.beside(), opened.beside("_ingestions")
        if opened.is_replicated():
            majority = ReadConcern("majority")
            rows, ingestions = (each.with_options(read_concern=majority) for each in (rows, ingestions))
        if since is None:
            selection, watermark = _select_all(ingestions, session)
        else:
            selection, watermark = _select_since(since, ingestions, session, opened.address)
        yield _Selection(
            rows,
            ingestions,
            session,
            selection,
            # By an index, or a million documents would be sorted; rows of other programs have no other than this.
            {"_id": 1} if since is None else {"ingestion.id": 1, "_id": 1},
            _columns(rows, selection, session, opened.address) if since is None else list(DOMAINS),
            watermark,
        )


def _select_all(ingestions: "Collection", session: "ClientSession") -> tuple[dict[str, Any], int | None]:
    """Return the filter of all rows up to the watermark, and the watermark."""
    # In this order: an ingestion that begins or finishes in between is left out here, and found by the next read.
    last = last_finished(ingestions, session)
    newest = ingestions.find_one(sort={"_id": -1}, session=session)
    if newest is None:
        return {}, None
    up_to = {"$lte": last["position"] if last else 0}
    unread = ingestions.find({"_id": {"$lte": newest["_id"]}, "position": {"$not": up_to}}, session=session)
    left_out = list(unread)
    if still_open := [f"{each['_id']} ({each['source']})" for each in left_out if "open" in each]:
        _log.warning("rows of ingestions that have not finished are left out: %s", ", ".join(still_open))
    selection = {"$not": {"$gt": newest["_id"]}, "$nin": [each["_id"] for each in left_out]}
    return {"ingestion.id": selection}, last["_id"] if last else None


def _select_since(
    since: int | datetime, ingestions: "Collection", session: "ClientSession", address: Address
) -> tuple[dict[str, Any], int | None]:
    """Return the filter of the rows that are new, and the watermark."""
    last = last_finished(ingestions, session)
    if isinstance(since, datetime):
        finished: dict[str, Any] = {"finished": {"$gte": since}}
    else:
        known = ingestions.find_one({"_id": since, "position": {"$gt": 0}}, session=session)
        if known is None:
            raise DataSourceError(
                f"no ingestion {since} has finished in {address.shown}"
                + (f": the last one was {last['_id']}" if last else ": none has")
            )
        finished = {"position": {"$gt": known["position"]}}
    up_to = {"position": {"$lte": last["position"] if last else 0}}
    new = [ingestion["_id"] for ingestion in ingestions.find({"$and": [finished, up_to]}, session=session)]
    return {"ingestion.id": {"$in": new}}, last["_id"] if last else None


def last_finished(ingestions: "Collection", session: "ClientSession | None" = None) -> dict[str, Any] | None:
    """Return the bookkeeping's document of the ingestion that finished last, None if none has."""
    return ingestions.find_one({"position": {"$gt": 0}}, sort={"position": -1}, session=session)


def _columns(rows: "Collection", selection: dict[str, Any], session: "ClientSession", address: Address) -> list[str]:
    """Return the fields that are columns of the data, as spelled in the first and last documents."""
    ends = [
        document
        for order in (1, -1)
        for document in rows.find(selection, sort={"_id": order}, limit=_ENDS, session=session)
    ]
    if not ends:
        if rows.find_one(session=session):
            raise DataSourceError(
                f"{address.shown} holds rows of ingestions only that have not finished: run them again"
            )
        raise DataSourceError(
            f"the collection {address.name} in database {address.database} at {address.server} is empty or "
            "does not exist: load rows with the ingest flow, or set MONGODB_DATABASE and MONGODB_COLLECTION"
        )
    names = list(dict.fromkeys(name for document in ends for name in document))
    fields = [name for name in names if canonical_name(name)]
    if not fields:
        raise DataSourceError(
            f"{address.shown} holds no column of the phishing websites data, only {', '.join(names[:8])}"
        )
    return fields
