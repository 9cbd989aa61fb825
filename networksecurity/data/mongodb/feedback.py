"""Reports of errors: rows with the label that somebody says is right, until a person accepts or rejects each.

They are kept beside the rows, in a collection of their own, and no training reads that. An accepted report becomes a
row of the collection, in an ingestion of its own: readers of what is new, the monitor among them, find it. Rows with
the same features (the same normalized address) and the other label get the accepted one; `corrected` keeps what they
had.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, Field

from networksecurity.data.mongodb.ingestion import ingest, to_cells
from networksecurity.data.mongodb.server import Connection
from networksecurity.data.schema import CLASS_LABELS
from networksecurity.exceptions import ConfigurationError, DataValidationError

Label = Literal["phishing", "legitimate"]
Status = Literal["open", "accepted", "rejected"]

MAX_BY, MAX_COMMENT = 100, 1_000
"""Characters of the name and of the comment of who reports."""


class Feedback(BaseModel, frozen=True):
    """A report about one row."""

    id: str
    features: dict[str, int | float | str | None]
    """What a model is given of the row: 30 features, or the normalized address under `url`."""
    label: Label
    """What is said to be right."""
    by: str = Field(min_length=1, max_length=MAX_BY)
    comment: str = Field(default="", max_length=MAX_COMMENT)
    at: datetime
    """In UTC."""
    status: Status = "open"
    decided_by: str | None = None
    decided_at: datetime | None = None


class Accepted(BaseModel, frozen=True):
    """What an accepted report changed."""

    id: str
    ingestion: int
    """The one that holds its row."""
    n_overridden: int
    """Rows with the same features that had the other label."""


def add_feedback(opened: Connection, rows: pd.DataFrame, *, label: Label, by: str, comment: str = "") -> list[str]:
    """Store a report about each row and return the reports' ids; the same report again changes nothing.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Raw rows of the collection's contract, under any of its names; other columns are left out.
    label : "phishing" or "legitimate"
    by : str
        Who says so.
    comment : str, optional

    Raises
    ------
    DataValidationError
        A row is not valid, or `by` or `comment` is too long or empty. Nothing was written.
    DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    if not 0 < len(by.strip()) <= MAX_BY or len(comment) > MAX_COMMENT:
        raise DataValidationError(
            f"a report needs the name of who makes it, of at most {MAX_BY} characters, and a comment of at most "
            f"{MAX_COMMENT:,}"
        )
    contract = opened.address.contract
    names = [column.name for column in contract.stored if column.name != contract.target]
    known = rows[[column for column in rows if contract.canonical_name(column) in names]].reset_index(drop=True)
    # With the label, for only then are the columns of a group read, which an accepted row needs.
    labelled = known.assign(**{contract.target: contract.to_label(phishing=label == CLASS_LABELS[1])})
    accepted, rejected = contract.validation().add(labelled)
    if len(rejected) or accepted.empty:
        why = f"row {rejected.index[0]}: {rejected['reasons'].iloc[0]}" if len(rejected) else "there are no rows"
        raise DataValidationError(f"nothing was reported, {len(rejected)} of {len(rows)} rows are not valid: {why}")
    reports, stored = [], opened.writable("_feedback")
    for features in _features(contract.to_raw(accepted)[names]):
        told = {"features": features, "label": label, "by": by.strip(), "comment": comment}
        name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        report = {**told, "at": datetime.now(UTC), "status": "open"}
        stored.update_one({"_id": name}, {"$setOnInsert": report}, upsert=True)
        reports.append(name)
    return reports


def list_feedback(opened: Connection, status: Status | None = None) -> list[Feedback]:
    """Return the reports, all or those of a status, oldest first."""
    wanted = {"status": status} if status else {}
    return [_as_value(found) for found in opened.beside("_feedback").find(wanted, sort=[("at", 1), ("_id", 1)])]


def accept_feedback(opened: Connection, name: str, *, by: str) -> Accepted:
    """Make a report's row a row of the collection; repeated after an interruption it continues from there.

    Raises
    ------
    ConfigurationError
        There is no such report, or it was rejected.
    DataSourceError, SourceUnavailableError
        As in `ingest`.
    """
    report = _decide(opened, name, "accepted", by)
    contract, phishing = opened.address.contract, report.label == CLASS_LABELS[1]
    right, wrong = (contract.to_label(phishing=of) for of in (phishing, not phishing))
    # In this order: the report's own row, inserted next, is no correction of anything.
    corrected = {"feedback": name, "was": f"${contract.target}"}
    features = {name: report.features[name] for name in contract.columns}
    others = {**features, contract.target: wrong, "_id.file": {"$ne": _file(name)}}
    n_overridden = opened.writable().update_many(others, [{"$set": {"corrected": corrected, contract.target: right}}])
    row = pd.DataFrame([{**report.features, contract.target: right}])
    done = ingest(opened, [contract.validation().add(row)], sha256=_file(name), source=f"feedback of {report.by}")
    return Accepted(id=name, ingestion=done.ingestion, n_overridden=n_overridden.modified_count)


def reject_feedback(opened: Connection, name: str, *, by: str) -> Feedback:
    """Close a report without a consequence.

    Raises
    ------
    ConfigurationError
        There is no such report, or it was accepted.
    """
    return _decide(opened, name, "rejected", by)


def _decide(opened: Connection, name: str, status: Status, by: str) -> Feedback:
    stored = opened.writable("_feedback")
    decided = {"status": status, "decided_by": by, "decided_at": datetime.now(UTC)}
    stored.update_one({"_id": name, "status": "open"}, {"$set": decided})
    found = stored.find_one({"_id": name})
    if found is None:
        raise ConfigurationError(f"there is no feedback {name}: `networksecurity feedback list` shows all")
    if found["status"] != status:
        raise ConfigurationError(f"feedback {name} is {found['status']} already, by {found['decided_by']}")
    return _as_value(found)


def _file(name: str) -> str:
    """Return what stands for the file in the key of a report's row."""
    return f"feedback-{name}"


def _features(rows: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {str(name): to_cells(rows[name]) for name in rows}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _as_value(found: dict[str, Any]) -> Feedback:
    times = {name: found[name].replace(tzinfo=UTC) for name in ("at", "decided_at") if found.get(name)}
    return Feedback(**{**found, **times, "id": found["_id"]})
