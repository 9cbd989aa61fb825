"""How often the monitor's verdict on quality is a false alarm, and how long it takes to notice three kinds of decay.

Usage: python benchmarks/quality.py [--years 200] [--rows 20 100] [--random-state 0] [--data FILE]
A year is 8,760 hourly checks of `--rows` labelled rows each. New rows are drawn from 100,000 rows of the built-in
sample, scored by a Random Forest that has learned from 11,055 others. Each year draws test rows of its own, as many as
the model had, and has their F1 and limit: the luck of the test rows is part of the rates. With `--data` it only
compares unseen with test rows, on halves of that file. Prints Markdown tables.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from networksecurity.data.files import File
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X, to_X_y
from networksecurity.data.splitting import is_test, split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.monitoring import quality
from networksecurity.monitoring.quality import ALPHA, N_CHECKS, Baseline, QualityState
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.evaluation import evaluate_model
from networksecurity.training.intervals import intervals

MARGIN = 0.01
TEST_SIZE = 0.2
N_REFERENCE, N_STREAM = 11_055, 100_000
KINDS = {
    "none": "no decay",
    "phishing": "5 % of the phishing rows are labelled legitimate",
    "legitimate": "5 % of the legitimate rows are labelled phishing",
    "new kind": "10 % of the phishing rows are of a new kind: a good certificate, and links that stay on the site",
    "base rate": "the share of phishing falls from 44 % to 20 %",
}
CELLS = [(gain, weight) for gain in ("right", "wrong") for weight in (1.0, TEST_SIZE)]
"""Of rows that count: true positives and errors, of test vectors and of new ones."""


@dataclass(frozen=True)
class Year:
    """A year's test, and what a new row does to the verdict, by kind of decay.

    Attributes
    ----------
    limit, tested : float
        The F1 below which quality has decayed; F1 on the test rows.
    shares : dict of str to ndarray of shape (5,)
        Probability that a new row is in each of `CELLS`, and in none of them.
    """

    limit: float
    tested: float
    shares: dict[str, np.ndarray]


def fit(reference: pd.DataFrame, seed: int) -> tuple[SimpleNamespace, dict[str, float]]:
    """Return a model with its split and vectors, and its figures on the test rows."""
    sides = split(reference, test_size=TEST_SIZE, random_state=seed)
    model = make_pipeline(get_candidate("Random Forest"), {"n_estimators": 32}, random_state=seed)
    model.fit(*to_X_y(sides.train))
    known = {"learned": vector_codes(sides.train), "tested": vector_codes(sides.test)}
    figures = evaluate_model(model, sides.test) | {"n_test": float(len(sides.test))}
    return SimpleNamespace(model=model, seed=seed, known=known), figures


def judged(fitted: SimpleNamespace, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions of rows, and the weights with which they count."""
    codes = vector_codes(rows)
    on_test_side = is_test(rows, test_size=TEST_SIZE, random_state=fitted.seed)
    weight = quality.comparable(codes, is_test=on_test_side, test_size=TEST_SIZE, **fitted.known)
    return fitted.model.predict(to_X(rows)), weight


def f1_of(y: np.ndarray, y_pred: np.ndarray, weight: np.ndarray) -> float:
    right, wrong = weight[(y == 1) & (y_pred == 1)].sum(), weight[y != y_pred].sum()
    return float(2 * right / (2 * right + wrong))


def shares(y: np.ndarray, y_pred: np.ndarray, weight: np.ndarray, n_copies: np.ndarray | None = None) -> np.ndarray:
    """Return the probability of each cell, for rows drawn in proportion to `n_copies`."""
    n_copies = np.ones(len(y)) if n_copies is None else n_copies
    is_in = {"right": (y == 1) & (y_pred == 1), "wrong": y != y_pred}
    cells = [n_copies[is_in[gain] & np.isclose(weight, of)].sum() for gain, of in CELLS]
    return np.array([*cells, n_copies.sum() - sum(cells)]) / n_copies.sum()


def population(seed: int) -> tuple[dict[str, np.ndarray], int, np.ndarray]:
    """Return the shares of the cells by kind of decay, the number of test rows, and F1 as `print_means` takes it."""
    rng = np.random.default_rng(seed)
    chosen = validate(make_phishing_websites(N_REFERENCE + N_STREAM, random_state=seed + 1)).accepted
    fitted, figures = fit(chosen.head(N_REFERENCE), seed)
    rows = chosen.tail(N_STREAM).reset_index(drop=True)
    _, y = to_X_y(rows)
    y_pred, weight = judged(fitted, rows)

    few = rng.random(len(y)) < 0.05
    new_kind = (y == 1) & (rng.random(len(y)) < 0.1)
    disguised = rows[new_kind].assign(SSLfinal_State=1, URL_of_Anchor=1).astype(rows.dtypes)
    y_pred_then, weight_then = y_pred.copy(), weight.copy()
    y_pred_then[new_kind], weight_then[new_kind] = judged(fitted, disguised)
    fewer = np.where(y == 1, 0.2 / 0.8 * (y == 0).sum() / (y == 1).sum(), 1.0)
    kinds = {
        "none": shares(y, y_pred, weight),
        "phishing": shares(np.where(few & (y == 1), 0, y), y_pred, weight),
        "legitimate": shares(np.where(few & (y == 0), 1, y), y_pred, weight),
        "new kind": shares(y, y_pred_then, weight_then),
        "base rate": shares(y, y_pred, weight, fewer),
    }
    return kinds, int(figures["n_test"]), np.array([figures["f1_score"], f1_after(kinds["none"])])


def drawn_year(kinds: dict[str, np.ndarray], n_test: int, rng: np.random.Generator) -> Year:
    """Return a year with test rows of its own, drawn from the rows as they are without decay."""
    mass = kinds["none"][:4] * [weight for _, weight in CELLS]
    right, wrong = mass[:2].sum() / TEST_SIZE, mass[2:].sum() / TEST_SIZE
    counts = rng.multinomial(n_test, [right, wrong, 1 - right - wrong])
    y_true, y_pred = np.repeat([1, 1, 0], counts), np.repeat([1, 0, 0], counts)
    low, _ = intervals(y_true, y_pred, np.arange(n_test))["f1_score"]
    f1 = 2 * counts[0] / (2 * counts[0] + counts[1])
    baseline = Baseline(f1_score=f1, f1_score_low=low)
    return Year(limit=baseline.limit(MARGIN), tested=f1, shares=kinds)


def f1_after(of_cells: np.ndarray) -> float:
    mass = of_cells[:4] * [weight for _, weight in CELLS]
    return float(2 * mass[:2].sum() / (2 * mass[:2].sum() + mass[2:].sum()))


def first_alarms(years: list[Year], kind: str, n_rows: int, begins: np.ndarray, seed: int) -> np.ndarray:
    """Return the check of each year's first alarm, `N_CHECKS` + 1 where there is none.

    The arithmetic of `quality.check` for all years at once; `agrees` compares the two.
    """
    rng = np.random.default_rng(seed)
    before, after = (np.array([year.shares[of] for year in years]) for of in ("none", kind))
    limits = np.array([year.limit for year in years])
    growth = np.stack([log_growth(limit) for limit in limits])
    wealth = np.full((len(years), growth.shape[1]), -np.inf)
    alarms = np.full(len(years), N_CHECKS + 1)
    for n_check in range(1, N_CHECKS + 1):
        chances = np.where((n_check > begins)[:, None], after, before)
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


def agrees(year: Year, kinds: dict[str, np.ndarray], n_rows: int, seed: int) -> bool:
    """Return whether `quality.check` alarms at the check that `first_alarms` says, on the same rows."""
    baseline = Baseline(f1_score=min(1.0, year.limit + MARGIN), f1_score_low=year.limit)
    year = replace(year, shares=kinds)
    (alarm,) = first_alarms([year], "legitimate", n_rows, np.array([50]), seed)
    rng, state = np.random.default_rng(seed), QualityState()
    for n_check in range(1, min(alarm, 2_000) + 1):
        chances = year.shares["legitimate" if n_check > 50 else "none"]
        counts = rng.multinomial(n_rows, chances[None])[0, :4]
        y_true = np.repeat([1, 1, 1, 1], counts)
        y_pred = np.repeat([1, 1, 0, 0], counts)
        weight = np.repeat([of for _, of in CELLS], counts)
        report, state = quality.check(state, y_true, y_pred, weight, baseline=baseline, margin=MARGIN)
        if report.verdict == "decayed":
            return n_check == alarm
    return alarm > 2_000


def rate(n: int, of: int) -> str:
    interval = binomtest(n, of).proportion_ci(0.95)
    return f"{n / of:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def table(years: list[Year], n_rows: int, seed: int) -> None:
    """Print the rates of alarms and the delays at a number of labelled rows per check."""
    begins = np.random.default_rng(seed).integers(1, N_CHECKS // 2, len(years))
    print(
        f"\n| {n_rows} labelled rows an hour | F1 afterwards | false alarms | noticed | days until then: median, 90 % |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    for number, (kind, described) in enumerate(KINDS.items()):
        from_then = np.full(len(years), N_CHECKS) if kind == "none" else begins
        alarms = first_alarms(years, kind, n_rows, from_then, seed + number)
        false = int((alarms <= from_then).sum())
        f1 = np.mean([f1_after(year.shares[kind]) for year in years])
        cells = [described, f"{f1:.3f}", rate(false, len(years)), "", ""]
        if kind != "none":
            quiet = alarms > from_then
            noticed = quiet & (alarms <= N_CHECKS)
            delays = (alarms - from_then)[quiet] / 24
            delays[alarms[quiet] > N_CHECKS] = np.inf
            middle, late = np.quantile(delays, [0.5, 0.9], method="inverted_cdf")
            cells[3] = rate(int(noticed.sum()), int(quiet.sum()))
            cells[4] = ", ".join("-" if np.isinf(of) else f"{of:.1f}" for of in (middle, late))
        print(f"| {' | '.join(cells)} |", flush=True)


def compare_on_halves(path: str, n_splits: int = 8) -> None:
    """Print F1 on test rows, on unseen and on comparable rows of the other half of a file."""
    rows, found = validate(File.at(path).read().frame).accepted, []  # pyright: ignore[reportOptionalMemberAccess]
    for seed in range(n_splits):
        in_first = np.random.default_rng(seed).random(len(rows)) < 0.5
        fitted, figures = fit(rows[in_first], seed)
        new = rows[~in_first]
        (_, y), (y_pred, weight) = to_X_y(new), judged(fitted, new)
        unseen = ~np.isin(vector_codes(new), fitted.known["learned"])
        found.append((figures["f1_score"], f1_of(y, y_pred, unseen.astype(float)), f1_of(y, y_pred, weight)))
    print_means(np.array(found))


def print_means(found: np.ndarray) -> None:
    """Print the means, with standard errors, of F1 on test, unseen and comparable rows: shape (n_trials, 3)."""
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    print("\n| F1 on | mean ± standard error |\n| --- | ---: |")
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
    kinds, n_test, (tested, comparable) = population(options.random_state)
    rng = np.random.default_rng(options.random_state)
    years = [drawn_year(kinds, n_test, rng) for _ in range(options.years)]
    f1 = np.array([year.tested for year in years])
    limit = np.mean([year.limit for year in years])
    print(f"The model's F1 is {tested:.4f} on its {n_test:,} test rows and {comparable:.4f} on new rows without decay.")
    print(f"{len(years)} years; F1 on test rows drawn {f1.mean():.4f} ± {f1.std():.4f}, mean limit {limit:.4f}")
    for n_rows in options.rows:
        table(years, n_rows, options.random_state)
    assert all(agrees(year, kinds, 100, seed) for seed, year in enumerate(years[:3]))


if __name__ == "__main__":
    main()
