"""What a training takes beyond its searches, against a bare Prefect flow of 20 tasks that do nothing.

Usage: python benchmarks/flow.py [--source sample] [--rounds 3] [--cases help cached served]
Both are cold processes in one warm home (Prefect's database, MLflow's database), and start Prefect's embedded server;
`served` has a server that runs already. Of `computed`, the time of the longest search is taken off; `cached` is the
same command again. In each round the cases take turns. The ratios are of wall times of the same round.
"""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

from benchmarks import measure
from flows.launch import ENVIRONMENT

BARE = """
from prefect import flow, task

@task
def nothing(number):
    return number

@flow
def bare():
    for future in [nothing.submit(number) for number in range(20)]:
        future.result()

bare()
"""
IMPORTS = "import flows.train"


def environment_in(folder: Path) -> dict[str, str]:
    return ENVIRONMENT | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "",  # a warm home has compiled files too
    }


@contextlib.contextmanager
def running_server(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run a Prefect server and yield the environment that leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health"):
                    break
                time.sleep(0.2)
            yield environment | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        finally:
            server.terminate()
            server.wait(60)


def beyond_search(run: measure.Run) -> float:
    """Return the wall seconds of a training without those of its longest search."""
    searches = re.findall(r"fits in ([\d.]+) s\)", run.stderr)
    return run.seconds - max(map(float, searches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", help="as of flows/train.py")
    parser.add_argument("--rounds", type=int, default=3)
    cases = ("help", "computed", "cached", "served")
    parser.add_argument("--cases", choices=cases, nargs="+", default=list(cases))
    options = parser.parse_args()
    python, flow = sys.executable, str(PROJECT / "flows" / "train.py")
    train = [python, flow, "--source", options.source, *(["--models", options.models] if options.models else [])]
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        environment = environment_in(Path(name))
        measure.run([python, "-c", BARE], environment)  # the home is warm from here on
        if {"cached", "served"} & set(options.cases) or "computed" in options.cases:
            measure.run(train, environment)
        alone = {
            "help": lambda: measure.run([python, flow, "--help"], environment),
            "bare": lambda: measure.run([python, "-c", BARE], environment),
            "computed": lambda: measure.run([*train, "--refresh"], environment),
            "cached": lambda: measure.run(train, environment),
        }
        found = measure.take_turns(
            {case: run for case, run in alone.items() if case == "bare" or case in options.cases}, options.rounds
        )
        if "served" in options.cases:
            with running_server(environment) as served:
                turns = {
                    "imports": lambda: measure.run([python, "-c", IMPORTS], served),
                    "served": lambda: measure.run(train, served),
                }
                found |= measure.take_turns(turns, options.rounds)
    for case, runs in found.items():
        cpu = measure.spread([run.cpu_seconds for run in runs])
        print(f"{case:8}: {measure.spread([run.seconds for run in runs])} s, CPU {cpu} s (min / median / max)")
    bare = [run.seconds for run in found["bare"]]
    if "computed" in found:
        beyond = [beyond_search(run) for run in found["computed"]]
        measure.report("flow beyond its searches ÷ bare flow", measure.ratios(beyond, bare), "<= 1.3")
    if "cached" in found:
        cached = [run.seconds for run in found["cached"]]
        measure.report("cached flow ÷ bare flow", measure.ratios(cached, bare), "<= 1.15")
    if "served" in found:
        measure.report("cached flow, server running, s", [run.seconds for run in found["served"]], "<= 12")
        measure.report("of which imports, s", [run.seconds for run in found["imports"]], "<= 9")
    if "help" in found:
        measure.report("train.py --help, s", [run.seconds for run in found["help"]], "<= 2")


if __name__ == "__main__":
    main()
