import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from reading import passes, write_large_csv
from records import artifacts, task_tries
from trainings import run as train
from workplaces import working_in

from flows import score as flow_module
from flows.ingest import ingest
from flows.parameters import IngestParameters, ScoreParameters
from flows.score import score, summarize
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.mongodb import scores as scores_module
from networksecurity.data.mongodb import server
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
    TrackingError,
)
from networksecurity.settings import settings
from networksecurity.tracking.server import connect

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(PROJECT / "flows" / "score.py")]
MODEL = "networksecurity-phishing"


def promote(version):
    Registry(connect(settings()), MODEL).set_alias(CHAMPION, str(version))


@pytest.fixture(scope="module")
def databases(tmp_path_factory, trained, computed):
    """Return a folder of tracking databases to copy: with one version, with a champion, with another version beside."""
    folder = tmp_path_factory.mktemp("databases")
    database = folder / trained.database.name
    with pytest.MonkeyPatch.context() as patch, working_in(folder, trained.database, computed, patch):
        shutil.copy(database, folder / "one version")
        promote(1)
        shutil.copy(database, folder / "champion")
        assert train().is_completed()
        shutil.copy(database, folder / "two versions")
    return folder


@pytest.fixture
def champion(workplace, databases):
    shutil.copy(databases / "champion", workplace / "mlflow.db")


@pytest.fixture
def two_versions(champion, workplace, databases):
    """Have a second version beside the champion."""
    shutil.copy(databases / "two versions", workplace / "mlflow.db")


def write_csv(folder, bad=(), n_rows=300, random_state=5):
    frame = make_phishing_websites(n_rows, random_state=random_state).astype(object)
    frame.loc[list(bad), "SFH"] = "abc"
    frame.insert(0, "key", [f"{row:05}" for row in range(n_rows)])
    path = folder / f"{random_state}.csv"
    frame.to_csv(path, index=False)
    return str(path)


def run(source, output, **parameters):
    return score(ScoreParameters(source=str(source), output=str(output), **parameters), return_state=True)


def test_from_a_file_to_a_file(champion, workplace, capsys):
    source, output = write_csv(workplace, bad=[3, 8]), workplace / "scored.parquet"
    state = run(source, output)
    assert state.name == "Scored"
    report = state.result()
    found = pd.read_parquet(output)
    n_phishing = int((found["label"] == "phishing").sum())
    assert (report.rows.n_rows, report.rows.n_scored, report.rows.n_rejected) == (300, 298, 2)
    assert report.rows.n_phishing == n_phishing
    assert found["key"].tolist() == [f"{row:05}" for row in range(300) if row not in {3, 8}]
    assert set(found["model_version"]) == {"1"}
    assert pd.read_parquet(workplace / "scored_quarantine.parquet")["key"].tolist() == ["00003", "00008"]

    assert task_tries(state) == dict.fromkeys(("find the model", "fetch", "score"), ("Completed", 1))
    made = artifacts(state)
    assert set(made) == {"score-report", "mlflow-model-version"}
    assert "| SFH is not a whole number | 2 |" in made["score-report"].data
    summarize(report).show()
    shown = capsys.readouterr().out
    for line in ("rows read  300", "scored  298", "quarantined  2", f"model  {MODEL} 1", f"output  {output}"):
        assert line in shown
        assert f"| {line.replace('  ', ' | ')} |" in made["score-report"].data
    assert f"phishing  {n_phishing} ({n_phishing / 298:.1%})" in shown
    assert f"/#/models/{MODEL}/versions/1" in shown

    before = output.read_bytes()
    assert run(source, output).name == "Scored"
    assert output.read_bytes() == before


def test_values_that_are_suddenly_missing_are_reported(champion, workplace, capsys, caplog):
    path = workplace / "rows.csv"
    frame = make_phishing_websites(300).astype(object)
    frame.loc[:99, "SFH"] = "na"
    frame.to_csv(path, index=False)
    state = run(path, workplace / "scored.csv")
    said = "SFH is missing in 100 of 300 rows (33.3%; in the training data 0.0%)"
    assert said in caplog.text
    assert said in artifacts(state)["score-report"].data
    summarize(state.result()).show()
    assert said in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count what a process reads")
def test_a_file_is_read_once_into_a_file_and_twice_into_a_collection(champion, workplace, collection, scores):
    path = write_large_csv(workplace / "large.csv")
    host, port = collection.database.client.address
    into = f"mongodb://{host}:{port}/{scores.database.name}.{scores.name}"
    for output, expected in ((workplace / "scored.parquet", 1), (into, 2)):
        run(path, output)  # the first run also reads modules
        with passes(path) as counted:
            assert run(path, output).result().rows.n_scored == 2000
        assert counted == [pytest.approx(expected, abs=0.3)]
    scores.drop()


def test_reasons_go_to_files_and_collections(growing, workplace, scores):
    source = write_csv(workplace)
    run(source, workplace / "scored.csv", explain=True)
    expected = [json.loads(of) for of in pd.read_csv(workplace / "scored.csv")["explanation"]]
    assert 0 < max(map(len, expected)) <= 5
    assert {key for of in expected for reason in of for key in reason} == {"feature", "value", "effect"}
    run(source, "mongodb", explain=True)
    stored = {found["key"]: found["explanation"] for found in scores.find()}
    assert [stored[f"{row:05}"] for row in range(300)] == expected


def test_a_version_without_a_profile_has_no_reasons(champion, workplace, monkeypatch):
    load = Registry.load_parts
    monkeypatch.setattr(Registry, "load_parts", lambda *of: replace(load(*of), profile=None))
    with pytest.raises(TrackingError, match=r"has no reasons to give, .*: ask without --explain, or train again"):
        run(write_csv(workplace), workplace / "scored.csv", explain=True).result()
    assert run(write_csv(workplace), workplace / "scored.csv").name == "Scored"


def test_one_version_scores_all_rows_whatever_is_promoted_meanwhile(two_versions, workplace, monkeypatch):
    choose = Registry.choose

    def then_promoted(registry, wanted):
        version = choose(registry, wanted)
        registry.set_alias(CHAMPION, "2")
        return version

    monkeypatch.setattr(Registry, "choose", then_promoted)
    assert run(write_csv(workplace), workplace / "scored.csv").result().model_version == "1"
    assert set(pd.read_csv(workplace / "scored.csv")["model_version"]) == {1}


def test_a_version_by_number_or_alias(two_versions, workplace):
    source = write_csv(workplace)
    for wanted, version in (("champion", "1"), ("1", "1"), ("2", "2"), ("candidate", "2")):
        assert run(source, workplace / "scored.csv", model_version=wanted).result().model_version == version
    with pytest.raises(TrackingError, match=f"there is no version 7 of {MODEL} at .*champion show"):
        run(source, workplace / "scored.csv", model_version="7").result()
    with pytest.raises(TrackingError, match="no version .* has the alias best"):
        run(source, workplace / "scored.csv", model_version="best").result()


def test_without_a_champion_it_says_what_to_do(workplace, databases):
    shutil.copy(databases / "one version", workplace / "mlflow.db")
    state = run(write_csv(workplace), workplace / "scored.csv")
    with pytest.raises(TrackingError, match=r"alias champion at .*: train first, .*champion promote VERSION"):
        state.result()
    assert not (workplace / "scored.csv").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(SFH="abc"), "300 of 300 rows"),
        (lambda frame: frame.drop(columns="SFH"), "1 missing: SFH"),
        (lambda frame: frame.assign(label=1, given_label=1), "given_label would be there twice"),
    ],
)
def test_of_a_file_that_is_refused_nothing_is_written(change, message, champion, workplace):
    change(pd.read_csv(write_csv(workplace))).to_csv(workplace / "rows.csv", index=False)
    before = set(workplace.iterdir())
    with pytest.raises(DataValidationError, match=message):
        run(str(workplace / "rows.csv"), workplace / "scored.csv").result()
    assert set(workplace.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "output", "error", "message"),
    [
        ("nothing.csv", "scored.csv", DataSourceError, "there is no file"),
        ("sample:100", "scored.xlsx", ConfigurationError, "unknown output 'scored.xlsx'"),
        ("sample:100", "no/scored.csv", ConfigurationError, "there is no folder"),
        ("sample:100", "mongodb", ConfigurationError, "MONGODB_URI"),
        ("mongodb", "scored.csv", ConfigurationError, "MONGODB_URI"),
        ("foo://bar", "scored.csv", ConfigurationError, "unknown source"),
    ],
)
def test_an_expected_error_fails_at_once(source, output, error, message, champion, monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    settings.cache_clear()
    with pytest.raises(error, match=message):
        run(source, output).result()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "a.csv"}, "output"),
        ({"output": "a.csv"}, "source"),
        ({"source": "", "output": "a.csv"}, "at least 1 character"),
        ({"source": "a.csv", "output": "b.csv", "max_rejected": 2}, "less than or equal to 1"),
        ({"source": "a.csv", "output": "b.csv", "since": "3"}, "for rows of a collection"),
        ({"source": "https://me:hush@host/a.csv", "output": "b.csv"}, "MONGODB_URI"),
        ({"source": "a.csv", "output": "mongodb://me:hush@host/db.scores"}, "MONGODB_URI"),
        ({"source": "a.csv", "output": "b.csv", "into": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValidationError, match=message):
        ScoreParameters(**wrong)


# --- a collection that grows ------------------------------------------------------------------------------------------


@pytest.fixture
def growing(champion, workplace, collection, monkeypatch):
    """Return what adds rows to a collection that is the source `mongodb`."""
    host, port = collection.database.client.address
    monkeypatch.setenv("MONGODB_URI", f"mongodb://{host}:{port}/{collection.database.name}.{collection.name}")
    settings.cache_clear()

    def add(n_rows, random_state, bad=()):
        source = write_csv(workplace, n_rows=n_rows, random_state=random_state)
        pd.read_csv(source).drop(columns="key").to_csv(source, index=False)
        assert ingest(IngestParameters(source=source), return_state=True).is_completed()

    yield add
    for suffix in ("_watches", "_scores", "_scores_quarantine", "_mine", "_mine_quarantine"):
        collection.database.drop_collection(f"{collection.name}{suffix}")


@pytest.fixture
def scores(collection):
    return collection.database[f"{collection.name}_scores"]


def versions(scores):
    """Return how many rows each version has scored."""
    return {group["_id"]: group["n"] for group in scores.aggregate([{"$sortByCount": "$model_version"}, RENAME])}


RENAME = {"$project": {"n": "$count"}}


def test_each_version_scores_what_is_new_to_it(growing, two_versions, scores, collection):
    growing(200, 1)
    state = run("mongodb", "mongodb")
    assert (state.name, state.result().rows.n_scored) == ("Scored", 200)
    assert state.result().output.endswith(f"{collection.name}_scores")
    assert run("mongodb", "mongodb").name == "Nothing new"
    growing(150, 2)
    assert run("mongodb", "mongodb").result().rows.n_scored == 150
    assert versions(scores) == {"1": 350}

    promote(2)
    assert run("mongodb", "mongodb").result().rows.n_scored == 350
    assert run("mongodb", "mongodb").name == "Nothing new"
    assert run("mongodb", "mongodb", model_version="1").name == "Nothing new"
    assert versions(scores) == {"1": 350, "2": 350}

    # Another output has seen nothing yet.
    state = run("mongodb", f"{os.environ['MONGODB_URI']}_mine")
    assert state.result().rows.n_scored == 350


def test_one_look_back_records_nothing(growing, scores):
    growing(200, 1)
    growing(150, 2)
    assert run("mongodb", "mongodb", since="1").result().rows.n_scored == 150
    assert versions(scores) == {"1": 150}
    assert run("mongodb", "mongodb").result().rows.n_scored == 350
    assert run("mongodb", "mongodb", since="2000-01-01").result().rows.n_scored == 350
    assert versions(scores) == {"1": 350}
    with pytest.raises(DataSourceError, match="no ingestion 7 has finished"):
        run("mongodb", "mongodb", since="7").result()
    with pytest.raises(ConfigurationError, match="neither the number of an ingestion nor a time"):
        run("mongodb", "mongodb", since="yesterday").result()


def test_a_run_that_is_cut_off_is_made_again(growing, scores, monkeypatch):
    growing(300, 1)
    monkeypatch.setattr(server, "BATCH_SIZE", 100)
    put, calls = scores_module._put, []

    def interrupted(*args):
        put(*args)
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(scores_module, "_put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("mongodb", "mongodb")
    assert versions(scores) == {"1": 200}
    assert run("mongodb", "mongodb").result().rows.n_scored == 300
    assert versions(scores) == {"1": 300}


def test_what_may_pass_is_tried_again_and_doubles_nothing(growing, scores, monkeypatch):
    growing(300, 1)
    step = flow_module.score_collection.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(flow_module, "score_collection", step)
    monkeypatch.setattr(server, "BATCH_SIZE", 100)
    put, calls = scores_module._put, []

    def lost_once(*args):
        put(*args)
        calls.append(args)
        if len(calls) == 2:
            raise SourceUnavailableError("away")

    monkeypatch.setattr(scores_module, "_put", lost_once)
    state = run("mongodb", "mongodb")
    assert state.result().rows.n_scored == 300
    assert versions(scores) == {"1": 300}
    assert task_tries(state)["score"] == ("Completed", 2)


def test_of_two_runs_at_once_nothing_is_doubled(growing, scores, monkeypatch):
    growing(200, 1)
    record = flow_module.record

    def after_another(*args):
        record(*args)
        return record(*args)

    monkeypatch.setattr(flow_module, "record", after_another)
    assert run("mongodb", "mongodb").name == "Scored"
    assert run("mongodb", "mongodb").name == "Nothing new"
    assert versions(scores) == {"1": 200}


def test_from_a_collection_to_a_file(growing, workplace, collection):
    growing(200, 1)
    growing(150, 2)
    for options, n_rows in (({}, 350), ({}, 350), ({"since": "1"}, 150)):
        state = run("mongodb", workplace / "scored.csv", **options)
        assert state.result().rows.n_scored == n_rows
    found = pd.read_csv(workplace / "scored.csv")
    said = ["label", "known", "f1_when_only_these_are_known", "label_by", "override", "model", "model_version"]
    columns = ["row", "_id", "phishing_probability", *said]
    assert list(found) == columns
    key = collection.find_one({"_id.row": 7, "ingestion.id": 2})["_id"]
    assert f'{{"file": "{key["file"]}", "row": 7}}' in set(found["_id"])


def test_from_a_file_to_a_collection(growing, workplace, scores):
    source = write_csv(workplace, bad=[3])
    for _ in range(2):
        report = run(source, "mongodb").result()
        assert (report.rows.n_scored, report.rows.n_rejected) == (299, 1)
        assert report.quarantine.endswith("_scores_quarantine")
    assert versions(scores) == {"1": 299}
    assert scores.find_one({"_id.row.row": 7})["key"] == "00007"


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(environment):
    """Return the environment of commands, in which a champion is."""
    options = ["--source", "sample:3000", "--models", "Decision Tree"]
    command = [sys.executable, str(PROJECT / "flows" / "train.py"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "promoted: There is no champion yet" in done.stdout, done.stderr
    return environment


@pytest.mark.integration
def test_real_data_through_the_command(command, real_data, tmp_path):
    done = command("--source", str(real_data), "--output", "scored.csv")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"rows read +11,055\s+scored +11,055\s+phishing +[\d,]+ \(\d\d\.\d%\)\s+set by hand +0\s+quarantined +0",
        done.stdout,
    )
    assert len(pd.read_csv(tmp_path / "scored.csv")) == 11_055


@pytest.mark.integration
def test_ctrl_c_leaves_no_file(environment, tmp_path):
    make_phishing_websites(400_000, random_state=0).to_csv(tmp_path / "rows.csv", index=False)
    process = subprocess.Popen(
        [*COMMAND, "--source", "rows.csv", "--output", "scored.csv"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
    )
    while not any(path.stat().st_size for path in tmp_path.glob("scored.csv.*.partial")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv"}
