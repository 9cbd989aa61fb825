"""How the winner of a training is chosen, and what other models and grids would bring. Training rows only.

Usage: python benchmarks/selection.py [--source sample] [--part rules|options|labels|cost ...] [--seeds 6] [--repeats 3]
`rules`: which model wins under each seed of the folds, by the highest score of the search, by the cheapest within one
standard error on repeated folds, and by the cheapest that a corrected t-test at 5 % does not reject. Gradient Boosting
and AdaBoost are searched at their highest learning rate only, where the best points of their grids lie.
`options`: candidates that are not in the default grids against Random Forest, on the same repeated folds: mean
difference with its 95 % interval, by the corrected t-test.
`labels`: how each model would be calibrated and what its best threshold would gain, on the folds of the search; shown
masked rows, as a winner is.
`cost`: seconds of the default searches, and of the comparison after them. Prints Markdown tables.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from scipy.stats import t as student_t
from sklearn.metrics import f1_score

from benchmarks import measure
from networksecurity.data import sources, splitting
from networksecurity.data.contracts import WEBSITES
from networksecurity.data.schema import to_X_y
from networksecurity.data.validation import validate
from networksecurity.settings import settings
from networksecurity.training import search, selection
from networksecurity.training.candidates import CANDIDATES, ENABLED, Candidate
from networksecurity.training.labelling import choose_labelling
from networksecurity.training.search import SearchResult
from networksecurity.training.selection import Selection

COSTS = {name: candidate.cost for name, candidate in CANDIDATES.items()}
SMALLER = {
    "Gradient Boosting": {
        "learning_rate": (0.1,),
        "subsample": (0.6, 0.7, 0.75, 0.85, 0.9),
        "n_estimators": (64, 128, 256),
    },
    "AdaBoost": {"learning_rate": (0.1,), "n_estimators": (64, 128, 256)},
}
REFERENCE = "Random Forest, 256 trees"
AS_SEARCHED = {REFERENCE, "Extra Trees, 256 trees", "Hist Gradient Boosting", "Gradient Boosting, as in the grid"}
N_SPLITS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", default=",".join(ENABLED), help="that compete in `rules` and `cost`")
    parser.add_argument("--seeds", type=int, default=6, help="of the folds, in `rules`")
    parser.add_argument("--repeats", type=int, default=3, help="of the folds, in `options`")
    arguments = parser.parse_args()
    train = splitting.split(validate(sources.parse(arguments.source, settings()).read().frame).accepted).train
    for part in arguments.part:
        PARTS[part](train, arguments)
    print(f"\n{measure.machine()}; {measure.versions()}")


def in_parallel(calls: Sequence[Callable[[], SearchResult]]) -> list[SearchResult]:
    with ThreadPoolExecutor(len(calls) if search.available_cores() > 1 else 1) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def search_all(train: pd.DataFrame, candidates: Sequence[Candidate], seed: int) -> list[SearchResult]:
    """Return the searches on the folds of a seed, the highest score first."""
    (X, y), n_jobs = to_X_y(train), search.available_cores()
    test_fold = splitting.assign_folds(train, n_splits=N_SPLITS, random_state=seed)
    calls = [lambda of=of: search.search(of, X, y, test_fold, n_jobs=n_jobs) for of in candidates]
    return selection.rank(in_parallel(calls), COSTS)


def compare_again(train: pd.DataFrame, searches: Sequence[SearchResult], seed: int) -> list[SearchResult]:
    """Return the scores of the best points on repeated folds."""
    (X, y), n_jobs = to_X_y(train), search.available_cores()
    folds = selection.repeated_folds(train, n_splits=N_SPLITS, random_state=seed)

    def score_again(of: SearchResult) -> SearchResult:
        return selection.score_again(CANDIDATES[of.candidate], of.best.params, X, y, folds, n_jobs=n_jobs)

    return in_parallel([partial(score_again, of) for of in selection.contenders(searches)])


def by_t_test(selected: Selection, level: float = 0.05) -> str:
    """Return the cheapest model that a two-sided corrected t-test does not reject."""
    limit = student_t.isf(level / 2, selected.n_repeats * selected.n_splits - 1)
    return min(
        (of.model for of in selected.standings if -of.difference <= limit * of.standard_error),
        key=lambda model: COSTS[model],
    )


def rules(train: pd.DataFrame, arguments: argparse.Namespace) -> None:
    candidates = [
        replace(CANDIDATES[name], param_grid=SMALLER.get(name, CANDIDATES[name].param_grid))
        for name in arguments.models.split(",")
    ]
    winners: dict[str, list[str]] = {"highest score": [], "one standard error": [], "t-test at 5 %": []}
    scores: dict[str, list[float]] = {}
    print(
        "| seed | highest score of the search | compared again | one standard error | t-test at 5 % |\n"
        + "| --- " * 5
        + "|"
    )
    for seed in range(arguments.seeds):
        searches = search_all(train, candidates, seed)
        repeated = compare_again(train, searches, seed)
        selected = selection.compare(repeated, COSTS, N_SPLITS)
        assert selected
        found = (searches[0].candidate, selected.standings[0].model, by_t_test(selected))
        for rule, winner in zip(winners, found, strict=True):
            winners[rule].append(winner)
        for of in selected.standings:
            scores.setdefault(of.model, []).append(of.mean_score)
        standings = ", ".join(f"{of.model} {of.mean_score:.4f} {of.verdict}" for of in selected.standings)
        print(
            f"| {seed} | {found[0]} {searches[0].best.mean_test_score:.4f} | {standings} | {found[1]} | {found[2]} |",
            flush=True,
        )
    print("\n| rule | winners | seeds whose winner is not the most frequent one |\n| --- | --- | --- |")
    for rule, of_seeds in winners.items():
        counts = Counter(of_seeds).most_common()
        others = len(of_seeds) - counts[0][1]
        print(f"| {rule} | {', '.join(f'{model} {n}' for model, n in counts)} | {others / len(of_seeds):.0%} |")
    print("\n| model | seeds | mean f1 on all their repeated folds | deviation between seeds |\n" + "| --- " * 4 + "|")
    for model, of_seeds in sorted(scores.items(), key=lambda item: -float(np.mean(item[1]))):
        print(f"| {model} | {len(of_seeds)} | {np.mean(of_seeds):.4f} | {np.std(of_seeds):.4f} |")


def list_options() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return model and parameters by the name of the option."""
    forest, deep = {"n_estimators": 256}, {"learning_rate": 0.1, "subsample": 0.6, "n_estimators": 256}
    return {
        REFERENCE: ("Random Forest", forest),
        "Random Forest, max_features=0.3": ("Random Forest", {**forest, "max_features": 0.3}),
        "Random Forest, min_samples_leaf=2": ("Random Forest", {**forest, "min_samples_leaf": 2}),
        "Extra Trees, 256 trees": ("Extra Trees", forest),
        "Hist Gradient Boosting": ("Hist Gradient Boosting", {"learning_rate": 0.1, "max_leaf_nodes": 31}),
        "Gradient Boosting, as in the grid": ("Gradient Boosting", deep),
        "Gradient Boosting, max_depth=6": (
            "Gradient Boosting",
            {**deep, "max_depth": 6, "max_features": "sqrt"},
        ),
        "Gradient Boosting, max_depth=9": (
            "Gradient Boosting",
            {**deep, "max_depth": 9, "max_features": "sqrt"},
        ),
    }


VOTES = {
    "soft vote of Random Forest and Gradient Boosting": (REFERENCE, "Gradient Boosting, as in the grid"),
    "soft vote of these, Hist Gradient Boosting and Extra Trees": (
        REFERENCE,
        "Gradient Boosting, as in the grid",
        "Hist Gradient Boosting",
        "Extra Trees, 256 trees",
    ),
}


def options(train: pd.DataFrame, arguments: argparse.Namespace) -> None:
    (X, y), n_jobs = to_X_y(train), search.available_cores()
    folds = selection.repeated_folds(train, n_splits=N_SPLITS, n_repeats=arguments.repeats)
    scores = {
        name: [
            search.out_of_fold_scores(CANDIDATES[model], params, X, y, test_fold, n_jobs=n_jobs)
            for test_fold in folds.T
        ]
        for name, (model, params) in list_options().items()
    }
    scores |= {name: list(np.mean([scores[member] for member in members], axis=0)) for name, members in VOTES.items()}
    found = {
        name: np.array(
            [
                f1_score(y[test_fold == fold], y_score[test_fold == fold] >= 0.5)
                for test_fold, y_score in zip(folds.T, of_repeats, strict=True)
                for fold in range(N_SPLITS)
            ]
        )
        for name, of_repeats in scores.items()
    }
    n_folds = arguments.repeats * N_SPLITS
    limit = student_t.isf(0.025, n_folds - 1)
    print("\n| option | mean f1 | difference (95 % interval) |\n" + "| --- " * 3 + "|")
    for name, of_folds in sorted(found.items(), key=lambda item: -item[1].mean()):
        difference = of_folds - found[REFERENCE]
        half = limit * np.sqrt(difference.var(ddof=1) * (1 / n_folds + 1 / (N_SPLITS - 1)))
        interval = f"{difference.mean():+.4f} ({difference.mean() - half:+.4f} to {difference.mean() + half:+.4f})"
        print(f"| {name} | {of_folds.mean():.4f} | {'' if name == REFERENCE else interval} |")


def cost(train: pd.DataFrame, arguments: argparse.Namespace) -> None:
    costliest_first = sorted(arguments.models.split(","), key=lambda name: -COSTS[name])
    started = time.perf_counter()
    searches = search_all(train, [CANDIDATES[name] for name in costliest_first], 0)
    searched = time.perf_counter()
    repeated = compare_again(train, searches, 0)
    seconds = time.perf_counter() - searched
    selected = selection.compare(repeated, COSTS, N_SPLITS)
    assert selected
    print(f"\nsearches {searched - started:.1f} s, comparison {seconds:.1f} s. {selected.sentence()}")
    measure.report("comparison of the models ÷ searches", [seconds / (searched - started)], "<= 0.25")


def labels(train: pd.DataFrame, _: argparse.Namespace) -> None:
    (X, y), n_jobs, groups = to_X_y(train), search.available_cores(), WEBSITES.groups(train)
    test_fold = splitting.assign_folds(train, n_splits=N_SPLITS)
    how = {"n_jobs": n_jobs, "feature_groups": WEBSITES.feature_groups}
    columns = (
        "model | calibration | Brier score | difference (95 % interval) | log loss | best threshold | its gain of f1"
    )
    print(f"\n| {columns} (standard error) |\n" + "| --- " * 7 + "|")
    points = {
        **{model: params for name, (model, params) in list_options().items() if name in AS_SEARCHED},
        "AdaBoost": {"learning_rate": 0.1, "n_estimators": 128},
        "Decision Tree": {"criterion": "entropy"},
        "Logistic Regression": {},
    }
    for model, params in points.items():
        y_score = search.out_of_fold_scores(CANDIDATES[model], params, X, y, test_fold, **how)
        chosen = choose_labelling(y, y_score, test_fold, groups)
        own, tuned = chosen.calibration, chosen.by_score
        assert tuned
        of = next((of for of in own.compared if of.method == own.method), None)
        cells = [f"{own.brier_score:.4f}", "", f"{own.log_loss:.4f}"]
        if of:
            low, high = of.brier_interval
            cells = [
                f"{own.brier_score:.4f} → {of.brier_score:.4f}",
                f"{of.brier_difference:+.4f} ({low:+.4f} to {high:+.4f})",
                f"{own.log_loss:.4f} → {of.log_loss:.4f}",
            ]
        gain = f"{tuned.best:.3f} | {tuned.gain:+.4f} ({tuned.standard_error:.4f})"
        print(f"| {model} | {own.method or 'none'} | {' | '.join(cells)} | {gain} |", flush=True)


PARTS = {"rules": rules, "options": options, "labels": labels, "cost": cost}


if __name__ == "__main__":
    main()
