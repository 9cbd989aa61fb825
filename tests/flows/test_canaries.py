"""Secrets in every setting, over flows and commands, failing ones too: none comes out, no other process gets one."""

import base64
import re
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import httpx
import psutil
import pytest
from canned_server import serving
from leash import LEASH

from networksecurity.data.sample import make_phishing_websites
from networksecurity.settings import Settings, variable_of

PROJECT = Path(__file__).resolve().parents[2]
LOGS = PROJECT / ".networksecurity" / "logs"
CANARY, OF_PREFECT = "cANArY7f3", "cANArY9b4"
LOGIN = f"jane:{CANARY}"
SPELLINGS = [CANARY, base64.b64encode(LOGIN.encode()).decode(), OF_PREFECT]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]


@pytest.fixture(scope="module")
def secrets(mlflow_server, mongod):
    """Return every setting that may hold a secret, and those of the libraries, each with a canary."""
    ours = {
        "MLFLOW_TRACKING_URI": mlflow_server.replace("://", f"://{LOGIN}@"),
        "MONGODB_URI": f"{mongod.uri.replace('://', f'://{LOGIN}@')}/db.rows",  # where nobody may log in
        "DAGSHUB_USER_TOKEN": CANARY,
        "NETWORKSECURITY_SIGNING_KEY": f"{CANARY} of sixteen",
        "NETWORKSECURITY_SERVE_TOKEN": CANARY,
    }
    fields = Settings.model_fields.items()
    assert ours.keys() == {variable_of(name) for name, field in fields if "SecretStr" in str(field.annotation)}
    return ours | {
        "MLFLOW_TRACKING_TOKEN": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "PREFECT_API_AUTH_STRING": f"admin:{OF_PREFECT}",
        "PREFECT_SERVER_API_AUTH_STRING": f"admin:{OF_PREFECT}",
        "MLFLOW_EXPERIMENT_NAME": "canaries",
        "NETWORKSECURITY_MLFLOW_REGISTERED_MODEL_NAME": "canaries",
        "NETWORKSECURITY_CORES": "2",
        "PYTHONPATH": str(PROJECT),
    }


@pytest.fixture(scope="module")
def known(secrets, mongod):
    """Return the address of a database into which the login may write."""
    mongod.client.admin.command("createUser", "jane", pwd=CANARY, roles=["root"])
    yield {"MONGODB_URI": f"{secrets['MONGODB_URI']}?authSource=admin"}
    mongod.client.admin.command("dropUser", "jane")
    mongod.client.drop_database("db")


@pytest.fixture(scope="module")
def web():
    table = make_phishing_websites(500, random_state=1).to_csv(index=False)
    with serving({"rows.csv": (200, table)}) as (url, _):
        yield url


def reports_to_prefect(process):
    """Return whether it is a Prefect server of one run, a program that it asks about its machine, or a Dask worker."""
    commands = [" ".join(one.cmdline()) for one in (process, process.parent()) if one]
    return any("flows.local_server" in command for command in commands) or "multiprocessing.forkserver" in commands[0]


class Watch:
    """Looks at the processes of a command while it runs: which others have a secret?"""

    def __init__(self, pid):
        self.told, self.seen = set(), set()
        self._process, self._ended = psutil.Process(pid), Event()
        self._thread = Thread(target=self._look)
        self._thread.start()

    def _look(self):
        while not self._ended.wait(0.1):
            try:
                ours = self._process.cmdline()
                family = self._process.children(recursive=True)
            except psutil.Error:
                return
            for one in family:
                try:
                    command, environment = one.cmdline(), str(one.environ())
                    may_have = [OF_PREFECT] if reports_to_prefect(one) else []
                except psutil.Error:
                    continue
                if not command or command == ours:  # it has not begun to be another
                    continue
                self.seen.add(" ".join(command))
                for secret in {*SPELLINGS} - {*may_have}:
                    if secret in environment or secret in str(command):
                        self.told.add(f"{secret}: {command}")

    def end(self):
        self._ended.set()
        self._thread.join()


def holding(folders):
    """Return the files that hold a secret."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in SPELLINGS)]


BY_A_KNOWN_USER = "by a known user"
SOURCE = "--source", "{web}/rows.csv?token={canary}"
FLOWS = {
    "train": (0, *SOURCE, "--models", "Decision Tree"),
    "ingest": (1, *SOURCE),  # nobody may log in
}
MORE = {
    "train a champion": (0, "--source", "sample:3000", "--models", "Random Forest"),
    "train on a cluster": (0, "--source", "sample:400", "--models", "Decision Tree", "--promotion", "off"),
    "train from a page that is not there": (1, "--source", "{web}/none.csv?token={canary}"),
    "train from an address with a password": (2, "--source", "http://jane:{canary}@127.0.0.1/rows.csv"),
    "train from a database": (1, "--source", "mongodb"),
    "train without a model": (1, "--source", "sample:60", "--models", "AdaBoost", "--cv", "40"),
    "train beside a dead server": (0, "--source", "sample:400", "--models", "Decision Tree"),
    "score": (1, *SOURCE, "--output", "scored.csv"),  # nor read what is set by hand
    "score into a database": (1, "--source", "sample:500", "--output", "mongodb"),
    "monitor": (0, *SOURCE),
    "monitor a database": (1, "--source", "mongodb"),
    "evaluate": (0, *SOURCE),
    f"ingest {BY_A_KNOWN_USER}": (0, *SOURCE),
    f"score {BY_A_KNOWN_USER}": (0, *SOURCE, "--output", "scored.csv"),
    f"score into a database {BY_A_KNOWN_USER}": (0, "--source", "mongodb", "--output", "mongodb"),
    f"monitor {BY_A_KNOWN_USER}": (0, "--source", "mongodb"),
    "evaluate a version that is not there": (1, "--source", "sample:500", "--model-version", "99"),
}
COMMANDS = {
    "doctor": (1,),
    "champion show": (0,),
    "champion history": (0,),
    "champion rollback": (1,),
    "tracking list": (0,),
    "tracking replay": (0,),
    "quarantine list": (1,),
    "feedback list": (1,),
    "overrides list": (1,),
    "data describe": (0, "{web}/rows.csv?token={canary}"),
    "replay": (1, "none"),
    "check": (1, "https://example.org/"),
}
LONG = pytest.mark.faults
CASES = [*FLOWS, *(pytest.param(case, marks=LONG) for case in [*MORE, *COMMANDS])]
DIFFERENT = {
    "train on a cluster": {"NETWORKSECURITY_TASK_RUNNER": "dask"},
    "train beside a dead server": {"MLFLOW_TRACKING_URI": f"http://{LOGIN}@127.0.0.1:9"},
}


@pytest.mark.parametrize("case", CASES)
def test_no_secret_comes_out_or_reaches_another_process(
    case, secrets, web, environment, home, tmp_path, tmp_path_factory, request
):
    known = request.getfixturevalue("known") if case.endswith(BY_A_KNOWN_USER) else {}
    code, *options = (FLOWS | MORE | COMMANDS)[case]
    options = [option.format(web=web, canary=CANARY) for option in options]
    what = ["-m", "networksecurity", *case.split()] if case in COMMANDS else [PROJECT / f"flows/{case.split()[0]}.py"]
    before = {path: path.stat().st_size for path in LOGS.glob("*")}
    with subprocess.Popen(
        [*LEASH, sys.executable, *what, *options],
        cwd=tmp_path,
        env=environment | secrets | known | DIFFERENT.get(case, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watch = Watch(process.pid)
        said = "".join(process.communicate(timeout=600))
        watch.end()
    assert process.returncode == code, said
    assert not [secret for secret in SPELLINGS if secret in said], said
    assert "Traceback" not in said
    assert watch.told == set()
    assert watch.seen or case in COMMANDS or code == 2
    assert holding([home, tmp_path, *tmp_path_factory.getbasetemp().glob("mlflow_server*")]) == []
    for path in LOGS.glob("*"):
        logged = path.read_bytes()[before.get(path, 0) :]
        assert not [secret for secret in SPELLINGS if secret.encode() in logged]


@LONG
def test_no_secret_comes_out_of_the_service(secrets, environment, home, tmp_path):
    command = [*LEASH, sys.executable, "-m", "networksecurity", "serve", "--port", "0", "--workers", "2"]
    place = environment | secrets
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=place, stdout=subprocess.PIPE, stderr=log, text=True)
        url = re.search(r"http://[\w.:]+", process.stdout.readline())[0]
        answers = []
        for headers in ({}, *({"Authorization": f"Bearer {token}"} for token in (CANARY, f"{CANARY}x"))):
            with httpx.Client(base_url=url, params={"token": CANARY}, headers=headers) as to:
                pages = ("/", "/model", "/ready", "/health", "/openapi.json", "/docs", "/none")
                answers += [to.get(page) for page in pages]
                answers += [to.post(page, json={"url": CANARY}) for page in ("/predict", "/feedback")]
        process.terminate()
        said = process.communicate(timeout=120)[0] + (tmp_path / "log").read_text()
    assert {answer.status_code for answer in answers} >= {200, 401, 404}
    assert CANARY not in "".join(answer.text + str(answer.headers) for answer in answers)
    assert not [secret for secret in SPELLINGS if secret in said], said
