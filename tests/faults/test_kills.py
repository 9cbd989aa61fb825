"""Commands that are killed at any moment and run again: equal results, one set of runs, no process left."""

import os
import random
import shutil
import signal
import time
from bisect import bisect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from forked import fork
from mlflow import MlflowClient
from prefect.settings import PREFECT_API_URL
from pymongo import MongoClient

from networksecurity.champion.changes import history
from networksecurity.champion.registry import Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.storage import Storage
from networksecurity.tracking.outcome import SIDE_TAG, TRAINING_TAG
from networksecurity.tracking.server import TrackingServer

PROJECT = Path(__file__).resolve().parents[2]
MODEL = "networksecurity-phishing"
N_ROWS, N_MOMENTS = 12_000, 20
_AT_ONCE = 0.05
TRAIN = ("train", "--source", "sample:600", "--models", "Decision Tree", "--cv-repeats", "0", "--verbose")

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7_200)]


@dataclass(frozen=True)
class Home:
    """A folder with all that an installation keeps, and the environment of its commands."""

    folder: Path
    environment: dict[str, str]

    def start(self, command, **changes):
        return fork(command, self.environment | changes, self.folder)

    def run(self, command, codes=(0,)):
        """Run a command to its end."""
        process = self.start(command)
        process.join(600)
        assert process.exitcode in codes, self.log
        assert "Traceback" not in self.log

    @property
    def log(self):
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    @property
    def n_lines(self):
        return self.log.count("\n")

    def records(self, pattern="*.json"):
        """Return what waits for MLflow, and with "*" also who is said to work on it."""
        return Storage(str(self.folder / "storage")).documents(f"tracking/{pattern}")

    @property
    def client(self):
        uri = self.environment["MLFLOW_TRACKING_URI"]
        return MlflowClient(uri, registry_uri=uri)

    def runs(self, experiment):
        found = self.client.get_experiment_by_name(experiment)
        return self.client.search_runs([found.experiment_id], max_results=1_000) if found else []


# --- what the finished runs of a command have left, in plain values, one for each -------------------------------------


def figures(run):
    """Return a run's figures but for the times."""
    return sorted((name, value) for name, value in run.data.metrics.items() if "time" not in name)


def trainings(home):
    by_name = {}
    for run in [*home.runs("networksecurity"), *home.runs("networksecurity-grid")]:
        by_name.setdefault(run.data.tags[TRAINING_TAG], []).append(run)
    versions = [version.tags[TRAINING_TAG] for version in home.client.search_model_versions(f"name = '{MODEL}'")]
    return [
        (sorted((run.data.tags[SIDE_TAG], run.info.status, figures(run)) for run in runs), versions.count(name))
        for name, runs in by_name.items()
    ]


def rows(home):
    with MongoClient(home.environment["MONGODB_URI"]) as mongo:
        database = mongo.get_default_database()
        return [
            (
                sorted((row["_id"]["row"], row["Result"]) for row in database["rows"].find()),
                sorted(row["_id"]["row"] for row in database["rows_quarantine"].find()),
                {"position" in ingestion for ingestion in database["rows_ingestions"].find()},
            )
        ]


def scores(home):
    files = [home.folder / name for name in ("scored.csv", "scored_quarantine.csv")]
    return [[pd.read_csv(file).to_csv() for file in files]] if all(file.exists() for file in files) else []


def checks(home):
    runs = home.runs("networksecurity-monitor")
    assert len(runs) <= 1
    steps = home.client.get_metric_history(runs[0].info.run_id, "n_rows") if runs else []
    return [(runs[0].info.status, step.value, figures(runs[0])) for step in steps]


def reviews(home):
    return [(run.info.status, figures(run)) for run in home.runs("networksecurity-evaluate")]


def changes(home):
    uri = home.environment["MLFLOW_TRACKING_URI"]
    registry = Registry(TrackingServer(uri, uri, logged_models=True, aliases=True), MODEL)
    done = [event.version for event in history(registry) if event.action == "promote" and event.done]
    return [(sorted(home.client.get_registered_model(MODEL).aliases.items()), done)]


# --- the commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    command: tuple[str, ...]
    left: Callable[[Home], list]
    is_fresh: bool = False
    """Whether it begins with nothing, else with two versions of the model, the first of which is in use."""
    adds: bool = False
    """Whether the same command after one that has ended leaves something of its own."""
    codes: tuple[int, ...] = (0,)


OF_ROWS = ("--source", "rows.csv", "--verbose")
CASES = {
    "train": Case(TRAIN, trainings, is_fresh=True, adds=True),
    "ingest": Case(("ingest", *OF_ROWS), rows, is_fresh=True),
    "score": Case(("score", *OF_ROWS, "--output", "scored.csv"), scores),
    "monitor": Case(("monitor", *OF_ROWS), checks, adds=True),
    "evaluate": Case(("evaluate", *OF_ROWS), reviews, adds=True, codes=(0, 3, 4)),
    "promotion": Case(("champion", "promote", "2"), changes),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory, mlflow_database, prefect_server, mongod):
    """Return a function that makes a home, empty or a copy of another."""
    table = make_phishing_websites(N_ROWS, random_state=1)
    table.loc[::1_000, "SFH"] = 7  # not valid

    def make(of=None):
        folder = tmp_path_factory.mktemp("home")
        if of:
            shutil.copytree(of.folder, folder, dirs_exist_ok=True)
            for name in ("log", "out"):
                (folder / name).unlink()
        else:
            shutil.copy(mlflow_database, folder)
            table.to_csv(folder / "rows.csv", index=False)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        return Home(
            folder,
            kept
            | {
                "PREFECT_API_URL": PREFECT_API_URL.value(),
                "PREFECT_HOME": str(folder / "prefect"),
                "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
                "NETWORKSECURITY_STORAGE": str(folder / "storage"),
                "NETWORKSECURITY_CORES": "1",
                "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
                "MONGODB_URI": f"{mongod.uri}/{folder.name}_{time.time_ns()}.rows",
            },
        )

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}")
        yield make


@pytest.fixture(scope="module")
def trained(home):
    of = home()
    of.run(TRAIN)
    of.run(("champion", "promote", "1"))
    of.run((*TRAIN, "--promotion", "off", "--random-state", "1"))
    return of


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def fresh(case, home, request):
    """Return a function that makes a home for a run of the command."""
    of = None if case.is_fresh else request.getfixturevalue("trained")
    return lambda: home(of)


@dataclass(frozen=True)
class Undisturbed:
    """What a command leaves that nobody kills, and when it prints: the seconds of each line, and of its end."""

    left: object
    lines: list[float]
    end: float

    def moments(self, random):
        """Return when to kill, in random order, as lines that were printed and seconds since: at each, and between.

        Of lines that follow one another within 50 ms, the last stands for all.
        """
        ends = zip([0.0, *self.lines], [*self.lines, self.end], strict=True)
        found = [(n_lines, 0.0) for n_lines, (this, next_) in enumerate(ends) if next_ - this > _AT_ONCE]
        for _ in range(N_MOMENTS):
            moment = random.uniform(0, self.end)
            n_lines = bisect(self.lines, moment)
            found.append((n_lines, moment - self.lines[n_lines - 1] if n_lines else moment))
        random.shuffle(found)
        return found


@pytest.fixture
def undisturbed(case, fresh):
    home, lines = fresh(), []
    home.run(("--version",))  # what forks has imported everything then
    started = time.monotonic()
    process = home.start(case.command)
    while process.is_alive():
        lines += [time.monotonic() - started] * (home.n_lines - len(lines))
        time.sleep(0.002)
    end = time.monotonic() - started
    assert process.exitcode in case.codes, home.log
    (left,) = case.left(home)
    return Undisturbed(left, lines, end)


def test_a_command_killed_at_any_moment_goes_on_and_leaves_no_process(case, fresh, undisturbed, subtests, capsys):
    name = " ".join(case.command[:2])
    moments = undisturbed.moments(random.Random(name))
    n_killed = n_families = n_ended = 0
    for n_lines, after in moments:
        with subtests.test(n_lines=n_lines, after=after):
            is_killed, family, ended = check_killed(case, fresh(), undisturbed.left, n_lines, after)
            n_killed += is_killed
            n_families += bool(family)
            n_ended += ended
    with capsys.disabled():
        print(
            f"\n{name}: {len(moments)} moments, {n_killed} before its end, {n_families} with processes of its own, "
            f"{n_ended} after its work"
        )


def check_killed(case, home, left, n_lines, after):
    """Kill a command some seconds after a line or at the next one, run it again, and check what both have left.

    Return whether it had not ended by then, its processes, and how many of its runs had done all.
    """
    process = home.start(case.command, NETWORKSECURITY_CORES="2")  # a search has a pool of processes
    while process.is_alive() and home.n_lines < n_lines:
        time.sleep(0.001)
    moment = time.monotonic() + after
    while process.is_alive() and home.n_lines == n_lines and time.monotonic() < moment:
        time.sleep(0.001)
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    is_killed = process.exitcode == -signal.SIGKILL
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    n_ended = len(case.left(home)) if case.adds and not home.records() else 0
    home.run(case.command, case.codes)
    if home.records("*"):
        home.run(("tracking", "replay"))  # deletes signs of life of the killed one, too
    assert [name for name in home.records("*") if not name.endswith(".partial")] == []  # those are deleted a day later
    assert case.left(home) == [left] * (n_ended + 1)
    return is_killed, family, n_ended
