"""The searches of a training against the loop that they replace: GridSearchCV after GridSearchCV, in one process.

Usage: python benchmarks/search.py [--source sample] [--models ...] [--rounds 3]
Both sides search the same grids over the same grouped folds of the same training rows, in cold processes that take
turns, imports not counted. The loop refits each of its winners, as GridSearchCV does; the training fits the one that
won of all. Best parameters have to be the same, and every mean score within 1e-9. The last line is the ratio of the
median wall times.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure
from networksecurity.training.candidates import CANDIDATES, ENABLED, STEP, make_pipeline

SIDES = ("loop", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", default=",".join(ENABLED))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(search_side(options.side, options.source, options.models.split(","))))
        return
    command = [sys.executable, __file__, "--source", options.source, "--models", options.models, "--side"]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        found = {}
        for side in SIDES:
            found[side] = json.loads(measure.run([*command, side]).stdout)
            seconds[side].append(found[side].pop("seconds"))
        difference = compare(found["loop"], found["training"])
        print(
            f"round {number + 1}: loop {seconds['loop'][-1]:.1f} s, training {seconds['training'][-1]:.1f} s; "
            f"same best parameters, scores differ by at most {difference:.1g}",
            flush=True,
        )
    for side, of_side in seconds.items():
        print(f"{side:8}: {measure.spread(of_side, 1)} s (min / median / max)")
    ratios = measure.ratios(seconds["training"], seconds["loop"])
    measure.report("searches ÷ GridSearchCV after GridSearchCV", ratios, "<= 0.28", 3)
    print(f"search ratio {statistics.median(seconds['training']) / statistics.median(seconds['loop']):.3f}")


def compare(loop: dict[str, Any], training: dict[str, Any]) -> float:
    """Return the largest difference of a mean score; exit where the sides do not agree."""
    largest = 0.0
    for model, (best, scores) in loop.items():
        ours, our_scores = training[model]
        largest = max(largest, *(abs(one - other) for one, other in zip(scores, our_scores, strict=True)))
        if best != ours or largest > 1e-9:
            sys.exit(f"{model}: best {best} and {ours}, scores differ by {largest:g}")
    return largest


def search_side(side: str, source: str, models: list[str]) -> dict[str, Any]:
    """Return wall seconds, and by model the best parameters and the mean score of each grid point."""
    from networksecurity.data import sources, splitting
    from networksecurity.data.schema import to_X_y
    from networksecurity.data.validation import validate
    from networksecurity.settings import settings
    from networksecurity.training import search, selection

    train = splitting.split(validate(sources.parse(source, settings()).read().frame).accepted).train
    X, y = to_X_y(train)
    test_fold = splitting.assign_folds(train)
    started = time.perf_counter()
    if side == "loop":
        found = {model: plain_search(model, X, y, test_fold) for model in models}
    else:
        n_jobs = search.available_cores()
        costliest_first = sorted(models, key=lambda model: -CANDIDATES[model].cost)
        with ThreadPoolExecutor(len(models) if n_jobs > 1 else 1) as threads:
            results = list(
                threads.map(
                    lambda model: search.search(CANDIDATES[model], X, y, test_fold, n_jobs=n_jobs), costliest_first
                )
            )
        best = selection.rank(results, {model: CANDIDATES[model].cost for model in models})[0]
        search.fit_best(CANDIDATES[best.candidate], best.best.params, X, y)
        found = {
            result.candidate: (result.best.params, [point.mean_test_score for point in result.grid])
            for result in results
        }
    return {"seconds": time.perf_counter() - started, **found}


def plain_search(model: str, X: Any, y: Any, test_fold: Any) -> tuple[dict[str, Any], list[float]]:
    from sklearn.model_selection import GridSearchCV, ParameterGrid, PredefinedSplit

    candidate = CANDIDATES[model]
    grids = [
        {f"{STEP}__{name}": [value] for name, value in point.items()} for point in ParameterGrid(candidate.param_grid)
    ]
    searched = GridSearchCV(make_pipeline(candidate), grids, scoring="f1", cv=PredefinedSplit(test_fold)).fit(X, y)
    best = {name.removeprefix(f"{STEP}__"): value for name, value in searched.best_params_.items()}
    return best, searched.cv_results_["mean_test_score"].tolist()


if __name__ == "__main__":
    main()
