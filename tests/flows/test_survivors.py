"""What is left of a training that is killed in the middle: no process."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from leash import LEASH

TRAIN = [sys.executable, str(Path(__file__).resolve().parents[2] / "flows" / "train.py")]

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
    training.kill()
    training.wait()
    _, alive = psutil.wait_procs(family, timeout=60)
    left = [arguments(process) for process in alive]
    for process in alive:
        process.kill()
    assert left == []


def arguments(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
