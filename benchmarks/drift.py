"""How often `drift.compare` raises a false alarm, and how often it finds a drift that was put in.

Usage: python benchmarks/drift.py [--data ../shared/data/phishing_websites.csv] [--trials 200] [--random-state 0]
Each trial takes the reference and the new rows from disjoint parts of the data. Without the file it runs on the
built-in sample, and says so. Prints Markdown tables, with exact 95 % intervals. `address_drift.py` does the same for
addresses.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.monitoring.drift import Y_SCORE, DriftReport, compare
from networksecurity.monitoring.profile import reference_profile

Injection = Callable[[pd.DataFrame, np.random.Generator], tuple[pd.DataFrame, str | None]]
"""Changes rows, and names the column that should say so; None where several do, and any will do."""
ROWS, REPEATED_ROWS = "rows", "rows, with replacement"


@dataclass(frozen=True)
class Subject:
    """What is compared, how it is drawn, and what is done to it."""

    contract: Contract
    draws: tuple[str, ...]
    sizes: tuple[int, ...]
    injections: dict[str, Injection]
    marked: tuple[str, Injection]
    """What the scores should show, in words, and what does it."""
    to_numbers: Callable[[pd.DataFrame], pd.DataFrame | np.ndarray] = lambda X: X
    """Makes of `X` what a forest takes."""
    n_trees: int = 64


def drawn(
    frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator, contract: Contract
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 80 % of the rows, or the rows of 80 % of the groups, and `n_new` of the others (all where fewer)."""
    units = np.arange(len(frame)) if how in (ROWS, REPEATED_ROWS) else contract.groups(frame)
    distinct = np.unique(units)
    is_other = np.isin(units, rng.choice(distinct, len(distinct) // 5, replace=False))
    others = frame[is_other]
    replace = how == REPEATED_ROWS
    return frame[~is_other], others.sample(
        n_new if replace else min(n_new, len(others)), replace=replace, random_state=rng
    )


def shifted(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """Move ten points of the rows from one value of a random feature, that so many hold, to another."""
    name = rng.choice(list(FEATURES))
    n_moved = len(rows) // 10
    held = [value for value in FEATURES[name] if (rows[name] == value).sum() >= n_moved]
    value = rng.choice(held)
    other = rng.choice([other for other in FEATURES[name] if other != value])
    column = rows[name].to_numpy("int8", copy=True)
    column[rng.choice(np.flatnonzero(column == value), n_moved, replace=False)] = other
    return rows.assign(**{name: pd.array(column, dtype="Int8")}), name


def inverted(rows: pd.DataFrame, rng: np.random.Generator, name: str = "") -> tuple[pd.DataFrame, str]:
    """Swap the smallest and the largest value of a feature, by default a random one."""
    name = name or rng.choice(list(FEATURES))
    return rows.assign(**{name: min(FEATURES[name]) + max(FEATURES[name]) - rows[name]}), name


def missing(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """Take a random feature away from 20 % of the rows."""
    name = rng.choice(list(FEATURES))
    gone = np.zeros(len(rows), dtype=bool)
    gone[rng.choice(len(rows), len(rows) // 5, replace=False)] = True
    return rows.assign(**{name: rows[name].mask(gone)}), name


def any_significant(report: DriftReport, p_value: str) -> bool:
    return bool((report.to_frame()[p_value].astype("float64") <= report.thresholds.alpha).any())


def trial(subject: Subject, frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> dict[str, bool]:
    """Compare new rows with the reference, as they are and changed."""
    contract = subject.contract
    before, rows = drawn(frame, how, n_new, rng, contract)
    profile = reference_profile(before, data_sha256="", contract=contract)
    report = compare(profile, rows, contract=contract)
    independent = profile.model_copy(update={"design_effect": 1.0, "clustering": {}})
    alone = compare(independent, rows, contract=contract)
    found = {}
    for kind, inject in subject.injections.items():
        changed, name = inject(rows, rng)
        drifted = compare(profile, changed, contract=contract).drifted
        found[kind] = bool(drifted) if name is None else name in drifted
    return {
        "chi-square alone": any_significant(alone, "p_value"),
        "+ correction": any_significant(alone, "p_corrected"),
        "+ design effect": any_significant(report, "p_corrected"),
        "+ effect size: **alarms**": report.verdict == "drift",
        **found,
    }


def score_trial(
    subject: Subject, frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator
) -> dict[str, bool]:
    """Compare the scores of new rows with those of rows that the model has not learned from."""
    contract = subject.contract
    before, rows = drawn(frame, how, n_new, rng, contract)
    sides = split(before, random_state=int(rng.integers(2**31)), contract=contract)

    def numbers(rows: pd.DataFrame) -> pd.DataFrame | np.ndarray:
        return subject.to_numbers(contract.to_X(rows))

    model = RandomForestClassifier(subject.n_trees, random_state=0)
    model.fit(numbers(sides.train), contract.to_y(sides.train))

    def scores(rows: pd.DataFrame) -> np.ndarray:
        return model.predict_proba(numbers(rows))[:, 1]

    tested = contract.groups(sides.test) if contract.alike else None
    profile = reference_profile(before, data_sha256="", y_score=scores(sides.test), scored=tested, contract=contract)
    known = contract.groups(sides.train)

    def alarms(rows: pd.DataFrame, learned: np.ndarray | None = None) -> bool:
        return Y_SCORE in compare(profile, rows, y_score=scores(rows), learned=learned, contract=contract).drifted

    return {
        "false alarms of the scores, all rows": alarms(rows),
        "without those learned from": alarms(rows, known),
        f"found in the scores: {subject.marked[0]}": alarms(subject.marked[1](rows, rng)[0], known),
    }


def shown(found: pd.Series) -> str:
    """Return a share with its exact 95 % interval: Clopper and Pearson."""
    interval = binomtest(int(found.sum()), len(found)).proportion_ci()
    return f"{found.mean():.1%} ({interval.low:.1%} to {interval.high:.1%})"


def table(
    one: Callable, subject: Subject, frame: pd.DataFrame, sizes: tuple[int, ...], n_trials: int, random_state: int
) -> str:
    """Return the rates of what trials find, by how and how many rows are drawn."""
    lines = []
    for how in subject.draws:
        for n_new in sizes:
            rng = np.random.default_rng([random_state, n_new])
            rates = pd.DataFrame([one(subject, frame, how, n_new, rng) for _ in range(n_trials)])
            if not lines:
                lines += [["drawn by", "new rows", *rates], ["---", *["---:"] * (rates.shape[1] + 1)]]
            lines.append([how, f"{n_new:,}", *(shown(found) for _, found in rates.items())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parse_options(text: str | None, data: str) -> argparse.Namespace:
    """Return the options of both benchmarks of drift."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data" / data)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--tables", choices=("columns", "scores"), nargs="+", default=("columns", "scores"))
    return parser.parse_args()


def measure_rates(subject: Subject, options: argparse.Namespace) -> pd.DataFrame:
    """Print the tables of a subject; return its rows."""
    is_real = options.data.is_file()
    if not is_real:
        print(f"There is no {options.data.name}: these are figures of made-up rows.\n")
    raw = pd.read_csv(options.data) if is_real else subject.contract.make_sample(10_000)
    frame = subject.contract.validate(raw).accepted.reset_index(drop=True)
    print(f"{len(frame):,} rows, of {options.trials} trials each:\n")
    how = (options.trials, options.random_state)
    if "columns" in options.tables:
        print(table(trial, subject, frame, subject.sizes, *how), end="\n\n", flush=True)
    if "scores" in options.tables:
        print(table(score_trial, subject, frame, (1_000,), *how), end="\n\n", flush=True)
    return frame


SUBJECT = Subject(
    contract=WEBSITES,
    draws=(ROWS, REPEATED_ROWS, "feature vectors"),
    sizes=(500, 1_000, 2_000),
    injections={"shifted by 10 points": shifted, "inverted": inverted, "missing in 20 %": missing},
    marked=("`SSLfinal_State` inverted", partial(inverted, name="SSLfinal_State")),
)


def main() -> None:
    frame = measure_rates(SUBJECT, parse_options(__doc__, "phishing_websites.csv"))
    profile = reference_profile(validate(make_phishing_websites()).accepted, data_sha256="")
    verdicts, seconds = [], []
    for seed in range(1, 6):
        million = validate(make_phishing_websites(1_000_000, random_state=seed)).accepted
        started = time.perf_counter()
        verdicts.append(compare(profile, million).verdict)
        seconds.append(time.perf_counter() - started)
    print(
        f"1,000,000 rows of the built-in sample, {len(verdicts)} seeds: {verdicts.count('drift')} alarms, "
        f"{min(seconds):.2f} / {max(seconds):.2f} s (min / max) each\n"
    )
    n_first = len(frame) * 8 // 10
    in_order = compare(reference_profile(frame.head(n_first), data_sha256=""), frame.tail(-n_first))
    print(f"First 80 % of the file against the last 20 %: {in_order.reason}")


if __name__ == "__main__":
    main()
