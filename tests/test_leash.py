import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_leashed_child_ends_with_a_process_that_is_killed(how):
    code = (
        "import subprocess, sys, time; from leash import leashed_children\n"
        "with leashed_children() as tie:\n"
        "    child = subprocess.Popen(['sleep', '600'], start_new_session=True); tie()\n"
        "    print(child.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(how)
    child.wait(timeout=60)
    assert not child.is_running()


def test_a_leashed_child_is_left_alone_when_the_leash_ends():
    code = (
        "import subprocess; from leash import leashed_children\n"
        "with leashed_children() as tie:\n"
        "    child = subprocess.Popen(['sleep', '600']); tie()\n"
        "assert child.poll() is None; child.kill(); print(child.wait())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, check=True)
    assert done.stdout == "-9\n"
