"""What `--search-rows` costs in score and saves in time: search on some of the training rows, fit on all.

Usage: python benchmarks/search_rows.py [--source sample:100000] [--models ...] [--rows 2000 10000]
The first row searches on all. F1 is that of the winner on the test rows. Prints a Markdown table.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample:100000", help="as of flows/train.py")
    parser.add_argument("--models", default="Decision Tree,Logistic Regression,Hist Gradient Boosting")
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 10_000])
    options = parser.parse_args()

    from networksecurity.data import sources, splitting
    from networksecurity.data.schema import to_X_y
    from networksecurity.data.validation import validate
    from networksecurity.settings import settings
    from networksecurity.training import search, selection
    from networksecurity.training.candidates import CANDIDATES
    from networksecurity.training.evaluation import evaluate_model

    models = sorted(options.models.split(","), key=lambda name: -CANDIDATES[name].cost)
    costs = {name: CANDIDATES[name].cost for name in models}
    n_jobs = search.available_cores()
    sides = splitting.split(validate(sources.parse(options.source, settings()).read().frame).accepted)
    print(f"| searched on | search, s | winner | cv F1 | test F1 |\n{'| --- ' * 5}|")
    with ThreadPoolExecutor(len(models) if n_jobs > 1 else 1) as threads:
        for n_rows in [len(sides.train), *options.rows]:
            drawn = splitting.draw(sides.train, n_rows)
            X, y = to_X_y(drawn)
            started = time.perf_counter()
            test_fold = splitting.assign_folds(drawn)
            searches = [
                threads.submit(search.search, CANDIDATES[name], X, y, test_fold, n_jobs=n_jobs) for name in models
            ]
            best = selection.rank([future.result() for future in searches], costs)[0]
            seconds = time.perf_counter() - started
            candidate = CANDIDATES[best.candidate]
            model = search.fit_best(candidate, best.best.params, *to_X_y(sides.train), n_threads=n_jobs)
            found = evaluate_model(model, sides.test)["f1_score"]
            print(
                f"| {len(drawn):,} rows | {seconds:.1f} | {best.candidate} {best.best.params} "
                f"| {best.best.mean_test_score:.4f} | {found:.4f} |",
                flush=True,
            )
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
