"""Time of `scoring.score` against the pipeline's own `predict_proba`, and memory of flows/score.py on a CSV file.

Usage: python benchmarks/scoring.py [--rows 1000000] [--rounds 3] [--cases score flow]
`score` gives each distinct feature vector to the model once, in batches of 20,000 rows as in the flow, and finds the
label; beside it the model's `predict_proba` of the same batches, as float64. The two take turns on the same rows. As
the built-in sample has more distinct rows than real data, where more than half are copies, this is the harder case.
`flow` is the whole command, with a model of its own (a Random Forest, the largest there is) in a temporary folder.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
MODELS = {"Gradient Boosting": {"n_estimators": 256, "subsample": 0.85}, "Random Forest": {"n_estimators": 128}}
_BATCH_ROWS = 20_000


def against_predict_proba(n_rows: int, rounds: int) -> Iterator[str]:
    from networksecurity.candidates import get_candidate, make_pipeline
    from networksecurity.sample import make_phishing_websites
    from networksecurity.schema import Validation, to_X, to_X_y, validate
    from networksecurity.scoring import score

    fitted_on = to_X_y(validate(make_phishing_websites(11_055, random_state=0)).accepted)
    rows, _ = Validation(with_target=False).add(make_phishing_websites(n_rows, random_state=1))
    batches = [rows[start : start + _BATCH_ROWS] for start in range(0, n_rows, _BATCH_ROWS)]
    X = [to_X(batch) for batch in batches]
    n_vectors = sum(len(batch.drop_duplicates()) for batch in batches)
    yield f"{n_rows:,} rows, {n_vectors:,} to ask the model for (min / median / max of {rounds} rounds)"
    for name, params in MODELS.items():
        model = make_pipeline(get_candidate(name), params).fit(*fitted_on)
        seconds: dict[str, list[float]] = {"score": [], "predict_proba": []}
        for _ in range(rounds):
            seconds["score"].append(timed(lambda model=model: [score(model, batch) for batch in batches]))
            seconds["predict_proba"].append(timed(lambda model=model: [model.predict_proba(each) for each in X]))
        for what, found in seconds.items():
            yield f"{name:17} {what:13} {min(found):6.2f} / {statistics.median(found):6.2f} / {max(found):6.2f} s"
        ratio = statistics.median(seconds["score"]) / statistics.median(seconds["predict_proba"])
        yield f"{name:17} ratio of the medians {ratio:.2f}"


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_the_flow(n_rows: int, part: int = 500_000) -> Iterator[str]:
    from networksecurity.sample import make_phishing_websites

    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        home = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
            "NETWORKSECURITY_STORAGE": str(home / "storage"),
            "PREFECT_HOME": str(home / "prefect"),
        }

        def run(flow: str, *options: str) -> None:
            command = [sys.executable, str(PROJECT / "flows" / flow), *options]
            subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)

        run("train.py", "--models", "Random Forest")
        for start in range(0, n_rows, part):
            frame = make_phishing_websites(min(part, n_rows - start), random_state=start)
            frame.insert(0, "key", range(start, start + len(frame)))
            frame.to_csv(home / "rows.csv", index=False, header=start == 0, mode="a")
        for kind in ("parquet", "csv"):
            seconds, peak = measured(["--source", "rows.csv", "--output", f"scored.{kind}"], home, environment)
            yield f"{n_rows:,} rows of CSV to {kind}: {seconds:.1f} s, start included, at most {peak:.0f} MB"


def measured(options: list[str], home: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return wall seconds of flows/score.py and the peak memory of its process in MB, Prefect's server left out."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--run", *options]
    done = subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, float(done.stdout.split()[-1])


def run_and_tell(options: list[str]) -> None:
    from flows.launch import run
    from flows.parameters import ScoreParameters

    if code := run("flows.score:score", ScoreParameters, arguments=options):
        sys.exit(code)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    sys.path.insert(0, str(PROJECT))
    if sys.argv[1:2] == ["--run"]:
        run_and_tell(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", choices=("score", "flow"), nargs="+", default=["score", "flow"])
    options = parser.parse_args()
    if "score" in options.cases:
        for line in against_predict_proba(options.rows, options.rounds):
            print(line, flush=True)
    if "flow" in options.cases:
        for line in by_the_flow(options.rows):
            print(line, flush=True)


if __name__ == "__main__":
    main()
