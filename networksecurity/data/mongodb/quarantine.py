"""The quarantine of a collection: rows that are not valid, and their correction.

A correction of rejected rows is an ingestion of its own, so readers of what is new get the rows that it moves; those
keep their keys.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from networksecurity.data.mongodb import server
from networksecurity.data.mongodb.ingestion import (
    Ingested,
    Store,
    in_batches,
    insert,
    quarantined_content,
    to_documents,
)
from networksecurity.data.mongodb.server import Connection
from networksecurity.exceptions import DataValidationError, shortened

if TYPE_CHECKING:
    from pymongo.collection import Collection

ORIGIN = ("file", "row", "ingestion", "source", "time", "reasons")
"""The columns of `quarantined` beside the cells; `file` and `row` are the row's key."""


def count_quarantined(opened: Connection) -> pd.DataFrame:
    """Return how often each reason was given in each ingestion.

    Returns
    -------
    DataFrame of shape (n_ingestions x n_reasons, 5)
        `ingestion`, `source`, `time`, `reason`, `rows`; a row with several reasons counts for each.
    """
    key = {"ingestion": "$ingestion.id", "source": "$ingestion.source", "time": "$ingestion.time", "reason": "$reasons"}
    found = opened.beside("_quarantine").aggregate(
        [{"$unwind": "$reasons"}, {"$group": {"_id": key, "rows": {"$sum": 1}}}]
    )
    records = [{**group["_id"], "time": _iso(group["_id"]["time"]), "rows": group["rows"]} for group in found]
    frame = pd.DataFrame(records, columns=[*key, "rows"])
    return frame.sort_values(["ingestion", "rows", "reason"], ascending=[True, False, True], ignore_index=True)


def quarantined(opened: Connection) -> pd.DataFrame:
    """Return the rows in quarantine.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        `ORIGIN`, then the original values of the contract's columns as text.
    """
    records = [
        {
            **document["_id"],
            "ingestion": document["ingestion"]["id"],
            "source": document["ingestion"]["source"],
            "time": _iso(document["ingestion"]["time"]),
            "reasons": "; ".join(document["reasons"]),
            **document["values"],
        }
        for document in opened.beside("_quarantine").find(sort={"_id": 1}, batch_size=server.BATCH_SIZE)
    ]
    frame = pd.DataFrame(records, columns=[*ORIGIN, *(column.name for column in opened.address.contract.stored)])
    return frame.astype({name: "str" for name in frame if name not in {"row", "ingestion"}})


def _iso(time: datetime) -> str:
    return time.replace(tzinfo=UTC).isoformat(timespec="milliseconds")


def resubmit(opened: Connection, corrected: pd.DataFrame, *, sha256: str, source: str) -> Ingested:
    """Check corrected rows of the quarantine again, and move those that are valid now to the collection.

    A row keeps its key, so neither a second resubmission nor a second ingestion of its file doubles it. Rows that are
    still not valid stay, with their new values and reasons.

    Parameters
    ----------
    corrected : DataFrame of shape (n_rows, n_columns)
        As `quarantined` returns it; of `ORIGIN` only `file` and `row` are needed.
    sha256 : str
        Of the bytes of the file that the corrected rows came in.
    source : str
        Its name, without credentials.

    Raises
    ------
    DataValidationError
        A column is missing or unknown; a row is duplicated, or in neither quarantine nor collection. Nothing was
        written.
    DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    from pymongo import UpdateOne

    keys = _keys(corrected)
    cells = corrected.drop(columns=[name for name in ORIGIN if name in corrected]).reset_index(drop=True)
    contract = opened.address.contract
    accepted, rejected = contract.validation().add(cells)
    address, store = opened.address, Store(opened)
    in_rows = _found(store.rows, keys)
    known = in_rows | _found(store.quarantine, keys)
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise DataValidationError(
            f"{len(unknown)} of {len(keys)} rows are not in {address.quarantine}, such as row {unknown[0][1]} of "
            f"file {shortened(unknown[0][0])}: columns file and row must be as they were exported"
        )
    ingestion = store.begin(sha256, source)
    store.take_over(ingestion)
    for batch in in_batches(to_documents(contract, accepted, sha256, ingestion)):
        documents = [{**each, "_id": _to_id(keys[each["_id"]["row"]])} for each in batch]
        insert(store.rows, documents)
        store.quarantine.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
    # Not those that already exist in the collection: an earlier file corrected them.
    still_bad = [
        UpdateOne({"_id": _to_id(keys[row])}, {"$set": content})
        for row, content in zip(rejected.index, quarantined_content(contract, rejected), strict=True)
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
            "corrected rows need the columns file and row, the key of what they correct: export them from there"
        )
    rows = pd.to_numeric(corrected["row"], errors="coerce")
    if corrected["file"].isna().any() or not (rows >= 0).all() or (rows % 1 != 0).any():
        raise DataValidationError("the columns file and row must be as they were exported, in every row")
    keys = list(zip(corrected["file"].astype(str).tolist(), rows.astype("int64").tolist(), strict=True))
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataValidationError(
            f"{len(twice)} rows are duplicated, such as row {twice[0][1]} of file {shortened(twice[0][0])}"
        )
    return keys


def _to_id(key: tuple[str, int]) -> dict[str, Any]:
    return {"file": key[0], "row": key[1]}


def _found(
    collection: "Collection", keys: list[tuple[str, int]], selection: dict[str, Any] | None = None
) -> set[tuple[str, int]]:
    found = set()
    for batch in in_batches(iter([_to_id(key) for key in keys])):
        documents = collection.find({"_id": {"$in": batch}} | (selection or {}), {"_id": True})
        found |= {(document["_id"]["file"], document["_id"]["row"]) for document in documents}
    return found
