"""A Prefect server and a process worker on this machine, without Docker: `make stack`, `make stack-down`.

What was started is noted in .networksecurity/stack: that is ended, and nothing else.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that was not installed

import httpx

from flows.launch import ENVIRONMENT

PROJECT = Path(__file__).resolve().parents[1]
SECONDS_TO_START, SECONDS_TO_END = 180, 60


class Stack:
    """What runs here, by the notes in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._file = folder / "processes.json"

    def up(self, port: int) -> None:
        """Start what does not run yet, and deploy the flows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        notes = self._read()
        if "server" in notes:
            port = notes["server"]["port"]
        elif _is_taken(port):
            _fail(f"port {port} of 127.0.0.1 is taken; another: make stack ARGS='--port {port + 1}'")
        address = f"http://127.0.0.1:{port}"
        environment = {**ENVIRONMENT, **os.environ, "PREFECT_API_URL": f"{address}/api", "PWD": str(PROJECT)}
        if "server" not in notes:
            # In the environment, since the address of the pages is made from it.
            listening = environment | {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(port)}
            self._start("server", ["server", "start"], listening, port=port)
        self._wait_for(address)
        for command in (["deployments/bootstrap.py"], ["-m", "prefect", "--no-prompt", "deploy", "--all"]):
            done = subprocess.run(
                [sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                _fail(f"{' '.join(command)} did not succeed:\n{done.stdout}{done.stderr}")
        if "worker" not in notes:
            self._start("worker", ["worker", "start", "--pool", "networksecurity"], environment)
        print(f"""Prefect is here: {address}
  export PREFECT_API_URL={address}/api
  .venv/bin/prefect deployment run train/train --watch
Logs are in {self._folder}; `make stack-down` ends it.""")

    def down(self) -> None:
        """End what was started: the worker and its runs first, so that the server can note how they ended."""
        notes = self._read()
        for name in ("worker", "server"):
            if name in notes:
                _end(notes[name]["pid"])
        self._file.unlink(missing_ok=True)
        print(f"ended: {', '.join(notes)}" if notes else "nothing that was started here still runs")

    def _start(self, name: str, command: list[str], environment: dict[str, str], **more: int) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it stays when the terminal is closed
            )
        note = {"pid": process.pid, "started": _started(process.pid), **more}
        self._file.write_text(json.dumps(self._read() | {name: note}))

    def _read(self) -> dict[str, dict]:
        """Return the notes of what still runs; a number that another process has got since is not ours."""
        notes = json.loads(self._file.read_text()) if self._file.exists() else {}
        return {name: note for name, note in notes.items() if note["started"] == _started(note["pid"])}

    def _wait_for(self, address: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while "server" in self._read() and time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{address}/api/health", timeout=5).is_success:
                    return
            time.sleep(0.2)
        _fail(f"the server does not start; {self._folder / 'server.log'} says why")


def _started(pid: int) -> str:
    """Return when a process was started; nothing where there is none."""
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _end(pid: int) -> None:
    descendants = _descendants(pid)
    for one in (*_children()[pid], pid):  # a run is told, and ends its own processes
        _signal(one, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_END
    while (alive := [one for one in (pid, *descendants) if _runs(one)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    for one in alive:
        _signal(one, signal.SIGKILL)


def _children() -> dict[int, list[int]]:
    table = subprocess.run(["ps", "-Ao", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = defaultdict(list)
    for line in table.splitlines():
        pid, parent = map(int, line.split())
        children[parent].append(pid)
    return children


def _descendants(pid: int) -> list[int]:
    children, found = _children(), [pid]
    for one in found:
        found += children[one]
    return found[1:]


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _fail(message: str) -> NoReturn:
    sys.exit(f"error: {message}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("command", choices=["up", "down"], help="start and deploy, or end what was started")
    parser.add_argument("--port", type=int, default=4200, help="port of the server (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / ".networksecurity" / "stack", help="for notes and logs (%(default)s)"
    )
    options = parser.parse_args()
    stack = Stack(options.folder)
    if options.command == "up":
        stack.up(options.port)
    else:
        stack.down()


if __name__ == "__main__":
    main()
