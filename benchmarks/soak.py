"""Whether memory, threads and open files stay as they were: trainings and checks in one process, a service for an hour.

Usage: python benchmarks/soak.py [--parts trainings checks service] [--trainings 50] [--checks 24] [--minutes 60]
    [--rate 0]
trainings: one after the other in one process, as a worker of threads or a notebook runs them.
checks: of a monitor, in one process, one for each simulated hour.
service: four clients all the time, while the champion is replaced every 20 seconds; as fast as they can, or with a
rate so many requests a second.
What the first fifth of the rounds leaves is what the libraries keep; the others are compared with it. Each training has
rows of its own, and so nothing comes from the cache. `--quick` takes minutes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

import psutil

from benchmarks import measure
from benchmarks.flow import environment_in, running_server
from benchmarks.serving import N_CLIENTS, Bodies, ours, publish, registry_in

PARTS = ("trainings", "checks", "service")
SECONDS_IN_USE = 20

_BEGIN = """
import gc, json, logging, psutil, sys
def say():
    gc.collect()
    process = psutil.Process()
    print(json.dumps([process.memory_info().rss / 1e6, process.num_threads(), process.num_fds()]), flush=True)
"""
_TRAIN = """
from flows.parameters import TrainParameters
from flows.train import train
def train_on(n_rows):
    train(TrainParameters(source=f"sample:{n_rows}", models="Decision Tree,Logistic Regression", cv=3))
"""
TRAININGS = f"""{_BEGIN}{_TRAIN}
for number in range(int(sys.argv[1])):
    train_on(1_000 + number)
    say()
"""
CHECKS = f"""{_BEGIN}{_TRAIN}
from flows.monitor import monitor
from flows.parameters import MonitorParameters
train_on(1_000)
for number in range(int(sys.argv[1])):
    monitor(MonitorParameters(source=f"sample:{{600 + number}}"), return_state=True)
    say()
"""


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    megabytes: float
    threads: int
    files: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        process = psutil.Process(pid)
        return cls(process.memory_info().rss / 1e6, process.num_threads(), process.num_fds())


def in_one_process(code: str, rounds: int) -> list[Held]:
    """Run a program that says what it holds after each round."""
    with (
        tempfile.TemporaryDirectory(prefix="networksecurity-") as folder,
        running_server(environment_in(Path(folder))) as environment,
    ):
        quiet = {"PREFECT_LOGGING_LEVEL": "WARNING", "NETWORKSECURITY_CORES": "2"}
        done = measure.run([sys.executable, "-c", code, str(rounds)], environment | quiet)
    return [Held(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def serve(seconds: float, rate: float) -> list[Held]:
    """Ask a service all the time, replace its champion, and return what it holds before each change."""
    from networksecurity.champion.registry import CHAMPION

    found = []
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        folder = Path(name)
        publish("Random Forest", folder)
        registry, bodies = registry_in(folder), Bodies.write(folder)
        with (
            ours(folder, bodies) as (service, _),
            service.clients(1, 10**9, N_CLIENTS, seconds, rate) as clients,
        ):
            number = 0
            while True:
                try:
                    said, _ = clients.communicate(timeout=SECONDS_IN_USE)
                    break
                except subprocess.TimeoutExpired:
                    found.append(Held.by(service.process.pid))
                    registry.set_alias(CHAMPION, "21"[number % 2])
                    number += 1
    answers = json.loads(said)
    print(f"  {len(answers['seconds']):,} answers by version {answers['versions']}, by status {answers['statuses']}")
    return found


def compare(name: str, found: Sequence[Held]) -> None:
    """Report how much more is held in the last fifth of the rounds than in the second."""
    fifth = max(len(found) // 5, 1)
    before, after = found[fifth : 2 * fifth], found[-fifth:]
    for what, target, of_before, of_after in zip(
        ("MB", "threads", "open files"),
        ("≤ 10 % more", "0", "0"),
        zip(*map(astuple, before), strict=True),
        zip(*map(astuple, after), strict=True),
        strict=True,
    ):
        more = statistics.median(of_after) - statistics.median(of_before)
        print(f"  {what}: {', '.join(f'{of:.0f}' for of in (*of_before, *of_after))}")
        measure.report(f"{name}: {what} more at the end than after {2 * fifth}", [more], target, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--trainings", type=int, default=50)
    parser.add_argument("--checks", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--quick", action="store_true", help="10 trainings, 10 checks, 4 minutes")
    options = parser.parse_args()
    n_trainings, n_checks, minutes = (
        (10, 10, 4.0) if options.quick else (options.trainings, options.checks, options.minutes)
    )
    print(f"{measure.machine()}; {measure.versions()}", flush=True)
    began = time.perf_counter()
    if "trainings" in options.parts:
        compare(f"{n_trainings} trainings in one process", in_one_process(TRAININGS, n_trainings))
    if "checks" in options.parts:
        compare(f"{n_checks} checks in one process", in_one_process(CHECKS, n_checks))
    if "service" in options.parts:
        compare(f"{minutes:g} minutes of service", serve(60 * minutes, options.rate))
    print(f"in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
