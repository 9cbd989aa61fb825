"""How often `drift.compare` raises a false alarm on addresses, and how often it finds a drift that was put in.

Usage: python benchmarks/address_drift.py [--data ../shared/data/labelled_urls.csv] [--trials 200] [--random-state 0]
Each trial takes the reference and the new rows from disjoint parts of the data, divided by row or by registrable
domain. Without the file it runs on made-up addresses, and says so. Prints Markdown tables, with 95 % intervals.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier

from networksecurity.data.address_rows import URL
from networksecurity.data.contracts import Addresses
from networksecurity.data.splitting import split
from networksecurity.monitoring.drift import Y_SCORE, DriftReport, compare
from networksecurity.monitoring.profile import reference_profile
from networksecurity.training.address_features import AddressFeatures


class EveryRow(Addresses):
    """Addresses as if those of a domain were independent rows."""

    def independent(self, accepted: pd.DataFrame) -> np.ndarray:
        return np.arange(len(accepted))


ADDRESSES, EVERY_ROW = Addresses(), EveryRow()
N_NEW = (1_000, 1_800)
DRAWS = ("rows", "registrable domains")

Injection = Callable[[pd.Series], pd.Series]


def drawn(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 80 % of the rows, or the rows of 80 % of the domains, and `n_new` of the others (all where fewer)."""
    units = ADDRESSES.groups(frame) if how == "registrable domains" else np.arange(len(frame))
    distinct = np.unique(units)
    is_other = np.isin(units, rng.choice(distinct, len(distinct) // 5, replace=False))
    others = frame[is_other]
    return frame[~is_other], others.sample(min(n_new, len(others)), random_state=rng)


INJECTIONS: dict[str, tuple[str, Injection]] = {
    "without https": ("https", lambda urls: urls.str.replace("^https:", "http:", regex=True)),
    "a script `/login/verify.php`": (
        "path_php",
        lambda urls: urls.str.replace("^(https?://[^/]*)/.*$", r"\1/login/verify.php", regex=True),
    ),
    "under `.xyz`": ("suffix", lambda urls: urls.str.replace(r"^(https?://[^/]*?)\.[a-z]+/", r"\1.xyz/", regex=True)),
}
"""By what is done to 10 % of the new rows: the column that should say so."""


def changed(rows: pd.DataFrame, inject: Injection, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows with a change of every tenth address."""
    chosen = np.zeros(len(rows), bool)
    chosen[rng.choice(len(rows), len(rows) // 10, replace=False)] = True
    urls = rows[URL].mask(chosen, inject(rows[URL]))
    raw = ADDRESSES.to_raw(rows).assign(**{URL: urls})
    return ADDRESSES.validation().add(raw)[0]


def any_significant(report: DriftReport, p_value: str) -> bool:
    return bool((report.to_frame()[p_value].astype("float64") <= report.thresholds.alpha).any())


def trial(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> dict[str, bool]:
    before, rows = drawn(frame, how, n_new, rng)
    profile = reference_profile(before, data_sha256="", contract=ADDRESSES)
    report = compare(profile, rows, contract=ADDRESSES)
    every_row = compare(
        reference_profile(before, data_sha256="", contract=EVERY_ROW).model_copy(update={"design_effect": 1.0}),
        rows,
        contract=EVERY_ROW,
    )
    found = {
        kind: name in compare(profile, changed(rows, inject, rng), contract=ADDRESSES).drifted
        for kind, (name, inject) in INJECTIONS.items()
    }
    return {
        "chi-square alone": any_significant(every_row, "p_value"),
        "+ correction": any_significant(every_row, "p_corrected"),
        "+ large domains cut, design effect": any_significant(report, "p_corrected"),
        "+ effect size: **alarms**": report.verdict == "drift",
        **found,
    }


def score_trial(frame: pd.DataFrame, how: str, n_new: int, rng: np.random.Generator) -> dict[str, bool]:
    before, rows = drawn(frame, how, n_new, rng)
    sides = split(before, random_state=int(rng.integers(2**31)), contract=ADDRESSES)
    features, forest = AddressFeatures(), RandomForestClassifier(32, random_state=0)
    forest.fit(features.transform(sides.train[[URL]]), ADDRESSES.to_y(sides.train))

    def scores(rows: pd.DataFrame) -> np.ndarray:
        return forest.predict_proba(features.transform(rows[[URL]]))[:, 1]

    apart = sides.test.iloc[ADDRESSES.independent(sides.test)]
    profile = reference_profile(before, data_sha256="", y_score=scores(apart), contract=ADDRESSES)
    learned = np.unique(ADDRESSES.groups(sides.train))
    _, inject = INJECTIONS["a script `/login/verify.php`"]

    def alarms(rows: pd.DataFrame) -> bool:
        return Y_SCORE in compare(profile, rows, y_score=scores(rows), learned=learned, contract=ADDRESSES).drifted

    return {"false alarms of the scores": alarms(rows), "found in the scores": alarms(changed(rows, inject, rng))}


def shown(found: pd.Series) -> str:
    """Return a share with its exact 95 % interval: Clopper and Pearson."""
    interval = binomtest(int(found.sum()), len(found)).proportion_ci()
    return f"{found.mean():.1%} ({interval.low:.1%} to {interval.high:.1%})"


def table(one: Callable, frame: pd.DataFrame, sizes: tuple[int, ...], n_trials: int, random_state: int) -> str:
    lines = []
    for how in DRAWS:
        for n_new in sizes:
            rng = np.random.default_rng([random_state, n_new])
            rates = pd.DataFrame([one(frame, how, n_new, rng) for _ in range(n_trials)])
            if not lines:
                lines += [["drawn by", "new rows", *rates], ["---", *["---:"] * (rates.shape[1] + 1)]]
            lines.append([how, f"{n_new:,}", *(shown(found) for _, found in rates.items())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data" / "labelled_urls.csv")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--tables", choices=("columns", "scores"), nargs="+", default=("columns", "scores"))
    options = parser.parse_args()
    is_real = options.data.is_file()
    if not is_real:
        print(f"There is no {options.data.name}: these are figures of made-up addresses.\n")
    raw = pd.read_csv(options.data) if is_real else ADDRESSES.make_sample(9_000)
    frame = ADDRESSES.validate(raw).accepted.reset_index(drop=True)
    print(f"{len(frame):,} addresses, of {options.trials} trials each:\n")
    how = (options.trials, options.random_state)
    if "columns" in options.tables:
        print(table(trial, frame, N_NEW, *how), end="\n\n", flush=True)
    if "scores" in options.tables:
        print(table(score_trial, frame, (1_000,), *how), flush=True)


if __name__ == "__main__":
    main()
