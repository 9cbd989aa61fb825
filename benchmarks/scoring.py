"""Time of `scoring.score` compared with the pipeline's `predict_proba`, and memory of flows/score.py on a CSV file.

Usage: python benchmarks/scoring.py [--rows 1000000] [--rounds 3] [--cases score flow]
`score` predicts each distinct feature vector once, in batches of 20,000 rows as in the flow, and adds the label. It
takes turns with the model's `predict_proba` of the same batches, as float64. The built-in sample is the harder case: it
has more distinct rows than real data, where more than half are copies.
`flow` runs the whole command on the largest kind of model, a Random Forest, in a temporary folder.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks import measure

MODELS = {"Gradient Boosting": {"n_estimators": 256, "subsample": 0.85}, "Random Forest": {"n_estimators": 128}}
_BATCH_ROWS = 20_000


def against_predict_proba(n_rows: int, rounds: int) -> None:
    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.schema import to_X, to_X_y
    from networksecurity.data.validation import Validation, validate
    from networksecurity.prediction.scoring import score
    from networksecurity.training.candidates import get_candidate
    from networksecurity.training.search import fit_best

    fitted_on = to_X_y(validate(make_phishing_websites(11_055, random_state=0)).accepted)
    rows, _ = Validation(with_target=False).add(make_phishing_websites(n_rows, random_state=1))
    batches = [rows[start : start + _BATCH_ROWS] for start in range(0, n_rows, _BATCH_ROWS)]
    X = [to_X(batch) for batch in batches]
    print(
        f"{n_rows:,} rows, {sum(len(batch.drop_duplicates()) for batch in batches):,} to ask the model for", flush=True
    )
    for name, params in MODELS.items():
        model = fit_best(get_candidate(name), params, *fitted_on)
        cases = {
            "score": lambda model=model: timed(lambda: [score(model, batch) for batch in batches]),
            "predict_proba": lambda model=model: timed(lambda: [model.predict_proba(each) for each in X]),
        }
        found = measure.take_turns(cases, rounds)
        for case, seconds in found.items():
            print(f"{name:17} {case:13}: {measure.spread(seconds)} s (min / median / max)", flush=True)
        of_rounds = measure.ratios(found["score"], found["predict_proba"])
        measure.report(f"scoring {n_rows:,} rows ÷ predict_proba, {name}", of_rounds, "<= 1.1")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_the_flow(n_rows: int, part: int = 500_000) -> None:
    from networksecurity.data.sample import make_phishing_websites

    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        home = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
            "NETWORKSECURITY_STORAGE": str(home / "storage"),
            "PREFECT_HOME": str(home / "prefect"),
        }
        measure.run([sys.executable, str(PROJECT / "flows" / "train.py"), "--models", "Random Forest"], environment)
        for start in range(0, n_rows, part):
            frame = make_phishing_websites(min(part, n_rows - start), random_state=start)
            frame.insert(0, "key", range(start, start + len(frame)))
            frame.to_csv(home / "rows.csv", index=False, header=start == 0, mode="a")
        for kind in ("parquet", "csv"):
            options = ["--source", str(home / "rows.csv"), "--output", str(home / f"scored.{kind}")]
            done = measure.run([sys.executable, __file__, "--run", *options], environment)
            megabytes = float(done.stdout.split()[-1])  # Prefect's server is left out
            print(f"{n_rows:,} rows of CSV to {kind}: {done.seconds:.1f} s, start included, at most {megabytes:.0f} MB")


def run_and_tell(options: list[str]) -> None:
    from flows.commands import run_command

    if code := run_command("score", options):
        sys.exit(code)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        run_and_tell(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", choices=("score", "flow"), nargs="+", default=["score", "flow"])
    options = parser.parse_args()
    if "score" in options.cases:
        against_predict_proba(options.rows, options.rounds)
    if "flow" in options.cases:
        by_the_flow(options.rows)


if __name__ == "__main__":
    main()
