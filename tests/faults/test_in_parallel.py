"""Many commands at once on one machine: each is correct, or says in one line why not."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from leash import LEASH
from mlflow import MlflowClient
from prefect.settings import PREFECT_API_URL
from pymongo import MongoClient

from networksecurity.data.sample import make_phishing_websites
from networksecurity.tracking.outcome import GRID_POINT_TAG, SIDE_TAG, TRAINING_TAG

PROJECT = Path(__file__).resolve().parents[2]
EXPERIMENT, MODEL = "parallel", "parallel-phishing"
N_ROWS, N_SCORERS = 600, 10
SEEDS = (0, 0, 1, 2)
"""Of the trainings: two are the same."""


@dataclass(frozen=True)
class Place:
    """Where the commands of a machine keep what they keep."""

    folder: Path
    environment: dict[str, str]

    @property
    def client(self):
        uri = self.environment["MLFLOW_TRACKING_URI"]
        return MlflowClient(uri, registry_uri=uri)

    def run_all(self, commands):
        """Run commands at once; return, by name, the exit code of each and the errors that it reported."""
        running = {name: self._start(name, *command) for name, command in commands.items()}
        ends = {}
        for name, process in running.items():
            code = process.wait(timeout=1_800)
            said = (self.folder / f"{name}.err").read_text()
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            assert "Traceback" not in said, f"{name}: {said[-3000:]}"
            assert (code, len(errors)) in {(0, 0), (1, 1)}, f"{name}: {code}, {said[-3000:]}"
            ends[name] = code, *errors
        return ends

    def _start(self, name, *command):
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            return subprocess.Popen(
                [*LEASH, sys.executable, *command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def left(self):
        """Return the commands of the processes that were started here and still run."""
        mine = [process for process in psutil.process_iter() if _works_in(process, self.folder)]
        _, alive = psutil.wait_procs(mine, timeout=60)
        return [process.cmdline() for process in alive]


def _works_in(process, folder):
    try:
        return Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False


@pytest.fixture(params=["sqlite", "servers"])
def place(request, tmp_path, mongod):
    """Return a machine: each run has a Prefect server of its own and all share SQLite files, or a team's servers."""
    folder = tmp_path / request.param
    folder.mkdir()
    make_phishing_websites(N_ROWS, random_state=1).to_csv(folder / "rows.csv", index=False)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment = kept | {
        "PYTHONPATH": str(PROJECT),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",  # so many start at once
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
        "NETWORKSECURITY_CORES": "1",
        "NETWORKSECURITY_MLFLOW_TIMEOUT": "120",
        "NETWORKSECURITY_MLFLOW_REGISTERED_MODEL_NAME": MODEL,
        "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MONGODB_URI": f"{mongod.uri}/parallel_{time.time_ns()}.rows",
    }
    if request.param == "servers":
        request.getfixturevalue("prefect_server")
        mlflow = request.getfixturevalue("mlflow_server")
        environment |= {"PREFECT_API_URL": PREFECT_API_URL.value(), "MLFLOW_TRACKING_URI": mlflow}
    return Place(folder, environment)


def commands(store):
    """Return the commands that run at once."""
    flow = {name: str(PROJECT / "flows" / f"{name}.py") for name in ("train", "score", "ingest")}
    train = (flow["train"], "--source", f"sample:{N_ROWS}", "--models", "Decision Tree", "--random-state")
    of_rows = ("--source", "rows.csv")
    promote = ("-m", "networksecurity", "champion", "promote")
    return {
        **{f"{store}-train-{n}": (*train, str(seed)) for n, seed in enumerate(SEEDS)},
        **{f"{store}-score-{n}": (flow["score"], *of_rows, "--output", f"{store}-{n}.csv") for n in range(N_SCORERS)},
        **{f"{store}-ingest-{n}": (flow["ingest"], *of_rows) for n in range(2)},
        **{f"{store}-promote-{n}": (*promote, str(n + 1)) for n in range(2)},
    }


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_many_commands_at_once_are_correct_or_say_why_not_in_one_line(place, capsys):
    for n_rounds, store in enumerate(("fresh", "warm"), start=1):
        started = time.monotonic()
        ends = place.run_all(commands(store))
        n_done, seconds = sum(code == 0 for code, *_ in ends.values()), time.monotonic() - started
        with capsys.disabled():
            print(f"\n{place.folder.name}, {store}: {len(ends)} commands, {n_done} done, {seconds:.0f} s")
            print(
                *sorted(f"{name}: {error[:300]}" for name, (_, *errors) in ends.items() for error in errors), sep="\n"
            )
        for name, (code, *errors) in ends.items():
            may_fail = "promote" in name or ("score" in name and store == "fresh")
            assert code == 0 or may_fail, f"{name}: {errors}"
        assert place.left() == []
        check_trainings(place, len(SEEDS) * n_rounds)
        check_rows(place)
        check_scores(place, store, [n for n in range(N_SCORERS) if ends[f"{store}-score-{n}"][0] == 0])


def check_trainings(place, n_trainings):
    """Check that each training is in MLflow once, and that there is one champion."""
    replay = ("-m", "networksecurity", "tracking", "replay", "--json")
    assert place.run_all({"replay": replay}) == {"replay": (0,)}
    assert json.loads((place.folder / "replay.out").read_text())["left"] == []
    storage = place.folder / "storage"
    assert [*(storage / "tracking").iterdir(), *storage.rglob("*.partial")] == []
    client = place.client
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    sides = {(run.data.tags[TRAINING_TAG], run.data.tags[SIDE_TAG]) for run in runs}
    assert len(runs) == len(sides) == 2 * n_trainings
    scores = {(run.data.params["random_state"], run.data.tags[SIDE_TAG], run.data.metrics["f1_score"]) for run in runs}
    assert len(scores) == 2 * len(set(SEEDS))
    grid = client.search_runs([client.get_experiment_by_name(f"{EXPERIMENT}-grid").experiment_id], max_results=5_000)
    assert {run.info.status for run in grid} == {"FINISHED"}
    assert len(grid) == len({(run.data.tags[TRAINING_TAG], run.data.tags[GRID_POINT_TAG]) for run in grid})
    versions = client.search_model_versions(f"name = '{MODEL}'")
    assert sorted(int(version.version) for version in versions) == list(range(1, n_trainings + 1))
    assert len({version.run_id for version in versions}) == n_trainings
    assert int(client.get_model_version_by_alias(MODEL, "candidate").version) == n_trainings
    assert client.get_model_version_by_alias(MODEL, "champion").version


def check_rows(place):
    with MongoClient(place.environment["MONGODB_URI"]) as mongo:
        database = mongo.get_default_database()
        assert sorted(row["_id"]["row"] for row in database["rows"].find()) == list(range(N_ROWS))
        assert all("position" in ingestion for ingestion in database["rows_ingestions"].find())


def check_scores(place, store, scorers):
    """Check that each file holds all rows, and that scores of one version are the same ones."""
    by_version = {}
    for n in scorers:
        frame = pd.read_csv(place.folder / f"{store}-{n}.csv")
        assert frame["row"].tolist() == list(range(N_ROWS))
        (version,) = frame["model_version"].unique()
        pd.testing.assert_frame_equal(frame, by_version.setdefault(version, frame))
    assert [*place.folder.glob("*.partial")] == []
