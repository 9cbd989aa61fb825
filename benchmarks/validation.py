"""Time and memory of `validation.validate` on a million rows, clean and with 5 % bad cells.

Usage: python benchmarks/validation.py [--rows 1000000] [--rounds 3]
Each case runs in a process of its own, so that its peak memory (rows included) is its own.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure

CASES = ("clean", "bad")


def validation(case: str, n_rows: int) -> tuple[float, float]:
    """Return wall seconds of one validation and the peak memory of this process in MB."""
    import numpy as np

    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.validation import validate

    frame = make_phishing_websites(n_rows, random_state=0)
    if case == "bad":
        rng = np.random.default_rng(0)
        frame = frame.astype("int64")
        for name in frame:
            bad = rng.random(n_rows) < 0.05
            frame.loc[bad, name] = rng.choice([7, 9, 2**30], bad.sum())
    started = time.perf_counter()
    validate(frame, max_rejected=1.0)
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(*validation(options.case, options.rows))
        return
    command = [sys.executable, __file__, "--rows", str(options.rows), "--case"]
    found = measure.take_turns(
        {case: lambda case=case: [float(of) for of in measure.run([*command, case]).stdout.split()] for case in CASES},
        options.rounds,
    )
    for case, figures in found.items():
        seconds, megabytes = zip(*figures, strict=True)
        spread = measure.spread(seconds)
        print(f"{options.rows:,} rows, {case:5}: {spread} s (min / median / max), at most {max(megabytes):.0f} MB")
    for case, target in (("clean", "<= 1"), ("bad", "<= 2")):
        measure.report(f"validation of {options.rows:,} rows, {case}, s", [of[0] for of in found[case]], target)


if __name__ == "__main__":
    main()
