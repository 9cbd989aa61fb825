"""What stops a flow is one line of its command, without a traceback or a password."""

import re
import sys
from pathlib import Path

import pytest

FLOWS = Path(__file__).resolve().parents[2] / "flows"
COMMAND = [sys.executable]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]


def is_one_line(done, message):
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(lines) == 1, done.stderr
    assert re.match(f"error: {message}", lines[0])
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stdout + done.stderr


@pytest.fixture
def flow(served_command):
    """Return a function that runs a flow's command with the Prefect server of all tests."""

    def run(name, *options, **changes):
        return served_command(str(FLOWS / f"{name}.py"), *options, **changes)

    return run


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("train", "--source mongodb://127.0.0.1:9/db.rows", "MongoDB at .*127.0.0.1:9.*MONGODB_URI"),
        ("ingest", "--source sample --target mongodb://127.0.0.1:9/", "MongoDB at mongodb://127.0.0.1:9 failed"),
        ("score", "--source sample --output a.csv", "no version of .* has the alias champion"),
    ],
)
def test_what_a_flow_finds_out_on_its_way_is_one_line(flow, name, options, message):
    is_one_line(flow(name, *options.split(), MLFLOW_TRACKING_URI="sqlite:///mlflow.db"), message)


def test_that_nobody_can_be_asked_without_a_server_is_one_line(command):
    train = str(FLOWS / "train.py")
    is_one_line(command(train, "--promotion", "ask"), "--promotion ask needs the pages of a Prefect server")


def test_a_wrong_token_of_dagshub_is_one_line(flow, dagshub_standin):
    wrong = {
        "DAGSHUB_REPO": "jane/phishing",
        "DAGSHUB_USER_TOKEN": "hush-5e2b",
        "DAGSHUB_CLIENT_HOST": dagshub_standin.url,
    }
    done = flow("train", "--source", "sample:600", **wrong)
    is_one_line(done, "DagsHub at .* refused the access token .*DAGSHUB_USER_TOKEN")
