"""Reading a collection: all of its rows, or those of the ingestions that finished since a watermark."""

import itertools
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from networksecurity.data.contracts import Contract
from networksecurity.data.mongodb import server
from networksecurity.data.mongodb.bson import Decoder, split, take_keys
from networksecurity.data.mongodb.names import Spellings
from networksecurity.data.mongodb.server import Address, Connection
from networksecurity.data.raw import Batches, Rows
from networksecurity.exceptions import ConfigurationError, DataSourceError, listed, quoted

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

    from networksecurity.data.mongodb.values import ValueDecoder

_log = logging.getLogger(__name__)

_ENDS = 20
"""Documents at either end of a collection that are read first, to learn their fields."""
_A_FEW = 5
"""Documents that may have an unknown name without a warning."""


def parse_since(text: str) -> int | datetime:
    """Return the starting point that an option gives: the number of an ingestion or an ISO 8601 time, by default UTC.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    if re.fullmatch("[0-9]{1,18}", text):
        return int(text)
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{quoted(text)} is neither the number of an ingestion nor a time such as 2026-01-31T12:00:00+00:00"
        ) from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)


def read(opened: Connection, *, since: int | datetime | None = None) -> Rows:
    """Return the rows of a collection, all or those that are new.

    Only the known columns are read, under any of their spellings. Columns of small whole numbers take one byte per
    cell, others 8 bytes for a number or their text, and documents are in memory one message at a time.

    Parameters
    ----------
    since : int or datetime, optional
        A watermark: rows of the ingestions that finished after that one. Or a time: of those that finished then or
        later. By default all rows, also those that were not written by `ingest`.

    Returns
    -------
    Rows
        All: ordered by `_id`. Since: by ingestion, then `_id`; the frame is empty if nothing is new.

    Raises
    ------
    DataSourceError
        The collection is empty, holds something else or may not be read; `since` is no finished ingestion.
    SourceUnavailableError
        The server could not be reached, or was lost while rows were read.
    """
    with _selected(opened, since) as selected:
        frame = selected.decoder.to_frame(selected.messages(), _columns(opened.address.contract))
        selected.report_unknown()
        if selected.filter or selected.ingestions.find_one(session=selected.session) is None:
            return Rows(frame, selected.watermark)
    return read(opened)  # the very first ingestion began meanwhile, and half of it may have been read


@contextmanager
def batches(opened: Connection, batch_rows: int = 20_000, *, since: int | datetime | None = None) -> Iterator[Batches]:
    """Read the features that `read` reads, with its errors, in batches and with the keys of the documents in `_id`.

    If something else is ingested into the collection for the first time ever meanwhile, some of its rows may be among
    them; the watermark then is None, so the next reading is of all rows again.
    """
    with _selected(opened, since) as selected:
        n_rows = selected.rows.count_documents(selected.filter, session=selected.session)
        yield Batches(_frames(selected, batch_rows), n_rows, selected.watermark)


def _frames(selected: "_Selection", batch_rows: int) -> Iterator[pd.DataFrame]:
    message_rows = min(batch_rows, server.BATCH_SIZE)
    messages = selected.messages(message_rows, with_id=True)
    n_rows = 0
    while True:
        keys: list[Any] = []

        def without_keys(keys: list[Any] = keys) -> Iterator[list[bytes]]:
            for message in itertools.islice(messages, batch_rows // message_rows):
                found, contents = take_keys(message, selected.rows.codec_options)
                keys.extend(found)
                yield contents

        frame = selected.decoder.to_frame(without_keys(), selected.decoder.contract.columns)
        if not keys:
            selected.report_unknown()
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
    left_out: list[str]
    """Fields that are of no use: a spelling of a column is not among them."""
    decoder: "Decoder | ValueDecoder"
    watermark: int | None
    shown: str

    def messages(self, message_rows: int | None = None, *, with_id: bool = False) -> Iterator[list[bytes]]:
        """Yield the documents, as BSON, a message at a time; a message has at most 16 MB and a document."""
        # All other fields are read: any document may spell a column as no projection could list.
        left_out = self.left_out if with_id else ["_id", *self.left_out]
        cursor = self.rows.find_raw_batches(
            self.filter,
            dict.fromkeys(left_out, False),
            batch_size=message_rows or server.BATCH_SIZE,
            session=self.session,
            sort=self.order,
        )
        return map(split, cursor)

    def report_unknown(self) -> None:
        """Warn of names that may be spellings of columns, which their documents lack."""
        names = [f"{name} ({count:,} documents)" for name, count in self.decoder.unknown.items() if count > _A_FEW]
        if names:
            _log.warning(
                "%s: documents that lack a column have fields that are not known as one: %s",
                self.shown,
                listed(names),
            )


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
        decoder = _decoder(opened.address.contract, rows.codec_options)
        if since is None:
            left_out = _first_impression(rows, selection, session, opened.address, decoder)
        else:
            decoder.understand(_columns(decoder.contract))
            left_out = ["ingestion"]
        yield _Selection(
            rows,
            ingestions,
            session,
            selection,
            # An index has this order, or a million documents would be sorted. Rows of other programs have only `_id`.
            {"_id": 1} if since is None else {"ingestion.id": 1, "_id": 1},
            left_out,
            decoder,
            watermark,
            opened.address.shown,
        )


def _select_all(ingestions: "Collection", session: "ClientSession") -> tuple[dict[str, Any], int | None]:
    """Return the filter of all rows up to the watermark, and the watermark."""
    # In this order, an ingestion that begins or finishes in between is left out here and found by the next read.
    last = last_finished(ingestions, session)
    newest = ingestions.find_one(sort={"_id": -1}, session=session)
    if newest is None:
        return {}, None
    up_to = {"$lte": last["position"] if last else 0}
    unread = ingestions.find({"_id": {"$lte": newest["_id"]}, "position": {"$not": up_to}}, session=session)
    left_out = list(unread)
    if still_open := [f"{each['_id']} ({each['source']})" for each in left_out if "open" in each]:
        _log.warning("rows of ingestions that have not finished are left out: %s", listed(still_open))
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


def _columns(contract: Contract) -> list[str]:
    return [column.name for column in contract.stored]


def _decoder(contract: Contract, codec_options: "CodecOptions") -> "Decoder | ValueDecoder":
    if all(column.kind == "code" for column in contract.stored):
        return Decoder(codec_options, contract=contract)
    from networksecurity.data.mongodb.values import ValueDecoder

    return ValueDecoder(codec_options, contract=contract)


def last_finished(ingestions: "Collection", session: "ClientSession | None" = None) -> dict[str, Any] | None:
    """Return the bookkeeping's document of the ingestion that finished last, None if none has."""
    return ingestions.find_one({"position": {"$gt": 0}}, sort={"position": -1}, session=session)


def _first_impression(
    rows: "Collection", selection: dict[str, Any], session: "ClientSession", address: Address, decoder: Spellings
) -> list[str]:
    """Let the decoder see the fields of the first and last documents; return those that are of no use.

    These stand beside all features in a document, so they are no misspelt columns.
    """
    ends = [
        document
        for order in (1, -1)
        for document in rows.find(selection, sort={"_id": order}, limit=_ENDS, session=session)
    ]
    if not ends:
        if rows.find_one(session=session):
            raise DataSourceError(
                f"{address.shown} holds only rows of ingestions that have not finished: run them again"
            )
        raise DataSourceError(
            f"the collection {address.name} in database {address.database} at {address.server} is empty or "
            "does not exist: load rows with the ingest flow, or set MONGODB_DATABASE and MONGODB_COLLECTION"
        )
    left_out = {"ingestion"}
    for document in ends:
        if not decoder.understand(document).unknown:
            known = address.contract.canonical_name
            left_out |= {name for name in document if not known(name) and re.fullmatch(r"[^.$]+", name)}
    if not decoder.spellings:
        names = dict.fromkeys(name for document in ends for name in document)
        raise DataSourceError(f"{address.shown} holds no column of {address.contract.name}, only {listed(list(names))}")
    return sorted(left_out - {"_id"})
