"""Predictions in a collection: each version of a model scores each row once."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from networksecurity.data.contracts import Contract
from networksecurity.data.mongodb.ingestion import in_batches, insert
from networksecurity.data.mongodb.server import Connection
from networksecurity.data.schema import MODEL, MODEL_VERSION, REASONS, ROW, SCORE
from networksecurity.exceptions import DataSourceError, DataValidationError

if TYPE_CHECKING:
    from pymongo.collection import Collection


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
        yield frame.assign(
            _id=pd.Series([{"file": sha256, "row": row} for row in frame.index], frame.index, dtype=object)
        )


def write_predictions(
    opened: Connection,
    batches: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """Write predictions to a collection, and rows that were not scored to its quarantine; return the quarantine's name.

    A prediction's key is that of its row with the name and version of the model: scored again by the same version, the
    row's prediction is replaced. So an interrupted or repeated run doubles nothing, and predictions of other versions
    stay. A rejected row has its own key.

    Parameters
    ----------
    batches : iterable of (predictions, rejected)
        As `BatchScorer.add` returns them, with a column `_id` that holds the keys of the rows.
    on_progress : callable, optional
        Called after each batch with the number of rows done.

    Raises
    ------
    DataSourceError, SourceUnavailableError
        As in `ingest`; or the collection holds documents that are no predictions.
    """
    # No `j`: the journal keeps the order of the writes, so a checkpoint that survives a crash has its scores too.
    scores, quarantine = opened.writable(), opened.writable("_quarantine")
    if scores.find_one({SCORE: None}):
        raise DataSourceError(
            f"{opened.address.shown} holds documents that are no predictions: name another collection"
        )
    had_rejected = quarantine.find_one() is not None
    n_rows = 0
    for predictions, rejected in batches:
        for documents in in_batches(_to_predictions(predictions)):
            _put(scores, documents)
            if had_rejected:
                quarantine.delete_many({"_id": {"$in": [document["_id"]["row"] for document in documents]}})
        for documents in in_batches(_to_unscored(opened.address.contract, rejected)):
            _put(quarantine, documents)
        n_rows += len(predictions) + len(rejected)
        if on_progress:
            on_progress(n_rows)
    return opened.address.quarantine


def _to_predictions(predictions: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for document in _documents(predictions):
        key = {"row": document["_id"], MODEL: document[MODEL], MODEL_VERSION: document[MODEL_VERSION]}
        yield document | {"_id": key}


def _to_unscored(contract: Contract, rejected: pd.DataFrame) -> Iterator[dict[str, Any]]:
    others = [name for name in rejected if name not in contract.columns]
    values = _documents(rejected[list(contract.columns)])
    for document, cells in zip(_documents(rejected[others]), values, strict=True):
        yield document | {"values": cells, REASONS: document[REASONS].split("; ")}


def _documents(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Return rows as documents, without the number of a row, which its key holds."""
    frame = frame.drop(columns=ROW, errors="ignore")
    names = [str(name) for name in frame]
    columns = [column.astype(object).where(column.notna(), None).tolist() for _, column in frame.items()]
    return (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))


def _put(collection: "Collection", documents: list[dict[str, Any]]) -> None:
    """Insert documents, and replace those whose key already exists: nearly all are new, and inserted fastest."""
    from pymongo import ReplaceOne

    if there := insert(collection, documents):
        collection.bulk_write([ReplaceOne({"_id": each["_id"]}, each) for each in there], ordered=False)
