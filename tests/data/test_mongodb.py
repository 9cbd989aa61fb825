import hashlib
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote_plus

import bson
import dns.name
import dns.resolver
import pandas as pd
import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from reading import PASSWORD, cells, configured, frames, opened, read, refused

from networksecurity.data import mongodb
from networksecurity.data.files import File
from networksecurity.data.mongodb import ORIGIN, Checkpoint, quarantine, reading, server
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES, to_X_y
from networksecurity.data.validation import Validation, validate
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
)
from networksecurity.prediction.scoring import BatchScorer, score
from networksecurity.training.candidates import get_candidate, make_pipeline

# --- reading ----------------------------------------------------------------------------------------------------------


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


def test_collection_is_read_in_order_of_id(mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 300)
    expected = make_phishing_websites(1000, random_state=0)
    documents = [{"_id": i, "source": "x", **row} for i, row in enumerate(expected.to_dict("records"))]
    collection.insert_many(documents[::-1])
    frame = read(source_of(mongod, collection))
    assert set(frame.dtypes) == {pd.Int8Dtype()}
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


def test_real_data_from_mongodb(mongod, collection, real_data):
    expected = read(real_data)
    collection.insert_many(expected.to_dict("records"))
    pd.testing.assert_frame_equal(read(source_of(mongod, collection)), expected, check_dtype=False)


@pytest.mark.parametrize("path", ["networksecurity_tests", "networksecurity_tests.{}", ""])
def test_mongodb_of_the_settings(path, mongod, collection):
    collection.insert_one({"port": 1})
    values = {"mongodb_database": "networksecurity_tests", "mongodb_collection": collection.name}
    source = f"{mongod.uri}/{path.format(collection.name)}"
    assert cells(read("mongodb", mongodb_uri=source, **values)["port"]) == [1]
    assert cells(read(source, **values)["port"]) == [1]


def test_collection_with_dots_in_its_name(mongod, collection):
    dotted = collection["of.today"]
    dotted.insert_one({"port": 1})
    assert cells(read(source_of(mongod, dotted))["port"]) == [1]
    dotted.drop()


def test_values_are_kept_as_they_are(mongod, collection):
    odd = [
        1.7,
        True,
        2**40,
        128,
        -128,
        "na",
        "1",
        math.inf,
        Decimal128("1"),
        {"a": 1},
        [1],
        b"\x00",
        datetime(2020, 1, 1, tzinfo=UTC),
    ]
    fine = [1, -1.0, Int64(0), 127, -127]
    missing = [None, math.nan]
    collection.insert_many([{"_id": i, "port": value, "SFH": 1} for i, value in enumerate([*odd, *fine, *missing])])
    collection.insert_one({"_id": 1000, "SFH": 0})
    frame = read(source_of(mongod, collection))
    assert frame["SFH"].dtype == "Int8"
    assert frame["port"].dtype == "str"
    assert cells(frame["port"]) == [
        "1.7",
        "True",
        "1099511627776",
        "128",
        "-128",
        "na",
        "1",
        "inf",
        "1",
        "{'a': 1}",
        "[1]",
        "b'\\x00'",
        "2020-01-01 00:00:00",
        "1",
        "-1",
        "0",
        "127",
        "-127",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("n_odd_first", [0, 20])
def test_odd_cell_in_one_batch_only(n_odd_first, mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 10)
    values = ["na"] * n_odd_first + [1] * 30 + [None] + [True]
    collection.insert_many([{"_id": i, "port": value} for i, value in enumerate(values)])
    assert cells(read(source_of(mongod, collection))["port"]) == [None if v is None else str(v) for v in values]


def test_values_that_python_cannot_hold(mongod, collection):
    # A date in the year 292,278,994, and text that is not UTF-8.
    date = b"\x13\x00\x00\x00\x09port\x00" + (2**63 - 1).to_bytes(8, "little") + b"\x00"
    text = b"\x13\x00\x00\x00\x02port\x00\x04\x00\x00\x00a\xffb\x00\x00"
    collection.insert_many([bson.raw_bson.RawBSONDocument(document) for document in (date, text)])
    first, second = cells(read(source_of(mongod, collection))["port"])
    assert str(2**63 - 1) in first
    assert second == "a\ufffdb"


def test_known_columns_only_under_any_known_name(mongod, collection):
    collection.insert_many([{"_id": i, "id": i, "notes": {"port": 9}, "port_no": 1, "class": -1} for i in range(50)])
    assert read(source_of(mongod, collection)).columns.tolist() == ["port_no", "class"]


def with_other_names(n_rows=300):
    """Return documents whose middle third calls some columns by names that the ends do not have."""
    rows = make_phishing_websites(n_rows)
    documents = [{"_id": row, "note": "x", **each} for row, each in enumerate(rows.to_dict("records"))]
    names = {"port": "port_no", "SSLfinal_State": "sslfinal_state", "URL_of_Anchor": "Url Of Anchor", "Result": "class"}
    third = slice(n_rows // 3, 2 * n_rows // 3)
    documents[third] = [{names.get(name, name): cell for name, cell in each.items()} for each in documents[third]]
    return rows, documents


@pytest.mark.parametrize("whole", [False, True])
def test_every_known_spelling_is_read_from_every_document(whole, mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 70)
    rows, documents = with_other_names()
    if not whole:
        del documents[150]["Page_Rank"]
        rows = rows.astype("Int8")
        rows.loc[150, "Page_Rank"] = pd.NA
    collection.insert_many(documents)
    frame = read(source_of(mongod, collection))
    pd.testing.assert_frame_equal(frame, rows, check_dtype=False)
    source = mongodb.parse(source_of(mongod, collection), configured())
    found = pd.concat(frames(source, 70), ignore_index=True)
    pd.testing.assert_frame_equal(found[list(FEATURES)], rows[list(FEATURES)], check_dtype=False)


def test_new_rows_are_read_under_every_spelling(target, collection, write):
    ingest(write(sample()), target)
    ingest(write(sample(random_state=1), "more.csv"), target)
    expected = rows_since(target, 1)[0]
    collection.update_many({"ingestion.id": 2, "_id.row": {"$gt": 100}}, {"$rename": {"port": "port_no"}})
    pd.testing.assert_frame_equal(rows_since(target, 1)[0], expected)
    with mongodb.parse(target, configured()).batches(since=1) as new:
        (found,) = new.frames
    pd.testing.assert_frame_equal(found[list(FEATURES)], expected[list(FEATURES)])


def test_two_spellings_of_one_document_are_merged_or_rejected(mongod, collection):
    rows, documents = with_other_names(90)
    documents[40] |= {"port": documents[40]["port_no"]}  # the same
    documents[41] |= {"port": None, "PORT": "na"}  # one of them known
    documents[42] |= {"port": 1.0, "port_no": 1}
    documents[43] |= {"port": -1, "port_no": 1}  # they differ
    documents[44] |= {"Result": -1, "class": 1}
    collection.insert_many(documents)
    validated = validate(read(source_of(mongod, collection)))
    assert validated.rejected.index.tolist() == [43, 44]
    assert validated.rejected["reasons"].tolist() == [
        "port is spelled in two ways that differ",
        "Result is spelled in two ways that differ",
    ]
    assert validated.rejected.loc[43, "port"] == "conflict: port_no 1, port -1"
    assert validated.accepted.loc[[40, 41], "port"].tolist() == rows.loc[[40, 41], "port"].tolist()
    assert validated.accepted.loc[42, "port"] == 1


def test_a_spelling_that_nobody_knows_is_reported(mongod, collection, caplog):
    _, documents = with_other_names()
    for document in documents[120:140]:
        document["prt"] = document.pop("port_no")
    documents[150]["rare"] = documents[150].pop("SFH")
    collection.insert_many(documents)
    read(source_of(mongod, collection))
    (message,) = caplog.messages
    assert message.endswith("documents that lack a column have fields that are not known as one: prt (20 documents)")
    caplog.clear()
    list(frames(mongodb.parse(source_of(mongod, collection), configured()), 100))
    assert "prt (20 documents)" in caplog.text


def test_collection_of_something_else(mongod, collection):
    collection.insert_one({"_id": 1, "NumDots": 1, "NumDash": 2})
    refused(DataSourceError, source_of(mongod, collection), says=[collection.name, "NumDots", "NumDash"])


def test_empty_collection(mongod, collection):
    host = mongod.uri.rpartition("/")[2]
    says = [collection.name, "networksecurity_tests", host, "MONGODB_COLLECTION", "ingest"]
    refused(DataSourceError, source_of(mongod, collection), says=says)


def test_mongodb_without_uri(monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    refused(ConfigurationError, "mongodb", says="MONGODB_URI")


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://me:{PASSWORD}@host:port/db",
        f"mongodb://me:{PASSWORD}@host:99999/db",
        f"mongodb://me:{PASSWORD}@/db",
        f"mongodb://me:a/{PASSWORD}@host/db",
        f"mongodb://me:a?{PASSWORD}@host/db",
        f"mongodb://me:a@{PASSWORD}@host/db",
        f"mongodb://me:a:{PASSWORD}@host/db",
        f"mongodb://me:{PASSWORD}@host/a$b.c",
        f"mongodb://me:{PASSWORD}@host/db.c?tls",
        f"mongodb://me:{PASSWORD}@host/db.c?tls=true&ssl=false",
        f"mongodb://me:{PASSWORD}@host/db.c?tlsCAFile=/no/such/file",
        f"mongodb://me:{PASSWORD}@host/db..c",
        f"mongodb+srv://me:{PASSWORD}@host:27017/db.c",
    ],
)
def test_mongodb_uri_that_is_not_valid(uri):
    refused(ConfigurationError, uri, says="mongodb")
    refused(ConfigurationError, "mongodb", says="mongodb", mongodb_uri=uri)


def test_mongodb_uri_of_another_kind():
    refused(ConfigurationError, "mongodb", says="MONGODB_URI", mongodb_uri=f"postgresql://me:{PASSWORD}@host")


def test_mongodb_that_is_not_there(closed_port):
    source = f"mongodb://me:{PASSWORD}@127.0.0.1:{closed_port}/db.rows"
    says = [f"mongodb://127.0.0.1:{closed_port}", "after 0.", " s: ", "refused", "start the server", "MONGODB_URI"]
    refused(SourceUnavailableError, source, says=says, mongodb_timeout=0.2)
    # What the connection string says about time counts more.
    refused(SourceUnavailableError, f"{source}?serverSelectionTimeoutMS=200", says=says, mongodb_timeout=60)


def test_mongodb_name_that_nobody_knows():
    source = f"mongodb+srv://me:{PASSWORD}@cluster.nowhere.invalid/db.rows?connectTimeoutMS=500"
    refused(SourceUnavailableError, source, says=["cluster.nowhere.invalid", "MONGODB_URI"], mongodb_timeout=0.5)


def test_mongodb_that_says_nothing(silent_port):
    source = f"mongodb://127.0.0.1:{silent_port}/db.rows"
    refused(SourceUnavailableError, source, says=str(silent_port), mongodb_timeout=0.3)


def test_user_of_the_database_in_the_path(mongod, collection):
    collection.insert_one({"port": 1})
    database = collection.database
    database.command("createUser", "me", pwd=PASSWORD, roles=["read"])
    try:
        with_user = source_of(mongod, collection).replace("://", f"://me:{PASSWORD}@")
        assert cells(read(with_user)["port"]) == [1]
        for wrong in (with_user.replace(PASSWORD, f"{PASSWORD}x"), f"{with_user}?authSource=admin"):
            refused(DataSourceError, wrong, says=[collection.full_name, "code 18", "authSource"])
    finally:
        database.command("dropUser", "me")


def test_read_that_is_not_allowed(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "refused", failCommands=["find"], errorCode=13):
        refused(DataSourceError, source_of(mongod, collection, "?appName=refused"), says=["code 13", "roles"])


def test_other_failure_of_the_server(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "other", failCommands=["find"], errorCode=2):
        refused(DataSourceError, source_of(mongod, collection, "?appName=other"), says=["code 2", collection.full_name])


@pytest.mark.parametrize("failure", [{"closeConnection": True}, {"errorCode": 43}, {"errorCode": 50}])
def test_lost_in_the_middle(failure, mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 10)
    collection.insert_many([{"port": 1} for _ in range(30)])
    with failing(mongod, "lost", failCommands=["getMore"], **failure):
        refused(
            SourceUnavailableError, source_of(mongod, collection, "?appName=lost"), says=["failed after", "MONGODB_URI"]
        )


@pytest.mark.parametrize("skip", [1, 2])
def test_lost_while_columns_are_looked_up(skip, mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "lost", skip=skip, failCommands=["find"], closeConnection=True):
        refused(SourceUnavailableError, source_of(mongod, collection, "?appName=lost"), says="failed after")


def test_read_that_is_blocked(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "slow", failCommands=["find"], blockConnection=True, blockTimeMS=1500):
        source = source_of(mongod, collection, "?appName=slow&socketTimeoutMS=200")
        refused(SourceUnavailableError, source, says=["failed after", "timed out"])


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def target(mongod, collection):
    return source_of(mongod, collection)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 40)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes rows to a CSV file; `row` numbers them as they will be in MongoDB."""

    def to_csv(frame, name="rows.csv"):
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return to_csv


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


def test_a_document(target, collection, write):
    path = write(sample(bad=[5]))
    done = ingest(path, target)
    assert numbers(done) == (300, 299, 0, 1)
    file = hashlib.sha256(path.read_bytes()).hexdigest()
    document = collection.find_one({"_id": {"file": file, "row": 2}})
    assert list(document) == ["_id", *DOMAINS, "ingestion"]
    assert document["SFH"] is None
    assert all(type(document[name]) is int for name in DOMAINS if name != "SFH")
    time = document["ingestion"].pop("time")
    assert abs(datetime.now(UTC).replace(tzinfo=None) - time).total_seconds() < 3600
    assert document["ingestion"] == {"id": done.ingestion, "source": str(path)}

    document = in_quarantine(collection).find_one()
    assert document["_id"] == {"file": file, "row": 5}
    assert document["reasons"] == ["port is not one of -1, 1", "SFH is not a whole number"]
    assert document["values"]["port"] == "7"
    assert document["values"]["SFH"] == "x"
    assert document["ingestion"]["id"] == done.ingestion


def test_what_was_ingested_is_read_as_it_was(target, collection, write, small_batches):
    path = write(sample())
    ingest(path, target)
    frame = read(target)
    assert set(frame.dtypes) == {pd.Int8Dtype()}
    pd.testing.assert_frame_equal(frame, validate(pd.read_csv(path)).accepted)


def test_the_same_file_again_adds_nothing(target, collection, write, small_batches):
    path = write(sample(bad=[5, 299]))
    first = ingest(path, target)
    before = list(collection.find())
    again = ingest(path, target)
    assert numbers(first) == (300, 298, 0, 2)
    assert numbers(again) == (300, 0, 298, 2)
    assert again.ingestion > first.ingestion
    assert list(collection.find()) == before
    assert_holds(collection, path)


def test_equal_rows_stay_and_another_file_adds_its_own(target, collection, write):
    rows = pd.concat([sample(50)] * 3)
    path, other = write(rows), write(rows[:-1], "other.csv")
    assert numbers(ingest(path, target)) == (150, 150, 0, 0)
    assert numbers(ingest(other, target)) == (149, 149, 0, 0)
    assert_holds(collection, path, other)


def test_what_was_deleted_comes_back(target, collection, write, small_batches):
    path = write(sample(bad=[5, 250]))
    ingest(path, target)
    collection.delete_many({"_id.row": {"$gte": 70, "$lt": 95}})
    in_quarantine(collection).delete_one({"_id.row": 5})
    assert numbers(ingest(path, target)) == (300, 25, 273, 2)
    assert_holds(collection, path)


@pytest.mark.parametrize(
    ("command", "skip", "failure"),
    [
        ("insert", 0, {"closeConnection": True}),
        ("insert", 1, {"closeConnection": True}),  # the first after the bookkeeping's
        ("insert", 4, {"closeConnection": True}),
        ("insert", 9, {"closeConnection": True}),
        ("insert", 4, {"errorCode": 91}),  # shutting down
        ("insert", 4, {"errorCode": 11600}),  # interrupted by the shutdown
        ("createIndexes", 0, {"closeConnection": True}),
        ("createIndexes", 2, {"closeConnection": True}),
        ("find", 2, {"closeConnection": True}),
        ("aggregate", 0, {"closeConnection": True}),
        ("update", 0, {"closeConnection": True}),
    ],
)
def test_lost_at_any_command_and_run_again(command, skip, failure, mongod, target, collection, write, small_batches):
    path = write(sample(bad=[5, 150, 299]))
    with (
        failing(mongod, "lost", skip=skip, failCommands=[command], **failure),
        pytest.raises(SourceUnavailableError, match="failed after"),
    ):
        ingest(path, f"{target}?appName=lost")
    if collection.find_one():  # half a file is not read
        with pytest.raises(DataSourceError, match="have not finished: run them again"):
            read(target)
    done = ingest(path, target)
    assert numbers(done) == (300, 297, 0, 3)
    assert bookkeeping(collection).count_documents({}) == 1
    assert_holds(collection, path)


def test_lost_at_the_second_reading(mongod, target, collection, write, small_batches):
    path = write(sample(bad=[5]))
    ingest(path, target)
    for command, skip in (("find", 5), ("find", 9), ("update", 0)):
        with (
            failing(mongod, "lost", skip=skip, failCommands=[command], closeConnection=True),
            pytest.raises(SourceUnavailableError),
        ):
            ingest(path, f"{target}?appName=lost")
    assert numbers(ingest(path, target)) == (300, 0, 299, 1)
    assert_holds(collection, path)


def test_written_but_the_answer_was_lost(mongod, target, collection, write, small_batches):
    path = write(sample(bad=[5]))
    blocked = {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 800}
    with (
        failing(mongod, "slow", skip=3, **blocked),
        pytest.raises(SourceUnavailableError, match="timed out"),
    ):
        ingest(path, f"{target}?appName=slow&socketTimeoutMS=200")
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert_holds(collection, path)


def test_write_that_no_majority_confirms(mongod, target, collection, write):
    path = write(sample(bad=[5]))
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out"}
    with (
        failing(mongod, "alone", skip=1, failCommands=["insert"], writeConcernError=unconfirmed),
        pytest.raises(SourceUnavailableError, match="code 64, waiting for replication"),
    ):
        ingest(path, f"{target}?appName=alone")
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert_holds(collection, path)


def test_write_that_is_not_allowed(mongod, target, collection, write):
    with (
        failing(mongod, "refused", failCommands=["insert"], errorCode=13),
        pytest.raises(DataSourceError, match="code 13.*roles"),
    ):
        ingest(write(sample()), f"{target}?appName=refused")


def test_a_rule_of_the_collection(target, collection, write):
    collection.database.create_collection(collection.name, validator={"port": -1})
    with pytest.raises(DataSourceError, match=r"code 121, Document failed validation\)$"):
        ingest(write(sample()), target)


def test_an_index_that_refuses_rows_loses_none_in_silence(target, collection, write):
    collection.create_index("port", unique=True)
    with pytest.raises(DataSourceError, match="code 11000, E11000 duplicate key"):
        ingest(write(sample()), target)


def test_rows_of_another_program_with_other_names_are_read_beside_ours(target, collection, write):
    collection.insert_one({"port_no": 1, "class": -1})
    ingest(write(sample()), target)
    assert (len(read(target)), read(target)["port"].isna().sum()) == (301, 0)


@pytest.mark.parametrize("target", ["rows.csv", "sample", "mongo://host/db.rows", ""])
def test_target_that_is_no_collection(target, write):
    with pytest.raises(ConfigurationError, match="is not a collection: mongodb://host"):
        ingest(write(sample()), target)


def test_target_that_is_not_there(closed_port, write):
    target = f"mongodb://me:{PASSWORD}@127.0.0.1:{closed_port}/db.rows"
    with pytest.raises(SourceUnavailableError, match="start the server") as caught:
        ingest(write(sample()), target, mongodb_timeout=0.2)
    assert PASSWORD not in str(caught.value)


def test_target_of_the_settings(mongod, target, collection, write):
    path = write(sample())
    done = ingest(path, "mongodb", mongodb_uri=target)
    assert done.collection == mongodb.parse("mongodb", configured(mongodb_uri=target)).shown
    assert_holds(collection, path)


def test_the_same_file_at_once(target, collection, write, small_batches):
    path = write(sample(bad=[5, 150, 299]))
    with ThreadPoolExecutor(4) as pool:
        done = [future.result() for future in [pool.submit(ingest, path, target) for _ in range(4)]]
    assert_holds(collection, path)
    assert all(each.n_inserted + each.n_already_there == 297 for each in done)
    assert bookkeeping(collection).count_documents({"open": True}) == 0
    assert len(read(target)) == 297


def test_many_files_at_once_finish_one_after_the_other(target, collection, write, small_batches):
    paths = [write(sample(60, random_state=number), f"{number}.csv") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        done = [future.result() for future in [pool.submit(ingest, path, target) for path in paths]]
    assert sorted(each.ingestion for each in done) == list(range(1, 9))
    assert sorted(each["position"] for each in bookkeeping(collection).find()) == list(range(1, 9))
    assert_holds(collection, *paths)


def test_a_number_is_not_given_twice_where_bookkeeping_was_lost(target, collection, write):
    ingest(write(sample()), target)
    bookkeeping(collection).drop()
    assert len(read(target)) == 300
    assert ingest(write(sample(random_state=1), "other.csv"), target).ingestion == 2
    assert len(read(target)) == 600


# --- what is new ------------------------------------------------------------------------------------------------------


def rows_since(target, since=None):
    rows = mongodb.parse(target, configured()).read(since=since)
    return rows.frame, rows.watermark


def test_what_is_new_since_a_watermark(target, collection, write, small_batches):
    first, second, third = (write(sample(random_state=number), f"{number}.csv") for number in range(3))
    ingest(first, target)
    _, watermark = rows_since(target)
    frame, same = rows_since(target, watermark)
    assert (len(frame), same) == (0, watermark)
    assert frame.columns.tolist() == list(DOMAINS)
    assert set(frame.dtypes) == {pd.Int8Dtype()}
    for path in (second, third):
        ingest(path, target)
    frame, last = rows_since(target, watermark)
    expected = pd.concat([validate(pd.read_csv(path)).accepted for path in (second, third)], ignore_index=True)
    pd.testing.assert_frame_equal(frame, expected)
    frame, _ = rows_since(target, last)
    assert frame.empty
    assert len(rows_since(target)[0]) == 900


def test_what_began_before_a_watermark_and_finished_after_it_is_new(target, collection, write):
    slow, quick, late = (write(sample(random_state=number), f"{number}.csv") for number in range(3))
    ingest(late, target)
    frame, watermark = rows_since(target)
    seen, at = [len(frame)], [watermark]

    def meanwhile(n_rows):
        if n_rows == 200:
            assert collection.count_documents({"ingestion.id": 2}) == 200
            ingest(quick, target)
            frame, watermark = rows_since(target, at[-1])
            pd.testing.assert_frame_equal(frame, validate(pd.read_csv(quick)).accepted)
            seen.append(len(frame))
            at.append(watermark)
            assert len(read(target)) == 600  # and not the 200 of half a file

    ingest(slow, target, on_progress=meanwhile)
    frame, watermark = rows_since(target, at[-1])
    pd.testing.assert_frame_equal(frame, validate(pd.read_csv(slow)).accepted)
    assert seen == [300, 300]
    assert [*at, watermark] == [1, 3, 2]
    assert rows_since(target, watermark)[0].empty
    assert len(read(target)) == 900


def test_what_finishes_during_a_full_read_is_left_to_the_next(target, collection, write, monkeypatch):
    first, during, begun = (write(sample(random_state=number), f"{number}.csv") for number in range(3))
    ingest(first, target)
    select = reading._select_all

    def and_then(*args):
        found = select(*args)
        ingest(begun, target)
        return found

    def in_the_middle(n_rows):
        if n_rows == 100:
            with monkeypatch.context() as patched:
                patched.setattr(reading, "_select_all", and_then)
                read_.append(rows_since(target))

    read_ = []
    ingest(during, target, on_progress=in_the_middle)
    (frame, watermark) = read_[0]
    pd.testing.assert_frame_equal(frame, validate(pd.read_csv(first)).accepted)
    assert len(rows_since(target, watermark)[0]) == 600


def test_what_was_read_in_steps_is_everything_once(target, collection, write, small_batches):
    """Several writers, and one reader that goes on from its watermark until they are done and there is nothing new."""
    paths = [write(sample(90, random_state=number), f"{number}.csv") for number in range(10)]
    ingest(paths[0], target)
    parts, watermark = [], None
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(ingest, path, target) for path in paths[1:]]
        done = False
        while not done:
            done = all(future.done() for future in futures)
            frame, watermark = rows_since(target, watermark)
            parts.append(frame)
        for future in futures:
            future.result()
    expected = pd.concat([validate(pd.read_csv(path)).accepted for path in paths])
    found = pd.concat(parts)
    order = list(DOMAINS)
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), expected.sort_values(order, ignore_index=True)
    )


def test_since_a_time(target, collection, write):
    ingest(write(sample()), target)
    ingest(write(sample(random_state=1), "other.csv"), target)
    first, second = (
        each["finished"].replace(tzinfo=UTC) for each in bookkeeping(collection).find(sort={"position": 1})
    )
    bookkeeping(collection).update_one({"_id": 1}, {"$set": {"finished": first - timedelta(hours=1)}})
    assert len(rows_since(target, second)[0]) == 300
    assert rows_since(target, second)[1] == 2
    assert len(rows_since(target, first - timedelta(hours=2))[0]) == 600
    assert rows_since(target, second + timedelta(seconds=1))[0].empty


def test_since_nothing_that_is_known(target, collection, write):
    with pytest.raises(DataSourceError, match="no ingestion 1 has finished in .*: none has"):
        rows_since(target, 1)
    ingest(write(sample()), target)
    with pytest.raises(DataSourceError, match="no ingestion 7 has finished in .*: the last one was 1"):
        rows_since(target, 7)


def test_rows_that_are_left_out_are_said(target, mongod, collection, write, caplog):
    ingest(write(sample()), target)
    path = write(sample(random_state=1), "other.csv")
    with failing(mongod, "lost", failCommands=["update"], closeConnection=True), pytest.raises(SourceUnavailableError):
        ingest(path, f"{target}?appName=lost")
    assert len(read(target)) == 300
    assert f"ingestions that have not finished are left out: 2 ({path})" in caplog.text


def test_the_first_ingestion_begins_during_a_read(target, collection, write, monkeypatch):
    collection.insert_many(make_phishing_websites(20).to_dict("records"))
    look = reading._first_impression

    def meanwhile(*args):
        monkeypatch.setattr(reading, "_first_impression", look)
        ingest(write(sample()), target)
        return look(*args)

    monkeypatch.setattr(reading, "_first_impression", meanwhile)
    frame, watermark = rows_since(target)
    assert (len(frame), watermark) == (320, 1)


def test_rows_of_other_programs_are_in_full_reads_only(target, collection, write):
    collection.insert_many(make_phishing_websites(20).to_dict("records"))
    assert rows_since(target)[1] is None
    ingest(write(sample()), target)
    assert len(rows_since(target)[0]) == 320
    assert len(rows_since(target, datetime(2020, 1, 1, tzinfo=UTC))[0]) == 300


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("17", 17),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_parse_since(text, since):
    assert mongodb.parse_since(text) == since


@pytest.mark.parametrize("text", ["", "yesterday", "-1", "1.5", "²"])
def test_since_that_cannot_be_read(text):
    with pytest.raises(ConfigurationError, match="neither the number of an ingestion nor a time such as"):
        mongodb.parse_since(text)


def test_full_and_new_rows_are_found_by_an_index(target, collection, write, mongod):
    ingest(write(sample()), target)
    database = collection.database
    with MongoClient(mongod.uri) as client:
        client[database.name].command("profile", 2, filter={"ns": collection.full_name, "op": {"$in": ["query"]}})
    try:
        rows_since(target)
        rows_since(target, datetime(2020, 1, 1, tzinfo=UTC))
    finally:
        database.command("profile", 0)
    plans = [each["planSummary"] for each in database["system.profile"].find({"ns": collection.full_name})]
    database["system.profile"].drop()
    assert plans
    assert all(plan.startswith("IXSCAN") for plan in plans)


# --- quarantine -------------------------------------------------------------------------------------------------------


def resubmit(frame, target, write, name="corrected.csv"):
    path = write(frame, name)
    with opened(target) as collection:
        return collection.resubmit(read(path), sha256=sha256_of(path), source=str(path))


def quarantined(target):
    with opened(target) as collection:
        return collection.quarantined()


def count_quarantined(target):
    with opened(target) as collection:
        return collection.count_quarantined()


@pytest.fixture
def bad_file(target, write):
    path = write(sample(bad=[5, 150, 299]))
    ingest(path, target)
    return path


def test_counts_by_ingestion_and_reason(target, collection, write, bad_file):
    other = write(sample(bad=[1], random_state=1), "other.csv")
    ingest(other, target)
    counts = count_quarantined(target)
    assert counts[["ingestion", "source", "reason", "rows"]].to_numpy().tolist() == [
        [1, str(bad_file), "SFH is not a whole number", 3],
        [1, str(bad_file), "port is not one of -1, 1", 3],
        [2, str(other), "SFH is not a whole number", 1],
        [2, str(other), "port is not one of -1, 1", 1],
    ]
    assert datetime.fromisoformat(counts["time"][0]).tzinfo is not None


def test_empty_quarantine(target, collection):
    assert count_quarantined(target).empty
    assert quarantined(target).empty


def test_quarantined_rows_with_their_values(target, collection, bad_file):
    rows = quarantined(target)
    assert rows.columns.tolist() == [*ORIGIN, *DOMAINS]
    assert rows["row"].tolist() == [5, 150, 299]
    assert rows["port"].tolist() == ["7"] * 3
    assert rows["SFH"].tolist() == ["x"] * 3
    assert rows["reasons"].unique().tolist() == ["port is not one of -1, 1; SFH is not a whole number"]
    assert rows["source"].unique().tolist() == [str(bad_file)]


def test_corrected_rows_move_once(target, collection, write, bad_file):
    _, watermark = rows_since(target)
    corrected = quarantined(target)
    corrected.loc[0, ["port", "SFH"]] = ["1", "-1"]
    corrected.loc[1, "SFH"] = "na"
    done = resubmit(corrected, target, write)
    assert numbers(done) == (3, 1, 0, 2)
    file = hashlib.sha256(bad_file.read_bytes()).hexdigest()
    moved = collection.find_one({"_id": {"file": file, "row": 5}})
    assert (moved["port"], moved["SFH"], moved["ingestion"]["id"]) == (1, -1, done.ingestion)
    left = {each["_id"]["row"]: each for each in in_quarantine(collection).find()}
    assert list(left) == [150, 299]
    assert left[150]["reasons"] == ["port is not one of -1, 1"]
    assert left[150]["values"]["SFH"] == "na"
    frame, _ = rows_since(target, watermark)  # a reader that had read the file gets the corrected row
    assert frame["SFH"].tolist() == [-1]

    assert numbers(resubmit(corrected, target, write)) == (3, 0, 1, 2)
    # The file again knows what became of its rows.
    assert numbers(ingest(bad_file, target)) == (300, 0, 298, 2)
    assert collection.count_documents({}) == 298
    assert in_quarantine(collection).count_documents({}) == 2


@pytest.mark.parametrize(
    ("command", "skip"), [("insert", 0), ("insert", 1), ("delete", 0), ("update", 0), ("update", 2)]
)
def test_resubmission_lost_on_the_way(command, skip, target, mongod, collection, write, bad_file):
    corrected = quarantined(target)
    corrected.loc[0, ["port", "SFH"]] = ["1", "-1"]
    with (
        failing(mongod, "lost", skip=skip, failCommands=[command], closeConnection=True),
        pytest.raises(SourceUnavailableError),
    ):
        resubmit(corrected, f"{target}?appName=lost", write)
    assert numbers(resubmit(corrected, target, write)) == (3, 1, 0, 2)
    assert collection.count_documents({}) == len(read(target)) == 298
    assert in_quarantine(collection).count_documents({}) == 2


@pytest.mark.parametrize(("first", "expected"), [(0, (3, 2, 0, 1)), (1, (2, 1, 0, 1))])
def test_corrections_cut_short_and_corrected_further(
    first, expected, target, mongod, collection, write, bad_file, caplog
):
    _, watermark = rows_since(target)
    corrected = quarantined(target)
    corrected.loc[0, ["port", "SFH"]] = ["1", "-1"]
    with (
        failing(mongod, "lost", failCommands=["aggregate"], closeConnection=True),
        pytest.raises(SourceUnavailableError),
    ):
        resubmit(corrected, f"{target}?appName=lost", write)
    assert len(read(target)) == 297  # it has moved, but not finished
    corrected.loc[1, ["port", "SFH"]] = ["1", "-1"]
    done = resubmit(corrected[first:], target, write, "corrected further.csv")
    assert numbers(done) == expected
    caplog.clear()
    assert collection.count_documents({}) == len(read(target)) == 299
    assert "left out" not in caplog.text
    assert len(rows_since(target, watermark)[0]) == 2


def test_one_resubmission_at_a_time(target, collection, write, bad_file, monkeypatch):
    corrected = quarantined(target)
    other = corrected[1:2].assign(port="1", SFH="-1")
    mine = corrected[:1].assign(port="1", SFH="-1")
    insert = quarantine.insert

    def and_another_one(*args):
        monkeypatch.setattr(quarantine, "insert", insert)
        assert numbers(resubmit(other, target, write, "other.csv")) == (1, 1, 0, 0)
        insert(*args)

    monkeypatch.setattr(quarantine, "insert", and_another_one)
    with pytest.raises(SourceUnavailableError, match="took over ingestion 2: run this one again"):
        resubmit(mine, target, write)
    _, watermark = rows_since(target)
    assert numbers(resubmit(mine, target, write)) == (1, 1, 0, 0)
    assert collection.count_documents({}) == len(read(target)) == 299
    assert len(rows_since(target, watermark)[0]) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(columns="file"), "need the columns file and row"),
        (lambda rows: rows.assign(row="x"), "as they were exported"),
        (lambda rows: rows.assign(row=[5, 150, 1.5]), "as they were exported"),
        (lambda rows: rows.assign(row=[5, 150, -1]), "as they were exported"),
        (lambda rows: rows.assign(row=[5, 150, 5]), "1 rows are there twice, such as row 5 of file"),
        (lambda rows: rows.assign(row=[5, 150, 1000]), "1 of 3 rows are not in .*_quarantine, such as row 1000"),
        (lambda rows: rows.assign(file="abc"), "3 of 3 rows are not in"),
        (lambda rows: rows.drop(columns="port"), "1 missing: port"),
        (lambda rows: rows.assign(comment="x"), "1 unknown: comment"),
    ],
)
def test_corrections_that_cannot_be_used(change, says, target, collection, write, bad_file):
    corrected = quarantined(target)
    with pytest.raises(DataValidationError, match=says):
        resubmit(change(corrected), target, write)
    assert_holds(collection, bad_file)
    assert bookkeeping(collection).count_documents({}) == 1


def test_row_that_a_newer_check_accepts_leaves_the_quarantine(target, collection, write, bad_file, monkeypatch):
    collection.delete_one({"_id.row": 7})
    document = in_quarantine(collection).find_one()
    document["_id"]["row"] = 7  # set aside by an older, stricter check
    in_quarantine(collection).insert_one(document)
    assert numbers(ingest(bad_file, target)) == (300, 1, 296, 3)
    assert_holds(collection, bad_file)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(rows):
    return make_pipeline(get_candidate("Decision Tree"), {}).fit(*to_X_y(rows))


@pytest.fixture
def scores(mongod, collection):
    """Return the collection that predictions are written to, dropped afterwards."""
    scores = collection.database[f"{collection.name}_scores"]
    yield scores
    for name in (scores.name, f"{scores.name}_quarantine"):
        collection.database.drop_collection(name)


def score_new(model, target, into, version="1", since=None, on_progress=None, batch_rows=100):
    """Score what is new in a collection and return how many rows were read, and how far."""
    scorer = BatchScorer(model, name="phishing", version=version, max_rejected=1)
    rows = mongodb.parse(target, configured())
    with rows.batches(batch_rows, since=since) as new, opened(into) as output:
        output.write_predictions(map(scorer.add, new.frames), on_progress=on_progress)
        return new.n_rows, new.watermark


def key_of(document, version="1"):
    return {"row": document["_id"], "model": "phishing", "model_version": version}


def assert_scored(model, collection, scores, *versions):
    """Assert that each version has scored each valid row of a collection once, as it would by itself."""
    documents = list(collection.find())
    frame = Validation(max_rejected=1, with_target=False).add(pd.DataFrame(documents)[list(DOMAINS)])[0]
    expected = [
        key_of(documents[row], version)
        | {"phishing_probability": found.phishing_probability, "label": str(found.label)}
        for version in versions
        for row, found in zip(frame.index, score(model, frame).itertuples(), strict=True)
    ]
    found = [
        document["_id"] | {name: document[name] for name in ("phishing_probability", "label")}
        for document in scores.find()
    ]

    def order(document):
        return str(document)

    assert sorted(found, key=order) == sorted(expected, key=order)


def test_reading_gives_what_read_gives_with_keys(target, collection, write, small_batches):
    ingest(write(sample(bad=[5])), target)
    collection.insert_many([{"_id": key, "port": 1.0, "Result": "x"} for key in (b"k", 7, "key", ObjectId())])
    with mongodb.parse(target, configured()).batches(120) as new:
        assert new.n_rows == 303
        batches = list(new.frames)
        assert new.watermark == 1
    assert [len(batch) for batch in batches] == [120, 120, 63]
    assert [row for batch in batches for row in batch.index] == list(range(303))
    whole = read(target)
    together = pd.concat([batch[list(FEATURES)].astype("str") for batch in batches], ignore_index=True)
    pd.testing.assert_frame_equal(together, whole[list(FEATURES)].astype("str"))
    keys = [key for batch in batches for key in batch["_id"]]
    assert keys == [document["_id"] for document in collection.find(sort={"_id": 1})]


def test_reading_what_is_new(target, collection, write, small_batches):
    ingest(write(sample()), target)
    ingest(write(sample(80, random_state=1), "more.csv"), target)
    with mongodb.parse(target, configured()).batches(since=1) as new:
        assert (new.n_rows, new.watermark) == (80, 2)
        (batch,) = new.frames
        assert {key["row"] for key in batch["_id"]} == set(range(80))
    with mongodb.parse(target, configured()).batches(since=2) as new:
        assert (new.n_rows, list(new.frames), new.watermark) == (0, [], 2)


def test_a_prediction(model, target, collection, scores, write):
    ingest(write(sample(10)), target)
    assert score_new(model, target, f"{target}_scores") == (10, 1)
    document = scores.find_one({"_id.row.row": 3})
    assert list(document) == ["_id", "phishing_probability", "label", "model", "model_version"]
    assert document["_id"] == key_of(collection.find_one({"_id.row": 3}))
    assert (document["model"], document["model_version"]) == ("phishing", "1")
    assert_scored(model, collection, scores, "1")


def test_each_version_scores_each_row_once(model, target, collection, scores, write, small_batches):
    ingest(write(sample()), target)
    seen = []
    _, watermark = score_new(model, target, f"{target}_scores", on_progress=seen.append)
    assert seen == [80, 160, 240, 300]
    ingest(write(sample(70, random_state=1), "more.csv"), target)
    assert score_new(model, target, f"{target}_scores", since=watermark) == (70, 2)
    assert_scored(model, collection, scores, "1")
    score_new(model, target, f"{target}_scores", version="2")
    score_new(model, target, f"{target}_scores", version="2")
    assert_scored(model, collection, scores, "1", "2")


@pytest.mark.parametrize(
    ("command", "skip", "failure"),
    [
        ("insert", 0, {"closeConnection": True}),
        ("insert", 3, {"closeConnection": True}),
        ("insert", 6, {"errorCode": 91}),
        ("find", 1, {"closeConnection": True}),
    ],
)
def test_scoring_lost_on_the_way_and_done_again(
    command, skip, failure, mongod, model, target, collection, scores, write, small_batches
):
    ingest(write(sample()), target)
    with failing(mongod, "lost", skip=skip, failCommands=[command], **failure), pytest.raises(SourceUnavailableError):
        score_new(model, target, f"{target}_scores?appName=lost")
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_rows_lost_while_they_are_scored(mongod, model, target, collection, scores, write, small_batches):
    ingest(write(sample()), target)
    with (
        failing(mongod, "lost", skip=2, failCommands=["getMore"], closeConnection=True),
        pytest.raises(SourceUnavailableError),
    ):
        score_new(model, f"{target}?appName=lost", f"{target}_scores")
    assert 0 < scores.count_documents({}) < 300
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_scores_written_though_the_answer_was_lost(mongod, model, target, collection, scores, write, small_batches):
    ingest(write(sample()), target)
    blocked = {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 800}
    with failing(mongod, "slow", skip=2, **blocked), pytest.raises(SourceUnavailableError, match="timed out"):
        score_new(model, target, f"{target}_scores?appName=slow&socketTimeoutMS=200")
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_a_row_that_was_changed_is_scored_as_it_is_now(model, target, collection, scores):
    documents = [{"_id": row, **cells_} for row, cells_ in enumerate(make_phishing_websites(20).to_dict("records"))]
    documents[4]["SFH"] = "x"
    collection.insert_many(documents)
    assert score_new(model, target, f"{target}_scores") == (20, None)
    (unscored,) = in_quarantine(scores).find()
    assert (unscored["_id"], unscored["values"]["SFH"], unscored["reasons"]) == (4, "x", ["SFH is not a whole number"])
    assert "Result" not in unscored["values"]
    assert scores.count_documents({}) == 19

    collection.update_many({}, {"$set": {"SFH": 1, "SSLfinal_State": -1}})
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")
    assert not list(in_quarantine(scores).find())


def test_rows_of_a_file_are_scored_under_the_keys_of_ingest(model, target, collection, scores, write):
    path = write(sample(bad=[5]).assign(url="https://example.org"))
    file = sha256_of(path)
    scorer = BatchScorer(model, name="phishing", version="1", max_rejected=0.5)
    keyed = mongodb.with_keys(frames(File.at(str(path)), 100, exact_others=True), file)
    with opened(f"{target}_scores") as output:
        output.write_predictions(map(scorer.add, keyed))
    assert scores.count_documents({"url": "https://example.org", "_id.row.file": file}) == 299
    (unscored,) = in_quarantine(scores).find()
    assert unscored["_id"] == {"file": file, "row": 5}
    with pytest.raises(DataValidationError, match="a column _id"):
        list(mongodb.with_keys([pd.DataFrame({"_id": [1]})], "abc"))


def test_a_collection_of_rows_takes_no_predictions(model, target, collection, write):
    ingest(write(sample(10)), target)
    with pytest.raises(DataSourceError, match="holds documents that are no predictions"):
        score_new(model, target, target)
    assert collection.count_documents({}) == 10


def test_where_predictions_go():
    values = {"mongodb_uri": "mongodb://me:hunter2@host/", "mongodb_collection": "rows"}
    shown = mongodb.parse_output("mongodb", configured(**values)).shown
    assert shown == "mongodb://host/networksecurity.rows_scores"
    assert mongodb.parse_output("mongodb://host/db.mine", configured(**values)).shown == "mongodb://host/db.mine"
    assert mongodb.parse_output("scored.csv", configured(**values)) is None


# --- servers that die -------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("n_rows", [100, 200, 300])
def test_server_killed_in_the_middle(n_rows, durable_mongod, write, small_batches):
    path = write(sample(bad=[5, 150, 299]))
    target = f"{durable_mongod.uri}/db.rows"

    def kill(done):
        if done == n_rows:
            durable_mongod.kill()

    with pytest.raises(SourceUnavailableError):
        ingest(path, target, on_progress=kill, mongodb_timeout=1)
    durable_mongod.start()
    assert numbers(ingest(path, target)) == (300, 297, 0, 3)
    with MongoClient(durable_mongod.uri) as client:
        assert_holds(client["db"]["rows"], path)


@pytest.mark.integration
def test_server_killed_and_started_again_between_two_batches(durable_mongod, write, small_batches):
    path = write(sample(bad=[5, 150, 299]))
    target = f"{durable_mongod.uri}/db.rows"

    def restart(done):
        if done == 200:
            durable_mongod.kill()
            durable_mongod.start()

    with suppress(SourceUnavailableError):  # whether the client notices depends on when it looks
        ingest(path, target, on_progress=restart)
    assert numbers(ingest(path, target))[1:] in {(297, 0, 3), (0, 297, 3)}
    with MongoClient(durable_mongod.uri) as client:
        assert_holds(client["db"]["rows"], path)


@pytest.mark.integration
def test_replica_set(replica_set, write, small_batches):
    path, other = write(sample(bad=[5])), write(sample(random_state=1), "other.csv")
    target = f"{replica_set.uri}/db.rows?readPreference=secondaryPreferred"
    with MongoClient(replica_set.uri) as client:
        client["db"].command("profile", 2)
        ingest(path, target)
        _, watermark = rows_since(target)
        ingest(other, target)
        assert len(rows_since(target, watermark)[0]) == 300
        client["db"].command("profile", 0)
        profile = list(client["db"]["system.profile"].find({"ns": {"$regex": "^db.rows"}}))
        concerns = [each["command"]["writeConcern"] for each in profile if each["op"] == "insert"]
        assert concerns
        assert all((each["w"], each["j"]) == ("majority", True) for each in concerns)
        reads = [each["command"] for each in profile if each["op"] == "query" and "projection" in each["command"]]
        full = [each for each in reads if each["projection"].get("ingestion") is False]  # all other fields are read
        assert full
        assert all(each["readConcern"]["level"] == "majority" for each in full)
        assert_holds(client["db"]["rows"], path, other)


@pytest.mark.integration
def test_tls_and_a_user(guarded_mongod, write):
    server, certificate = guarded_mongod
    path = write(sample(bad=[5]))
    host, options = server.uri.removeprefix("mongodb://"), f"?authSource=admin&tls=true&tlsCAFile={certificate}"
    target = f"mongodb://me:{quote_plus('p@ss/word')}@{host}/db.rows{options}"
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert ingest(path, "mongodb", mongodb_uri=target).collection == f"mongodb://{host}/db.rows"
    assert len(read(target)) == 299
    for wrong, error, says in [
        (target.replace("word", "wort"), DataSourceError, "code 18"),
        (f"mongodb://{host}/db.rows{options}", DataSourceError, "code 13"),
        (
            target.replace("tls=true&", "tls=true&tlsCAFile=&").split("&tlsCAFile")[0],
            SourceUnavailableError,
            "certificate",
        ),
    ]:
        with pytest.raises(error, match=says) as caught:
            ingest(path, wrong, mongodb_timeout=1)
        assert "p@ss" not in str(caught.value)
        assert "p%40ss" not in str(caught.value)


def test_servers_found_by_their_name(mongod, collection, write, monkeypatch):
    """Of mongodb+srv:// the name servers are asked; here they answer with the server of the tests."""
    host, port = mongod.uri.removeprefix("mongodb://").split(":")
    getaddrinfo = socket.getaddrinfo

    def resolve(name, kind, **options):
        if kind == "SRV":
            assert str(name) == "_mongodb._tcp.cluster.example.org"
            return [SimpleNamespace(target=dns.name.from_text("node.example.org"), port=int(port), rrset=None)]
        raise dns.resolver.NoAnswer

    def to_this_machine(name, *args, **options):
        return getaddrinfo(host if name == "node.example.org" else name, *args, **options)

    monkeypatch.setattr("dns.resolver.resolve", resolve)
    monkeypatch.setattr(socket, "getaddrinfo", to_this_machine)
    target = f"mongodb+srv://cluster.example.org/{collection.full_name}?tls=false"
    path = write(sample())
    assert ingest(path, target).collection == f"mongodb+srv://cluster.example.org/{collection.full_name}"
    assert_holds(collection, path)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_of_two_checks_at_once_only_one_is_recorded(target, collection):
    with opened(target) as rows:
        assert rows.get_checkpoint("model/1") == Checkpoint()
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=4))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=3))
        assert rows.get_checkpoint("model/1") == Checkpoint(n_checks=2, watermark=4)
        assert rows.get_checkpoint("model/2") == Checkpoint()
    watches = collection.database[f"{collection.name}_watches"]  # as stored by earlier versions
    assert list(watches.find()) == [{"_id": "model/1", "n_looks": 2, "watermark": 4}]
    watches.drop()
