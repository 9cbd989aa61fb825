"""Measurements for the benchmarks: time and memory of a process, cases that take turns, rows of the report."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[1]
MARK = "="
"""Starts the lines that `all.py` collects."""


@dataclass(frozen=True)
class Run:
    """A finished command.

    Attributes
    ----------
    seconds, cpu_seconds : float
        Wall time; user and system time of the process and of the children it waited for.
    megabytes : float
        The largest peak of one of these processes.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    stdout: str
    stderr: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; if it fails, exit with its error output."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | (environment or {}), stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (stdout, stderr):
            file.seek(0)
        said, complained = stdout.read(), stderr.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{complained[-2000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, said, complained)


def take_turns(cases: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure each case once per round: other load on the machine then affects all cases alike."""
    found: dict[str, list[T]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, measure in cases.items():
            found[case].append(measure())
    return found


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(f"{of:.{digits}f}" for of in (min(values), statistics.median(values), max(values)))


def report(name: str, values: Sequence[float], target: str = "", digits: int = 2) -> None:
    """Print one row of the table: name, minimum / median / maximum of the rounds, target."""
    print(f"{MARK} {name} | {spread(values, digits)} | {target}", flush=True)


def machine() -> str:
    """Return one line about the hardware."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores ({model}), {gigabytes:.0f} GB, {platform.system()}"


def versions() -> str:
    """Return one line with the relevant versions."""
    names = ("networksecurity", "prefect", "mlflow", "scikit-learn", "pandas", "numpy")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])
