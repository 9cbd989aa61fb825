"""The command as a user runs it: another folder, the real data, wrong options, a dead server, Ctrl-C."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from leash import LEASH
from mlflow import MlflowClient

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(PROJECT / "flows" / "train.py")]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]


@pytest.fixture(scope="module")
def client(home):
    uri = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def run_ids(done):
    """Return the train and the test run of the links that were printed."""
    return re.findall(r"/runs/(\w{32})\b", done.stdout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def on_real_data(real_data, environment, tmp_path_factory):
    done = subprocess.run(
        [*COMMAND, "--source", str(real_data)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=1_100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_five_models_on_the_real_data(on_real_data, client):
    for model in ("Random Forest", "Decision Tree", "Gradient Boosting", "Logistic Regression", "AdaBoost"):
        assert f"searches done · {model}: f1 0.9" in on_real_data.stderr
    assert "0 feature vectors on both sides" in on_real_data.stdout
    train_run, test_run = map(client.get_run, run_ids(on_real_data))
    assert {"f1_score", "precision", "recall_score"} <= set(train_run.data.metrics) & set(test_run.data.metrics)
    assert 0.93 < test_run.data.metrics["f1_score"] < 0.97
    children = mlflow.search_runs(
        experiment_names=["networksecurity-grid"],
        filter_string=f"tags.`mlflow.parentRunId` = '{train_run.info.run_id}'",
    )
    assert children["params.model"].value_counts().to_dict() == {
        "Gradient Boosting": 120, "AdaBoost": 18, "Random Forest": 5, "Decision Tree": 3, "Logistic Regression": 1
    }  # fmt: skip
    assert (children["status"] == "FINISHED").all()
    of_winner = children[children["params.model"] == train_run.data.params["model"]]
    assert of_winner["metrics.mean_test_score"].max() == train_run.data.metrics["cv_f1"]
    assert train_run.data.params["model"] == "Random Forest"  # docs/selection.md
    assert "Random Forest has the highest mean f1 over 3 repeats of 3 folds" in on_real_data.stdout
    version = client.get_model_version_by_alias("networksecurity-phishing", "candidate")
    assert version.run_id == train_run.info.run_id
    assert f"networksecurity-phishing {version.version}" in on_real_data.stdout
    assert f"mlflow ui --backend-store-uri {mlflow.get_tracking_uri()} " in on_real_data.stdout


def test_the_newest_model_predicts_the_same_in_a_process_that_allows_no_pickle(on_real_data, environment, real_data):
    code = (
        "import sys, pandas as pd; from networksecurity.champion.registry import Registry; "
        "from networksecurity.settings import Settings; from networksecurity.tracking.server import connect; "
        "registry = Registry(connect(Settings()), 'networksecurity-phishing'); "
        "rows = pd.read_csv(sys.argv[1]).drop(columns='Result').astype('float64'); rows.iloc[::7, 5] = None; "
        "print(registry.load_model(registry.get('candidate')).predict_proba(rows).tobytes().hex())"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, str(real_data)],
        env=environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = pd.read_csv(real_data).drop(columns="Result").astype("float64")
    rows.iloc[::7, 5] = None
    expected = mlflow.sklearn.load_model("models:/networksecurity-phishing@candidate").predict_proba(rows)
    assert loaded.stdout.strip() == expected.tobytes().hex()


def test_the_same_command_again_takes_everything_from_the_cache(on_real_data, command, real_data, client):
    again = command("--source", str(real_data))
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("(from the cache)") == 5
    for first, second in zip(run_ids(on_real_data), run_ids(again), strict=True):
        assert first != second
        assert client.get_run(first).data.metrics == client.get_run(second).data.metrics


def test_the_logged_model_is_served(on_real_data, client, environment, real_data):
    model_uri = "models:/networksecurity-phishing@candidate"
    rows = pd.read_csv(real_data).drop(columns="Result").head(20).astype("float64")
    rows.iloc[3, 5] = None
    expected = mlflow.sklearn.load_model(model_uri).predict(rows).tolist()
    port = free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local", "-h", "127.0.0.1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    server = subprocess.Popen(
        [sys.executable, *command, "-p", str(port)],
        env=environment | {"PATH": path},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        body = json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    answer = json.load(response)
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.5)
        assert answer == {"predictions": expected}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_rows_from_mongodb(served_command, collection, client):
    from networksecurity.data.sample import make_phishing_websites

    collection.insert_many(make_phishing_websites(1_500).to_dict("records"))
    uri = f"mongodb://127.0.0.1:{collection.database.client.address[1]}/{collection.database.name}.{collection.name}"
    done = served_command("--source", uri, "--models", "Decision Tree")
    assert done.returncode == 0, done.stderr
    assert client.get_run(run_ids(done)[0]).data.tags["data.n_rows"] == "1500"


def test_dead_tracking_server(served_command):
    options = ("--source", "sample:1500", "--models", "Decision Tree")
    done = served_command(*options, MLFLOW_TRACKING_URI="http://127.0.0.1:9", NETWORKSECURITY_MLFLOW_TIMEOUT="1")
    assert done.returncode == 0
    assert "Tracking is deferred, nothing is lost: `networksecurity tracking replay` delivers it" in done.stdout
    assert "Traceback" not in done.stderr
    again = served_command(*options)
    assert again.returncode == 0
    assert "delivered to MLflow: training " in again.stdout + again.stderr


@pytest.fixture
def guarded_server(environment, tmp_path):
    """Run a real Prefect server that lets in who gives a password, and return its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    guarded = {"PREFECT_HOME": str(tmp_path / "guarded"), "PREFECT_SERVER_API_AUTH_STRING": "admin:hush"}
    command = [*LEASH, sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "guarded.log").open("w") as log:
        server = subprocess.Popen(command, env=environment | guarded, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 240
        while not listens(port):
            assert server.poll() is None, log
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        server.wait(timeout=60)


def listens(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_dead_prefect_server(command, closed_port):
    done = command(PREFECT_API_URL=f"http://me:hush@127.0.0.1:{closed_port}/api")
    assert (done.returncode, done.stdout) == (1, "")
    *_, line = done.stderr.splitlines()
    assert line.startswith(f"error: Prefect's server at http://127.0.0.1:{closed_port}/api cannot be reached: ")


def test_prefect_server_with_another_password(command, guarded_server):
    done = command(PREFECT_API_URL=guarded_server, PREFECT_API_AUTH_STRING="admin:guessed")
    assert (done.returncode, done.stdout) == (1, "")
    *_, line = done.stderr.splitlines()
    assert line.startswith(f"error: Prefect's server at {guarded_server} answers 401. Set PREFECT_API_KEY or ")
    assert "guessed" not in line


def test_what_the_server_of_a_run_says_is_kept_from_the_terminal(command, home):
    done = command("--source", "mongodb://127.0.0.1:9/db.rows", PREFECT_SERVER_LOGGING_LEVEL="DEBUG")
    assert "error: " in done.stderr
    log = (home / "prefect" / "server-of-single-runs.log").read_text()
    assert "prefect.server" in log
    assert "prefect.server" not in done.stdout + done.stderr


def is_alone(pid):
    """Return whether a group of processes has ended."""
    for _ in range(100):
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def newest_training(client):
    experiment = client.get_experiment_by_name("networksecurity").experiment_id
    (newest,) = client.search_runs([experiment], "tags.`networksecurity.side` = 'train'", max_results=1)
    return newest


def ends_with_one_sentence(log, sentence):
    lines = log.read_text().splitlines()
    assert lines[-1].startswith(sentence)
    for noise in ("Crash", "EventsWorker", "leaked", "Traceback"):
        assert not [line for line in lines if noise in line]


@pytest.mark.parametrize(
    ("send", "code", "said", "reason"),
    [
        (lambda pid: os.killpg(pid, signal.SIGINT), 130, "interrupted", "KeyboardInterrupt"),  # as a terminal does
        (lambda pid: os.kill(pid, signal.SIGTERM), 143, "terminated", "TerminationSignal"),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_ends_every_process_and_is_said(environment, tmp_path, client, send, code, said, reason):
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--source", "sample:20000"],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a group of its own, as a terminal gives it
            # Tests that run in the background of a script inherit its deafness to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
        )
        while "searching 5 models" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        time.sleep(3)  # into the searches
        send(process.pid)
        try:
            assert process.wait(120) == code
        finally:
            process.kill()
    ends_with_one_sentence(log, f"{said}: finished steps are kept, ")
    newest = newest_training(client)
    assert newest.info.status == "KILLED"
    assert newest.data.tags["networksecurity.reason"].startswith(reason)
    assert is_alone(process.pid)


def test_a_time_limit_ends_a_thread_that_computes(environment, tmp_path, client):
    limited = {"NETWORKSECURITY_TIME_LIMIT": "8", "NETWORKSECURITY_CORES": "1"}
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--source", "sample:20000", "--models", "Gradient Boosting", "--refresh"],
            cwd=tmp_path,
            env=environment | limited,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            assert process.wait(240) == 1
        finally:
            process.kill()
    ends_with_one_sentence(log, "error: the training took longer than 8 s, its time limit; ")
    newest = newest_training(client)
    assert newest.info.status == "FAILED"
    assert newest.data.tags["networksecurity.reason"].startswith("TimeLimitError: ")
    assert is_alone(process.pid)


def test_another_machine_takes_results_from_the_storage_they_share(command, tmp_path, mlflow_database):
    said = []
    for machine in ("one", "other"):
        home = tmp_path / machine
        home.mkdir()
        done = command(
            *("--source", "sample:900", "--models", "Decision Tree", "--promotion", "off", "--verbose"),
            PREFECT_HOME=str(home),
            PREFECT_RESULTS_LOCAL_STORAGE_PATH=str(home / "results"),
            MLFLOW_TRACKING_URI=f"sqlite:///{shutil.copy(mlflow_database, home)}",
            NETWORKSECURITY_STORAGE=f"file://{tmp_path}/shared",
        )
        assert done.returncode == 0, done.stderr
        assert not (home / "results").exists()
        said.append(re.findall(r"Task run '(.+?)' - Finished in state (\w+)", done.stderr))
    computed, taken = ({name for name, state in tasks if state == "Cached"} for tasks in said)
    assert computed == set()
    assert taken == {
        "validate", "split", "folds", "search: Decision Tree", "threshold: Decision Tree", "fit: Decision Tree",
        "known features", "explain", "leakage ledger", "reference profile", "evaluate: train", "evaluate: test",
    }  # fmt: skip


QUICK = ("--source", "sample:1500", "--models", "Decision Tree,Random Forest")


@pytest.mark.parametrize(
    ("mode", "repo", "options"), [("full", "jane/new", ["--create-repo"]), ("old", "jane/phishing", [])]
)
def test_training_on_dagshub(mode, repo, options, served_command, dagshub_standin, mlflow_server, tmp_path):
    dagshub_standin.mode = mode
    name = f"networksecurity-{mode}"
    done = served_command(
        *QUICK,
        *options,
        DAGSHUB_REPO=repo,
        DAGSHUB_USER_TOKEN=dagshub_standin.token,
        DAGSHUB_CLIENT_HOST=dagshub_standin.url,
        MLFLOW_EXPERIMENT_NAME=name,
        NETWORKSECURITY_MLFLOW_REGISTERED_MODEL_NAME=name,
    )
    assert done.returncode == 0, done.stderr
    assert f"{dagshub_standin.url}/{repo}.mlflow/#/experiments/" in done.stdout
    assert dagshub_standin.private[repo]

    # Everything is there, whoever asks.
    client = MlflowClient(mlflow_server)
    train_run, test_run = map(client.get_run, run_ids(done))
    grid = client.get_experiment_by_name(f"{name}-grid").experiment_id
    runs = client.search_runs([train_run.info.experiment_id, grid])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 2 + 3 + 5
    files = {file.path for file in client.list_artifacts(test_run.info.run_id)}
    assert {"confusion_matrix.png", "roc_curve.json", "leakage_ledger.json"} <= files
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert version.run_id == train_run.info.run_id
    if mode == "full":
        assert client.get_model_version_by_alias(name, "candidate").version == version.version
        assert client.get_model_version_by_alias(name, "champion").version == version.version
        assert version.source.startswith("models:/m-")
    else:
        aliases = {f"networksecurity.alias.{alias}": version.version for alias in ("candidate", "champion")}
        assert aliases.items() <= client.get_registered_model(name).tags.items()
        assert client.search_logged_models([train_run.info.experiment_id]) == []

    # The token is nowhere, and neither is the address of the repository's owner with it.
    assert dagshub_standin.token not in done.stdout + done.stderr
    told = [run.data.to_dictionary() for run in runs] + [version.tags, version.source]
    assert dagshub_standin.token not in json.dumps(told, default=str)
    for run in (train_run, test_run):
        client.download_artifacts(run.info.run_id, "", str(tmp_path))
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or dagshub_standin.token.encode() not in file.read_bytes()
