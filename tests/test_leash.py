import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from leash import LEASH

TESTS = Path(__file__).parent


@pytest.mark.skipif(not LEASH, reason="there is no setpriv here")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_leashed_child_ends_with_a_process_that_is_killed(how):
    code = (
        "import subprocess, time; from leash import LEASH\n"
        "child = subprocess.Popen([*LEASH, 'sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        while child.cmdline() != ["sleep", "600"]:  # which it becomes once the signal is arranged
            pass
        parent.send_signal(how)
    child.wait(timeout=60)
    assert not child.is_running()
