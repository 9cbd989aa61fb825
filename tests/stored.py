"""Rows in a collection, as the tests of MongoDB write and find them."""

import hashlib
from contextlib import contextmanager

import pandas as pd
import pytest
from pymongo.errors import OperationFailure
from reading import configured, frames, opened

from networksecurity.data import mongodb
from networksecurity.data.files import File
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS
from networksecurity.data.validation import Validation, validate


def source_of(mongod, collection, options=""):
    return f"{mongod.uri}/{collection.full_name}{options}"


@contextmanager
def failing(mongod, app, *, skip=0, **failure):
    """Make the server fail commands of the client named `app`, but for the first `skip`."""
    mode = {"skip": skip} if skip else "alwaysOn"
    command = {"configureFailPoint": "failCommand", "mode": mode, "data": {"appName": app, **failure}}
    try:
        mongod.client.admin.command(command)
    except OperationFailure as exc:
        pytest.skip(f"the server takes no failpoints: {exc}")
    try:
        yield
    finally:
        mongod.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def sample(n_rows=300, bad=(), random_state=0):
    """Return rows of which the third has a missing value and those in `bad` are not valid."""
    frame = make_phishing_websites(n_rows, random_state=random_state).astype(object)
    frame.loc[2, "SFH"] = "na"
    for row in bad:
        frame.loc[row, ["port", "SFH"]] = [7, "x"]
    return frame


def batches_of(path, batch_rows=100):
    return map(Validation().add, frames(File.at(str(path)), batch_rows))


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ingest(path, target, *, on_progress=None, **values):
    with opened(target, **values) as collection:
        return collection.ingest(batches_of(path), sha256=sha256_of(path), source=str(path), on_progress=on_progress)


def numbers(ingested):
    return ingested.n_rows, ingested.n_inserted, ingested.n_already_there, ingested.n_quarantined


def in_quarantine(collection):
    return collection.database[f"{collection.name}_quarantine"]


def bookkeeping(collection):
    return collection.database[f"{collection.name}_ingestions"]


def assert_holds(collection, *paths):
    """Assert that the collection holds the valid rows of the files and the quarantine the others, each once."""
    accepted, rejected = {}, {}
    for path in paths:
        validated = validate(pd.read_csv(path), max_rejected=1)
        file = hashlib.sha256(path.read_bytes()).hexdigest()
        for row, cells_ in zip(validated.accepted.index, validated.accepted.astype(object).to_numpy(), strict=True):
            accepted[file, row] = [None if pd.isna(cell) else cell for cell in cells_]
        for row, reasons in validated.rejected["reasons"].items():
            rejected[file, row] = reasons.split("; ")
    found = [(tuple(each["_id"].values()), [each[name] for name in DOMAINS]) for each in collection.find()]
    assert len(found) == len(accepted)
    assert dict(found) == accepted
    found = [(tuple(each["_id"].values()), each["reasons"]) for each in in_quarantine(collection).find()]
    assert len(found) == len(rejected)
    assert dict(found) == rejected


def rows_since(target, since=None):
    rows = mongodb.parse(target, configured()).read(since=since)
    return rows.frame, rows.watermark
