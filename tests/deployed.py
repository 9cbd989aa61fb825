"""A team's own Prefect: a real server and a real process worker on this machine, told by the commands of the docs."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from leash import LEASH
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

PROJECT = Path(__file__).resolve().parents[1]
DEAD_AFTER = "60"  # seconds: two heartbeats, the least that makes sense


class Prefect:
    """A server, what its workers inherit, and the client that looks at both."""

    def __init__(self, folder, port, environment):
        self.folder = folder
        self.environment = environment
        self.client = SyncPrefectClient(api=f"http://127.0.0.1:{port}/api")
        self._processes = {}

    def start(self, name, *command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*LEASH, sys.executable, "-m", "prefect", *command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def children(self, name):
        return psutil.Process(self._processes[name].pid).children(recursive=True)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def end(self, name, how=signal.SIGTERM):
        """End a process and whatever it has started, by force where it takes its time."""
        process = self._processes.pop(name)
        children = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
        for one in (process, *children):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(how)
        _, alive = psutil.wait_procs(children, timeout=30)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        with suppress(subprocess.TimeoutExpired):  # a worker has been seen to wait for a server that was busy
            process.wait(timeout=30)
        process.kill()
        process.wait()

    def kill(self, name):
        """Kill a process, and nothing that it has started; return what starts it again."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        command = process.args[process.args.index("prefect") + 1 :]
        return lambda: self.start(name, *command)

    def end_all(self):
        for name in reversed(list(self._processes)):
            self.end(name)

    def command(self, *command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def wait(self, what, seconds=240):
        """Return the first true value of `what`, which is asked again and again."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain; the worker says: {self.log('worker')[-3000:]}")
            time.sleep(0.5)
        return found

    def deployment(self, name):
        return self.client.read_deployment_by_name(name)

    def runs(self, name):
        """Return the runs of a deployment, the newest first."""
        wanted = DeploymentFilter(id=DeploymentFilterId(any_=[self.deployment(name).id]))
        return self.client.read_flow_runs(deployment_filter=wanted, sort=FlowRunSort.START_TIME_DESC)

    def submit(self, name, **parameters):
        given = self.deployment(name).parameters["parameters"] | parameters
        return self.client.create_flow_run_from_deployment(self.deployment(name).id, parameters={"parameters": given})

    def rest(self, name):
        """Switch off what the clock would start in the middle of a test."""
        deployment = self.deployment(name)
        (schedule,) = (one for one in deployment.schedules if one.active)
        self.client.request("PATCH", f"/deployments/{deployment.id}/schedules/{schedule.id}", json={"active": False})

    def ended(self, run):
        return self.wait(lambda: (found := self.client.read_flow_run(run.id)).state.is_final() and found)

    def run(self, name, **parameters):
        run = self.ended(self.submit(name, **parameters))
        assert run.state.is_completed(), run.state.message
        return run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_line(said, sentence):
    """Check that a log says a sentence once, and nothing of what only follows from it."""
    assert said.count(sentence) == 1
    for noise in ("Crash", "EventsWorker", "leaked", "Traceback", "Terminated", "segmentation fault"):
        assert not [line for line in said.splitlines() if noise in line]


def is_up(prefect):
    return prefect.client.api_healthcheck() is None


def task_states(prefect, run):
    tasks = prefect.client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return {(task.name, task.state_name) for task in tasks}  # a retried one is there twice


@contextmanager
def deployed(folder, mlflow_database, mongodb_uri):
    """Run a server with our pool and deployments, whose clocks rest, and a worker; end them all afterwards."""
    port = free_port()
    ours = ("PREFECT_", "MLFLOW_", "MONGODB_", "DAGSHUB_", "NETWORKSECURITY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PWD": str(PROJECT),  # as a shell would say
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{mlflow_database}",
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with ExitStack() as stack:
        prefect = Prefect(folder, port, environment)
        stack.callback(prefect.end_all)
        prefect.start("server", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        deadline = time.monotonic() + 240
        while not is_up(prefect):
            if time.monotonic() > deadline:
                pytest.fail(f"the server does not start: {prefect.log('server')[-3000:]}")
            time.sleep(0.2)
        # Only the server is told where MongoDB is: a run hears of it through the pool's Secret block.
        prefect.environment = environment | {"MONGODB_URI": mongodb_uri}
        done = prefect.command("deployments/bootstrap.py", "--share", "MONGODB_URI", "--dead-after", DEAD_AFTER)
        assert done.returncode == 0, done.stderr
        prefect.environment = environment
        done = prefect.command("-m", "prefect", "--no-prompt", "deploy", "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        prefect.rest("monitor/monitor")
        prefect.rest("train/retrain")
        prefect.rest("score/score")
        prefect.start("worker", "worker", "start", "--pool", "networksecurity")
        yield prefect
