import multiprocessing
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from joblib import Parallel, delayed

from networksecurity.training.pool import end_processes, fitting, release_processes

SECRETS = {
    "MONGODB_URI": "mongodb://jane:c4nary@host",
    "DAGSHUB_USER_TOKEN": "c4nary",
    "MLFLOW_TRACKING_PASSWORD": "c4nary",
    "NETWORKSECURITY_SIGNING_KEY": "c4nary",
    "NETWORKSECURITY_SERVE_TOKEN": "c4nary",
    "PREFECT_API_AUTH_STRING": "admin:c4nary",
}


def blocks_ctrl_c(process):
    blocked = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return bool(int(blocked[1], 16) & 1 << signal.SIGINT - 1)


def work():
    with fitting(2, None, lambda: None):
        Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(2))


def test_processes_know_no_secret_and_leave_ctrl_c_to_us_and_are_gone_when_released(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    release_processes()  # of other tests
    seen = set()
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(work).result()
        processes = {one for one in multiprocessing.active_children() if one.name.startswith("LokyProcess")}
        assert len(processes) == 2
        assert not processes & seen
        assert all(map(blocks_ctrl_c, processes))
        assert not any("c4nary" in Path(f"/proc/{one.pid}/environ").read_text() for one in processes)
        seen |= processes
        release_processes()
        for process in processes:  # multiprocessing must see its children end: to it, one that others collect lives on
            process.join(60)
            assert not psutil.pid_exists(process.pid)
    release_processes()  # of none


def test_a_process_that_ends_in_the_same_moment_does_not_stop_the_others_from_being_ended(monkeypatch):
    gone, running = (subprocess.Popen(["sleep", seconds]) for seconds in ("0", "600"))
    gone.wait()
    monkeypatch.setattr("networksecurity.training.pool._processes", lambda: [gone, running])
    end_processes()
    assert running.wait(timeout=60) == -signal.SIGKILL


def test_the_trackers_of_shared_files_know_no_secret():
    code = (
        "import os, psutil; from networksecurity.training.pool import start_trackers; start_trackers(); "
        "print(*(one.environ() for one in psutil.Process().children())); print(os.environ['MONGODB_URI'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | SECRETS, capture_output=True, text=True, check=True
    )
    trackers, *ours = done.stdout.splitlines()
    assert trackers.count("'PATH'") == 2
    assert "c4nary" not in trackers
    assert ours == [SECRETS["MONGODB_URI"]]
