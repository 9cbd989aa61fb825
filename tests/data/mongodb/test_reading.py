import math
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import bson
import pandas as pd
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from reading import cells, configured, frames, read, refused
from stored import assert_holds, bookkeeping, failing, ingest, rows_since, sample, source_of

from networksecurity.data import mongodb
from networksecurity.data.mongodb import reading, server
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES
from networksecurity.data.validation import validate
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    SourceUnavailableError,
)


def test_a_collection_is_read_in_order_of_id(mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 300)
    expected = make_phishing_websites(1000, random_state=0)
    documents = [{"_id": i, "source": "x", **row} for i, row in enumerate(expected.to_dict("records"))]
    collection.insert_many(documents[::-1])
    frame = read(source_of(mongod, collection))
    assert set(frame.dtypes) == {pd.Int8Dtype()}
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


def test_the_real_data_is_read_from_a_collection(mongod, collection, real_data):
    expected = read(real_data)
    collection.insert_many(expected.to_dict("records"))
    pd.testing.assert_frame_equal(read(source_of(mongod, collection)), expected, check_dtype=False)


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
def test_an_odd_cell_makes_text_of_its_column_only(n_odd_first, mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 10)
    values = ["na"] * n_odd_first + [1] * 30 + [None] + [True]
    collection.insert_many([{"_id": i, "port": value} for i, value in enumerate(values)])
    assert cells(read(source_of(mongod, collection))["port"]) == [None if v is None else str(v) for v in values]


def test_values_that_python_cannot_hold_are_kept_as_text(mongod, collection):
    # A date in the year 292,278,994, and text that is not UTF-8.
    date = b"\x13\x00\x00\x00\x09port\x00" + (2**63 - 1).to_bytes(8, "little") + b"\x00"
    text = b"\x13\x00\x00\x00\x02port\x00\x04\x00\x00\x00a\xffb\x00\x00"
    collection.insert_many([bson.raw_bson.RawBSONDocument(document) for document in (date, text)])
    first, second = cells(read(source_of(mongod, collection))["port"])
    assert str(2**63 - 1) in first
    assert second == "a\ufffdb"


def test_only_known_columns_are_read_under_any_known_name(mongod, collection):
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


def test_a_collection_of_something_else_is_refused(mongod, collection):
    collection.insert_one({"_id": 1, "NumDots": 1, "NumDash": 2})
    refused(DataSourceError, source_of(mongod, collection), says=[collection.name, "NumDots", "NumDash"])


GOOD = {name: domain[0] for name, domain in DOMAINS.items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": " -1 "}, ""),
        ({"port": Decimal128("1.0")}, ""),
        ({"port": Int64(-1)}, ""),
        ({"port": Decimal128("NaN")}, ""),
        ({"port": ""}, ""),
        ({"Extra.field": {"port": 7}}, ""),
        ({"port": {"$numberInt": "1"}}, "port is not a whole number"),
        ({"port": True}, "port is not a whole number"),
        ({"port": [1]}, "port is not a whole number"),
        ({"port": 2}, "port is not one of -1, 1"),
        ({"port": Decimal128("1.5")}, "port is not a whole number"),
        ({"port": bson.MinKey()}, "port is not a whole number"),
        ({"port": bson.DBRef("a", 1)}, "port is not a whole number"),
        ({"port": uuid.UUID(int=1)}, "port is not a whole number"),
        ({"port": bson.Regex("1")}, "port is not a whole number"),
        ({"port": bson.Timestamp(1, 1)}, "port is not a whole number"),
        ({"port": bson.Code("1")}, ""),  # text to every reader
        ({"Result": None}, "Result is missing"),
        ({"port": 1, "port_no": -1}, "port is spelled in two ways that differ"),
    ],
)
def test_an_odd_value_of_a_document_is_read_or_the_reason_is_given(change, reason, mongod, collection):
    codec = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
    documents = [GOOD | {"Result": (-1) ** number} for number in range(20)]
    collection.with_options(codec).insert_many([*documents, GOOD | change])
    found = validate(read(source_of(mongod, collection)), max_rejected=0.5)
    assert found.rejected["reasons"].tolist() == ([reason] if reason else [])


@pytest.mark.parametrize(
    "document",
    [
        {"features": GOOD},
        {"rows": [GOOD] * 3},
        {"_id": {"port": 1}},
        {"Phishing Websites": "x" * 5_000},
        {f"{number} {'x' * 900}": 1 for number in range(30)},
    ],
)
def test_documents_that_hold_something_else_are_refused_in_few_words(document, mongod, collection):
    collection.insert_one(document)
    message = refused(DataSourceError, source_of(mongod, collection), says="holds no column of websites")
    assert len(message) < 400


def test_rows_since_a_watermark_are_those_of_later_ingestions(target, collection, write, small_batches):
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


def test_rows_since_a_time_are_those_of_ingestions_that_finished_later(target, collection, write):
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


def test_since_an_unknown_ingestion_is_refused(target, collection, write):
    with pytest.raises(DataSourceError, match="no ingestion 1 has finished in .*: none has"):
        rows_since(target, 1)
    ingest(write(sample()), target)
    with pytest.raises(DataSourceError, match="no ingestion 7 has finished in .*: the last one was 1"):
        rows_since(target, 7)


def test_rows_of_open_ingestions_are_left_out_with_a_warning(target, mongod, collection, write, caplog):
    ingest(write(sample()), target)
    path = write(sample(random_state=1), "other.csv")
    with failing(mongod, "lost", failCommands=["update"], closeConnection=True), pytest.raises(SourceUnavailableError):
        ingest(path, f"{target}?appName=lost")
    assert len(read(target)) == 300
    assert f"ingestions that have not finished are left out: 2 ({path})" in caplog.text


def test_a_first_ingestion_that_begins_during_a_read_is_read_whole(target, collection, write, monkeypatch):
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
def test_since_is_a_number_or_a_time(text, since):
    assert mongodb.parse_since(text) == since


@pytest.mark.parametrize("text", ["", "yesterday", "-1", "1.5", "²"])
def test_any_other_since_is_refused(text):
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


def test_batches_give_the_rows_of_read_with_their_keys(target, collection, write, small_batches):
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


def test_batches_of_new_rows(target, collection, write, small_batches):
    ingest(write(sample()), target)
    ingest(write(sample(80, random_state=1), "more.csv"), target)
    with mongodb.parse(target, configured()).batches(since=1) as new:
        assert (new.n_rows, new.watermark) == (80, 2)
        (batch,) = new.frames
        assert {key["row"] for key in batch["_id"]} == set(range(80))
    with mongodb.parse(target, configured()).batches(since=2) as new:
        assert (new.n_rows, list(new.frames), new.watermark) == (0, [], 2)


@pytest.mark.integration
def test_a_replica_set_is_read_and_written_by_majority(replica_set, write, small_batches):
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
