import subprocess
import sys
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]


def test_a_process_ends_with_the_one_that_started_it():
    child = "import time; from networksecurity.parent import end_with_parent; end_with_parent(); time.sleep(600)"
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
