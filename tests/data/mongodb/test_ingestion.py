import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pandas as pd
import pytest
from pymongo import MongoClient
from reading import read
from stored import (
    assert_holds,
    bookkeeping,
    failing,
    in_quarantine,
    ingest,
    numbers,
    sample,
)

from networksecurity.data.schema import DOMAINS
from networksecurity.data.validation import validate
from networksecurity.exceptions import (
    DataSourceError,
    SourceUnavailableError,
)


def test_a_document_holds_cells_and_ingestion(target, collection, write):
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
def test_an_ingestion_lost_at_any_command_is_completed_by_the_next(
    command, skip, failure, mongod, target, collection, write, small_batches
):
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


def test_a_repeated_ingestion_may_be_lost_too(mongod, target, collection, write, small_batches):
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


def test_rows_written_without_an_answer_are_not_doubled(mongod, target, collection, write, small_batches):
    path = write(sample(bad=[5]))
    blocked = {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 800}
    with (
        failing(mongod, "slow", skip=3, **blocked),
        pytest.raises(SourceUnavailableError, match="timed out"),
    ):
        ingest(path, f"{target}?appName=slow&socketTimeoutMS=200")
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert_holds(collection, path)


def test_a_write_that_no_majority_confirms_is_tried_again(mongod, target, collection, write):
    path = write(sample(bad=[5]))
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out"}
    with (
        failing(mongod, "alone", skip=1, failCommands=["insert"], writeConcernError=unconfirmed),
        pytest.raises(SourceUnavailableError, match="code 64, waiting for replication"),
    ):
        ingest(path, f"{target}?appName=alone")
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert_holds(collection, path)


def test_a_refused_write_is_reported_with_advice(mongod, target, collection, write):
    with (
        failing(mongod, "refused", failCommands=["insert"], errorCode=13),
        pytest.raises(DataSourceError, match="code 13.*roles"),
    ):
        ingest(write(sample()), f"{target}?appName=refused")


def test_a_rule_of_the_collection_that_refuses_rows_is_reported(target, collection, write):
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


def test_four_ingestions_of_the_same_file_at_once_write_each_row_once(target, collection, write, small_batches):
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


@pytest.mark.integration
@pytest.mark.parametrize("n_rows", [100, 200, 300])
def test_an_ingestion_survives_a_server_killed_in_the_middle(n_rows, durable_mongod, write, small_batches):
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
def test_an_ingestion_survives_a_restart_between_two_batches(durable_mongod, write, small_batches):
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
