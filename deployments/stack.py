"""A Prefect server and a process worker on this machine, without Docker: `make stack`, `make stack-down`.

.networksecurity/stack notes what was started; that is ended, and nothing else. `prefect server start --background` does
not do it: its server has no log and ends with the terminal. The server asks for a password, which is kept there in a
file that only its user can read.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that was not installed

import httpx
import psutil

from flows.launch import ENVIRONMENT
from networksecurity.settings import without_secrets

PROJECT = Path(__file__).resolve().parents[1]
SECONDS_TO_START, SECONDS_TO_END = 180, 60


class Stack:
    """The processes noted in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._file = folder / "processes.json"
        self._password = folder / "auth"

    def up(self, port: int) -> None:
        """Start what is not running yet, and deploy the flows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        notes = self._read()
        if "server" in notes:
            port = notes["server"]["port"]
        elif _is_taken(port):
            _fail(f"port {port} of 127.0.0.1 is taken; use another: make stack ARGS='--port {port + 1}'")
        address = f"http://127.0.0.1:{port}"
        environment = {**ENVIRONMENT, **os.environ, "PREFECT_API_URL": f"{address}/api", "PWD": str(PROJECT)}
        environment["PREFECT_API_AUTH_STRING"] = password = self._get_password()
        of_prefect = without_secrets(environment, but="PREFECT_")
        if "server" not in notes:
            # Not as options: the UI takes its address from the environment.
            listening = of_prefect | {
                "PREFECT_SERVER_API_HOST": "127.0.0.1",
                "PREFECT_SERVER_API_PORT": str(port),
                "PREFECT_SERVER_API_AUTH_STRING": password,
            }
            print(f"Starting Prefect's server on {address} …", flush=True)
            self._start("server", ["server", "start"], listening, port=port)
        self._wait_for(address)
        for what, command in {
            "Preparing the work pool and the automations": ["deployments/bootstrap.py"],
            "Deploying the flows": ["-m", "prefect", "--no-prompt", "deploy", "--all"],
        }.items():
            print(f"{what} …", flush=True)
            done = subprocess.run(
                [sys.executable, *command], cwd=PROJECT, env=of_prefect, capture_output=True, text=True, check=False
            )
            if done.returncode:
                _fail(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        if "worker" not in notes:
            print("Starting a worker …", flush=True)
            self._start("worker", ["worker", "start", "--pool", "networksecurity"], environment)
        print(f"""Prefect is here: {address}
  export PREFECT_API_URL={address}/api PREFECT_API_AUTH_STRING="$(cat {self._password})"
  .venv/bin/prefect deployment run train/train --watch
Logs are in {self._folder}; `make stack-down` ends everything.""")

    def _get_password(self) -> str:
        """Return what the server asks for, made up the first time."""
        if not self._password.exists():
            self._password.touch(mode=0o600)
            self._password.write_text(f"admin:{secrets.token_urlsafe(24)}")
        return self._password.read_text()

    def down(self) -> None:
        """End what was started: the worker and its runs first, while the server can still record their final states."""
        notes = self._read()
        for name in ("worker", "server"):
            if name in notes and (process := _process(notes[name])):
                _end(process)
        self._file.unlink(missing_ok=True)
        print(f"ended: {', '.join(notes)}" if notes else "nothing that was started here is still running")

    def _start(self, name: str, command: list[str], environment: dict[str, str], **more: int) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # survives the terminal
            )
        note = {"pid": process.pid, "started": _started(psutil.Process(process.pid)), **more}
        self._file.write_text(json.dumps(self._read() | {name: note}))

    def _read(self) -> dict[str, dict]:
        """Return the notes of what is still running."""
        notes = json.loads(self._file.read_text()) if self._file.exists() else {}
        return {name: note for name, note in notes.items() if _process(note)}

    def _wait_for(self, address: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while "server" in self._read() and time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{address}/api/health", timeout=5).is_success:
                    return
            time.sleep(0.2)
        _fail(f"the server did not start; see {self._folder / 'server.log'}")


def _process(note: dict) -> psutil.Process | None:
    """Return the running process of a note; None if it has ended, even if another process has its number now."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(note["pid"])
        if _is_running(process) and _started(process) == note["started"]:
            return process
    return None


def _started(process: psutil.Process) -> str:
    return time.ctime(process.create_time())


def _is_running(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _end(process: psutil.Process) -> None:
    """End a process with all that it started: by SIGTERM, and what is left after a while by SIGKILL."""
    family = [process, *process.children(recursive=True)]
    for one in (*process.children(), process):  # a run ends its own processes
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    deadline = time.monotonic() + SECONDS_TO_END
    while (alive := [one for one in family if _is_running(one)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()


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
        "--folder",
        type=Path,
        default=PROJECT / ".networksecurity" / "stack",
        help="folder for notes and logs (%(default)s)",
    )
    options = parser.parse_args()
    stack = Stack(options.folder)
    if options.command == "up":
        stack.up(options.port)
    else:
        stack.down()


if __name__ == "__main__":
    main()
