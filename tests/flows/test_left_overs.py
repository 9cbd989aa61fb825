"""Commands in an environment that holds what other work has left there."""

import re
import sys
from pathlib import Path

import pytest

TRAIN = Path(__file__).resolve().parents[2] / "flows" / "train.py"
COMMAND = [sys.executable, str(TRAIN), "--source", "sample:1500", "--models", "Decision Tree", "--promotion", "off"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]


def harmless(folder, closed_port):
    """Return what must not change a training, all at once."""
    return {
        "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
        "MLFLOW_EXPERIMENT_ID": "4711",
        "PREFECT_PROFILE": "of-other-work",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "TMPDIR": str(folder),
        "HTTP_PROXY": f"http://127.0.0.1:{closed_port}",
        "https_proxy": f"http://127.0.0.1:{closed_port}",
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONWARNINGS": "error",
    }


def test_a_whole_training_among_all_that_is_harmless(command, tmp_path, closed_port):
    folder = tmp_path / "with blanks"
    folder.mkdir()
    done = command(**harmless(folder, closed_port))
    assert done.returncode == 0, done.stderr
    assert "1 searches done ? Decision Tree: f1 0.9" in done.stderr.replace("1/1", "1")
    assert "Traceback" not in done.stderr
    assert "f1_score" in done.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("left", "code", "says"),
    [
        ({"TMPDIR": "/proc/1"}, 0, None),
        ({"TMPDIR": "/nowhere"}, 0, None),
        (
            {"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "local-file-system/none"},
            1,
            "error: PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: there is no block local-file-system/none: ",
        ),
        (
            {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": "/dev/null/results"},
            1,
            "error: PREFECT_RESULTS_LOCAL_STORAGE_PATH: /dev/null/results cannot be written: Not a directory",
        ),
        ({"PREFECT_RESULTS_DEFAULT_SERIALIZER": "none"}, 1, "error: Prefect's settings .*Serializer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_used_is_passed_over_or_said_in_one_line(left, code, says, served_command):
    done = served_command(**left)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == bool(says)
    if says:
        assert re.match(says, errors[0])
