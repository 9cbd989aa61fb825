"""Time and memory of `schema.validate` on a million rows, clean and with 5 % bad cells.

Usage: python benchmarks/validation.py [--rows 1000000] [--rounds 3]
Each case runs in a process of its own, so that its peak memory (rows included) is its own.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = ("clean", "bad")


def measure(case: str, n_rows: int) -> tuple[float, float]:
    """Return wall seconds of one validation and the peak memory of this process in MB."""
    import numpy as np

    from networksecurity.sample import make_phishing_websites
    from networksecurity.schema import validate

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
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    if options.case:
        print(*measure(options.case, options.rows))
        return
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    for _ in range(options.rounds):
        for case in CASES:
            command = [sys.executable, __file__, "--rows", str(options.rows), "--case", case]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, megabytes = map(float, output.split())
            found[case].append((seconds, megabytes))
    for case, figures in found.items():
        seconds = [wall for wall, _ in figures]
        print(
            f"{options.rows:,} rows, {case:5}: {min(seconds):.2f} / {statistics.median(seconds):.2f} / "
            f"{max(seconds):.2f} s (min / median / max), at most {max(peak for _, peak in figures):.0f} MB"
        )


if __name__ == "__main__":
    main()
