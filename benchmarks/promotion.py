"""How often the gate promotes a model that is equal to the champion, and one that is better: a simulation.

Usage: python benchmarks/promotion.py [--source sample] [--models ...] [--gains 0 0.01 ...] [--simulations 500]
Two models answer the training rows out of fold. A simulated test set is a sample, with replacement, of as many feature
vectors as the split keeps for the test. Where the two disagree, the candidate gets the better answer with a probability
that makes its F1 higher by the given gain on average; at 1/2 the two are equal. Sizes of vectors, labels and errors are
those of real models. The rule before: the 95 % bootstrap interval lies above 0, and McNemar's test agrees at 5 %. Both
rules with the gate's margins. Prints Markdown tables, with 95 % intervals (Wilson) of the shares.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy.stats import binomtest

from benchmarks import measure
from networksecurity.champion.comparison import Comparison, compare
from networksecurity.champion.decision import DEFAULT_GATE
from networksecurity.data import sources, splitting
from networksecurity.data.schema import to_X_y
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.settings import settings
from networksecurity.training import search
from networksecurity.training.candidates import CANDIDATES
from networksecurity.training.evaluation import evaluate

POINTS = {
    "Random Forest": {"n_estimators": 256},
    "Gradient Boosting": {"learning_rate": 0.1, "subsample": 0.6, "n_estimators": 256},
    "Hist Gradient Boosting": {"learning_rate": 0.1, "max_leaf_nodes": 31},
    "Decision Tree": {"criterion": "entropy"},
    "Logistic Regression": {},
}


class Population:
    """The rows of all vectors, and two models' answers to them."""

    def __init__(self, y: np.ndarray, codes: np.ndarray, answers: Sequence[np.ndarray]) -> None:
        self.y = y
        vectors, self.of_row = np.unique(codes, return_inverse=True)
        self.n_vectors = len(vectors)
        order = np.argsort(self.of_row, kind="stable")
        self.rows_of = np.split(order, np.cumsum(np.bincount(self.of_row))[:-1])
        n_wrong = [np.bincount(self.of_row, weights=answer != y) for answer in answers]
        first_is_better = (n_wrong[0] <= n_wrong[1])[self.of_row]
        self.better = np.where(first_is_better, *answers)
        self.worse = np.where(first_is_better, *answers[::-1])
        self.largest_gain = self._f1(self.better) - self._f1(self.worse)

    def _f1(self, answers: np.ndarray) -> float:
        return evaluate(self.y, answers, answers)["f1_score"]

    def draw(self, rng: np.random.Generator, n_vectors: int, gain: float) -> tuple[np.ndarray, ...]:
        """Return labels, the candidate's answers, the champion's, and the vectors of a simulated test set."""
        gets_better = rng.random(self.n_vectors) < 0.5 + gain / self.largest_gain / 2
        drawn = [self.rows_of[vector] for vector in rng.integers(0, self.n_vectors, n_vectors)]
        rows, copy = np.concatenate(drawn), np.repeat(np.arange(n_vectors), list(map(len, drawn)))
        swap = gets_better[self.of_row[rows]]
        better, worse = self.better[rows], self.worse[rows]
        return self.y[rows], np.where(swap, better, worse), np.where(swap, worse, better), copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", default="Random Forest,Gradient Boosting", help="two")
    parser.add_argument("--gains", type=float, nargs="+", default=[0.0, 0.005, 0.01, 0.015, 0.02], help="of F1")
    parser.add_argument("--simulations", type=int, default=500, help="for each gain")
    options = parser.parse_args()
    sides = splitting.split(validate(sources.parse(options.source, settings()).read().frame).accepted)
    (X, y), test_fold = to_X_y(sides.train), splitting.assign_folds(sides.train)
    how = {"test_fold": test_fold, "n_jobs": search.available_cores()}
    answers = [
        (search.out_of_fold_scores(CANDIDATES[name], POINTS[name], X, y, **how) >= 0.5).astype(int)
        for name in options.models.split(",")
    ]
    population = Population(y, vector_codes(sides.train), answers)
    n_vectors = sides.report.n_test_vectors
    print(f"{options.models}: {n_vectors:,} vectors in a test set, {options.simulations} simulations a line\n")
    print("| gain of F1 | promoted | at the 2nd look | at the 3rd | by the rule before |\n" + "| --- " * 5 + "|")
    for gain in options.gains:
        found = simulate(population, gain, n_vectors, options.simulations)
        print(f"| {gain:.3f} | {' | '.join(share(of) for of in found.T)} |", flush=True)
    print(f"\n{measure.machine()}; {measure.versions()}")


def simulate(population: Population, gain: float, n_vectors: int, n: int) -> np.ndarray:
    """Return, for each simulation, whether each rule promotes."""
    rng = np.random.default_rng(0)
    promoted = []
    for number in range(n):
        # At this confidence, the interval is the one of 95 % that the rule before needs.
        found = compare(*population.draw(rng, n_vectors, gain), confidence=0.975, random_state=number)
        fixed, broken = found.fixed_vectors or 0, found.broken_vectors or 0
        may = keeps_margins(found) and fixed > broken
        level = 1 - DEFAULT_GATE.confidence
        at_look = [may and found.p_value <= level / look**2 for look in (1, 2, 3)]
        promoted.append([*at_look, may and found.low > 0 and binomtest(fixed, fixed + broken).pvalue <= level])
    return np.array(promoted)


def share(promoted: np.ndarray) -> str:
    found = binomtest(int(promoted.sum()), len(promoted))
    interval = found.proportion_ci(method="wilson")
    return f"{found.statistic:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def keeps_margins(found: Comparison) -> bool:
    recall, alarms = (found.candidate[name] - found.champion[name] for name in ("recall_score", "false_positive_rate"))
    return recall >= -DEFAULT_GATE.margin and alarms <= DEFAULT_GATE.margin


if __name__ == "__main__":
    main()
