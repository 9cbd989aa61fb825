"""Writing rows: each once, even after failures.

**A row's key** is the file it stands in and its place there: `_id = {file: SHA-256 of the file's bytes, row: 0, 1, …}`.
A row is inserted under its key unless it already exists; nothing is overwritten. So the same file again, a retry, or a
run after a crash adds only the rows that are missing; equal rows of one file stay, and another file adds its own.
A rejected row has the same key in the quarantine, and is in only one of the two collections.

**An ingestion** has a number, taken when it begins; its rows carry it in `ingestion.id`, with the source and the time.
While it is open its rows are not read: they are half a file. The same file again resumes an open ingestion under its
number. When all rows are acknowledged, by a majority and in the journal, the ingestion is closed and gets a second
number: its `position` in the order in which ingestions *finished*.

**A watermark** is the number of the ingestion that finished last. New since then are the rows of the ingestions with a
higher position. No clock is involved, and ingestions may overlap:

- Positions have no gaps: an ingestion takes one more than the highest it sees, and a unique index lets only one of
  two do so. A reader that sees position n therefore sees each one below n; nothing appears behind a watermark.
- A position is written after the rows, so a reader that sees it sees the rows. (With several servers this takes
  majority reads in a causally consistent session, which `reading` uses.)
- A full read leaves out each ingestion without a position up to its watermark, even one that begins or finishes
  meanwhile. So a full read followed by reads since the previous watermark gives every row once.

A time as a starting point is compared with the times of finishing, by the server's clock. Rows that other programs
wrote are only in full reads.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.mongodb import server
from networksecurity.data.mongodb.reading import last_finished
from networksecurity.data.mongodb.server import Connection, already_exists
from networksecurity.exceptions import DataSourceError, SourceUnavailableError

if TYPE_CHECKING:
    from pymongo.collection import Collection


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


def ingest(
    opened: Connection,
    batches: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    *,
    sha256: str,
    source: str,
    on_progress: Callable[[int], None] | None = None,
) -> Ingested:
    """Write the rows of one file, the accepted to the collection and the rejected to its quarantine, each once.

    Rows are written as they come, so check first what a whole file is refused for.

    Parameters
    ----------
    batches : iterable of (accepted, rejected)
        As `validation.Validation.add` returns them; a frame's index holds the numbers of its rows in the file.
    sha256 : str
        Of the file's bytes, in hex.
    source : str
        The file's name, without credentials.
    on_progress : callable, optional
        Called after each batch with the number of rows done.

    Raises
    ------
    DataSourceError
        The server refused.
    SourceUnavailableError
        The server could not be reached or was lost. The same call again continues from there.
    """
    store = Store(opened)
    ingestion = store.begin(sha256, source)
    resumed = store.rows.find_one(_of_file(sha256)) is not None
    had_rejected = store.quarantine.find_one(_of_file(sha256)) is not None
    n_rows = n_accepted = n_corrected = 0
    for accepted, rejected in batches:
        for documents in in_batches(to_documents(opened.address.contract, accepted, sha256, ingestion)):
            present = _present(store.rows, documents) if resumed else set()
            insert(store.rows, [each for each in documents if each["_id"]["row"] not in present])
            if had_rejected:
                store.quarantine.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
        for documents in in_batches(_to_quarantine(opened.address.contract, rejected, sha256, ingestion)):
            corrected = _present(store.rows, documents) if resumed else set()
            insert(store.quarantine, [each for each in documents if each["_id"]["row"] not in corrected])
            n_corrected += len(corrected)
        n_rows += len(accepted) + len(rejected)
        n_accepted += len(accepted)
        if on_progress:
            on_progress(n_rows)
    n_inserted = store.finish(ingestion)
    return Ingested(
        ingestion=ingestion["id"],
        collection=opened.address.shown,
        quarantine=opened.address.quarantine,
        n_rows=n_rows,
        n_inserted=n_inserted,
        n_already_there=n_accepted - n_inserted + n_corrected,
        n_quarantined=n_rows - n_accepted - n_corrected,
    )


class Store:
    """The collections of an address, open for writing."""

    def __init__(self, opened: Connection) -> None:
        self.rows, self.quarantine, self.ingestions = (
            opened.writable(suffix, journal=True) for suffix in ("", "_quarantine", "_ingestions")
        )
        self._shown = opened.address.shown
        self._contract = opened.address.contract.name

    def begin(self, sha256: str, source: str) -> dict[str, Any]:
        """Open an ingestion, or resume the open one of the same file; return what its rows carry."""
        from pymongo import WriteConcern
        from pymongo.errors import DuplicateKeyError, OperationFailure

        try:
            self.ingestions.create_index("position", unique=True, sparse=True)
        except OperationFailure as exc:
            if exc.code != 2 or "journal" not in str(exc):
                raise
            # A server for tests, which holds everything in memory.
            plain = WriteConcern("majority")
            self.rows, self.quarantine, self.ingestions = (
                collection.with_options(write_concern=plain)
                for collection in (self.rows, self.quarantine, self.ingestions)
            )
            self.ingestions.create_index("position", unique=True, sparse=True)
        self._refuse_other_rows()
        # One open ingestion per file: two processes with the same file share it.
        self.ingestions.create_index("file", unique=True, partialFilterExpression={"open": True})
        # What is new is found by ingestion, and read in the order of `_id` without a sort.
        self.rows.create_index([("ingestion.id", 1), ("_id", 1)])
        while True:
            ingestion = self.ingestions.find_one({"file": sha256, "open": True})
            if ingestion is None:
                newest = self.ingestions.find_one(sort={"_id": -1})
                # The rows count too: if the bookkeeping was lost, no number may be given twice.
                row = self.rows.find_one({"ingestion.id": {"$gt": 0}}, sort={"ingestion.id": -1})
                ingestion = {
                    "_id": 1 + max(newest["_id"] if newest else 0, row["ingestion"]["id"] if row else 0),
                    "file": sha256,
                    "source": source,
                    "contract": self._contract,
                    "time": self.ingestions.database.command("hello")["localTime"],
                    "open": True,
                }
                try:
                    self.ingestions.insert_one(ingestion)
                except DuplicateKeyError:  # another process took the number, or opened the same file
                    continue
            return {"id": ingestion["_id"], "source": ingestion["source"], "time": ingestion["time"]}

    def _refuse_other_rows(self) -> None:
        """Raise DataSourceError if rows of another contract were ingested."""
        ours = [self._contract, *([None] if self._contract == WEBSITES.name else [])]  # it was not noted at first
        if other := self.ingestions.find_one({"contract": {"$nin": ours}}):
            raise DataSourceError(
                f"{self._shown} holds rows of {other.get('contract', WEBSITES.name)}, not of {self._contract}: name "
                "another collection, or another --contract"
            )

    def finish(self, ingestion: dict[str, Any]) -> int:
        """Give an ingestion its position, from which on its rows are read; return their number."""
        from pymongo.errors import DuplicateKeyError

        number = ingestion["id"]
        n_inserted = self.rows.count_documents({"ingestion.id": number})
        while True:
            last = last_finished(self.ingestions)
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
                    f"another resubmission to {self._shown} took over ingestion {number}: run this one again"
                )
            return n_inserted

    def take_over(self, ingestion: dict[str, Any]) -> None:
        """Make an ingestion the only open one of its kind, and the rows of those that will not finish its own.

        The rest of an interrupted file comes with the same file, under the same number. Interrupted corrections may
        never come again in the same form.
        """
        self.ingestions.update_one({"_id": ingestion["id"]}, {"$set": {"resubmission": True}})
        others = {"resubmission": True, "position": None, "_id": {"$ne": ingestion["id"]}}
        self.ingestions.update_many(others, {"$unset": {"open": ""}})  # now they cannot finish
        numbers = [other["_id"] for other in self.ingestions.find(others)]
        self.rows.update_many({"ingestion.id": {"$in": numbers}}, {"$set": {"ingestion": ingestion}})


def _of_file(sha256: str) -> dict[str, Any]:
    from bson.max_key import MaxKey

    return {"_id": {"$gte": {"file": sha256, "row": 0}, "$lt": {"file": sha256, "row": MaxKey()}}}


def in_batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield documents in lists of at most `BATCH_SIZE`."""
    while batch := list(itertools.islice(documents, server.BATCH_SIZE)):
        yield batch


def to_documents(
    contract: Contract, accepted: pd.DataFrame, sha256: str, ingestion: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield accepted rows as documents, keyed by `sha256` and the frame's index."""
    raw = contract.to_raw(accepted)
    names, columns = [str(name) for name in raw], [to_cells(column) for _, column in raw.items()]
    for row, *cells in zip(raw.index.tolist(), *columns, strict=True):
        yield {"_id": {"file": sha256, "row": row}, **dict(zip(names, cells, strict=True)), "ingestion": ingestion}


def to_cells(column: pd.Series) -> list[Any]:
    """Return a column as Python objects, None where a value is missing."""
    cells = column.tolist() if isinstance(column.dtype, np.dtype) else column.array.to_numpy(object).tolist()
    if not column.hasnans:
        return cells
    return [None if missing else cell for cell, missing in zip(cells, column.isna().tolist(), strict=True)]


def _to_quarantine(
    contract: Contract, rejected: pd.DataFrame, sha256: str, ingestion: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for row, content in zip(rejected.index.tolist(), quarantined_content(contract, rejected), strict=True):
        yield {"_id": {"file": sha256, "row": row}, **content, "ingestion": ingestion}


def quarantined_content(contract: Contract, rejected: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what the documents of rejected rows hold beside key and ingestion."""
    # As text: a cell may hold what BSON has no type for.
    text = rejected.astype("str").astype(object).where(rejected.notna(), None)
    names = [column.name for column in contract.stored]
    for reasons, *cells in zip(text["reasons"], *(text[name] for name in names), strict=True):
        content: dict[str, Any] = {"values": dict(zip(names, cells, strict=True)), "reasons": reasons.split("; ")}
        yield content


def _present(collection: "Collection", documents: list[dict[str, Any]]) -> set[int]:
    keys = [document["_id"] for document in documents]
    return {found["_id"]["row"] for found in collection.find({"_id": {"$in": keys}}, {"_id": True})}


def insert(collection: "Collection", documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert documents, except those whose key already exists; return these."""
    from pymongo.errors import BulkWriteError

    try:
        if documents:
            collection.insert_many(documents, ordered=False)
    except BulkWriteError as exc:
        problems = exc.details["writeErrors"]
        if exc.details["writeConcernErrors"] or not all(map(already_exists, problems)):
            raise
        return [documents[problem["index"]] for problem in problems]
    return []
