"""Time and memory of a whole training as the data grows, with a picture.

Usage: python benchmarks/growth.py [--rows 10000 100000 1000000] [--rounds 3] [--picture docs/images/scaling.png]
Runs `flows/train.py` on the built-in sample with three models, in cold processes with a warm home and no cache.
Memory is that of the largest process. Time may grow by up to 1.2 times the growth of the rows.
"""

import argparse
import math
import re
import statistics
import sys
import tempfile
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

from benchmarks import measure
from benchmarks.flow import environment_in

MODELS = "Decision Tree,Logistic Regression,Hist Gradient Boosting"
_LINE = re.compile(r"(?m)^(\d\d):(\d\d):(\d\d\.\d{3}) .*(?:Task run '(.+?)' - Finished|Beginning flow run)")


def steps(log: str) -> dict[str, float]:
    """Return when each task of a flow run ended, in seconds from its beginning."""
    found = [
        (timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)).total_seconds(), name)
        for hours, minutes, seconds, name in _LINE.findall(log)
    ]
    return {name: round(at - found[0][0], 1) for at, name in found[1:]}


def draw(found: dict[int, list[measure.Run]], file: Path) -> None:
    from matplotlib.figure import Figure

    from networksecurity.tracking.figures import BLUE, GREY, style

    figure = Figure(figsize=(9, 4), layout="constrained")
    of_time, of_memory = figure.subplots(1, 2)
    sizes = list(found)
    seconds = [statistics.median(run.seconds for run in runs) for runs in found.values()]
    linear = [seconds[-1] * size / sizes[-1] for size in sizes]
    of_time.plot(sizes, seconds, "o-", color=BLUE, label="whole training")
    of_time.plot(sizes, linear, ":", color=GREY, label="in proportion to the rows")
    of_time.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    of_time.legend()
    of_memory.plot(sizes, [max(run.megabytes for run in runs) for runs in found.values()], "o-", color=BLUE)
    of_memory.axhline(3_000, linestyle=":", color=GREY, label="3 GB")
    of_memory.set(xscale="log", xlabel="rows", ylabel="largest process, MB", ylim=(0, 3_300))
    of_memory.legend()
    for ax in (of_time, of_memory):
        style(ax)
    figure.suptitle(f"{MODELS.replace(',', ', ')} · {measure.machine()}", fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--search-rows", type=int, help="as of flows/train.py")
    options = parser.parse_args()
    options_of_all = ["--models", MODELS, "--refresh", "--promotion", "off", "--verbose"]
    train = [sys.executable, str(PROJECT / "flows" / "train.py"), *options_of_all]
    if options.search_rows:
        train += ["--search-rows", str(options.search_rows)]
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        environment = environment_in(Path(name))
        measure.run([*train, "--source", "sample:2000"], environment)  # warms the home
        found = measure.take_turns(
            {
                str(size): lambda size=size: measure.run([*train, "--source", f"sample:{size}"], environment)
                for size in sorted(options.rows)
            },
            options.rounds,
        )
    by_size = {int(size): runs for size, runs in found.items()}
    for size, runs in by_size.items():
        cpu = measure.spread([run.cpu_seconds for run in runs], 1)
        peak = max(run.megabytes for run in runs)
        wall = measure.spread([run.seconds for run in runs], 1)
        print(f"{size:,} rows: {wall} s, CPU {cpu} s (min / median / max), at most {peak:,.0f} MB")
    largest = by_size[max(by_size)][-1]
    print(f"last run with {max(by_size):,} rows, seconds until the end of each step: {steps(largest.stderr)}")
    for smaller, larger in pairwise(by_size):
        growth = measure.ratios([run.seconds for run in by_size[larger]], [run.seconds for run in by_size[smaller]])
        limit = 1.2 * larger / smaller
        measure.report(f"training, {larger:,} ÷ {smaller:,} rows", growth, f"<= {math.ceil(limit)}", 1)
    measure.report(
        f"memory at {max(by_size):,} rows, MB", [run.megabytes for run in by_size[max(by_size)]], "<= 3000", 0
    )
    if options.picture:
        draw(by_size, options.picture)


if __name__ == "__main__":
    main()
