"""The searches of a training on a Dask cluster of two workers against one of one worker.

Usage: python benchmarks/cluster.py [--source sample] [--models ...] [--rounds 3]
Every worker is a process of one thread on this machine; a real scheduler stands between. The clusters take turns, and
are warm: each has searched a small sample before. Seconds from handing out the searches to the last result; every
score has to be the same. The last line is the ratio of the median wall times, one worker to two.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure
from networksecurity.training.candidates import CANDIDATES, ENABLED

SIZES = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", default=",".join(ENABLED))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    models = sorted(options.models.split(","), key=lambda model: -CANDIDATES[model].cost)
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(options.rounds):
        found = {}
        for size in SIZES:
            wall, found[size] = search_on(size, options.source, models)
            seconds[size].append(wall)
        if found[1] != found[2]:
            sys.exit("one worker and two do not find the same")
        print(
            f"round {number + 1}: one worker {seconds[1][-1]:.1f} s, two workers {seconds[2][-1]:.1f} s; same scores",
            flush=True,
        )
    for size, of_size in seconds.items():
        print(f"{size} worker{'s' * (size > 1)}: {measure.spread(of_size, 1)} s (min / median / max)")
    measure.report("searches on one Dask worker ÷ on two", measure.ratios(seconds[1], seconds[2]))
    print(f"speed-up {statistics.median(seconds[1]) / statistics.median(seconds[2]):.2f}")


def search_on(n_workers: int, source: str, models: list[str]) -> tuple[float, dict[str, list]]:
    """Return wall seconds, and by model each grid point with the scores of its folds."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=None,
    )
    with cluster, Client(cluster) as client:
        rehearsal = load("sample:300")
        client.gather([client.submit(search, "Decision Tree", *rehearsal, pure=False) for _ in range(n_workers)])
        X, y, test_fold = load(source)
        started = time.perf_counter()
        results: Any = client.gather([client.submit(search, model, X, y, test_fold) for model in models])
        wall = time.perf_counter() - started
    return wall, {
        result.candidate: [(point.params, point.split_test_scores) for point in result.grid] for result in results
    }


def load(source: str) -> tuple[Any, Any, Any]:
    from networksecurity.data import sources, splitting
    from networksecurity.data.schema import to_X_y
    from networksecurity.data.validation import validate
    from networksecurity.settings import settings

    train = splitting.split(validate(sources.parse(source, settings()).read().frame).accepted).train
    return *to_X_y(train), splitting.assign_folds(train)


def search(model: str, X: Any, y: Any, test_fold: Any) -> Any:
    from networksecurity.training import search
    from networksecurity.training.dask_backend import ClusterBackend

    return search.search(CANDIDATES[model], X, y, test_fold, backend=ClusterBackend)


if __name__ == "__main__":
    main()
