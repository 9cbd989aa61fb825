"""Time and memory of reading, describing and scoring a million made-up addresses.

Usage: python benchmarks/addresses.py [--rows 1000000] [--rounds 3]
Each case runs in a process of its own, so that its peak memory (rows included) is its own. Scoring takes 20,000 rows at
a time, as files are read.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure

TRAINED_ON = 8_000
BATCH = 20_000
# Case: seconds per million rows that it may take on two cores.
CASES = {"parse": 5, "features": 10, "boosting": 15, "n-grams": 150}


def addresses(case: str, n_rows: int) -> tuple[float, float]:
    """Return wall seconds of one case and the peak memory of this process in MB."""
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from networksecurity.data.address_sample import make_addresses
    from networksecurity.data.addresses import parse_addresses
    from networksecurity.training.address_features import AddressFeatures
    from networksecurity.training.address_models import character_ngrams

    frame = make_addresses(n_rows, random_state=0)
    sample = make_addresses(TRAINED_ON, random_state=1)
    boosting = make_pipeline(AddressFeatures(), HistGradientBoostingClassifier(random_state=0))
    ngrams = make_pipeline(character_ngrams(), LogisticRegression(C=10, solver="liblinear"))
    taken: Callable[[pd.DataFrame], object] = {
        "parse": lambda: lambda rows: parse_addresses(rows["url"]),
        "features": lambda: AddressFeatures().transform,
        "boosting": lambda: boosting.fit(sample[["url"]], sample["label"]).predict_proba,
        "n-grams": lambda: ngrams.fit(sample[["url"]], sample["label"]).predict_proba,
    }[case]()
    taken(frame[["url"]][:1])  # the list of suffixes is read once
    started = time.perf_counter()
    for start in range(0, n_rows, BATCH):
        taken(frame[["url"]][start : start + BATCH])
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(*addresses(options.case, options.rows))
        return
    command = [sys.executable, __file__, "--rows", str(options.rows), "--case"]
    found = measure.take_turns(
        {case: lambda case=case: [float(of) for of in measure.run([*command, case]).stdout.split()] for case in CASES},
        options.rounds,
    )
    for case, figures in found.items():
        seconds, megabytes = zip(*figures, strict=True)
        rate = options.rows / min(seconds)
        print(
            f"{case:8}: {measure.spread(seconds)} s, up to {rate:,.0f} rows a second, at most {max(megabytes):.0f} MB"
        )
    for case, target in CASES.items():
        seconds = [of[0] for of in found[case]]
        measure.report(f"{options.rows:,} addresses, {case}, s", seconds, f"<= {target * options.rows / 1e6:g}")


if __name__ == "__main__":
    main()
