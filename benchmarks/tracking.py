"""Wall time of everything that a training logs to a local MLflow database, for the default grids.

Usage: python benchmarks/tracking.py [--rounds 3]
Steps run one after the other, in a fresh database each round. In a training, grid points are logged beside the
searches that still run, and beside the winner's fit, explanation and leakage ledger. The scores of the grid points are
made up, because their values change nothing; the model is real.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import report, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    outcome = make_outcome()
    n_points = sum(len(result.grid) for result in outcome.searches)
    rounds = [measure(outcome) for _ in range(options.rounds)]
    print(f"{n_points} grid points, seconds of {options.rounds} rounds:\n")
    print("| | min | median | max |\n| --- | --- | --- | --- |")
    for part in rounds[0]:
        seconds = [of[part] for of in rounds]
        print(f"| {part} | {spread(seconds).replace('/', '|')} |")
    everything = [of["**all but the database**"] for of in rounds]
    report(f"logging a training of {n_points} grid points, s", everything)


def make_outcome():
    """Return what a training of all enabled models on the built-in sample could have found."""
    import numpy as np
    from sklearn.model_selection import ParameterGrid

    from networksecurity.data import splitting, vectors
    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.schema import to_X_y
    from networksecurity.data.storage import DataRef, fingerprint
    from networksecurity.data.validation import validate
    from networksecurity.monitoring.profile import reference_profile
    from networksecurity.tracking.figures import draw
    from networksecurity.tracking.outcome import Outcome, Side
    from networksecurity.training import search
    from networksecurity.training.candidates import CANDIDATES, ENABLED
    from networksecurity.training.evaluation import evaluate_model
    from networksecurity.training.explanation import explain
    from networksecurity.training.leakage import leakage_ledger

    rows = validate(make_phishing_websites(random_state=0)).accepted
    sides = splitting.split(rows)
    X, y = to_X_y(sides.train)
    best = {"learning_rate": 0.1, "n_estimators": 256, "subsample": 0.6}
    model = search.fit_best(CANDIDATES["Gradient Boosting"], best, X, y)
    rng = np.random.default_rng(0)

    def made_up(name: str) -> search.SearchResult:
        points = list(ParameterGrid(CANDIDATES[name].param_grid))
        scores = rng.uniform(0.85, 0.95, (len(points), 3))
        ranks = (-scores.mean(axis=1)).argsort().argsort() + 1
        return search.SearchResult(
            candidate=name,
            scoring="f1",
            grid=tuple(
                search.GridPoint(
                    params=params,
                    mean_test_score=of.mean(),
                    std_test_score=of.std(),
                    rank_test_score=rank,
                    split_test_scores=tuple(of),
                    mean_fit_time=1.0,
                )
                for params, of, rank in zip(points, scores, ranks, strict=True)
            ),
            n_fits=3 * len(points),
            seconds=1.0,
        )

    def side(frame):
        return Side(DataRef(sha256=fingerprint(frame), n_rows=len(frame)), evaluate_model(model, frame))

    explanation = explain(model, sides.test)
    return Outcome(
        model,
        params={"model": "Gradient Boosting", **best},
        searches=[made_up(name) for name in ENABLED],
        train=side(sides.train),
        test=side(sides.test),
        explanation=explanation,
        pictures=draw(explanation, "Gradient Boosting on the test rows"),
        leakage=leakage_ledger(model, sides.train, sides.test),
        reference=reference_profile(rows, data_sha256=fingerprint(rows)),
        tags={"data.source": "sample"},
        input_example=X[:5],
        learned=np.unique(vectors.vector_codes(sides.train)),
        tested=np.unique(vectors.vector_codes(sides.test)),
    )


def measure(outcome) -> dict[str, float]:
    """Return the seconds of each part."""
    from pydantic import SecretStr

    from networksecurity.champion.registry import Registry
    from networksecurity.settings import Settings
    from networksecurity.tracking import runs
    from networksecurity.tracking.server import connect

    seconds: dict[str, float] = {}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[part] = time.perf_counter() - started

    with tempfile.TemporaryDirectory() as folder:
        with timed("make the database (once in its life)"):
            settings = Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{folder}/mlflow.db"))
            server = connect(settings)
        with timed("open"):
            training = runs.start_training(server, "networksecurity", {})
        with timed("grid points"):
            for result in outcome.searches:
                runs.log_search(server, training, result)
        with timed("figures, tables, pictures, model"):
            logged = runs.log_outcome(server, training, outcome)
        with timed("register, close"):
            registry = Registry(server, "networksecurity-phishing")
            registry.register(logged.model_uri, training.train_run_id, tags={}, description="")
            runs.end_training(server, training)
    once = next(iter(seconds))
    return seconds | {"**all but the database**": sum(of for part, of in seconds.items() if part != once)}


if __name__ == "__main__":
    main()
