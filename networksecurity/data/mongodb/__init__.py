"""Rows in MongoDB: written once each whatever happens, read fast, in full or only what is new.

For a collection `C` there are more: `C_quarantine`, rows that are not valid, `C_ingestions`, the bookkeeping,
`C_watches`, how far those have come who read only what is new, and `C_scores`, what models said of the rows.

**A row's key** is the file it stands in and its place there: `_id = {file: SHA-256 of the file's bytes, row: 0, 1, …}`.
A row is inserted under its key, or is there already; nothing is overwritten. So the same file again, a retry, or a
run after a crash adds what is missing and nothing else; equal rows of one file stay, and another file adds its own.
A rejected row has the same key in the quarantine, and is in one of the two collections only.

**An ingestion** has a number, taken when it begins; its rows carry it in `ingestion.id`, with the source and the time.
While it is open its rows are not read: they are half a file. A file whose ingestion is open is taken up again under the
same number. When all its rows are acknowledged, by a majority and in the journal, it gets a second number: its
`position` in the order in which ingestions *finished*, and is open no longer.

**A watermark** is the number of the ingestion that finished last. What is new since then are the rows of the ingestions
with a higher position. Clocks play no part, nor does it matter that ingestions overlap:

- Positions have no gaps: an ingestion takes one more than the highest it sees, and a unique index lets only one of
  two do so. Whoever sees position n therefore sees, or has seen, each one below n; nothing turns up behind a watermark.
- A position is written after the rows, so whoever sees it sees the rows. (With several servers this takes majority
  reads in a causally consistent session, which is how bookkeeping and rows are read here.)
- A full read leaves out each ingestion without a position up to its watermark, whether it finishes, or begins,
  meanwhile. So a full read, then reads since the watermark of the one before, give every row once.

A time as a starting point is compared with the times of finishing, taken from the server's clock. Rows that other
programs wrote are in full reads only.

**A correction** of rejected rows is an ingestion of its own, so that readers get the rows it moves; those keep their
keys.
"""

import itertools
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.mongodb.bson import take_keys, to_frame
from networksecurity.data.schema import (
    DOMAINS,
    FEATURES,
    MISSING,
    MODEL,
    MODEL_VERSION,
    REASONS,
    ROW,
    SCORE,
    canonical_name,
)
from networksecurity.data.validation import Validation
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
)
from networksecurity.settings import Settings, without_credentials
from networksecurity.settings import settings as current_settings

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.errors import OperationFailure

_log = logging.getLogger(__name__)

_BATCH_SIZE = 5000
"""Documents per message, read or written."""
_SOCKET_TIMEOUT = 60.0
"""Seconds after which a server that accepted a command and says nothing is given up."""
_ENDS = 20
"""Documents looked at, at either end of a collection, for the spellings of columns: two imports may differ in them."""
_ESCAPING = "user name and password must be percent-escaped (urllib.parse.quote_plus)"
_DUPLICATE_KEY = 11000

ORIGIN = ("file", "row", "ingestion", "source", "time", "reasons")
"""What a row of `quarantined` tells besides its cells; `file` and `row` are its key."""


class Ingested(BaseModel, frozen=True):
    """What became of the rows of one file: n_rows = n_inserted + n_already_there + n_quarantined."""

    ingestion: int
    """Its number, which `read` takes as `since`."""
    collection: str
    quarantine: str
    n_rows: int
    n_inserted: int
    """By this ingestion, in however many attempts."""
    n_already_there: int
    """Inserted by an earlier ingestion, or resubmitted since."""
    n_quarantined: int
    """Not valid, and in the quarantine now; some perhaps since an earlier ingestion."""


@dataclass(frozen=True)
class Rows:
    """Rows of a collection, and from where to read on.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Raw rows, as `datasets.read` returns them.
    watermark : int or None
        The `since` of the next read; None where nothing was ever ingested.
    """

    frame: pd.DataFrame
    watermark: int | None


def is_address(source: str) -> bool:
    """Return whether a source names a collection: `mongodb`, `mongodb://…` or `mongodb+srv://…`."""
    return source == "mongodb" or source.startswith(("mongodb://", "mongodb+srv://"))


def describe(source: str, settings: Settings | None = None) -> str:
    """Return a collection's address as it may be shown: hosts, database and collection. Nothing is opened.

    Raises
    ------
    ConfigurationError
        It is no address of a collection, or MONGODB_URI is needed and not set.
    """
    return _resolve(source, settings or current_settings()).shown


# --- the server -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Address:
    uri: str = field(repr=False)
    server: str
    """Scheme and hosts, without credentials."""
    database: str
    collection: str

    @property
    def shown(self) -> str:
        return f"{self.server}/{self.database}.{self.collection}"

    @property
    def quarantine(self) -> str:
        return f"{self.shown}_quarantine"


def _resolve(source: str, settings: Settings) -> _Address:
    """Resolve an address; the database or collection that its path leaves out comes from the settings."""
    named = "the source"
    if source == "mongodb":
        if settings.mongodb_uri is None:
            raise ConfigurationError(
                "the source mongodb needs MONGODB_URI: set it in the environment or in .env, "
                "for example MONGODB_URI=mongodb://localhost:27017"
            )
        named, source = "MONGODB_URI", settings.mongodb_uri.get_secret_value().strip()
        if not source.startswith(("mongodb://", "mongodb+srv://")):
            raise ConfigurationError("MONGODB_URI must begin with mongodb:// or mongodb+srv://")
    elif not is_address(source):
        raise ConfigurationError(
            f"{without_credentials(source)!r} is not a collection: mongodb://host/database.collection, "
            "mongodb+srv://…, or mongodb (with MONGODB_URI set)"
        )
    shown = without_credentials(source)
    if shown.endswith("://…"):
        raise ConfigurationError(f"{named} is not a valid {shown}: ports must be numbers, and {_ESCAPING}")
    scheme, _, rest = shown.partition("://")
    hosts, _, path = rest.partition("/")
    database, _, collection = unquote_plus(path).partition(".")
    return _Address(
        source,
        f"{scheme}://{hosts}",
        database or settings.mongodb_database,
        collection or settings.mongodb_collection,
    )


@contextmanager
def _connected(address: _Address, settings: Settings) -> Iterator["MongoClient"]:
    """Open a client and translate all that pymongo raises while it is in use."""
    from bson.errors import BSONError
    from pymongo import MongoClient, errors

    wait = settings.mongodb_timeout
    timeouts: dict[str, Any] = {
        "serverSelectionTimeoutMS": 1000 * wait,
        "connectTimeoutMS": 1000 * wait,
        "socketTimeoutMS": 1000 * max(wait, _SOCKET_TIMEOUT),
    }
    given = {name.lower() for name in re.findall(r"[?&;]([^=&;]+)=", address.uri)}
    started = time.monotonic()
    try:
        # The path's database is also where pymongo looks for the user, as with any other client.
        # With connect=False a mongodb+srv:// name is looked up at first use: a failing lookup is no bad setting.
        client = MongoClient(
            address.uri, connect=False, **{name: ms for name, ms in timeouts.items() if name.lower() not in given}
        )
    except (errors.PyMongoError, ValueError, TypeError, OSError) as exc:
        # Without the cause: of a URI that cannot be parsed its text may quote a piece of the password.
        quotes_uri = isinstance(exc, errors.InvalidURI) and "@" in address.uri
        raise ConfigurationError(
            f"{address.shown} is not a connection string that works: {_ESCAPING if quotes_uri else _one_line(exc)}"
        ) from None

    def unavailable(reason: str, advice: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"MongoDB at {address.server} failed after {time.monotonic() - started:.1f} s: {reason}; {advice}"
        )

    start_it = (
        "start the server, or set MONGODB_URI to one that can be reached "
        f"(NETWORKSECURITY_MONGODB_TIMEOUT is {wait:g} s)"
    )
    with client:
        try:
            yield client
        except (errors.ConnectionFailure, errors.CursorNotFound, errors.ExecutionTimeout) as exc:
            # pymongo goes on to repeat its timeouts and to describe the whole topology.
            reason = re.split(r" \(configured timeouts|, Timeout: |, full error", _one_line(exc))[0]
            raise unavailable(reason, start_it) from exc
        except errors.OperationFailure as exc:
            code, reason = _reason(exc)
            if exc.has_error_label("RetryableWriteError") or code in _MAY_PASS:
                raise unavailable(f"code {code}, {reason}", "try again") from exc
            refused = code in (13, 18, 8000)  # Unauthorized, AuthenticationFailed, Atlas' own of the same meaning
            advice = ": check user, password and authSource in the connection string, and the user's roles"
            raise DataSourceError(
                f"MongoDB refused {address.shown} (code {code}, {reason}){advice if refused else ''}"
            ) from exc
        except errors.ConfigurationError as exc:  # a mongodb+srv:// name that is not found
            raise unavailable(_one_line(exc), "check the host name in MONGODB_URI and the network") from exc
        except errors.InvalidName as exc:
            raise ConfigurationError(f"{address.shown}: {exc}") from exc
        except (errors.PyMongoError, BSONError) as exc:
            raise DataSourceError(f"{address.shown} cannot be used: {_one_line(exc)}") from exc


# The server's codes for what has to do with the moment: unreachable, timed out, shutting down, no primary, a majority
# that was not heard of in time.
_MAY_PASS = {6, 7, 64, 89, 91, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}


def _reason(exc: "OperationFailure") -> tuple[int | None, str]:
    """Return code and text of the server's answer; of an answer about many documents, those of the first in trouble."""
    details: Any = exc.details or {}
    problems = [
        *details.get("writeConcernErrors", ()),
        *(error for error in details.get("writeErrors", ()) if not _is_there_already(error)),
    ]
    first = problems[0] if problems else details
    return first.get("code", exc.code), " ".join(str(first.get("errmsg") or exc).split())


def _is_there_already(error: dict[str, Any]) -> bool:
    # A unique index of another's making would refuse rows that are not there at all.
    return error["code"] == _DUPLICATE_KEY and set(error.get("keyPattern", {"_id": 1})) == {"_id"}


def _collection(client: "MongoClient", address: _Address, suffix: str = "") -> "Collection":
    """Return the collection of an address, or one beside it."""
    from bson.codec_options import CodecOptions, DatetimeConversion

    # Cells that Python cannot hold (dates beyond year 9999, broken text) are for the validation to judge, not fatal.
    lenient = CodecOptions(unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    return client[address.database].get_collection(f"{address.collection}{suffix}", lenient)


def _is_replicated(client: "MongoClient") -> bool:
    hello = client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def _raw() -> "CodecOptions":
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    return CodecOptions(document_class=RawBSONDocument)


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


# --- reading ----------------------------------------------------------------------------------------------------------


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


def read(source: str = "mongodb", settings: Settings | None = None, *, since: int | datetime | None = None) -> Rows:
    """Return the rows of a collection, all or those that are new.

    The known columns only, one byte per cell where they hold small whole numbers; documents are in memory one batch
    at a time.

    Parameters
    ----------
    source : str, default="mongodb"
        `mongodb`, or `mongodb://host/database.collection`.
    settings : Settings, optional
        Where MongoDB is and how long to wait for it; by default this process's own.
    since : int or datetime, optional
        A watermark: rows of the ingestions that finished after that one. Or a time: of those that finished then or
        later. By default all rows, also those that were not written by `ingest`.

    Returns
    -------
    Rows
        All: ordered by `_id`. Since: by ingestion, then `_id`; the frame is empty when there is nothing new.

    Raises
    ------
    ConfigurationError
        The address is of no known form, or what it needs is not set.
    DataSourceError
        The collection is empty, holds something else or may not be read; `since` is no finished ingestion.
    SourceUnavailableError
        The server could not be reached, or was lost while rows were read.
    """
    with _selected(source, settings := settings or current_settings(), since) as selected:
        frame = to_frame(selected.messages(), selected.fields, selected.rows.codec_options)
        if selected.filter or selected.ingestions.find_one(session=selected.session) is None:
            return Rows(frame, selected.watermark)
    return read(source, settings)  # the first ingestion ever began meanwhile, and half of it may have been read


@dataclass(frozen=True)
class Reading:
    """Rows of a collection that come in batches.

    Attributes
    ----------
    batches : iterator of DataFrame of shape (n_rows, n_columns), 0 < n_rows <= batch_rows
        Raw features as from `read`, and the column `_id` with the keys of the documents as Python objects. The index
        numbers the rows of the reading, from 0.
    n_rows : int
        Of all batches, as counted before the first.
    watermark : int or None
        The `since` of the next reading; None where nothing was ever ingested.
    """

    batches: Iterator[pd.DataFrame]
    n_rows: int
    watermark: int | None


@contextmanager
def reading(
    source: str = "mongodb",
    settings: Settings | None = None,
    *,
    since: int | datetime | None = None,
    batch_rows: int = 20_000,
) -> Iterator[Reading]:
    """Read the features that `read` reads, with its errors, but in batches and with the key of each row.

    Where something else is ingested into the collection for the first time ever meanwhile, some of its rows may be
    among them; the watermark then is None, so that the next reading is of all rows again.
    """
    with _selected(source, settings or current_settings(), since) as selected:
        n_rows = selected.rows.count_documents(selected.filter, session=selected.session)
        features = [name for name in selected.fields if canonical_name(name) in FEATURES]
        yield Reading(_frames(replace(selected, fields=features), batch_rows), n_rows, selected.watermark)


def _frames(selected: "_Selected", batch_rows: int) -> Iterator[pd.DataFrame]:
    messages = selected.messages(with_id=True)
    n_rows = 0
    while True:
        keys: list[Any] = []

        def without_keys(keys: list[Any] = keys) -> Iterator[list[bytes]]:
            for message in itertools.islice(messages, max(1, batch_rows // _BATCH_SIZE)):
                found, contents = take_keys(message, selected.rows.codec_options)
                keys.extend(found)
                yield contents

        frame = to_frame(without_keys(), selected.fields, selected.rows.codec_options)
        if not keys:
            return
        yield frame.assign(_id=pd.Series(keys, dtype=object)).set_axis(pd.RangeIndex(n_rows, n_rows + len(frame)))
        n_rows += len(frame)


@dataclass(frozen=True)
class _Selected:
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
        cursor = self.rows.with_options(_raw()).find(
            self.filter, projection, batch_size=_BATCH_SIZE, session=self.session, sort=self.order
        )
        return iter(lambda: [bytes(document.raw) for document in cursor.to_list(_BATCH_SIZE)], [])


@contextmanager
def _selected(source: str, settings: Settings, since: int | datetime | None) -> Iterator[_Selected]:
    from pymongo.read_concern import ReadConcern

    address = _resolve(source, settings)
    with _connected(address, settings) as client, client.start_session(causal_consistency=True) as session:
        rows, ingestions = (_collection(client, address, suffix) for suffix in ("", "_ingestions"))
        if _is_replicated(client):
            majority = ReadConcern("majority")
            rows, ingestions = (each.with_options(read_concern=majority) for each in (rows, ingestions))
        if since is None:
            selection, watermark = _select_all(ingestions, session)
        else:
            selection, watermark = _select_since(since, ingestions, session, address)
        yield _Selected(
            rows,
            ingestions,
            session,
            selection,
            # By an index, or a million documents would be sorted; rows of other programs have no other than this.
            {"_id": 1} if since is None else {"ingestion.id": 1, "_id": 1},
            _columns(rows, selection, session, address) if since is None else list(DOMAINS),
            watermark,
        )


def _select_all(ingestions: "Collection", session: "ClientSession") -> tuple[dict[str, Any], int | None]:
    """Return the filter of all rows up to the watermark, and the watermark."""
    # In this order: an ingestion that begins or finishes in between is left out here, and found by the next read.
    last = _last_finished(ingestions, session)
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
    since: int | datetime, ingestions: "Collection", session: "ClientSession", address: _Address
) -> tuple[dict[str, Any], int | None]:
    """Return the filter of the rows that are new, and the watermark."""
    last = _last_finished(ingestions, session)
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


def _last_finished(ingestions: "Collection", session: "ClientSession | None" = None) -> dict[str, Any] | None:
    return ingestions.find_one({"position": {"$gt": 0}}, sort={"position": -1}, session=session)


def _columns(rows: "Collection", selection: dict[str, Any], session: "ClientSession", address: _Address) -> list[str]:
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
            f"the collection {address.collection} in database {address.database} at {address.server} is empty or "
            "does not exist: load rows with the ingest flow, or set MONGODB_DATABASE and MONGODB_COLLECTION"
        )
    names = list(dict.fromkeys(name for document in ends for name in document))
    fields = [name for name in names if canonical_name(name)]
    if not fields:
        raise DataSourceError(
            f"{address.shown} holds no column of the phishing websites data, only {', '.join(names[:8])}"
        )
    return fields


# --- writing ----------------------------------------------------------------------------------------------------------


def ingest(
    batches: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    *,
    sha256: str,
    source: str,
    target: str = "mongodb",
    settings: Settings | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Ingested:
    """Write the rows of one file, the accepted to the collection and the rejected to its quarantine, each once.

    What a whole file is refused for has to be found before: rows are written as they come.

    Parameters
    ----------
    batches : iterable of (accepted, rejected)
        As `validation.Validation.add` returns them; a frame's index holds the numbers of its rows in the file.
    sha256 : str
        Of the file's bytes, in hex.
    source : str
        The file's name, without credentials.
    target : str, default="mongodb"
        The collection: `mongodb`, or `mongodb://host/database.collection`.
    settings : Settings, optional
        Where MongoDB is and how long to wait for it; by default this process's own.
    on_progress : callable, optional
        Called after each batch with the number of rows done.

    Raises
    ------
    ConfigurationError
        The target is of no known form, or what it needs is not set.
    DataSourceError
        The server refused, or the collection holds rows under another spelling of the columns.
    SourceUnavailableError
        The server could not be reached or was lost. The same call again goes on from there.
    """
    address = _resolve(target, settings := settings or current_settings())
    with _connected(address, settings) as client:
        store = _Store(client, address)
        ingestion = store.begin(sha256, source)
        resumed = store.rows.find_one(_of_file(sha256)) is not None
        had_rejected = store.quarantine.find_one(_of_file(sha256)) is not None
        n_rows = n_accepted = n_corrected = 0
        for accepted, rejected in batches:
            for documents in _in_batches(_to_documents(accepted, sha256, ingestion)):
                present = _present(store.rows, documents) if resumed else set()
                _insert(store.rows, [each for each in documents if each["_id"]["row"] not in present])
                if had_rejected:
                    store.quarantine.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
            for documents in _in_batches(_to_quarantine(rejected, sha256, ingestion)):
                corrected = _present(store.rows, documents) if resumed else set()
                _insert(store.quarantine, [each for each in documents if each["_id"]["row"] not in corrected])
                n_corrected += len(corrected)
            n_rows += len(accepted) + len(rejected)
            n_accepted += len(accepted)
            if on_progress:
                on_progress(n_rows)
        n_inserted = store.finish(ingestion)
    return Ingested(
        ingestion=ingestion["id"],
        collection=address.shown,
        quarantine=address.quarantine,
        n_rows=n_rows,
        n_inserted=n_inserted,
        n_already_there=n_accepted - n_inserted + n_corrected,
        n_quarantined=n_rows - n_accepted - n_corrected,
    )


class _Store:
    """The collections of an address, open for writing."""

    def __init__(self, client: "MongoClient", address: _Address) -> None:
        from pymongo import ReadPreference, WriteConcern

        # From the primary, whatever the address says of reading: what was just written has to be seen.
        self.rows, self.quarantine, self.ingestions, watches = (
            _collection(client, address, suffix).with_options(
                read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority", j=True)
            )
            for suffix in ("", "_quarantine", "_ingestions", "_watches")
        )
        self.watches = watches.with_options(write_concern=WriteConcern("majority"))
        self._address = address

    def begin(self, sha256: str, source: str) -> dict[str, Any]:
        """Open an ingestion, or the one that was left open for the same file; return what its rows carry."""
        from pymongo import WriteConcern
        from pymongo.errors import DuplicateKeyError, OperationFailure

        self._refuse_other_spelling()
        try:
            self.ingestions.create_index("position", unique=True, sparse=True)
        except OperationFailure as exc:
            if exc.code != 2 or "journal" not in str(exc):
                raise
            # A server for tests, all in memory.
            plain = WriteConcern("majority")
            self.rows, self.quarantine, self.ingestions = (
                collection.with_options(write_concern=plain)
                for collection in (self.rows, self.quarantine, self.ingestions)
            )
            self.ingestions.create_index("position", unique=True, sparse=True)
        # One open ingestion per file: two processes with the same file share it.
        self.ingestions.create_index("file", unique=True, partialFilterExpression={"open": True})
        # What is new is found by ingestion, and read in the order of `_id` without a sort.
        self.rows.create_index([("ingestion.id", 1), ("_id", 1)])
        while True:
            ingestion = self.ingestions.find_one({"file": sha256, "open": True})
            if ingestion is None:
                newest = self.ingestions.find_one(sort={"_id": -1})
                # Of the rows too: bookkeeping that was lost must not give a number twice.
                row = self.rows.find_one({"ingestion.id": {"$gt": 0}}, sort={"ingestion.id": -1})
                ingestion = {
                    "_id": 1 + max(newest["_id"] if newest else 0, row["ingestion"]["id"] if row else 0),
                    "file": sha256,
                    "source": source,
                    "time": self.ingestions.database.command("hello")["localTime"],
                    "open": True,
                }
                try:
                    self.ingestions.insert_one(ingestion)
                except DuplicateKeyError:  # another process took the number, or opened the same file
                    continue
            return {"id": ingestion["_id"], "source": ingestion["source"], "time": ingestion["time"]}

    def finish(self, ingestion: dict[str, Any]) -> int:
        """Give an ingestion its position, so that its rows are read from now on; return how many they are."""
        from pymongo.errors import DuplicateKeyError

        number = ingestion["id"]
        n_inserted = self.rows.count_documents({"ingestion.id": number})
        while True:
            last = _last_finished(self.ingestions)
            try:
                done = self.ingestions.update_one(
                    {"_id": number, "open": True},
                    {
                        "$set": {"position": 1 + (last["position"] if last else 0), "n_inserted": n_inserted},
                        "$unset": {"open": ""},
                        "$currentDate": {"finished": True},
                    },
                )
            except DuplicateKeyError:  # another one finished at this moment
                continue
            if not done.matched_count and self.ingestions.find_one({"_id": number, "position": None}):
                raise SourceUnavailableError(
                    f"another resubmission to {self._address.shown} took over ingestion {number}: run this one again"
                )
            return n_inserted

    def take_over(self, ingestion: dict[str, Any]) -> None:
        """Make an ingestion the only open one of its kind, and the rows of those that will not finish its own.

        Of a file that was cut short the rest comes with the same file, under the same number. Corrections that were cut
        short may never come again as they were.
        """
        self.ingestions.update_one({"_id": ingestion["id"]}, {"$set": {"resubmission": True}})
        others = {"resubmission": True, "position": None, "_id": {"$ne": ingestion["id"]}}
        self.ingestions.update_many(others, {"$unset": {"open": ""}})  # so that they cannot finish any more
        numbers = [other["_id"] for other in self.ingestions.find(others)]
        self.rows.update_many({"ingestion.id": {"$in": numbers}}, {"$set": {"ingestion": ingestion}})

    def _refuse_other_spelling(self) -> None:
        document = self.rows.find_one({"ingestion.id": None}) or {}
        other = [name for name in document if name not in DOMAINS and canonical_name(name)]
        if other:
            raise DataSourceError(
                f"{self._address.shown} holds rows of another program, which call columns {', '.join(other[:3])}: "
                "with this package's names beside them they could not be read as one; name another collection"
            )


def _of_file(sha256: str) -> dict[str, Any]:
    from bson.max_key import MaxKey

    return {"_id": {"$gte": {"file": sha256, "row": 0}, "$lt": {"file": sha256, "row": MaxKey()}}}


def _in_batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(documents, _BATCH_SIZE)):
        yield batch


def _to_documents(accepted: pd.DataFrame, sha256: str, ingestion: dict[str, Any]) -> Iterator[dict[str, Any]]:
    codes = np.column_stack([accepted[name].to_numpy("int8", na_value=MISSING) for name in DOMAINS])
    for row, cells in zip(accepted.index.tolist(), codes.tolist(), strict=True):
        values = [None if cell == MISSING else cell for cell in cells] if MISSING in cells else cells
        yield {
            "_id": {"file": sha256, "row": row},
            **dict(zip(DOMAINS, values, strict=True)),
            "ingestion": ingestion,
        }


def _to_quarantine(rejected: pd.DataFrame, sha256: str, ingestion: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row, content in zip(rejected.index.tolist(), _quarantined_content(rejected), strict=True):
        yield {"_id": {"file": sha256, "row": row}, **content, "ingestion": ingestion}


def _quarantined_content(rejected: pd.DataFrame) -> Iterator[dict[str, Any]]:
    # As text: a cell may hold what BSON has no type for.
    text = rejected.astype("str").astype(object).where(rejected.notna(), None)
    for reasons, values in zip(text["reasons"], text[list(DOMAINS)].to_dict("records"), strict=True):
        yield {"values": values, "reasons": reasons.split("; ")}


def _present(collection: "Collection", documents: list[dict[str, Any]]) -> set[int]:
    keys = [document["_id"] for document in documents]
    return {found["_id"]["row"] for found in collection.find({"_id": {"$in": keys}}, {"_id": True})}


def _insert(collection: "Collection", documents: list[dict[str, Any]]) -> None:
    """Insert documents, except those whose key is there already."""
    from pymongo.errors import BulkWriteError

    if not documents:
        return
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as exc:
        if exc.details["writeConcernErrors"] or not all(map(_is_there_already, exc.details["writeErrors"])):
            raise


# --- predictions ------------------------------------------------------------------------------------------------------


def describe_predictions(target: str = "mongodb", settings: Settings | None = None) -> str:
    """Return, fit to be shown, the collection that `write_predictions` writes to; its errors are those of `describe`.

    Of `mongodb` that is not the collection of rows, but the one beside it: `C_scores`.
    """
    return _resolve_predictions(target, settings or current_settings()).shown


def _resolve_predictions(target: str, settings: Settings) -> _Address:
    address = _resolve(target, settings)
    return replace(address, collection=f"{address.collection}_scores") if target == "mongodb" else address


def with_keys(frames: Iterable[pd.DataFrame], sha256: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file with the column `_id`: the keys that `ingest` gives them.

    Raises
    ------
    DataValidationError
        They have a column of that name.
    """
    for frame in frames:
        if "_id" in frame:
            raise DataValidationError("the rows have a column _id, which MongoDB needs for their keys: rename it")
        yield frame.assign(_id=pd.Series([_to_id((sha256, row)) for row in frame.index], frame.index, dtype=object))


def write_predictions(
    batches: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    *,
    target: str = "mongodb",
    settings: Settings | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """Write predictions to a collection, and rows that were not scored to its quarantine; return the quarantine's name.

    A prediction's key is that of its row with name and version of the model, so the same row again, by the same
    version, replaces what is there. Nothing is doubled, whatever is cut off or run again, and what other versions said
    stays. A rejected row has its own key.

    Parameters
    ----------
    batches : iterable of (predictions, rejected)
        As `BatchScorer.add` returns them, with a column `_id` that holds the keys of the rows.
    target, settings, on_progress
        As in `ingest`; but `mongodb` is the collection beside that of the rows, `C_scores`.

    Raises
    ------
    ConfigurationError, DataSourceError, SourceUnavailableError
        As in `ingest`; or the collection holds documents that are no predictions.
    """
    from pymongo import ReadPreference, WriteConcern

    address = _resolve_predictions(target, settings := settings or current_settings())
    with _connected(address, settings) as client:
        # No `j`: the journal is in the order of the writes, so whatever watermark it still holds after a crash, it
        # holds what was written before that.
        scores, quarantine = (
            _collection(client, address, suffix).with_options(
                read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
            )
            for suffix in ("", "_quarantine")
        )
        if scores.find_one({SCORE: None}):
            raise DataSourceError(f"{address.shown} holds documents that are no predictions: name another collection")
        had_rejected = quarantine.find_one() is not None
        n_rows = 0
        for predictions, rejected in batches:
            for documents in _in_batches(_to_predictions(predictions)):
                _put(scores, documents)
                if had_rejected:
                    quarantine.delete_many({"_id": {"$in": [document["_id"]["row"] for document in documents]}})
            for documents in _in_batches(_to_unscored(rejected)):
                _put(quarantine, documents)
            n_rows += len(predictions) + len(rejected)
            if on_progress:
                on_progress(n_rows)
    return address.quarantine


def _to_predictions(predictions: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for document in _documents(predictions):
        key = {"row": document["_id"], MODEL: document[MODEL], MODEL_VERSION: document[MODEL_VERSION]}
        yield document | {"_id": key}


def _to_unscored(rejected: pd.DataFrame) -> Iterator[dict[str, Any]]:
    others = [name for name in rejected if name not in FEATURES]
    values = _documents(rejected[list(FEATURES)])
    for document, cells in zip(_documents(rejected[others]), values, strict=True):
        yield document | {"values": cells, REASONS: document[REASONS].split("; ")}


def _documents(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Return rows as documents; the number of a row is left out, since its key tells which it is."""
    frame = frame.drop(columns=ROW, errors="ignore")
    names = [str(name) for name in frame]
    columns = [column.astype(object).where(column.notna(), None).tolist() for _, column in frame.items()]
    return (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))


def _put(collection: "Collection", documents: list[dict[str, Any]]) -> None:
    """Insert documents, and replace those whose key is there already: nearly all are new, and inserted fastest."""
    from pymongo import ReplaceOne
    from pymongo.errors import BulkWriteError

    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as exc:
        problems = exc.details["writeErrors"]
        if exc.details["writeConcernErrors"] or not all(map(_is_there_already, problems)):
            raise
        there = [documents[problem["index"]] for problem in problems]
        collection.bulk_write([ReplaceOne({"_id": each["_id"]}, each) for each in there], ordered=False)


# --- monitors ---------------------------------------------------------------------------------------------------------


class Watch(BaseModel, frozen=True):
    """How far somebody who reads only what is new has come."""

    n_looks: int = 0
    watermark: int | None = None
    """The `since` of the next read; None where nothing was ever ingested."""


def get_watch(name: str, source: str = "mongodb", settings: Settings | None = None) -> Watch:
    """Return how far the watch called `name` has come; nowhere, where there is none."""
    address = _resolve(source, settings := settings or current_settings())
    with _connected(address, settings) as client:
        found = _Store(client, address).watches.find_one({"_id": name})
    return Watch(n_looks=found["n_looks"], watermark=found["watermark"]) if found else Watch()


def advance_watch(name: str, watch: Watch, source: str = "mongodb", settings: Settings | None = None) -> bool:
    """Record that a watch has come to `watch`, one look further; return False where another one has done so before."""
    from pymongo.errors import DuplicateKeyError

    address = _resolve(source, settings := settings or current_settings())
    with _connected(address, settings) as client:
        watches = _Store(client, address).watches
        try:
            # Of two that made the same look only the first finds the one before it.
            before = {"_id": name, "n_looks": watch.n_looks - 1}
            done = watches.update_one(before, {"$set": watch.model_dump()}, upsert=watch.n_looks == 1)
        except DuplicateKeyError:
            return False
    return bool(done.matched_count or done.upserted_id)


# --- quarantine -------------------------------------------------------------------------------------------------------


def count_quarantined(source: str = "mongodb", settings: Settings | None = None) -> pd.DataFrame:
    """Return how often each reason was given in each ingestion.

    Returns
    -------
    DataFrame of shape (n_ingestions x n_reasons, 5)
        `ingestion`, `source`, `time`, `reason`, `rows`; a row with several reasons counts for each.
    """
    address = _resolve(source, settings := settings or current_settings())
    key = {"ingestion": "$ingestion.id", "source": "$ingestion.source", "time": "$ingestion.time", "reason": "$reasons"}
    with _connected(address, settings) as client:
        quarantine = _collection(client, address, "_quarantine")
        found = quarantine.aggregate([{"$unwind": "$reasons"}, {"$group": {"_id": key, "rows": {"$sum": 1}}}])
        records = [{**group["_id"], "time": _iso(group["_id"]["time"]), "rows": group["rows"]} for group in found]
    frame = pd.DataFrame(records, columns=[*key, "rows"])
    return frame.sort_values(["ingestion", "rows", "reason"], ascending=[True, False, True], ignore_index=True)


def quarantined(source: str = "mongodb", settings: Settings | None = None) -> pd.DataFrame:
    """Return the rows in quarantine.

    Returns
    -------
    DataFrame of shape (n_rows, 37)
        `ORIGIN`, then the original values of the 31 columns as text.
    """
    address = _resolve(source, settings := settings or current_settings())
    with _connected(address, settings) as client:
        quarantine = _collection(client, address, "_quarantine")
        records = [
            {
                **document["_id"],
                "ingestion": document["ingestion"]["id"],
                "source": document["ingestion"]["source"],
                "time": _iso(document["ingestion"]["time"]),
                "reasons": "; ".join(document["reasons"]),
                **document["values"],
            }
            for document in quarantine.find(sort={"_id": 1}, batch_size=_BATCH_SIZE)
        ]
    frame = pd.DataFrame(records, columns=[*ORIGIN, *DOMAINS])
    return frame.astype({name: "str" for name in frame if name not in {"row", "ingestion"}})


def _iso(time: datetime) -> str:
    return time.replace(tzinfo=UTC).isoformat(timespec="milliseconds")


def resubmit(
    corrected: pd.DataFrame,
    *,
    sha256: str,
    source: str,
    target: str = "mongodb",
    settings: Settings | None = None,
) -> Ingested:
    """Check corrected rows of the quarantine again, and move those that are valid now to the collection.

    A row keeps its key, so that it is not doubled, neither by a second resubmission nor by a second ingestion of its
    file. Rows that are still not valid stay, with the values as they are now and the new reasons.

    Parameters
    ----------
    corrected : DataFrame of shape (n_rows, n_columns)
        As `quarantined` returns it; of `ORIGIN` only `file` and `row` are needed.
    sha256 : str
        Of the bytes of the file that the corrected rows came in.
    source, target, settings
        As in `ingest`.

    Raises
    ------
    DataValidationError
        A column is missing or unknown; a row is there twice, or in neither quarantine nor collection. Nothing was
        written.
    ConfigurationError, DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    from pymongo import UpdateOne

    address = _resolve(target, settings := settings or current_settings())
    keys = _keys(corrected)
    cells = corrected.drop(columns=[name for name in ORIGIN if name in corrected]).reset_index(drop=True)
    accepted, rejected = Validation().add(cells)
    with _connected(address, settings) as client:
        store = _Store(client, address)
        in_rows = _found(store.rows, keys)
        known = in_rows | _found(store.quarantine, keys)
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise DataValidationError(
                f"{len(unknown)} of {len(keys)} rows are not in {address.quarantine}, such as row {unknown[0][1]} of "
                f"file {unknown[0][0]}: columns file and row must be as they were exported"
            )
        ingestion = store.begin(sha256, source)
        store.take_over(ingestion)
        for batch in _in_batches(_to_documents(accepted, sha256, ingestion)):
            documents = [{**each, "_id": _to_id(keys[each["_id"]["row"]])} for each in batch]
            _insert(store.rows, documents)
            store.quarantine.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
        # Not those that are in the collection already: an earlier file corrected them.
        still_bad = [
            UpdateOne({"_id": _to_id(keys[row])}, {"$set": content})
            for row, content in zip(rejected.index, _quarantined_content(rejected), strict=True)
            if keys[row] not in in_rows
        ]
        if still_bad:
            store.quarantine.bulk_write(still_bad, ordered=False)
        store.finish(ingestion)
        n_inserted = len(_found(store.rows, keys, {"ingestion.id": ingestion["id"]}))
    return Ingested(
        ingestion=ingestion["id"],
        collection=address.shown,
        quarantine=address.quarantine,
        n_rows=len(keys),
        n_inserted=n_inserted,
        n_already_there=len(keys) - n_inserted - len(still_bad),
        n_quarantined=len(still_bad),
    )


def _keys(corrected: pd.DataFrame) -> list[tuple[str, int]]:
    if not {"file", "row"} <= set(corrected):
        raise DataValidationError(
            "corrected rows need the columns file and row, which say what they correct: export them from the quarantine"
        )
    rows = pd.to_numeric(corrected["row"], errors="coerce")
    if corrected["file"].isna().any() or not (rows >= 0).all() or (rows % 1 != 0).any():
        raise DataValidationError("the columns file and row must be as they were exported, in every row")
    keys = list(zip(corrected["file"].astype(str).tolist(), rows.astype("int64").tolist(), strict=True))
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataValidationError(f"{len(twice)} rows are there twice, such as row {twice[0][1]} of file {twice[0][0]}")
    return keys


def _to_id(key: tuple[str, int]) -> dict[str, Any]:
    return {"file": key[0], "row": key[1]}


def _found(
    collection: "Collection", keys: list[tuple[str, int]], selection: dict[str, Any] | None = None
) -> set[tuple[str, int]]:
    found = set()
    for batch in _in_batches(iter([_to_id(key) for key in keys])):
        documents = collection.find({"_id": {"$in": batch}} | (selection or {}), {"_id": True})
        found |= {(document["_id"]["file"], document["_id"]["row"]) for document in documents}
    return found
