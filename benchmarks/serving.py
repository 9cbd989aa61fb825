"""Measures the service beside `mlflow models serve` and `predict_proba`, on loopback, with the same model.

Usage: python benchmarks/serving.py [--parts latency load memory start] [--rounds 3] [--quick] [--workers 1]
latency: one row by one client, one row by four, 100 rows by one; the two services take turns.
load: four clients for 60 s while the champion is replaced three times.
memory: resident memory and open files before and after 100,000 requests.
start: seconds from the command to the line that says that it is ready, on the clock and of a CPU.
Trains a model on the built-in sample, promotes it in a temporary database and runs the real commands, with validation,
log and JSON. Clients are a process of their own; all share the cores of this machine. Seconds are wall time.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

from benchmarks import measure

N_CLIENTS = 4
PARTS = ("latency", "load", "memory", "start")
REPLACED = 3


def publish(name: str, folder: Path) -> list[Any]:
    """Train a model twice, with two seeds, as versions 1 and 2 of a database in `folder`; the first is the champion."""
    import mlflow

    from networksecurity.champion.registry import CHAMPION
    from networksecurity.data import model_files, sample, schema, validation
    from networksecurity.data.contracts import WEBSITES
    from networksecurity.tracking.model import probe_rows
    from networksecurity.tracking.outcome import PROBE_FILE
    from networksecurity.training import candidates, search

    X, y = schema.to_X_y(validation.validate(sample.make_phishing_websites(random_state=0)).accepted)
    candidate = candidates.get_candidate(name)
    largest = {"n_estimators": 256} if "n_estimators" in candidate.param_grid else {}
    registry = registry_in(folder)
    models = []
    with registry.server.client() as client:
        client.create_registered_model(registry.name)
        run = client.create_run("0").info.run_id
        for seed in (0, 1):
            how = {"random_state": seed, "feature_groups": WEBSITES.feature_groups}  # as a training fits the winner
            model = search.fit_best(candidate, largest, X, y, **how)
            stored = folder / f"model{seed + 1}"
            mlflow.sklearn.save_model(
                model,
                stored,
                serialization_format="skops",
                skops_trusted_types=model_files.TRUSTED_TYPES,
                signature=mlflow.models.infer_signature(X, y),
                pip_requirements=[],
            )
            probe_rows(WEBSITES).to_parquet(stored / PROBE_FILE)
            client.create_model_version(registry.name, stored.as_uri(), run)
            models.append(model)
    registry.set_alias(CHAMPION, "1")
    return models


def registry_in(folder: Path) -> Any:
    from pydantic import SecretStr

    from networksecurity.champion.registry import Registry
    from networksecurity.settings import Settings
    from networksecurity.tracking.server import connect

    place = Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{folder / 'mlflow.db'}"))
    return Registry(connect(place), place.mlflow_registered_model_name)


@dataclass(frozen=True)
class Bodies:
    """The same rows, as each of the services takes them."""

    folder: Path

    @classmethod
    def write(cls, folder: Path) -> "Bodies":
        from networksecurity.data.sample import make_phishing_websites
        from networksecurity.data.schema import to_X
        from networksecurity.data.validation import Validation

        rows, _ = Validation(with_target=False).add(make_phishing_websites(100, random_state=1))
        for n_rows in (1, 100):
            some = json.loads(rows.head(n_rows).to_json(orient="records"))
            (folder / f"ours{n_rows}").write_text(json.dumps({"rows": some}))
            frame = to_X(rows.head(n_rows)).to_json(orient="split", index=False)
            (folder / f"theirs{n_rows}").write_text(json.dumps({"dataframe_split": json.loads(frame)}))
            to_X(rows.head(n_rows)).to_parquet(folder / f"rows{n_rows}")
        return cls(folder)


@dataclass(frozen=True)
class Served:
    """A service that runs."""

    side: str
    process: subprocess.Popen
    port: int
    bodies: Bodies

    def ask(self, n_rows: int, n_requests: int, n_clients: int = 1, seconds: float = 30.0) -> "Answers":
        with self.clients(n_rows, n_requests, n_clients, seconds) as clients:
            said, _ = clients.communicate()
        if clients.returncode:
            sys.exit(f"the clients of {self.side} ended with {clients.returncode}")
        return Answers(**json.loads(said))

    def clients(
        self, n_rows: int, n_requests: int, n_clients: int, seconds: float, rate: float = 0
    ) -> subprocess.Popen:
        path = "/predict" if self.side == "ours" else "/invocations"
        body = str(self.bodies.folder / f"{self.side}{n_rows}")
        options = ["--clients", str(n_clients), "--requests", str(n_requests), "--seconds", str(seconds)]
        options += ["--rate", str(rate)]
        command = [sys.executable, str(PROJECT / "benchmarks" / "load.py"), str(self.port), path, body, *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def held(self) -> tuple[float, int]:
        """Return the megabytes of resident memory and the open files of the processes that answer."""
        import psutil

        command = psutil.Process(self.process.pid)
        processes = [command, *command.children(recursive=True)]
        return sum(of.memory_info().rss for of in processes) / 1e6, sum(of.num_fds() for of in processes)


@dataclass(frozen=True)
class Answers:
    """What the clients saw."""

    seconds: list[float]
    wall: float
    statuses: dict[str, int]
    versions: dict[str, int]

    @property
    def errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != "200")

    def quantile(self, q: float) -> float:
        """Return a quantile of the latency, in ms."""
        return sorted(self.seconds)[int(q * (len(self.seconds) - 1))] * 1e3

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall


@contextlib.contextmanager
def ended(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def ours(folder: Path, bodies: Bodies, workers: int = 1) -> Iterator[tuple[Served, float]]:
    """Run `networksecurity serve`; yield it and the seconds until it said that it is ready."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NETWORKSECURITY_SERVE_REFRESH": "1",
    }
    command = [sys.executable, "-m", "networksecurity", "serve", "--port", "0", "--workers", str(workers)]
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    with ended(process):
        assert process.stdout is not None
        found = re.match(r"Serving on http://127.0.0.1:(\d+)", process.stdout.readline())
        seconds = time.perf_counter() - began
        if found is None:
            sys.exit(f"the service did not start: {(folder / 'log').read_text()[-500:]}")
        yield Served("ours", process, int(found[1]), bodies), seconds


@contextlib.contextmanager
def theirs(folder: Path, bodies: Bodies) -> Iterator[Served]:
    """Run `mlflow models serve` with the files of version 1."""
    import socket
    import urllib.request

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["--model-uri", str(folder / "model1"), "--env-manager", "local", "--port", str(port)]
    with (folder / "their log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *options],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)},
            stdout=log,
            stderr=log,
        )
    with ended(process):
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping"):
                break
            if process.poll() is not None:
                sys.exit(f"mlflow models serve did not start: {(folder / 'their log').read_text()[-500:]}")
            time.sleep(0.2)
        yield Served("theirs", process, port, bodies)


# --- Parts ------------------------------------------------------------------------------------------------------------


def latency(model: Any, folder: Path, bodies: Bodies, rounds: int, workers: int, *, quick: bool) -> None:
    import pandas as pd

    n_ours, n_theirs = (200, 20) if quick else (3000, 150)

    def in_process(n_rows: int) -> float:
        X = pd.read_parquet(folder / f"rows{n_rows}")
        seconds = []
        for _ in range(n_theirs // 3):
            began = time.perf_counter()
            model.predict_proba(X)
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds) * 1e3

    with ours(folder, bodies, workers) as (our, _), theirs(folder, bodies) as their:
        for n_rows in (1, 100):  # warm-up
            our.ask(n_rows, 50, N_CLIENTS)
            their.ask(n_rows, 10)
        found = measure.take_turns(
            {
                "`predict_proba`, 1 row, p50, ms": lambda: in_process(1),
                "`mlflow models serve`, 1 row, 1 client, p50, ms": lambda: their.ask(1, n_theirs).quantile(0.5),
                "service, 1 row, 1 client, p50, ms": lambda: our.ask(1, n_ours).quantile(0.5),
                "`mlflow models serve`, 1 row, 4 clients, requests/s": lambda: their.ask(1, n_theirs, N_CLIENTS).rate,
                "service, 1 row, 4 clients, requests/s": lambda: our.ask(1, n_ours, N_CLIENTS).rate,
                "`predict_proba`, 100 rows, p50, ms": lambda: in_process(100),
                "`mlflow models serve`, 100 rows, p50, ms": lambda: their.ask(100, n_theirs // 3).quantile(0.5),
                "service, 100 rows, p50, ms": lambda: our.ask(100, n_theirs).quantile(0.5),
            },
            rounds,
        )
    for name, values in found.items():
        measure.report(name, values, digits=2)
    _, their_p50, our_p50, their_rate, our_rate, _, their_100, our_100 = found.values()
    measure.report("100 rows a request, p50, ours ÷ `mlflow models serve`", measure.ratios(our_100, their_100), "≤ 0.4")
    measure.report("1 row, 4 clients, requests/s, ours ÷ theirs", measure.ratios(our_rate, their_rate), "≥ 30", 1)
    one_row = measure.ratios(our_p50, their_p50)
    measure.report("1 row, 1 client, p50, ours ÷ theirs", one_row, "≤ 0.05", 4)
    print(f"serving ratio {statistics.median(one_row):.3f}", flush=True)


def load(folder: Path, bodies: Bodies, workers: int, *, quick: bool) -> None:
    from networksecurity.champion.registry import CHAMPION

    registry, seconds = registry_in(folder), 12.0 if quick else 60.0
    with ours(folder, bodies, workers) as (service, _):
        service.ask(1, 2000, N_CLIENTS)
        for version in "21":  # memory that the first two models beside others took stays with the allocator
            registry.set_alias(CHAMPION, version)
            while version not in service.ask(1, 1).versions:
                time.sleep(0.2)
        before = service.held()
        with service.clients(1, 10**9, N_CLIENTS, seconds) as clients:
            for number in range(REPLACED):
                time.sleep(seconds / (REPLACED + 1))
                registry.set_alias(CHAMPION, "21"[number % 2])
            said, _ = clients.communicate()
        answers, after = Answers(**json.loads(said)), service.held()
        registry.set_alias(CHAMPION, "1")
    p50, p99 = answers.quantile(0.5), answers.quantile(0.99)
    measure.report("4 clients while the champion is replaced 3 times: p50, ms", [p50])
    measure.report("the same: p99 ÷ p50", [p99 / p50], "≤ 25", 1)
    measure.report("the same: slowest answer, ms", [answers.quantile(1)], digits=0)
    measure.report("the same: errors", [answers.errors], "0", 0)
    print(f"  {len(answers.seconds):,} answers, by version {answers.versions}")
    print(f"  {shown(before)} before, {shown(after)} after")


def memory(folder: Path, bodies: Bodies, workers: int, *, quick: bool) -> None:
    with ours(folder, bodies, workers) as (service, _):
        service.ask(1, 2000, N_CLIENTS)
        before = service.held()
        answers = service.ask(1, 2_000 if quick else 100_000, N_CLIENTS, 600)
        after = service.held()
    measure.report(f"memory after {len(answers.seconds):,} requests ÷ before", [after[0] / before[0]], "1", 3)
    measure.report("open files more than before", [after[1] - before[1]], "0", 0)
    print(f"  {shown(before)} before, {shown(after)} after, {answers.errors} errors")


def shown(held: tuple[float, int]) -> str:
    return f"{held[0]:.0f} MB and {held[1]} files"


def start(folder: Path, bodies: Bodies, rounds: int, workers: int) -> None:
    import psutil

    seconds, cpu_seconds = [], []
    for _ in range(rounds + 1):  # the first one warms the disk's cache
        with ours(folder, bodies, workers) as (service, until_ready):
            seconds.append(until_ready)
            cpu_seconds.append(sum(psutil.Process(service.process.pid).cpu_times()[:2]))
    measure.report("from the command to ready, s", seconds[1:], "≤ 5")
    measure.report("the same, CPU seconds", cpu_seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--model", default="Random Forest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="of our service; MLflow's has the one of its default")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        folder = Path(name)
        model, _ = publish(options.model, folder)
        bodies = Bodies.write(folder)
        print(f"{measure.machine()}; {measure.versions()}; {options.model}; min / median / max", flush=True)
        if "load" in options.parts:
            load(folder, bodies, options.workers, quick=options.quick)
        if "memory" in options.parts:
            memory(folder, bodies, options.workers, quick=options.quick)
        if "start" in options.parts:
            start(folder, bodies, options.rounds, options.workers)
        if "latency" in options.parts:
            latency(model, folder, bodies, options.rounds, options.workers, quick=options.quick)


if __name__ == "__main__":
    main()
