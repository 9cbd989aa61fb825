"""What is left of a flow that is killed in the middle: no process."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from leash import LEASH

PROJECT = Path(__file__).resolve().parents[2]
TRAIN = [sys.executable, str(PROJECT / "flows" / "train.py")]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]


def test_a_training_killed_in_the_middle_of_a_search_leaves_no_process(environment, tmp_path):
    cores = {"NETWORKSECURITY_CORES": "2"}
    command = [*LEASH, *TRAIN, "--models", "Gradient Boosting", "--promotion", "off"]
    with (tmp_path / "log").open("wb") as log:
        training = subprocess.Popen(command, cwd=tmp_path, env=environment | cores, stdout=log, stderr=log)
    family: list[psutil.Process] = []
    deadline = time.monotonic() + 600
    while not any("loky" in " ".join(arguments(process)) for process in family):
        assert training.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.2)
        family = psutil.Process(training.pid).children(recursive=True)
    time.sleep(2)  # the pool's processes are in the middle of a fit
    family = psutil.Process(training.pid).children(recursive=True)
    assert any("local_server" in " ".join(arguments(process)) for process in family)
    assert left_of(training, family) == []


@pytest.mark.parametrize("flow", ["train", "ingest", "score", "monitor", "evaluate"])
def test_a_flow_killed_while_it_waits_for_another_server_leaves_no_process(environment, tmp_path, flow):
    with socket.create_server(("127.0.0.1", 0)) as silent, (tmp_path / "log").open("wb") as log:
        silent.settimeout(240)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        of_silent = {
            "MLFLOW_TRACKING_URI": f"http://{address}",
            "MONGODB_URI": f"mongodb://{address}/db.rows",
            "NETWORKSECURITY_MLFLOW_TIMEOUT": "240",
            "NETWORKSECURITY_MONGODB_TIMEOUT": "240",
        }
        command = [*LEASH, sys.executable, PROJECT / "flows" / f"{flow}.py", "--source", "sample:500"]
        command += ["--output", "scored.csv"] if flow == "score" else []
        place = environment | of_silent | {"PYTHONPATH": str(PROJECT)}
        process = subprocess.Popen(command, cwd=tmp_path, env=place, stdout=log, stderr=log)
        try:
            asked, _ = silent.accept()
        except TimeoutError:
            pytest.fail((tmp_path / "log").read_text())
        with asked:
            family = psutil.Process(process.pid).children(recursive=True)
            assert any("local_server" in " ".join(arguments(one)) for one in family)
            assert left_of(process, family) == []


def left_of(process, family):
    """Kill a process, and return the commands of its family that are left of it, which end now."""
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=60)
    left = [arguments(one) for one in alive]
    for one in alive:
        one.kill()
    return left


def arguments(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
