import os
import subprocess
import sys
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]


def test_a_process_ends_with_the_one_that_started_it():
    child = (
        "import os, time; from networksecurity.parent import end_with_parent; "
        "end_with_parent(os.getppid()); time.sleep(600)"
    )
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        started = psutil.Process(int(parent.stdout.readline()))
        while not started.num_threads() > 1:  # it watches
            assert started.is_running()
        parent.kill()
    started.wait(timeout=60)
    assert not started.is_running()


def test_a_process_ends_whose_parent_has_ended_before_it_asks():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    child = (
        f"import time; from networksecurity.parent import end_with_parent; end_with_parent({done.pid}); time.sleep(600)"
    )
    assert subprocess.run([sys.executable, "-c", child], cwd=PROJECT, timeout=60, check=False).returncode == 1


def test_the_server_of_a_run_that_has_ended_ends():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    server = [sys.executable, "-m", "flows.local_server", "0", "log", str(done.pid)]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    assert subprocess.run(server, cwd=PROJECT, env=environment, timeout=60, check=False).returncode == 1
