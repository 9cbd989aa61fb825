import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from logged import log_all

from networksecurity.cli.replay import compare
from networksecurity.exceptions import TrackingError
from networksecurity.settings import settings
from networksecurity.tracking import provenance, runs
from networksecurity.tracking.outcome import PARAMETERS_TAG
from networksecurity.tracking.recorded import read_recorded

PROJECT = Path(__file__).resolve().parents[1]
PARAMETERS = {"source": "sample:900", "contract": "websites", "models": ["Random Forest"], "reason": "quoted 'so'"}


@pytest.fixture
def training(server, outcome, monkeypatch):
    """Log a training as the flow does."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    settings.cache_clear()
    opened = runs.start_training(server, "networksecurity", {PARAMETERS_TAG: json.dumps(PARAMETERS)})
    origin = {"networksecurity.code_version": provenance.code_version(), "data.sha256": "5ha"}
    log_all(server, opened, replace(outcome, tags={**outcome.tags, **origin}))
    yield opened
    settings.cache_clear()


@pytest.fixture
def report(outcome):
    """Return what a training reports that came out as the one that was logged."""
    winner = {"model": outcome.params["model"], "params": {"n_estimators": outcome.params["n_estimators"]}}
    figures = {"train_metrics": dict(outcome.train.metrics), "test_metrics": dict(outcome.test.metrics)}
    return {"data_sha256": "5ha", "leaderboard": [winner], **figures}


def test_a_training_is_found_by_its_name_and_by_each_of_its_runs(server, training):
    names = training.name, f"train-{training.name}", f"test-{training.name}", training.train_run_id
    found = [read_recorded(server, "networksecurity", name) for name in names]
    assert {of.name for of in found} == {training.name}
    assert found[0].parameters == PARAMETERS
    assert found[0].contract == ""
    for unknown in ("no-such-7", "it's"):
        with pytest.raises(TrackingError, match=f"there is no training or run {unknown}"):
            read_recorded(server, "networksecurity", unknown)


def test_a_training_that_did_not_finish_has_nothing_to_compare_with(server):
    opened = runs.start_training(server, "networksecurity", {})
    with pytest.raises(TrackingError, match="has not finished"):
        read_recorded(server, "networksecurity", opened.name)


def test_equal_figures_are_equal_and_one_digit_is_a_difference(server, training, report):
    recorded = read_recorded(server, "networksecurity", training.name)
    differences, n_equal = compare(recorded, report)
    assert differences == {}
    assert n_equal == 3 + len(report["train_metrics"]) + len(report["test_metrics"])
    was = report["test_metrics"]["f1_score_low"]
    report["test_metrics"]["f1_score_low"] = now = was + 1e-12
    assert compare(recorded, report) == ({"test f1_score_low": (was, now)}, n_equal - 1)
    report["data_sha256"] = "other"
    assert compare(recorded, report)[0]["rows (SHA-256)"] == ("5ha", "other")


@pytest.mark.parametrize(("commit", "said"), [("", "no commit holds it"), ("c0ffee-dirty", "c0ffee with changes")])
def test_code_that_is_nowhere_is_said(command, training, server, commit, said):
    with server.client() as client:
        client.set_tag(training.train_run_id, "networksecurity.code_version", "other")
        if commit:
            client.set_tag(training.train_run_id, "mlflow.source.git.commit", commit)
    code, out, err = command("replay", training.name)
    assert (code, out) == (1, "")
    assert said in err


def git(folder, *arguments):
    identity = ("-c", "user.name=Jane", "-c", "user.email=jane@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(training, server, tmp_path, monkeypatch):
    """Return what commits a `flows/train.py` to a checkout of its own, and says that the training was made with it."""
    folder = tmp_path / "checkout"
    (folder / "flows").mkdir(parents=True)
    git(folder, "init")
    monkeypatch.setattr(sys.modules[compare.__module__], "PROJECT_FOLDER", folder)

    def commit(program=None):
        if program:
            (folder / "flows" / "train.py").write_text(program)
        git(folder, "add", ".")
        git(folder, "commit", "--allow-empty", "-m", "a state")
        made_with(git(folder, "rev-parse", "HEAD"))
        return folder

    def made_with(commit):
        with server.client() as client:
            client.set_tag(training.train_run_id, "networksecurity.code_version", "other")
            client.set_tag(training.train_run_id, "mlflow.source.git.commit", commit)

    commit.made_with = made_with
    return commit


def test_code_that_git_does_not_give_is_said_in_one_line(command, training, checkout, monkeypatch):
    folder = checkout()
    code, _, err = command("replay", training.name)
    assert code == 1
    assert err.endswith(f"with which {training.name} was made, has no flows/train.py to start\n")
    assert len(git(folder, "worktree", "list").splitlines()) == 1

    checkout.made_with("c0ffee" * 6 + "c0ff")
    for break_it, reason in (
        (lambda: None, "invalid reference"),
        (lambda: shutil.rmtree(folder / ".git"), "not a git repository"),
        (lambda: monkeypatch.setenv("PATH", str(folder)), "it cannot be started: No such file or directory"),
    ):
        break_it()
        code, out, err = command("replay", training.name)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "was made with commit c0ffeec0ffee, which git does not give (" in err
        assert reason in err


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize(("number", "ends_with"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_commit_is_replayed_with_the_settings_of_the_checkout_and_its_end_leaves_nothing_of_it(
    number, ends_with, command, training, checkout, monkeypatch, tmp_path
):
    seen = tmp_path / "seen"
    folder = checkout(
        "import os, pathlib, signal\n"
        f"pathlib.Path({str(seen)!r}).write_text(pathlib.Path(__file__).parents[1].joinpath('.env').read_text())\n"
        f"os.kill(os.getppid(), signal.{number})\n"
        f"{'signal.pause()' if number == 'SIGTERM' else ''}\n"
    )
    (folder / ".env").write_text("# of the checkout")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {*tmp_path.iterdir(), seen}
    assert command("replay", training.name)[0] == ends_with
    assert seen.read_text() == "# of the checkout"
    assert len(git(folder, "worktree", "list").splitlines()) == 1
    assert set(tmp_path.iterdir()) == before


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_training_comes_out_the_same_with_the_code_that_is_here_and_with_that_of_another_commit(
    tmp_path, mlflow_database
):
    if not (PROJECT / ".git").exists():
        pytest.skip("this is no checkout")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    places = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(tmp_path / "results"),
        "NETWORKSECURITY_STORAGE": str(tmp_path / "storage"),
    }
    clone = tmp_path / "clone"
    git(tmp_path, "clone", PROJECT, clone)
    (clone / ".env").write_text(f"MLFLOW_TRACKING_URI=sqlite:///{shutil.copy(mlflow_database, tmp_path)}\n")

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command], cwd=clone, env=kept | places, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    trained = ("--source", "sample:900", "--models", "Decision Tree,Logistic Regression", "--base-rate", "0.1")
    name = run("flows/train.py", *trained, "--quiet").split()[1].rstrip(":")
    before = sorted(file.name for file in (tmp_path / "storage").rglob("*"))
    commit = git(clone, "rev-parse", "HEAD")
    for code in ("the code that is here", f"commit {commit[:12]}"):
        found = json.loads(run("-m", "networksecurity", "replay", name, "--json"))
        assert (found["equal"], found["code"]) == (True, code)
        assert found["n_equal"] > 40
        assert sorted(file.name for file in (tmp_path / "storage").rglob("*")) == before
        (clone / "networksecurity" / "another.py").touch()
        (clone / "flows" / "train.py").write_text("raise SystemExit('this is other code')")
    assert len(git(clone, "worktree", "list").splitlines()) == 1
