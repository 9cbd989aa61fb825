import json
import subprocess
import sys

import pytest
from canned_server import bare_environment, serving
from leash import LEASH

SECRET = "hush-3f1a9c"

# dagshub reads its settings when it is imported, and `dagshub.init` changes the environment: each case has a process.
# It is a fork of one that has imported what takes seconds, but not dagshub.
FORKS = """
import json, os, sys
import mlflow.store.tracking.rest_store, networksecurity.tracking.server
assert "dagshub" not in sys.modules
for line in sys.stdin:
    case = json.loads(line)
    if os.fork() == 0:
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()
os.chdir(case["folder"])
os.environ.clear()
os.environ.update(case["environment"])
sys.argv[1:] = case["arguments"]
for number, path in enumerate((os.devnull, "stdout", "stderr")):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
"""
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


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    """Return a process that runs DAGSHUB in a fork for each line of its input, and answers with the exit code."""
    with subprocess.Popen(
        [*LEASH, sys.executable, "-W", "error::ResourceWarning", "-c", FORKS + DAGSHUB],
        env=bare_environment(tmp_path_factory.mktemp("home")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def dagshub(forks, tmp_path):
    """Return a function that connects to DagsHub in a process of its own and returns what that printed."""

    def run(host, *options, repo="jane/phishing", token=SECRET, **variables):
        environment = bare_environment(tmp_path, DAGSHUB_REPO=repo, DAGSHUB_CLIENT_HOST=host, **variables)
        if token:
            environment["DAGSHUB_USER_TOKEN"] = token
        case = {"folder": str(tmp_path), "environment": environment, "arguments": [tmp_path.name, *options]}
        print(json.dumps(case), file=forks.stdin)
        code = int(forks.stdout.readline())
        said = [(tmp_path / name).read_text() for name in ("stdout", "stderr")]
        if token:
            assert token not in "".join(said)
        assert not list(tmp_path.rglob("tokens")), "a token was stored"
        return subprocess.CompletedProcess(DAGSHUB, code, *said)

    return run


def says(done, error, *words):
    assert done.returncode == 1, done.stdout + done.stderr
    kind, _, message = done.stdout.partition(" ")
    assert kind == error, done.stdout
    assert done.stderr.count("Traceback") == 1, "causes are shown"
    assert [word for word in words if word not in message] == [], message


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["full", "old"])
def test_runs_are_logged_to_dagshub(mode, dagshub, dagshub_standin):
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


@pytest.mark.integration
def test_a_wrong_token_is_refused(dagshub, dagshub_standin):
    done = dagshub(dagshub_standin.url, "--create-repo", token="wrong-9d2e")
    says(done, "TrackingError", dagshub_standin.url, "refused the access token", "DAGSHUB_USER_TOKEN")
    assert dagshub_standin.requests == ["GET /api/v1/user"]


@pytest.mark.integration
@pytest.mark.parametrize("option", [(), ("--create-repo",)])
def test_a_missing_token_is_refused(option, dagshub, dagshub_standin, tmp_path):
    cache = tmp_path / "cache"
    login = f"{{access_token: {SECRET}, expiry: never, token_type: app-token}}"
    stored = f"version: '1'\n{dagshub_standin.url}: [{login}]\n"
    cache.write_text(stored)
    done = dagshub(dagshub_standin.url, *option, token=None, DAGSHUB_CLIENT_TOKENS_CACHE=str(cache))
    says(done, "ConfigurationError", "DAGSHUB_USER_TOKEN", f"{dagshub_standin.url}/user/settings/tokens")
    assert dagshub_standin.requests == []
    assert cache.read_text() == stored


@pytest.mark.integration
def test_a_missing_repository_is_refused(dagshub, dagshub_standin):
    done = dagshub(dagshub_standin.url, repo="jane/typo")
    says(done, "TrackingError", "no repository jane/typo", "DAGSHUB_REPO", "--create-repo")
    assert dagshub_standin.created == []


@pytest.mark.integration
@pytest.mark.parametrize(("option", "private"), [((), True), (("--public-repo",), False)])
@pytest.mark.parametrize("repo", ["jane/new", "lab/new"])
def test_a_missing_repository_is_created_on_request(repo, option, private, dagshub, dagshub_standin):
    done = dagshub(dagshub_standin.url, "--create-repo", *option, repo=repo)
    assert done.returncode == 0, done.stderr
    assert dagshub_standin.created == [repo]
    assert dagshub_standin.private[repo] is private
    assert f"the {'private' if private else 'public'} DagsHub repository {repo}" in done.stderr


@pytest.mark.integration
def test_an_existing_repository_is_left_as_it_is(dagshub, dagshub_standin):
    assert dagshub(dagshub_standin.url, "--create-repo", "--public-repo").returncode == 0
    assert dagshub_standin.created == []
    assert dagshub_standin.private["jane/phishing"]


@pytest.mark.integration
def test_a_failing_dagshub_is_unavailable(dagshub, dagshub_standin):
    dagshub_standin.status = 502
    says(dagshub(dagshub_standin.url), "TrackingUnavailableError", dagshub_standin.url, "502")


@pytest.mark.integration
def test_a_login_in_the_environment_does_not_stand_in_for_the_token(dagshub, dagshub_standin):
    login = {"DAGSHUB_USERNAME": "joe", "DAGSHUB_PASSWORD": "swordfish", "DAGSHUB_HTTP_TIMEOUT": "5"}
    done = dagshub(dagshub_standin.url, "--create-repo", repo="jane/new", **login)
    assert done.returncode == 0, done.stderr
    assert dagshub_standin.created == ["jane/new"]


def test_a_dagshub_that_does_not_listen_is_unavailable(dagshub, closed_port):
    done = dagshub(f"http://127.0.0.1:{closed_port}")
    says(
        done, "TrackingUnavailableError", f"DagsHub at http://127.0.0.1:{closed_port}", "refused", "DAGSHUB_CLIENT_HOST"
    )


def test_a_dagshub_that_does_not_answer_is_unavailable(dagshub, silent_port):
    done = dagshub(f"http://127.0.0.1:{silent_port}", NETWORKSECURITY_MLFLOW_TIMEOUT="0.5")
    says(done, "TrackingUnavailableError", f"DagsHub at http://127.0.0.1:{silent_port}", "within 0.5 s")


def test_a_server_other_than_dagshub_is_refused(dagshub):
    with serving({"/": (200, "<html>")}) as (url, _):
        says(dagshub(url), "TrackingError", f"no DagsHub at {url}", "DAGSHUB_CLIENT_HOST")
