"""How often the monitor's verdict on quality is a false alarm, and how long it takes to notice three kinds of decay.

Usage: python benchmarks/quality.py [--years 200] [--rows 20 100] [--random-state 0] [--data FILE]
A year is 8,760 hourly checks of `--rows` labelled rows each. It has 2,200 test rows of its own, so that their luck is
part of the rates. Rows are drawn by what they are to the verdict (`KINDS`): no model is fitted. Decay begins at a
random hour of the first half. With `--data` it only compares F1 on unseen rows with F1 on test rows, on halves of that
file. Prints Markdown tables.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy.stats import binomtest

from networksecurity.data.files import File
from networksecurity.data.schema import to_X_y
from networksecurity.data.splitting import is_test, split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.monitoring import quality
from networksecurity.monitoring.quality import ALPHA, N_CHECKS, Baseline, QualityState
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.evaluation import evaluate_model
from networksecurity.training.intervals import intervals

MARGIN, TEST_SIZE, N_TEST = 0.01, 0.2, 2_200
CELLS = [(gain, weight) for gain in ("right", "wrong") for weight in (1.0, TEST_SIZE)]
"""Of rows that count: true positives and errors, of test vectors and of new ones."""


def cells(tp: float, fn: float, fp: float, tn: float) -> np.ndarray:
    """Return the chance that a new row is in each of `CELLS`, and in none, from those of its confusion matrix.

    As on the UCI file, a tenth of the rows are of vectors of the test rows, a half of new vectors.
    """
    right, wrong = np.array([tp, fn + fp]) / (tp + fn + fp + tn)
    counting = [0.1 * right, 0.5 * right, 0.1 * wrong, 0.5 * wrong]
    return np.array([*counting, 1 - sum(counting)])


TP, FN, FP, TN = 0.4136, 0.0264, 0.0176, 0.5424  # 44 % phishing; recall 0.94, F1 0.949
KINDS = {
    "no decay": cells(TP, FN, FP, TN),
    "5 % of phishing labelled legitimate": cells(0.95 * TP, 0.95 * FN, FP + 0.05 * TP, TN + 0.05 * FN),
    "5 % of legitimate labelled phishing": cells(TP + 0.05 * FP, FN + 0.05 * TN, 0.95 * FP, 0.95 * TN),
    "a new kind, 10 % of phishing, that is missed": cells(0.9 * TP, 0.9 * FN + 0.1 * (TP + FN), FP, TN),
    "20 % phishing instead of 44 %": cells(TP / 2.2, FN / 2.2, FP / 0.7, TN / 0.7),
}
NO_DECAY, *DECAYS = KINDS


def f1_of(of_cells: np.ndarray) -> float:
    mass = of_cells[:4] * [weight for _, weight in CELLS]
    return float(2 * mass[:2].sum() / (2 * mass[:2].sum() + mass[2:].sum()))


def drawn_limits(n_years: int, seed: int) -> np.ndarray:
    """Return the F1 below which quality has decayed, by the test rows of each year."""
    rng = np.random.default_rng(seed)
    mass = KINDS[NO_DECAY][:4] * [weight for _, weight in CELLS] / TEST_SIZE
    right, wrong = mass[:2].sum(), mass[2:].sum()
    limits = []
    for counts in rng.multinomial(N_TEST, [right, wrong, 1 - right - wrong], size=n_years):
        y_true, y_pred = np.repeat([1, 1, 0], counts), np.repeat([1, 0, 0], counts)
        low, _ = intervals(y_true, y_pred, np.arange(N_TEST))["f1_score"]
        f1 = 2 * counts[0] / (2 * counts[0] + counts[1])
        limits.append(Baseline(f1_score=f1, f1_score_low=low).limit(MARGIN))
    return np.array(limits)


def first_alarms(limits: np.ndarray, kind: str, n_rows: int, begins: np.ndarray, seed: int) -> np.ndarray:
    """Return the check of each year's first alarm, `N_CHECKS` + 1 where there is none.

    The arithmetic of `quality.check` for all years at once; `agrees` compares the two.
    """
    rng = np.random.default_rng(seed)
    growth = np.stack([log_growth(limit) for limit in limits])
    wealth = np.full(growth.shape[:2], -np.inf)
    alarms = np.full(len(limits), N_CHECKS + 1)
    for n_check in range(1, N_CHECKS + 1):
        chances = np.where((n_check > begins)[:, None], KINDS[kind], KINDS[NO_DECAY])
        counts = rng.multinomial(n_rows, chances)[:, :4]
        invested = quality.set_aside(n_check - 1) - quality.set_aside(n_check)
        wealth = np.logaddexp(wealth, np.log(invested)) + np.einsum("ysc,yc->ys", growth, counts)
        total = np.exp(np.minimum(wealth, 690)).mean(axis=1) + quality.set_aside(n_check)
        alarms = np.where((total >= 1 / ALPHA) & (alarms > N_CHECKS), n_check, alarms)
        if (alarms <= N_CHECKS).all():
            break
    return alarms


def log_growth(limit: float) -> np.ndarray:
    """Return by how much a row of each of `CELLS` multiplies the wealth of each stake, as logarithm."""
    grown = []
    for gain, weight in CELLS:
        rows = (np.array([weight]), np.empty(0)) if gain == "right" else (np.empty(0), np.array([weight]))
        state = quality._bet(QualityState(), *rows, limit, 1)
        grown.append(np.array(state.log_wealth) - np.log(0.5))
    return np.array(grown).T


def agrees(limit: float, kind: str, n_rows: int, seed: int) -> bool:
    """Return whether `quality.check` alarms at the check that `first_alarms` says, on the same rows."""
    (alarm,) = first_alarms(np.array([limit]), kind, n_rows, np.array([50]), seed)
    baseline = Baseline(f1_score=limit + MARGIN, f1_score_low=limit)
    rng, state = np.random.default_rng(seed), QualityState()
    for n_check in range(1, int(alarm) + 1):
        counts = rng.multinomial(n_rows, KINDS[kind if n_check > 50 else NO_DECAY][None])[0, :4]
        y_pred = np.repeat([1, 1, 0, 0], counts)
        weight = np.repeat([of for _, of in CELLS], counts)
        report, state = quality.check(state, np.ones(len(y_pred)), y_pred, weight, baseline=baseline, margin=MARGIN)
        if report.verdict == "decayed":
            return n_check == alarm
    return False


@dataclass(frozen=True)
class Rates:
    """What became of the years: false alarms, and of the years without one, days until the decay was noticed."""

    n_years: int
    n_false: int
    days: np.ndarray
    """Infinite where it was not noticed within the year; empty without decay."""


def measured(kind: str, n_years: int, n_rows: int, seed: int = 0) -> Rates:
    limits = drawn_limits(n_years, seed)
    begins = np.full(n_years, N_CHECKS)
    if kind != NO_DECAY:
        begins = np.random.default_rng(seed).integers(1, N_CHECKS // 2, n_years)
    alarms = first_alarms(limits, kind, n_rows, begins, seed + 1)
    quiet = alarms > begins
    days = np.where(alarms <= N_CHECKS, (alarms - begins) / 24, np.inf)[quiet & (begins < N_CHECKS)]
    return Rates(n_years, int((alarms <= begins).sum()), days)


def as_rate(n: int, of: int) -> str:
    interval = binomtest(n, of).proportion_ci(0.95)
    return f"{n / of:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def as_row(kind: str, rates: Rates) -> str:
    row = [kind, f"{f1_of(KINDS[kind]):.3f}", as_rate(rates.n_false, rates.n_years), "", ""]
    if len(rates.days):
        middle, late = np.quantile(rates.days, [0.5, 0.9], method="inverted_cdf")
        row[3] = as_rate(int(np.isfinite(rates.days).sum()), len(rates.days))
        row[4] = f"{middle:.1f}, {late:.1f}"
    return f"| {' | '.join(row)} |"


def compare_on_halves(path: str, n_splits: int = 8) -> None:
    """Print F1 of a forest on test rows, and on unseen rows of the other half of a file, weighted and not."""
    rows, found = validate(File.at(path).read().frame).accepted, []  # pyright: ignore[reportOptionalMemberAccess]
    for seed in range(n_splits):
        in_first = np.random.default_rng(seed).random(len(rows)) < 0.5
        sides, new = split(rows[in_first], test_size=TEST_SIZE, random_state=seed), rows[~in_first]
        model = make_pipeline(get_candidate("Random Forest"), {"n_estimators": 64}).fit(*to_X_y(sides.train))
        X, y = to_X_y(new)
        y_pred, codes, learned = model.predict(X), vector_codes(new), vector_codes(sides.train)
        on_test_side = is_test(new, test_size=TEST_SIZE, random_state=seed)
        how = {"is_test": on_test_side, "test_size": TEST_SIZE, "learned": learned, "tested": vector_codes(sides.test)}
        f1s = [evaluate_model(model, sides.test)["f1_score"]]
        for weight in (~np.isin(codes, learned), quality.comparable(codes, **how)):
            right, wrong = weight[(y == 1) & (y_pred == 1)].sum(), weight[y != y_pred].sum()
            f1s.append(2 * right / (2 * right + wrong))
        found.append(f1s)
    means, errors = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(n_splits)
    print("| F1 on | mean ± standard error |\n| --- | ---: |")
    for name, mean, error in zip(("test rows", "unseen new rows", "the same, weighted"), means, errors, strict=True):
        print(f"| {name} | {mean:.4f} ± {error:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="+", default=[20, 100], help="labelled rows of each check")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--data", help="a file: compare unseen with test rows on it, nothing else")
    options = parser.parse_args()
    if options.data:
        compare_on_halves(options.data)
        return
    for n_rows in options.rows:
        print(f"\n| {n_rows} labelled rows an hour | F1 then | false alarms | noticed | days: median, 90 % |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for kind in KINDS:
            print(as_row(kind, measured(kind, options.years, n_rows, options.random_state)), flush=True)


if __name__ == "__main__":
    main()
