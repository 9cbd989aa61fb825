import hashlib
from datetime import datetime

import pytest
from reading import opened, read
from stored import (
    assert_holds,
    bookkeeping,
    failing,
    in_quarantine,
    ingest,
    numbers,
    rows_since,
    sample,
    sha256_of,
)

from networksecurity.data.mongodb import ORIGIN, quarantine
from networksecurity.data.schema import DOMAINS
from networksecurity.exceptions import (
    DataValidationError,
    SourceUnavailableError,
)


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


def test_the_quarantine_is_counted_by_ingestion_and_reason(target, collection, write, bad_file):
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


def test_an_empty_quarantine_has_no_rows(target, collection):
    assert count_quarantined(target).empty
    assert quarantined(target).empty


def test_quarantined_rows_keep_their_values(target, collection, bad_file):
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
def test_a_resubmission_lost_on_the_way_is_completed_by_the_next(
    command, skip, target, mongod, collection, write, bad_file
):
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
def test_interrupted_corrections_may_be_corrected_further(
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


def test_of_two_resubmissions_at_once_the_first_has_to_be_repeated(target, collection, write, bad_file, monkeypatch):
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
        (lambda rows: rows.assign(row=[5, 150, 5]), "1 rows are duplicated, such as row 5 of file"),
        (lambda rows: rows.assign(row=[5, 150, 1000]), "1 of 3 rows are not in .*_quarantine, such as row 1000"),
        (lambda rows: rows.assign(file="abc"), "3 of 3 rows are not in"),
        (lambda rows: rows.drop(columns="port"), "1 missing: port"),
        (lambda rows: rows.assign(comment="x"), "1 unknown: comment"),
    ],
)
def test_unusable_corrections_are_refused(change, says, target, collection, write, bad_file):
    corrected = quarantined(target)
    with pytest.raises(DataValidationError, match=says):
        resubmit(change(corrected), target, write)
    assert_holds(collection, bad_file)
    assert bookkeeping(collection).count_documents({}) == 1


def test_a_row_that_a_newer_check_accepts_leaves_the_quarantine(target, collection, write, bad_file, monkeypatch):
    collection.delete_one({"_id.row": 7})
    document = in_quarantine(collection).find_one()
    document["_id"]["row"] = 7  # set aside by an older, stricter check
    in_quarantine(collection).insert_one(document)
    assert numbers(ingest(bad_file, target)) == (300, 1, 296, 3)
    assert_holds(collection, bad_file)
