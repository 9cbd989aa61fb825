import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import COMMANDS
from flows.early import find_wrong
from flows.rows import source_of
from networksecurity.exceptions import ConfigurationError, DataValidationError
from networksecurity.settings import settings

PROJECT = Path(__file__).resolve().parents[2]
NEEDED = {"score": {"output": "scored.csv"}}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:9/")
    (tmp_path / "rows.csv").write_text("SFH\n1\n")
    (tmp_path / "rows.pdf").touch()
    (tmp_path / "folder.csv").mkdir()
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def wrong(flow, **parameters):
    return dict(find_wrong(COMMANDS[flow].parameters(**NEEDED.get(flow, {}) | parameters)))


@pytest.mark.parametrize("flow", COMMANDS)
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nothing.csv", "there is no file /"),
        ("rows.zip!rows.csv", "there is no file /"),
        ("folder.csv", "folder"),
        ("rows.pdf", "its name must end in .csv"),
        ("ftp://host/rows.csv", "unknown source 'ftp://host/rows.csv'"),
        ("sample:many", "expected sample:N"),
        ("sample:0", "expected sample:N"),
        ("sample:99999999999", "more than 10,000,000 rows, the limit"),
        ("x" * 7_000 + ".csv", "x… cannot be read: File name too long"),
    ],
)
def test_a_source_that_is_not_there_is_a_wrong_option_of_every_flow(flow, source, says):
    found = wrong(flow, source=source)
    assert list(found) == ["source"]
    assert says in found["source"]
    assert len(found["source"]) < 500


@pytest.mark.parametrize("flow", COMMANDS)
@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "needs MONGODB_URI"),
        ("localhost:27017", "MONGODB_URI must begin with mongodb://"),
        ("mongodb://", "MONGODB_URI is not a connection string that works (mongodb://): "),
        ("mongodb://host:99999/db", "Port must be an integer between 0 and 65535"),
        ("mongodb+srv://host.example:27017/db", "must not include a port number"),
        ("mongodb://jane:P@ss/123@host/db", "(mongodb://…@host/db): user name and password must be percent-escaped"),
    ],
)
def test_an_address_of_mongodb_that_cannot_work_is_a_wrong_option_of_every_flow(flow, uri, says, monkeypatch):
    monkeypatch.setenv("MONGODB_URI", uri)
    settings.cache_clear()
    option, source = ("target", "rows.csv") if flow == "ingest" else ("source", "mongodb")
    found = wrong(flow, source=source)
    assert list(found) == [option]
    assert says in found[option]


@pytest.mark.parametrize("flow", COMMANDS)
@pytest.mark.parametrize("source", ["rows.csv", "sample", "sample:100", "uci", "https://host/rows.csv"])
def test_a_source_that_may_be_there_is_left_to_the_flow(flow, source):
    assert wrong(flow, source=source) == {}


@pytest.mark.parametrize("flow", COMMANDS)
def test_every_flow_refuses_rows_of_something_else_by_their_head(flow):
    source = source_of(COMMANDS[flow].parameters(**NEEDED.get(flow, {}) | {"source": "rows.csv"}))
    with pytest.raises(DataValidationError, match="29 missing" if flow in ("score", "monitor") else "30 missing"):
        source.read()


@pytest.mark.parametrize(
    ("flow", "parameters", "says"),
    [
        ("score", {"output": "scored.txt"}, {"output": "ends in .parquet or .csv"}),
        ("score", {"output": "nowhere/scored.csv"}, {"output": "there is no folder"}),
        ("score", {"output": "/proc/scored.csv"}, {"output": "/proc/scored.csv cannot be written: "}),
        ("score", {"output": "rows.csv"}, {"output": "does not hold predictions"}),
        ("score", {"source": "mongodb", "since": "yesterday"}, {"since": "neither the number of an ingestion nor"}),
        ("monitor", {"since": "yesterday"}, {"since": "neither the number of an ingestion nor"}),
        ("ingest", {"source": "mongodb"}, {"source": "is a collection: its rows are in MongoDB already"}),
        ("ingest", {"target": "rows.csv"}, {"target": "is not a collection"}),
        ("train", {"source": "sample", "header": "none"}, {"source": "is no file: leave out --header none"}),
    ],
)
def test_what_else_cannot_be_used_is_a_wrong_option(flow, parameters, says):
    found = wrong(flow, **{"source": "rows.csv"} | parameters)
    assert found.keys() == says.keys()
    for option, words in says.items():
        assert words in found[option]


def test_a_sample_of_any_size_is_right_at_once(monkeypatch):
    monkeypatch.setattr("flows.rows.check_source", None)  # what else would say so imports pandas
    assert wrong("train", source="sample:100") == {}


def test_settings_that_cannot_be_used_are_no_fault_of_an_option(monkeypatch):
    monkeypatch.setenv("NETWORKSECURITY_CORES", "many")
    settings.cache_clear()
    with pytest.raises(ConfigurationError, match="NETWORKSECURITY_CORES: has to be a whole number above 0"):
        wrong("train")


def test_before_a_wrong_option_is_said_nothing_starts(workplace):
    kept = workplace / "kept"
    places = {
        "PREFECT_HOME": str(kept / "prefect"),
        "NETWORKSECURITY_STORAGE": str(kept / "storage"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{kept / 'mlflow.db'}",
    }
    done = subprocess.run(
        [sys.executable, PROJECT / "flows" / "train.py", "--source", "nothing.csv"],
        env=os.environ | places,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"train.py: error: --source: there is no file {workplace / 'nothing.csv'}\n"
    assert not kept.exists()
