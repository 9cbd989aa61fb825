import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE
from pydantic import SecretStr

from networksecurity.exceptions import (
    ConfigurationError,
    NetworkSecurityException,
    TrackingError,
    TrackingUnavailableError,
)
from networksecurity.settings import Settings
from networksecurity.tracking import server as tracking_server
from networksecurity.tracking.server import TrackingServer, connect, forget, model_version_url, run_url, ui_command

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "hush-3f1a9c"


@pytest.fixture(autouse=True)
def own_process(monkeypatch):
    """Leave neither connections nor variables to other tests, and take none from the machine or its .env."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    with monkeypatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("MLFLOW_", "DAGSHUB_")) and name != "MLFLOW_DISABLE_TELEMETRY":
                environment.delenv(name)
        forget()
        yield
        forget()
        mlflow.set_registry_uri(None)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
            os.environ.pop(name, None)


@pytest.fixture
def database(tmp_path, mlflow_database):
    return f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}"


def settings_for(uri, **values):
    return Settings(mlflow_tracking_uri=SecretStr(uri), **values)


def refused(error, uri, *says, **values):
    """Check that `uri` is refused in one line, and without a secret even in a traceback."""
    with pytest.raises(NetworkSecurityException) as caught:
        connect(settings_for(uri, **values))
    assert type(caught.value) is error
    message = str(caught.value)
    assert [word for word in says if word not in message] == [], message
    assert SECRET not in message
    assert "\n" not in message
    assert SECRET not in "".join(traceback.format_exception(caught.value))


class TestDatabase:
    def test_it_can_do_everything(self, database):
        server = connect(settings_for(database))
        assert server.address == server.uri == database
        assert server.logged_models
        assert server.aliases
        with server.client() as client:
            assert client.tracking_uri == database

    def test_it_becomes_the_current_one_of_mlflow_each_time(self, database, monkeypatch):
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///elsewhere.db")
        settings = settings_for(database)
        server = connect(settings)
        mlflow.set_tracking_uri("sqlite:///elsewhere.db")
        assert connect(settings) is server
        assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == database

    def test_it_is_asked_once(self, database):
        settings = settings_for(database)
        server = connect(settings)
        Path(database.removeprefix("sqlite:///")).unlink()
        assert connect(settings) is server
        assert connect(settings_for(database), create_repo=True) is server

    def test_an_address_does_not_depend_on_the_current_folder(self, database, monkeypatch):
        path = Path(database.removeprefix("sqlite:///"))
        monkeypatch.chdir(path.parent)
        assert connect(settings_for(f"sqlite:///{path.name}")).uri == database

    def test_processes_that_begin_at_once_make_one_database(self, tmp_path):
        code = (
            "import mlflow.store.tracking.sqlalchemy_store; from networksecurity.settings import Settings; "
            "from networksecurity.tracking.server import connect; print('ready', flush=True); name = input(); "
            "from mlflow import MlflowClient; MlflowClient(connect(Settings()).uri).create_experiment(name)"
        )
        environment = bare_environment(tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/new/mlflow.db")
        names = ["a", "b"]
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", code],
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in names
            ]
            assert [process.stdout.readline() for process in started] == ["ready\n"] * 2
            for process, name in zip(started, names, strict=True):
                process.stdin.write(f"{name}\n")
                process.stdin.flush()
            said = [process.communicate(timeout=120)[1] for process in started]
        assert [process.returncode for process in started] == [0, 0], said
        with connect(settings_for(environment["MLFLOW_TRACKING_URI"])).client() as client:
            assert {experiment.name for experiment in client.search_experiments()} == {"a", "b", "Default"}

    def test_file_that_is_no_database(self, tmp_path):
        (tmp_path / "rows.csv").write_text("SFH\n1\n" * 1000)
        refused(TrackingError, f"sqlite:///{tmp_path}/rows.csv", "rows.csv", "not a database")

    def test_database_of_something_else(self, tmp_path):
        with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
            shop.execute("CREATE TABLE metrics (step)")
        refused(TrackingError, f"sqlite:///{tmp_path}/shop.db", "shop.db", "duplicate column")

    def test_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        refused(TrackingError, f"sqlite:///{tmp_path}/file/mlflow.db", "file")

    def test_database_that_is_locked(self, database, monkeypatch):
        monkeypatch.setattr(tracking_server, "_LONGEST_PROBE", 0.1)
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN EXCLUSIVE")
            refused(TrackingUnavailableError, database, "locked")

    def test_kinds_that_are_not_there(self):
        refused(TrackingError, "nosuch://host", "nosuch://host refused")
        refused(TrackingError, f"postgresql://me:{SECRET}@host/mlflow", "postgresql://host/mlflow", "psycopg2")


@contextmanager
def serving(answers):
    """Answer each path with a status and a body, and 404 with a page; yield the address and the requests."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = next((answers[path] for path in answers if path in self.path), (404, "<html>no page"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 (http.server's name)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


class TestServer:
    @pytest.mark.parametrize(
        ("status", "body", "error", "says"),
        [
            (401, "", TrackingError, ["401", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]),
            (403, "Invalid Host header", TrackingError, ["403", "MLFLOW_TRACKING_PASSWORD", "--allowed-hosts"]),
            (404, "<html>", TrackingError, ["404", "correct MLFLOW_TRACKING_URI"]),
            (200, "<html>", TrackingError, ["200", "correct MLFLOW_TRACKING_URI"]),
            (500, '{"error_code": "INTERNAL_ERROR"}', TrackingUnavailableError, ["500"]),
            (503, "<html>", TrackingUnavailableError, ["503", "MLFLOW_TRACKING_URI"]),
            (429, "", TrackingUnavailableError, ["429"]),
        ],
    )
    def test_what_is_no_welcome(self, status, body, error, says):
        with serving({"/": (status, body)}) as (url, seen):
            refused(error, f"{url.replace('://', f'://me:{SECRET}@')}/mlflow", url, *says)
            assert len(seen) == 1, "asked again"

    @pytest.mark.parametrize(
        ("answer", "known"),
        [
            ((404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}'), True),
            ((400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such alias"}'), True),
            ((200, "{}"), True),
            ((404, "<html>no page"), False),
            ((404, '{"error_code": "ENDPOINT_NOT_FOUND", "message": ""}'), False),
            ((404, '{"error_code": 404, "message": "Not Found"}'), False),
            ((404, '{"detail": "Not Found"}'), False),
            ((404, '"RESOURCE_DOES_NOT_EXIST"'), False),
            ((405, ""), False),
            ((501, ""), False),
            ((200, "<html>the start page, whatever the path"), False),
        ],
    )
    def test_what_it_can_do_is_found_out(self, answer, known, caplog):
        caplog.set_level(logging.INFO, "networksecurity")
        with serving({"experiments/search": (200, "{}"), "logged-models/search": answer}) as (url, _):
            server = connect(settings_for(url))
        assert (server.logged_models, server.aliases) == (known, False)
        with serving({"experiments/search": (200, "{}"), "registered-models/alias": answer}) as (url, _):
            server = connect(settings_for(url))
        assert (server.logged_models, server.aliases) == (False, known)
        assert f"{url} has no logged models and {'' if known else 'no '}aliases" in caplog.text

    def test_an_answer_that_may_change_is_not_remembered(self):
        with serving({"experiments/search": (200, "{}"), "registered-models/alias": (503, "")}) as (url, _):
            refused(TrackingUnavailableError, url, "503")

    def test_credentials_are_not_part_of_an_address(self, capfd):
        with serving({"/": (200, "{}")}) as (url, seen):
            server = connect(settings_for(f"{url.replace('://', f'://me:{SECRET}%2F@')}/"))
            with server.client() as client:
                client.search_experiments()
        assert {request.headers["Authorization"] for request in seen} == {"Basic bWU6aHVzaC0zZjFhOWMv"}
        assert mlflow.get_tracking_uri() == server.address == f"{url}/"
        assert SECRET not in repr(server) + os.environ["MLFLOW_TRACKING_URI"] + "".join(capfd.readouterr())

    def test_credentials_do_not_travel_to_the_next_server(self, database):
        with serving({"/": (200, "{}")}) as (first, _), serving({"/": (200, "{}")}) as (second, seen):
            settings = settings_for(first.replace("://", f"://me:{SECRET}@"))
            connect(settings)
            with connect(settings_for(second)).client() as client:
                client.search_experiments()
            assert {request.headers["Authorization"] for request in seen} == {None}
            connect(settings)
            assert os.environ["MLFLOW_TRACKING_PASSWORD"] == SECRET
            connect(settings_for(database))
            assert "MLFLOW_TRACKING_PASSWORD" not in os.environ

    def test_credentials_of_the_environment_are_left_alone(self, database, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
        with serving({"/": (200, "{}")}) as (url, seen):
            connect(settings_for(url))
        assert {request.headers["Authorization"] for request in seen} == {"Basic bWU6aHVzaC0zZjFhOWM="}
        connect(settings_for(database))
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == SECRET

    def test_nobody_listens(self, closed_port):
        url = f"http://me:{SECRET}@127.0.0.1:{closed_port}"
        refused(TrackingUnavailableError, url, f"http://127.0.0.1:{closed_port} ", "refused", "MLFLOW_TRACKING_URI")
        refused(TrackingUnavailableError, "http://mlflow.nowhere.invalid", "mlflow.nowhere.invalid ", "reached")

    def test_nobody_answers(self, silent_port):
        url = f"http://127.0.0.1:{silent_port}"
        refused(TrackingUnavailableError, url, f"{url} ", "within 0.2 s", "MLFLOW_TRACKING_URI", mlflow_timeout=0.2)

    def test_a_lookup_that_takes_for_ever_is_given_up(self, monkeypatch):
        answered = threading.Event()
        monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: answered.wait(60))
        try:
            refused(TrackingUnavailableError, "http://mlflow.example", "within 0.1 s", mlflow_timeout=0.1)
        finally:
            answered.set()

    @pytest.mark.parametrize("uri", [f"http://me:{SECRET}/@host/", f"http://[::1:{SECRET}", f"http://host:{SECRET}/"])
    def test_what_is_no_address(self, uri):
        refused(ConfigurationError, uri, "MLFLOW_TRACKING_URI", "percent-escaped")

    def test_a_failure_is_not_remembered(self, closed_port, database):
        refused(TrackingUnavailableError, f"http://127.0.0.1:{closed_port}")
        with serving({"/": (200, "{}")}) as (url, _):
            settings = settings_for(url)
            connect(settings)
        assert connect(settings).address == url

    def test_limits_of_the_environment_are_kept(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
        with serving({"/": (200, "{}")}) as (url, _):
            connect(settings_for(url, mlflow_timeout=3))
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"

    @pytest.mark.integration
    def test_real_one(self, mlflow_server, tmp_path):
        server = connect(settings_for(mlflow_server))
        assert server == TrackingServer(mlflow_server, mlflow_server, logged_models=True, aliases=True)
        (tmp_path / "file").write_text("x" * 100_000)
        with server.client() as client:
            run = client.create_run(client.create_experiment("real one"))
            client.log_artifact(run.info.run_id, str(tmp_path / "file"))
            assert Path(client.download_artifacts(run.info.run_id, "file", str(tmp_path))).stat().st_size == 100_000
        with pytest.raises(TrackingError, match="refused: .*not found"), server.client() as client:
            client.get_run("0" * 32)


class TestErrors:
    @pytest.fixture(autouse=True)
    def without_a_client(self, monkeypatch):
        monkeypatch.setattr(tracking_server, "MlflowClient", lambda *args, **kwargs: None)

    SERVER = TrackingServer(f"postgresql://me:{SECRET}@host/db", "postgresql://host/db", True, True)

    @pytest.mark.parametrize(
        ("raised", "error"),
        [
            (MlflowException("x"), TrackingUnavailableError),
            (MlflowException("x", TEMPORARILY_UNAVAILABLE), TrackingUnavailableError),
            (MlflowException("x", PERMISSION_DENIED), TrackingError),
            (requests.ConnectionError("x"), TrackingUnavailableError),
            (requests.Timeout("x"), TrackingUnavailableError),
            (requests.HTTPError("x"), TrackingUnavailableError),
            (ConnectionResetError("x"), TrackingUnavailableError),
            (TimeoutError("x"), TrackingUnavailableError),
            (PermissionError(13, "x"), TrackingError),
        ],
    )
    def test_each_becomes_one_of_ours(self, raised, error):
        with pytest.raises(NetworkSecurityException, match=r"postgresql://host/db .*x") as caught, self.SERVER.client():
            raise raised
        assert type(caught.value) is error
        assert caught.value.__suppress_context__, "a traceback would show the cause, which may hold a secret"

    @pytest.mark.parametrize(("status", "error"), [(404, TrackingError), (503, TrackingUnavailableError)])
    def test_answer_to_an_artifact(self, status, error):
        answer = requests.Response()
        answer.status_code = status
        with pytest.raises(error, match=str(status)), self.SERVER.client():
            answer.raise_for_status()

    def test_others_pass(self):
        with pytest.raises(KeyError), self.SERVER.client():
            raise KeyError
        with pytest.raises(ConfigurationError), self.SERVER.client():
            raise ConfigurationError

    @pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN"])
    def test_no_secret_is_told(self, name, monkeypatch):
        monkeypatch.setenv(name, "hunter2-hunter2")
        with pytest.raises(TrackingUnavailableError) as caught, self.SERVER.client():
            raise MlflowException(f"{self.SERVER.uri} took hunter2-hunter2\nand fell over {'.' * 1000}")
        message = str(caught.value)
        assert "postgresql://host/db took … and fell over" in message
        assert len(message) < 800


class TestPages:
    def test_of_a_server(self):
        for address in ("https://dagshub.com/jane/phishing.mlflow", "https://dagshub.com/jane/phishing.mlflow/"):
            assert run_url(address, "3", "f00") == "https://dagshub.com/jane/phishing.mlflow/#/experiments/3/runs/f00"
            page = "https://dagshub.com/jane/phishing.mlflow/#/models/a%20b/versions/2"
            assert model_version_url(address, "a b", "2") == page
            assert ui_command(address) is None

    def test_of_a_database(self, monkeypatch):
        address = "sqlite:////home/jane doe/mlflow.db"
        assert run_url(address, "3", "f00") == "http://127.0.0.1:5000/#/experiments/3/runs/f00"
        assert model_version_url(address, "m", "2") == "http://127.0.0.1:5000/#/models/m/versions/2"
        options = "ui --backend-store-uri 'sqlite:////home/jane doe/mlflow.db' --host 127.0.0.1 --port 5000"
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
        assert ui_command(address) == f"mlflow {options}"
        monkeypatch.setenv("PATH", "")
        assert ui_command(address) == f"{Path(sys.executable).with_name('mlflow')} {options}"


# dagshub reads its settings when it is imported, and `dagshub.init` changes the environment: each case has a process.
DAGSHUB = """
import logging, os, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from networksecurity.exceptions import NetworkSecurityException
from networksecurity.settings import Settings
from networksecurity.tracking.server import connect
settings = Settings()
try:
    server = connect(settings, create_repo="--create-repo" in sys.argv, public_repo="--public-repo" in sys.argv)
except NetworkSecurityException as exc:
    print(type(exc).__name__, repr(exc))
    raise
assert connect(settings) is server
print(repr(server), server.uri)
import mlflow
assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == server.uri
with server.client() as client:
    mlflow.set_experiment(sys.argv[1])
    with mlflow.start_run() as run:
        mlflow.log_metric("f1_score", 0.95)
        mlflow.log_text("x" * 100_000, "folder/file.txt")
    assert len(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/folder/file.txt")) == 100_000
    print("tags", dict(client.get_run(run.info.run_id).data.tags))
"""


def bare_environment(home, **variables):
    return {"HOME": str(home), "PATH": os.environ["PATH"], "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"} | {
        "PYTHONPATH": str(PROJECT),
        **variables,
    }


@pytest.fixture
def dagshub(tmp_path):
    """Return a function that connects to DagsHub in a process of its own and returns what that printed."""

    def run(host, *options, repo="jane/phishing", token=SECRET, **variables):
        environment = bare_environment(tmp_path, DAGSHUB_REPO=repo, DAGSHUB_CLIENT_HOST=host, **variables)
        if token:
            environment["DAGSHUB_USER_TOKEN"] = token
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", DAGSHUB, tmp_path.name, *options],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if token:
            assert token not in done.stdout + done.stderr
        assert not list(tmp_path.rglob("tokens")), "a token was stored"
        return done

    return run


def says(done, error, *words):
    assert done.returncode == 1, done.stdout + done.stderr
    kind, _, message = done.stdout.partition(" ")
    assert kind == error, done.stdout
    assert done.stderr.count("Traceback") == 1, "causes are shown"
    assert [word for word in words if word not in message] == [], message


@pytest.mark.integration
class TestDagsHub:
    @pytest.mark.parametrize("mode", ["full", "old"])
    def test_runs_are_logged(self, mode, dagshub, dagshub_standin):
        dagshub_standin.mode = mode
        done = dagshub(dagshub_standin.url, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
        assert done.returncode == 0, done.stderr
        address = f"{dagshub_standin.url}/jane/phishing.mlflow"
        has = {"full": (True, "logged models and aliases"), "old": (False, "no logged models and no aliases")}[mode]
        described = f"TrackingServer(address='{address}', logged_models={has[0]}, aliases={has[0]}) {address}"
        assert done.stdout.startswith(described)
        assert f"networksecurity.tracking.server:MLflow at {address} has {has[1]}\n" in done.stderr
        assert "INFO:dagshub" not in done.stderr
        assert "Accessing as" not in done.stdout
        assert dagshub_standin.created == []
        assert any("mlflow-artifacts" in request for request in dagshub_standin.requests)

    def test_the_token_is_wrong(self, dagshub, dagshub_standin):
        done = dagshub(dagshub_standin.url, "--create-repo", token="wrong-9d2e")
        says(done, "TrackingError", dagshub_standin.url, "refused the access token", "DAGSHUB_USER_TOKEN")
        assert dagshub_standin.requests == ["GET /api/v1/user"]

    @pytest.mark.parametrize("option", [(), ("--create-repo",)])
    def test_the_token_is_missing(self, option, dagshub, dagshub_standin, tmp_path):
        cache = tmp_path / "cache"
        login = f"{{access_token: {SECRET}, expiry: never, token_type: app-token}}"
        stored = f"version: '1'\n{dagshub_standin.url}: [{login}]\n"
        cache.write_text(stored)
        done = dagshub(dagshub_standin.url, *option, token=None, DAGSHUB_CLIENT_TOKENS_CACHE=str(cache))
        says(done, "ConfigurationError", "DAGSHUB_USER_TOKEN", f"{dagshub_standin.url}/user/settings/tokens")
        assert dagshub_standin.requests == []
        assert cache.read_text() == stored

    def test_the_repository_is_missing(self, dagshub, dagshub_standin):
        done = dagshub(dagshub_standin.url, repo="jane/typo")
        says(done, "TrackingError", "no repository jane/typo", "DAGSHUB_REPO", "--create-repo")
        assert dagshub_standin.created == []

    @pytest.mark.parametrize(("option", "private"), [((), True), (("--public-repo",), False)])
    @pytest.mark.parametrize("repo", ["jane/new", "lab/new"])
    def test_the_repository_is_made(self, repo, option, private, dagshub, dagshub_standin):
        done = dagshub(dagshub_standin.url, "--create-repo", *option, repo=repo)
        assert done.returncode == 0, done.stderr
        assert dagshub_standin.created == [repo]
        assert dagshub_standin.private[repo] is private
        assert f"the {'private' if private else 'public'} DagsHub repository {repo}" in done.stderr

    def test_the_repository_is_there_already(self, dagshub, dagshub_standin):
        assert dagshub(dagshub_standin.url, "--create-repo", "--public-repo").returncode == 0
        assert dagshub_standin.created == []
        assert dagshub_standin.private["jane/phishing"]

    def test_it_is_in_trouble(self, dagshub, dagshub_standin):
        dagshub_standin.status = 502
        says(dagshub(dagshub_standin.url), "TrackingUnavailableError", dagshub_standin.url, "502")

    def test_a_login_in_the_environment_does_not_stand_in_for_the_token(self, dagshub, dagshub_standin):
        login = {"DAGSHUB_USERNAME": "joe", "DAGSHUB_PASSWORD": "swordfish", "DAGSHUB_HTTP_TIMEOUT": "5"}
        done = dagshub(dagshub_standin.url, "--create-repo", repo="jane/new", **login)
        assert done.returncode == 0, done.stderr
        assert dagshub_standin.created == ["jane/new"]


def test_dagshub_is_dead(dagshub, closed_port):
    done = dagshub(f"http://127.0.0.1:{closed_port}")
    says(
        done, "TrackingUnavailableError", f"DagsHub at http://127.0.0.1:{closed_port}", "refused", "DAGSHUB_CLIENT_HOST"
    )


def test_dagshub_is_silent(dagshub, silent_port):
    done = dagshub(f"http://127.0.0.1:{silent_port}", NETWORKSECURITY_MLFLOW_TIMEOUT="0.5")
    says(done, "TrackingUnavailableError", f"DagsHub at http://127.0.0.1:{silent_port}", "within 0.5 s")


def test_dagshub_is_something_else(dagshub):
    with serving({"/": (200, "<html>")}) as (url, _):
        says(dagshub(url), "TrackingError", f"no DagsHub at {url}", "DAGSHUB_CLIENT_HOST")


@pytest.mark.parametrize("token", [None, " ", "two words", "t\u00f6ken", "line\nbreak"])
def test_dagshub_wants_a_token(token):
    settings = Settings(dagshub_repo="jane/phishing", dagshub_user_token=SecretStr(token) if token else None)
    with pytest.raises(ConfigurationError, match="https://dagshub.com/user/settings/tokens and set DAGSHUB_USER_TOKEN"):
        connect(settings)
