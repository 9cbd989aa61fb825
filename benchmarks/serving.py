"""Throughput and latency of the service on loopback, compared with `predict_proba` in this process.

Usage: python benchmarks/serving.py [--model "Random Forest"] [--rows 1 100] [--clients 4] [--requests 200] [--rounds 3]
Trains a model on the built-in sample, promotes it in a temporary database and runs the real command, with its
validation, log and JSON. Each client sends its requests one after the other over one connection. Clients, service and
`predict_proba` share the cores of this machine. Seconds are wall time; a round ends after --requests, or --limit
seconds.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]


def publish(name: str, folder: Path) -> Any:
    """Train a model, make it the champion of a database in `folder`, and return it."""
    import mlflow
    from pydantic import SecretStr

    from networksecurity.champion.registry import CHAMPION, Registry
    from networksecurity.data import sample, schema, storage, validation
    from networksecurity.settings import Settings
    from networksecurity.tracking.server import connect
    from networksecurity.training import candidates

    X, y = schema.to_X_y(validation.validate(sample.make_phishing_websites(random_state=0)).accepted)
    candidate = candidates.get_candidate(name)
    largest = {"n_estimators": 256} if "n_estimators" in candidate.param_grid else {}
    model = candidates.make_pipeline(candidate, largest).fit(X, y)
    place = Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{folder / 'mlflow.db'}"))
    stored = folder / "model"
    mlflow.sklearn.save_model(
        model, stored, serialization_format="skops", skops_trusted_types=storage.TRUSTED_TYPES, pip_requirements=[]
    )
    registry = Registry(connect(place), place.mlflow_registered_model_name)
    with registry.server.client() as client:
        client.create_registered_model(registry.name)
        version = client.create_model_version(registry.name, stored.as_uri(), client.create_run("0").info.run_id)
    registry.set_alias(CHAMPION, version.version)
    return model


@contextlib.contextmanager
def started(folder: Path) -> Iterator[str]:
    """Run the service and yield its address once it is ready."""
    import httpx

    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    command = [sys.executable, "-m", "networksecurity.cli", "serve", "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+\d", process.stdout.readline())
        if found is None:
            sys.exit(f"the service did not start: {(folder / 'log').read_text()[-500:]}")
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            while client.get(f"{found[0]}/ready").status_code != 200:
                time.sleep(0.2)
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)


def timed(call: Callable[[], object], count: int, limit: float) -> list[float]:
    """Return the seconds of each of at most `count` calls."""
    seconds: list[float] = []
    ended = time.perf_counter() + limit
    while len(seconds) < count and (began := time.perf_counter()) < ended:
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


def load(url: str, body: bytes, clients: int, requests: int, limit: float) -> tuple[list[float], float]:
    """Return the seconds of each request, and the wall time of all."""
    import httpx

    def one_client(_: int) -> list[float]:
        with httpx.Client(timeout=60) as client:

            def ask() -> None:
                answer = client.post(f"{url}/predict", content=body, headers={"Content-Type": "application/json"})
                assert answer.status_code == 200, answer.text
                assert answer.json()["n_rejected"] == 0

            return timed(ask, requests // clients, limit)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = [one for client in pool.map(one_client, range(clients)) for one in client]
    return seconds, time.perf_counter() - began


def shown(values: list[float]) -> str:
    return f"{min(values):,.1f} / {statistics.median(values):,.1f} / {max(values):,.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Random Forest")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=200, help="per round, of all clients together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a round may take")
    options = parser.parse_args()
    sys.path.insert(0, str(PROJECT))
    import numpy as np

    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.schema import to_X
    from networksecurity.data.validation import Validation

    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        model = publish(options.model, Path(name))
        rows, _ = Validation(with_target=False).add(make_phishing_websites(max(options.rows), random_state=1))
        print("| rows | | requests per second | p50 in ms | p99 in ms |")
        print("| ---: | --- | --- | --- | --- |")
        with started(Path(name)) as url:
            for n_rows in options.rows:
                some = rows.head(n_rows)
                body = json.dumps({"rows": json.loads(some.to_json(orient="records"))}).encode()
                X = to_X(some)
                cases: dict[str, Callable[[], tuple[list[float], float]]] = {
                    "`predict_proba`": lambda X=X: (
                        bare := timed(lambda: model.predict_proba(X), options.requests, options.limit),
                        sum(bare),
                    ),
                    "service, 1 client": lambda body=body: load(url, body, 1, options.requests, options.limit),
                    f"service, {options.clients} clients": lambda body=body: load(
                        url, body, options.clients, options.requests, options.limit
                    ),
                }
                for measure in cases.values():  # warm-up
                    measure()
                found = {case: [measure() for _ in range(options.rounds)] for case, measure in cases.items()}
                for case, rounds in found.items():
                    rates = shown([len(seconds) / together for seconds, together in rounds])
                    p50, p99 = (
                        shown([1e3 * float(np.quantile(seconds, q)) for seconds, _ in rounds]) for q in (0.5, 0.99)
                    )
                    print(f"| {n_rows} | {case} | {rates} | {p50} | {p99} |", flush=True)
    print(f"min / median / max of {options.rounds} rounds; {options.model}")


if __name__ == "__main__":
    main()
