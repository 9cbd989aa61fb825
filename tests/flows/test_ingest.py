import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from pymongo import MongoClient
from reading import passes, read, write_large_csv
from records import artifacts, task_tries

from flows import ingest as flow_module
from flows.ingest import ingest, summarize
from flows.parameters import IngestParameters
from networksecurity.data.mongodb import ingestion, server
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
)
from networksecurity.settings import settings

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(PROJECT / "flows" / "ingest.py")]


@pytest.fixture
def target(mongod, collection):
    return f"{mongod.uri}/{collection.full_name}"


def write_csv(folder, bad=(), n_rows=500):
    frame = make_phishing_websites(n_rows, random_state=0).astype(object)
    frame.loc[list(bad), "SFH"] = "abc"
    path = folder / "rows.csv"
    frame.to_csv(path, index=False)
    return str(path)


def run(source, target, **parameters):
    return ingest(IngestParameters(source=source, target=target, **parameters), return_state=True)


def test_from_a_file_to_the_collection(workplace, target, collection, capsys):
    source = write_csv(workplace, bad=[3, 8])
    state = run(source, target)
    assert state.is_completed()
    report = state.result()
    assert (report.rows.n_rows, report.rows.n_inserted, report.rows.n_quarantined) == (500, 498, 2)
    assert collection.count_documents({"ingestion.id": report.rows.ingestion, "ingestion.source": source}) == 498
    assert task_tries(state) == dict.fromkeys(("fetch", "check", "write"), ("Completed", 1))
    made = artifacts(state)
    assert set(made) == {"ingest-report", "writing"}
    assert made["writing"].data == 100
    assert "| quarantined | 2 |" in made["ingest-report"].data
    assert "| SFH is not one of -1, 0, 1 | 2 |" not in made["ingest-report"].data
    assert "| SFH is not a whole number | 2 |" in made["ingest-report"].data
    summarize(report).show()
    shown = capsys.readouterr().out
    for line in ("rows read  500", "inserted  498", "already there  0", "quarantined  2", f"collection  {target}"):
        assert line in shown

    again = run(source, target).result().rows
    assert (again.n_inserted, again.n_already_there, again.n_quarantined) == (0, 498, 2)
    assert collection.count_documents({}) == 498


def test_a_feature_that_is_missing_in_all_rows_is_reported(workplace, target, collection, capsys, caplog):
    path = workplace / "rows.csv"
    make_phishing_websites(500).assign(SFH="na").to_csv(path, index=False)
    state = run(str(path), target)
    assert "SFH is missing in all 500 rows" in caplog.text
    assert "SFH is missing in all 500 rows" in artifacts(state)["ingest-report"].data
    summarize(state.result()).show()
    assert "SFH is missing in all 500 rows" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count what a process reads")
def test_a_file_is_read_twice(workplace, target, collection):
    path = write_large_csv(workplace / "large.csv")
    run(str(path), target)  # the first run also reads modules
    with passes(path) as counted:
        assert run(str(path), target).result().rows.n_already_there == 2000
    assert counted == [pytest.approx(2, abs=0.3)]


def test_what_may_pass_is_tried_again_and_doubles_nothing(workplace, target, collection, monkeypatch):
    source = write_csv(workplace)
    monkeypatch.setattr(
        flow_module, "write", flow_module.write.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    )
    insert, calls = ingestion.insert, []

    def lost_once(*args):
        insert(*args)
        calls.append(args)
        if len(calls) == 2:
            raise SourceUnavailableError("away")

    monkeypatch.setattr(server, "BATCH_SIZE", 100)
    monkeypatch.setattr(ingestion, "insert", lost_once)
    state = run(source, target)
    rows = state.result().rows
    assert (rows.n_inserted, rows.n_already_there) == (500, 0)
    assert collection.count_documents({}) == 500
    assert task_tries(state)["write"] == ("Completed", 2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda frame: frame.assign(SFH="abc"), DataValidationError, "500 of 500 rows"),
        (lambda frame: frame.assign(Result=-frame["Result"]), DataValidationError, "inverted"),
        (lambda frame: frame.assign(Result=1), DataValidationError, "both classes"),
        (lambda frame: frame.drop(columns="SFH"), DataValidationError, "1 missing: SFH"),
        (lambda frame: frame.head(0), DataSourceError, "holds no rows"),
    ],
)
def test_of_a_file_that_is_refused_nothing_is_written(change, error, message, workplace, target, collection):
    path = workplace / "rows.csv"
    change(make_phishing_websites(500)).to_csv(path, index=False)
    state = run(str(path), target)
    with pytest.raises(error, match=message):
        state.result()
    assert task_tries(state)["check"] == ("Failed", 1)
    assert not collection.database.list_collection_names(filter={"name": {"$regex": f"^{collection.name}"}})


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        ("nothing.csv", "mongodb://127.0.0.1:9/", DataSourceError, "there is no file"),
        ("mongodb://host/db.rows", "mongodb://127.0.0.1:9/", ConfigurationError, "is a collection"),
        ("sample", "mongodb", ConfigurationError, "MONGODB_URI"),
        ("sample", "rows.csv", ConfigurationError, "'rows.csv' is not a collection"),
    ],
)
def test_an_expected_error_fails_at_once(source, target, error, message, workplace, monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    settings.cache_clear()
    with pytest.raises(error, match=message):
        run(source, target).result()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "source"),
        ({"source": ""}, "at least 1 character"),
        ({"source": "a.csv", "max_rejected": 2}, "less than or equal to 1"),
        ({"source": "https://me:hush@host/a.csv"}, "MONGODB_URI"),
        ({"source": "a.csv", "target": "mongodb://me:hush@host/db.rows"}, "MONGODB_URI"),
        ({"source": "a.csv", "into": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValidationError, match=message):
        IngestParameters(**wrong)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_real_data_twice_through_the_command(command, real_data, target, collection):
    for inserted, there in (("11,055", "0"), ("0", "11,055")):
        done = command("--source", str(real_data), MONGODB_URI=target)
        assert done.returncode == 0, done.stderr
        assert re.search(rf"inserted +{inserted}\s+already there +{there}\s", done.stdout)
    pd.testing.assert_frame_equal(read(target), read(real_data), check_dtype=False)


@pytest.mark.integration
def test_command_killed_in_the_middle_then_again(command, environment, tmp_path, durable_mongod):
    source = write_csv(tmp_path, bad=[3, 77_000], n_rows=120_000)
    target = f"{durable_mongod.uri}/db.rows"
    with MongoClient(durable_mongod.uri) as client:
        rows = client["db"]["rows"]
        process = subprocess.Popen(
            [*COMMAND, "--source", source, "--target", target],
            cwd=tmp_path,
            env=environment | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while rows.estimated_document_count() < 20_000:
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        assert 20_000 <= rows.count_documents({}) < 119_998
        with pytest.raises(DataSourceError, match="have not finished"):
            read(target)
        done = command("--source", source, "--target", target)
        assert done.returncode == 0, done.stderr
        assert re.search(r"inserted +119,998\s+already there +0\s+quarantined +2\s", done.stdout)
        assert rows.count_documents({}) == len(read(target)) == 119_998
        assert [each["_id"]["row"] for each in client["db"]["rows_quarantine"].find()] == [3, 77_000]
