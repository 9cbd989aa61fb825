import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import ExitStack, closing
from pathlib import Path

import mlflow
import pytest
import requests
from canned_server import bare_environment, serving
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE
from pydantic import SecretStr

from networksecurity.exceptions import (
    ConfigurationError,
    NetworkSecurityException,
    TrackingError,
    TrackingUnavailableError,
)
from networksecurity.settings import PROJECT_FOLDER, Settings
from networksecurity.tracking import server as tracking_server
from networksecurity.tracking.server import (
    TrackingServer,
    connect,
    experiment_url,
    forget,
    model_version_url,
    run_url,
    ui_command,
)
from networksecurity.tracking.view import KEY, PAGES

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


def test_a_database_supports_everything(database):
    server = connect(settings_for(database))
    assert server.address == server.uri == database
    assert server.logged_models
    assert server.aliases
    with server.client() as client:
        assert client.tracking_uri == database


def test_each_connection_makes_the_server_mlflows_current_one(database, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///elsewhere.db")
    settings = settings_for(database)
    server = connect(settings)
    mlflow.set_tracking_uri("sqlite:///elsewhere.db")
    assert connect(settings) is server
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == database


def test_a_place_is_probed_once(database):
    settings = settings_for(database)
    server = connect(settings)
    Path(database.removeprefix("sqlite:///")).unlink()
    assert connect(settings) is server
    assert connect(settings_for(database), create_repo=True) is server


def test_an_address_does_not_depend_on_the_current_folder(database, monkeypatch):
    path = Path(database.removeprefix("sqlite:///"))
    monkeypatch.chdir(path.parent)
    assert connect(settings_for(f"sqlite:///{path.name}")).uri == database


def test_processes_that_begin_at_once_make_one_database(tmp_path):
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


def test_a_file_that_is_not_a_database_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("SFH\n1\n" * 1000)
    refused(TrackingError, f"sqlite:///{tmp_path}/rows.csv", "rows.csv", "not a database")


def test_the_database_of_another_program_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute("CREATE TABLE metrics (step)")
    refused(TrackingError, f"sqlite:///{tmp_path}/shop.db", "shop.db", "duplicate column")


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    refused(TrackingError, f"sqlite:///{tmp_path}/file/mlflow.db", "file")


def test_a_locked_database_is_unavailable(database, monkeypatch):
    monkeypatch.setattr(tracking_server, "_LONGEST_PROBE", 0.1)
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused(TrackingUnavailableError, database, "locked")


def test_an_unknown_scheme_and_a_missing_driver_are_refused():
    refused(TrackingError, "nosuch://host", "nosuch://host refused")
    refused(TrackingError, "./mlruns", "migrate-filestore")
    refused(TrackingError, f"mysql://me:{SECRET}@host/mlflow", "mysql://host/mlflow", "MySQLdb")


def test_a_database_server_that_does_not_listen_is_said_at_once(closed_port, capfd):
    pytest.importorskip("psycopg2")
    place = f"127.0.0.1:{closed_port}/db"
    refused(
        TrackingUnavailableError, f"postgresql://me:{SECRET}@{place}", f"postgresql://{place}", "Connection refused"
    )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("login", [f"me:{SECRET}@{SECRET}", f"me:a/{SECRET}", f"me:[{SECRET}"])
def test_a_login_of_a_database_has_to_be_escaped(login):
    refused(ConfigurationError, f"postgresql://{login}@127.0.0.1:9/db", "MLFLOW_TRACKING_URI", "percent-escaped")
    refused(ConfigurationError, f"postgresql://me:{SECRET}@127.0.0.1:port/db", "ports must be numbers")


def test_a_token_that_no_header_can_hold_is_not_shown(closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{SECRET}\n")
    refused(TrackingUnavailableError, f"http://127.0.0.1:{closed_port}", "in header value: 'Bearer …")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (401, "", TrackingError, ["401", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]),
        (403, "Invalid Host header", TrackingError, ["403", "MLFLOW_TRACKING_PASSWORD", "--allowed-hosts"]),
        (404, "<html>", TrackingError, ["404", "correct MLFLOW_TRACKING_URI"]),
        (200, "<html>", TrackingUnavailableError, ["200", "correct MLFLOW_TRACKING_URI"]),
        (500, '{"error_code": "INTERNAL_ERROR"}', TrackingUnavailableError, ["500"]),
        (503, "<html>", TrackingUnavailableError, ["503", "MLFLOW_TRACKING_URI"]),
        (429, "", TrackingUnavailableError, ["429"]),
    ],
)
def test_an_unwelcome_answer_is_refused_with_advice(status, body, error, says):
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
def test_the_features_of_a_server_are_found_out(answer, known, caplog):
    caplog.set_level(logging.INFO, "networksecurity")
    with serving({"experiments/search": (200, "{}"), "logged-models/search": answer}) as (url, _):
        server = connect(settings_for(url))
    assert (server.logged_models, server.aliases) == (known, False)
    with serving({"experiments/search": (200, "{}"), "registered-models/alias": answer}) as (url, _):
        server = connect(settings_for(url))
    assert (server.logged_models, server.aliases) == (False, known)
    assert f"{url} has no logged models and {'' if known else 'no '}aliases" in caplog.text


def test_an_answer_that_may_change_is_not_remembered():
    with serving({"experiments/search": (200, "{}"), "registered-models/alias": (503, "")}) as (url, _):
        refused(TrackingUnavailableError, url, "503")


def test_credentials_are_not_part_of_an_address(capfd):
    with serving({"/": (200, "{}")}) as (url, seen):
        server = connect(settings_for(f"{url.replace('://', f'://me:{SECRET}%2F@')}/"))
        with server.client() as client:
            client.search_experiments()
    assert {request.headers["Authorization"] for request in seen} == {"Basic bWU6aHVzaC0zZjFhOWMv"}
    assert mlflow.get_tracking_uri() == server.address == f"{url}/"
    assert SECRET not in repr(server) + os.environ["MLFLOW_TRACKING_URI"] + "".join(capfd.readouterr())


def test_credentials_do_not_travel_to_the_next_server(database):
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


def test_credentials_of_the_environment_are_left_alone(database, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    with serving({"/": (200, "{}")}) as (url, seen):
        connect(settings_for(url))
    assert {request.headers["Authorization"] for request in seen} == {"Basic bWU6aHVzaC0zZjFhOWM="}
    connect(settings_for(database))
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == SECRET


def test_a_server_that_does_not_listen_is_unavailable(closed_port):
    url = f"http://me:{SECRET}@127.0.0.1:{closed_port}"
    refused(TrackingUnavailableError, url, f"http://127.0.0.1:{closed_port} ", "refused", "MLFLOW_TRACKING_URI")
    refused(TrackingUnavailableError, "http://mlflow.nowhere.invalid", "mlflow.nowhere.invalid ", "reached")


def test_a_server_that_does_not_answer_is_unavailable(silent_port):
    url = f"http://127.0.0.1:{silent_port}"
    refused(TrackingUnavailableError, url, f"{url} ", "within 0.2 s", "MLFLOW_TRACKING_URI", mlflow_timeout=0.2)


def test_a_name_lookup_that_takes_forever_is_given_up(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: answered.wait(60))
    try:
        refused(TrackingUnavailableError, "http://mlflow.example", "within 0.1 s", mlflow_timeout=0.1)
    finally:
        answered.set()


@pytest.mark.parametrize("uri", [f"http://me:{SECRET}/@host/", f"http://[::1:{SECRET}", f"http://host:{SECRET}/"])
def test_a_malformed_address_is_refused(uri):
    refused(ConfigurationError, uri, "MLFLOW_TRACKING_URI", "percent-escaped")


def test_a_failure_is_not_remembered(closed_port, database):
    refused(TrackingUnavailableError, f"http://127.0.0.1:{closed_port}")
    with serving({"/": (200, "{}")}) as (url, _):
        settings = settings_for(url)
        connect(settings)
    assert connect(settings).address == url


def test_limits_of_the_environment_are_kept(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with serving({"/": (200, "{}")}) as (url, _):
        connect(settings_for(url, mlflow_timeout=3))
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


@pytest.mark.integration
def test_a_real_server_is_reached(mlflow_server, tmp_path):
    server = connect(settings_for(mlflow_server))
    assert server == TrackingServer(mlflow_server, mlflow_server, logged_models=True, aliases=True)
    (tmp_path / "file").write_text("x" * 100_000)
    with server.client() as client:
        run = client.create_run(client.create_experiment("real one"))
        client.log_artifact(run.info.run_id, str(tmp_path / "file"))
        assert Path(client.download_artifacts(run.info.run_id, "file", str(tmp_path))).stat().st_size == 100_000
    with pytest.raises(TrackingError, match="refused: .*not found"), server.client() as client:
        client.get_run("0" * 32)


@pytest.fixture
def translating(monkeypatch):
    """Return a server whose client does nothing."""
    monkeypatch.setattr(tracking_server, "MlflowClient", lambda *args, **kwargs: None)
    return TrackingServer(f"postgresql://me:{SECRET}@host/db", "postgresql://host/db", True, True)


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
def test_each_error_of_mlflow_becomes_one_of_ours(translating, raised, error):
    with pytest.raises(NetworkSecurityException, match=r"postgresql://host/db .*x") as caught, translating.client():
        raise raised
    assert type(caught.value) is error
    assert caught.value.__suppress_context__, "a traceback would show the cause, which may hold a secret"


@pytest.mark.parametrize(("status", "error"), [(404, TrackingError), (503, TrackingUnavailableError)])
def test_a_failed_download_becomes_one_of_our_errors(translating, status, error):
    answer = requests.Response()
    answer.status_code = status
    with pytest.raises(error, match=str(status)), translating.client():
        answer.raise_for_status()


def test_other_errors_pass_unchanged(translating):
    with pytest.raises(KeyError), translating.client():
        raise KeyError
    with pytest.raises(ConfigurationError), translating.client():
        raise ConfigurationError


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN"])
def test_no_secret_appears_in_a_message(translating, name, monkeypatch):
    monkeypatch.setenv(name, "hunter2-hunter2\n")  # as read from a file
    with pytest.raises(TrackingUnavailableError) as caught, translating.client():
        raise MlflowException(f"{translating.uri} took hunter2-hunter2\nand fell over {'.' * 1000}")
    message = str(caught.value)
    assert "postgresql://host/db took … and fell over" in message
    assert len(message) < 800


def test_the_pages_of_a_server_are_its_own():
    for address in ("https://dagshub.com/jane/phishing.mlflow", "https://dagshub.com/jane/phishing.mlflow/"):
        pages = "https://dagshub.com/jane/phishing.mlflow/#"
        assert run_url(address, "3", "f00") == f"{pages}/experiments/3/runs/f00?{PAGES}"
        assert model_version_url(address, "a b", "2") == f"{pages}/models/a%20b/versions/2?{PAGES}"
        assert experiment_url(address, "3") == f"{pages}/experiments/3/runs?{PAGES}&viewStateShareKey={KEY}"
        assert ui_command(address) is None


def test_the_pages_of_a_database_are_those_of_mlflow_ui(monkeypatch):
    address = "sqlite:////home/jane doe/mlflow.db"
    assert run_url(address, "3", "f00") == f"http://127.0.0.1:5000/#/experiments/3/runs/f00?{PAGES}"
    assert model_version_url(address, "m", "2") == f"http://127.0.0.1:5000/#/models/m/versions/2?{PAGES}"
    options = "ui --backend-store-uri 'sqlite:////home/jane doe/mlflow.db' --host 127.0.0.1 --port 5000"
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert ui_command(address) == f"mlflow {options}"
    monkeypatch.chdir(PROJECT_FOLDER)
    assert ui_command(f"sqlite:///{PROJECT_FOLDER / 'mlflow.db'}") == "make ui"
    monkeypatch.setenv("PATH", "")
    assert ui_command(address) == f"{Path(sys.executable).with_name('mlflow')} {options}"


@pytest.mark.parametrize("token", [None, " ", "two words", "t\u00f6ken", "line\nbreak"])
def test_dagshub_without_a_usable_token_is_refused(token):
    settings = Settings(dagshub_repo="jane/phishing", dagshub_user_token=SecretStr(token) if token else None)
    with pytest.raises(ConfigurationError, match="https://dagshub.com/user/settings/tokens and set DAGSHUB_USER_TOKEN"):
        connect(settings)
