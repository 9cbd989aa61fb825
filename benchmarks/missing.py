"""What a model gains by masked copies of its training rows, and what they cost. Training rows only.

Usage: python benchmarks/missing.py [--source sample] [--models ...] [--repeats 3]
Each model, at a good point of its grid, is fitted without and with masked copies on the same repeated grouped folds,
and scored on the held-out rows: complete, and with groups of features hidden. Prints two Markdown tables: mean F1 by
what is known; and the difference on complete rows, with the standard error of `selection.compare`, and CPU seconds of a
fit.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from benchmarks import measure
from networksecurity.data import sources, splitting
from networksecurity.data.contracts import WEBSITES
from networksecurity.settings import settings
from networksecurity.training import search, selection
from networksecurity.training.candidates import CANDIDATES
from networksecurity.training.masking import FeatureGroups, hide

POINTS = {
    "Random Forest": {"n_estimators": 256},
    "Extra Trees": {"n_estimators": 256},
    "Hist Gradient Boosting": {"learning_rate": 0.1, "max_leaf_nodes": 31},
    "Gradient Boosting": {"learning_rate": 0.1, "n_estimators": 256, "subsample": 0.6},
    "Decision Tree": {"criterion": "entropy"},
    "Logistic Regression": {},
    "AdaBoost": {"learning_rate": 0.1, "n_estimators": 128},
}
GROUPS = WEBSITES.feature_groups
KNOWN = {
    "everything": tuple(GROUPS),
    "no ended services": ("address", "page", "certificate", "registration"),
    "address and network": ("address", "certificate", "registration"),
    "address and page": ("address", "page"),
    "address": ("address",),
}
N_SPLITS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", default=",".join(POINTS))
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    options = parser.parse_args()
    read = sources.parse(options.source, settings()).read()
    train = splitting.split(WEBSITES.validate(read.frame).accepted).train
    costs = []
    print("| model | masked copies | " + " | ".join(KNOWN) + " |\n" + "| --- " * (len(KNOWN) + 2) + "|")
    for model in options.models.split(","):
        found = {masked: score(model, train, GROUPS if masked else {}, options.repeats) for masked in (False, True)}
        for masked, (scores, _) in found.items():
            cells = " | ".join(f"{of:.4f}" for of in scores.mean(axis=0))
            print(f"| {model} | {'with' if masked else 'without'} | {cells} |", flush=True)
        difference = found[True][0][:, 0] - found[False][0][:, 0]
        error = np.sqrt(difference.var(ddof=1) * (1 / len(difference) + 1 / (N_SPLITS - 1)))
        seconds = " | ".join(f"{found[masked][1]:.2f}" for masked in (False, True))
        costs.append(f"| {model} | {difference.mean():+.4f} | {error:.4f} | {seconds} |")
    print("\n| model | difference on complete rows | standard error | seconds without | with |\n" + "| --- " * 5 + "|")
    print("\n".join(costs))
    print(f"\n{measure.machine()}; {measure.versions()}")


def score(model: str, train: pd.DataFrame, groups: FeatureGroups, n_repeats: int) -> tuple[np.ndarray, float]:
    """Return F1 of each fold by what is known, and the mean CPU seconds of a fit."""
    X, y = WEBSITES.to_X_y(train)
    scores, seconds = [], 0.0
    for test_fold in selection.repeated_folds(train, n_splits=N_SPLITS, n_repeats=n_repeats).T:
        for fold in range(N_SPLITS):
            held_out = test_fold == fold
            started = time.process_time()
            fitted = search.fit_best(
                CANDIDATES[model], POINTS[model], X[~held_out], y[~held_out], feature_groups=groups
            )
            seconds += time.process_time() - started
            scores.append(
                [f1_score(y[held_out], fitted.predict(hide(X[held_out], GROUPS, known))) for known in KNOWN.values()]
            )
    return np.array(scores), seconds / len(scores)


if __name__ == "__main__":
    main()
