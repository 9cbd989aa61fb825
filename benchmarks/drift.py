"""How often `drift.compare` raises a false alarm, and how often it finds a drift that was put in.

Usage: python benchmarks/drift.py [--data ../shared/data/phishing_websites.csv] [--trials 200] [--random-state 0]
Each trial takes the reference and the new rows from disjoint parts of the data. Without the file it runs on the
built-in sample, and says so. Prints Markdown tables.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.monitoring.drift import Y_SCORE, DriftReport, compare
from networksecurity.monitoring.profile import reference_profile

N_NEW = (500, 1_000, 2_000)
DRAWS = ("rows", "rows, with replacement", "feature vectors")

Injection = Callable[[pd.DataFrame, np.random.Generator], tuple[pd.DataFrame, str]]


def drawn(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 80 % of the rows, or the rows of 80 % of the vectors, and `n_new` of the others (all where fewer)."""
    units = vector_codes(frame) if how == "feature vectors" else np.arange(len(frame))
    distinct = np.unique(units)
    is_other = np.isin(units, rng.choice(distinct, len(distinct) // 5, replace=False))
    others = frame[is_other]
    replace = how == "rows, with replacement"
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


def inverted(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """Swap the smallest and the largest value of a random feature."""
    name = rng.choice(list(FEATURES))
    return rows.assign(**{name: min(FEATURES[name]) + max(FEATURES[name]) - rows[name]}), name


def missing(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """Take a random feature away from 20 % of the rows."""
    name = rng.choice(list(FEATURES))
    gone = np.zeros(len(rows), dtype=bool)
    gone[rng.choice(len(rows), len(rows) // 5, replace=False)] = True
    return rows.assign(**{name: rows[name].mask(gone)}), name


INJECTIONS: dict[str, Injection] = {"shifted by 10 points": shifted, "inverted": inverted, "missing in 20 %": missing}


def any_significant(report: DriftReport, p_value: str) -> bool:
    return bool((report.to_frame()[p_value].astype("float64") <= report.thresholds.alpha).any())


def trial(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> dict[str, bool]:
    before, rows = drawn(frame, how, n_new, rng)
    profile = reference_profile(before, data_sha256="")
    report = compare(profile, rows)
    independent = compare(profile.model_copy(update={"design_effect": 1.0}), rows)
    found = {}
    for kind, inject in INJECTIONS.items():
        changed, name = inject(rows, rng)
        found[kind] = name in compare(profile, changed).drifted
    return {
        "chi-square alone": any_significant(independent, "p_value"),
        "+ correction": any_significant(independent, "p_corrected"),
        "+ design effect": any_significant(report, "p_corrected"),
        "+ effect size: **alarms**": report.verdict == "drift",
        **found,
    }


def score_trial(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> dict[str, bool]:
    before, rows = drawn(frame, how, n_new, rng)
    sides = split(before, random_state=int(rng.integers(2**31)))
    model = RandomForestClassifier(64, random_state=0).fit(*to_X_y(sides.train))

    def scores(rows: pd.DataFrame) -> np.ndarray:
        return model.predict_proba(to_X_y(rows)[0])[:, 1]

    profile = reference_profile(before, data_sha256="", y_score=scores(sides.test))
    learned = vector_codes(sides.train)
    changed = rows.assign(SSLfinal_State=-rows["SSLfinal_State"])

    def alarms(rows: pd.DataFrame, learned: np.ndarray | None = None) -> bool:
        return Y_SCORE in compare(profile, rows, y_score=scores(rows), learned=learned).drifted

    return {
        "false alarms of the scores, all rows": alarms(rows),
        "without those learned from": alarms(rows, learned),
        "found in the scores: `SSLfinal_State` inverted": alarms(changed, learned),
    }


def table(one: Callable, frame: pd.DataFrame, sizes: tuple[int, ...], n_trials: int, random_state: int) -> str:
    lines = []
    for how in DRAWS:
        for n_new in sizes:
            rng = np.random.default_rng([random_state, n_new])
            rates = pd.DataFrame([one(frame, how, n_new, rng) for _ in range(n_trials)]).mean()
            if not lines:
                lines += [["drawn by", "new rows", *rates.index], ["---", *["---:"] * (len(rates) + 1)]]
            lines.append([how, f"{n_new:,}", *(f"{rate:.1%}" for rate in rates)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data" / "phishing_websites.csv")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args()
    is_real = options.data.is_file()
    if not is_real:
        print(f"There is no {options.data.name}: these are figures of the built-in sample.\n")
    frame = validate(pd.read_csv(options.data) if is_real else make_phishing_websites()).accepted
    print(f"Of {options.trials} trials each:\n")
    print(table(trial, frame, N_NEW, options.trials, options.random_state), end="\n\n", flush=True)
    print(table(score_trial, frame, (1_000,), options.trials, options.random_state), end="\n\n", flush=True)

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
