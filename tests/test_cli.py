import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from reading import frames, opened, read
from typer.main import get_command

from networksecurity import __version__, cli
from networksecurity.data import mongodb
from networksecurity.data.files import File
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS
from networksecurity.data.storage import Storage
from networksecurity.data.validation import Validation, validate
from networksecurity.settings import settings

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("NETWORKSECURITY_MONGODB_TIMEOUT", "0.3")
    monkeypatch.delenv("MONGODB_URI", raising=False)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def bad_rows():
    frame = make_phishing_websites(100, random_state=0).astype(object)
    frame.loc[[3, 8], "SFH"] = "abc"
    frame.loc[8, "port"] = 7
    return frame


@pytest.fixture
def target(mongod, collection, tmp_path, monkeypatch):
    """Ingest a file with two bad rows into the collection of MONGODB_URI."""
    uri = f"{mongod.uri}/{collection.full_name}"
    monkeypatch.setenv("MONGODB_URI", uri)
    settings.cache_clear()
    bad_rows().to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "rows.csv"
    with opened(uri) as rows:
        judged = map(Validation().add, frames(File.at(str(path))))
        rows.ingest(judged, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), source=str(path))
    return uri


@pytest.fixture
def stored(tmp_path):
    path = Storage(settings().storage).quarantine(validate(bad_rows()).rejected).path
    return Path(path).stem


def test_list_counts_the_quarantine_of_a_collection(command, target, tmp_path):
    code, out, _ = command("quarantine", "list")
    assert code == 0
    assert f"Quarantine of {target}" in out
    lines = [line.split() for line in out.splitlines() if "rows.csv" in line]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("1", str(tmp_path / "rows.csv"), "2"),
        ("1", str(tmp_path / "rows.csv"), "1"),
    ]
    assert "SFH is not a whole number" in out
    assert command("quarantine", "list", "--in", target)[1] == out


def test_list_counts_the_quarantine_of_the_storage(command, stored):
    code, out, _ = command("quarantine", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "SFH is not a whole number" in line] == [stored]


def test_an_empty_quarantine_is_listed_as_empty(command, collection, mongod):
    assert command("quarantine", "list")[1].endswith("storage: empty\n")
    assert command("quarantine", "list", "--in", f"{mongod.uri}/{collection.full_name}")[1].endswith(": empty\n")


@pytest.mark.parametrize("name", ["rows_out.csv", "rows_out.parquet"])
def test_export_writes_the_quarantine_of_a_collection(name, command, target, tmp_path):
    code, out, _ = command("quarantine", "export", name)
    assert (code, out) == (0, f"2 rows written to {name}\n")
    rows = read(name)
    assert rows.columns.tolist() == [*mongodb.ORIGIN, *DOMAINS]
    assert rows["row"].tolist() == [3, 8]
    assert rows["SFH"].tolist() == ["abc", "abc"]
    assert rows["reasons"].tolist()[1] == "port is not one of -1, 1; SFH is not a whole number"


def test_export_writes_the_quarantine_of_the_storage(command, stored):
    assert command("quarantine", "export", "rows_out.csv", "--in", "storage")[0] == 0
    rows = read("rows_out.csv")
    assert rows[["file", "row", "SFH"]].to_numpy().tolist() == [[stored, 3, "abc"], [stored, 8, "abc"]]
    assert command("quarantine", "export", "none.parquet", "--in", "storage")[0] == 0


def test_export_never_overwrites_a_file(command, target, tmp_path):
    (tmp_path / "corrected.csv").write_text("mine")
    code, _, err = command("quarantine", "export", "corrected.csv")
    assert (code, err) == (1, "error: corrected.csv exists already and is not overwritten: name another file\n")
    assert (tmp_path / "corrected.csv").read_text() == "mine"
    assert command("quarantine", "export", "no/folder.csv")[0] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_corrected_rows_are_resubmitted_once(kind, command, target, collection):
    command("quarantine", "export", f"rows_out.{kind}")
    rows = read(f"rows_out.{kind}")
    rows["SFH"] = "1"
    getattr(rows, f"to_{kind}")(f"corrected.{kind}", index=False)
    for moved, there in (("1 row", 0), ("0 rows", 1)):
        code, out, _ = command("quarantine", "resubmit", f"corrected.{kind}")
        assert code == 0
        assert f"{moved} moved to {target} (ingestion " in out
        assert out.endswith(f"{there} already existed, 1 is still not valid\n")
    assert collection.count_documents({}) == len(read(target)) == 99
    with opened(target) as rows:
        left = rows.quarantined()
    assert left[["row", "SFH", "reasons"]].to_numpy().tolist() == [[8, "1", "port is not one of -1, 1"]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("quarantine resubmit rows.csv", 1, "error: rows in the storage belong to no collection"),
        ("quarantine resubmit none.csv --in mongodb://host/db.rows", 1, "error: there is no file"),
        ("quarantine list --in mongodb", 1, "error: the source mongodb needs MONGODB_URI"),
        ("quarantine list --in here", 1, "error: 'here' is not a collection"),
        ("quarantine list --in mongodb://me:hush@127.0.0.1:9/db", 1, "error: MongoDB at mongodb://127.0.0.1:9 failed"),
        ("quarantine export rows.xlsx", 2, "networksecurity: error: Invalid value: rows.xlsx: its name must end in"),
        ("quarantine export", 2, "networksecurity: error: Missing argument 'FILE'"),
        ("nothing", 2, "networksecurity: error: No such command 'nothing'"),
        ("--nothing", 2, "networksecurity: error: No such option: --nothing"),
    ],
)
def test_an_error_is_reported_in_one_line(arguments, code, message, command):
    found, out, err = command(*arguments.split())
    assert (found, out) == (code, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert "hush" not in err


def test_a_damaged_file_of_the_storage_is_reported(command, tmp_path):
    folder = tmp_path / "storage" / "quarantine"
    folder.mkdir(parents=True)
    (folder / "x.parquet").write_bytes(b"not Parquet")
    code, _, err = command("quarantine", "list")
    assert code == 1
    assert err.startswith(f"error: {folder / 'x.parquet'} is damaged")
    assert err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["x.parquet.damaged"]


@pytest.mark.parametrize("group", ["", "champion", "contract", "feedback", "overrides", "quarantine"])
def test_without_a_command_the_help_is_shown(group, command):
    code, out, err = command(*group.split())
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    assert "\nCommands:\n" in out
    assert "\n  Examples:\n    networksecurity " in out
    assert "..." not in out.partition("Commands:")[2]  # no summary is cut


def test_the_version_is_shown(command):
    assert command("--version")[:2] == (0, f"networksecurity {__version__}\n")


def commands(of, *path):
    """Yield each command as a tuple of words, from what its group's help lists."""
    for name, found in get_command(of).commands.items():
        inner = getattr(found, "commands", {})
        yield from ((name, each) for each in inner) if inner else [(name,)]


@pytest.mark.parametrize("words", list(commands(cli.app)), ids=" ".join)
def test_help_fits_80_columns_and_reads_as_a_person_writes(words, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    code, out, _ = command(*words, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(
        r"default: (None|\(\)|True|False|)\)|tuple\[|<(str|int|float|bool)", out.replace("<str>  ", "")
    )


def test_what_a_flow_requires_is_shown_as_such(command):
    assert command("score", "--help")[1].startswith(
        "usage: networksecurity score --source SOURCE --output OUTPUT [OPTION ...]\n"
    )
    code, out, err = command("score", "--source", "sample:10")
    assert (code, out, err) == (2, "", "networksecurity score: error: --output: is needed\n")


def test_the_package_is_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "networksecurity", "--version"], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert done.stdout == f"networksecurity {__version__}\n"


def test_help_and_wrong_options_import_nothing_slow():
    code = (
        "import os, sys, networksecurity.cli as cli\n"
        "for options in sys.argv[1:]:\n"
        "    if os.fork() == 0:\n"
        "        sys.argv = ['networksecurity', *options.split()]\n"
        "        try: cli.main()\n"
        "        except SystemExit: pass\n"
        "        os._exit(bool({'prefect', 'sklearn', 'pandas', 'mlflow', 'pymongo'} & set(sys.modules)))\n"
        "    assert os.wait()[1] == 0, options"
    )
    options = ("--help", "quarantine --help", "quarantine export x.txt", "champion promote", "train -h", "score")
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=False, cwd=PROJECT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.integration
def test_the_installed_command_runs(target, tmp_path):
    command = Path(sys.executable).with_name("networksecurity")
    if not command.exists():
        pytest.skip("the package is not installed")
    done = subprocess.run(
        [command, "quarantine", "list"], env=os.environ, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "SFH is not a whole number" in done.stdout
    refused = subprocess.run(
        [command, "quarantine", "list", "--in", "mongodb://127.0.0.1:9/"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1


def test_a_corrected_file_without_its_columns_is_refused(command, target, collection):
    pd.DataFrame({"file": ["x"], "row": [1]}).to_csv("corrected.csv", index=False)
    code, _, err = command("quarantine", "resubmit", "corrected.csv")
    assert code == 1
    assert "31 missing" in err


@pytest.mark.integration
def test_the_first_command_in_a_new_folder_prints_its_own_lines_alone(tmp_path):
    """MLflow says that it makes the tables of its database, which is nobody's question."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-m", "networksecurity", "check", "https://example.com/"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no version of ")
