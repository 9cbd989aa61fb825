"""Time and memory of reading, describing, scoring and explaining made-up addresses, and of a training on a file.

Usage: python benchmarks/addresses.py [--rows 1000000] [--rounds 3] [--source FILE] [--quick]
`parse` normalizes texts, and `features` computes their numbers, 20,000 rows at a time in each of two processes that
share the rows; their processor time is printed, too. `score` reads a CSV file, scores it and writes Parquet, as
flows/score.py does; its peak memory is that of its process. `reasons` explains rows one at a time. With --source, the
whole command flows/train.py runs on that file, cold, in a temporary home. --quick only shows that everything runs.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks import measure

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRAINED_ON = 8_000
BATCH = 20_000
PROCESSES = 2
EXPLAINED = 50
SCORED = {"Hist Gradient Boosting": 25, "Character N-grams": 150}
"""By model, the seconds that a million rows may take."""


def fitted(name: str) -> "Pipeline":
    from networksecurity.data.addresses.sample import make_addresses
    from networksecurity.training.candidates import get_candidate, make_pipeline

    sample = make_addresses(TRAINED_ON, random_state=1)
    return make_pipeline(get_candidate(name, "addresses"), threshold=0.5).fit(sample[["url"]], sample["label"])


def compute(case: str, n_rows: int) -> tuple[float, float]:
    """Return the seconds that `parse` or `features` takes, and those of the processor."""
    from networksecurity.data.addresses import parse_addresses
    from networksecurity.data.addresses.sample import make_addresses
    from networksecurity.training.address_features import AddressFeatures

    urls = make_addresses(n_rows, random_state=os.getpid())[["url"]]
    taken: Callable[..., object] = {
        "parse": lambda rows: parse_addresses(rows["url"]),
        "features": AddressFeatures().transform,
    }[case]
    taken(urls[:1])  # the list of suffixes is read once
    started, busy = time.perf_counter(), time.process_time()
    for start in range(0, n_rows, BATCH):
        taken(urls[start : start + BATCH])
    return time.perf_counter() - started, time.process_time() - busy


def score(name: str, file: Path) -> tuple[float, float]:
    """Return the seconds that reading, scoring and writing takes, and the peak memory of this process in MB."""
    from networksecurity.data.contracts import Addresses
    from networksecurity.data.files import File
    from networksecurity.prediction.files import write_file
    from networksecurity.prediction.scoring import BatchScorer

    scorer = BatchScorer(fitted(name), name=name, version="1", max_rejected=0, contract=Addresses())
    started = time.perf_counter()
    source = File.at(str(file))
    assert source
    with source.batches(BATCH, exact_others=True) as batches:
        write_file(scorer.over(batches.frames), output=str(file.with_suffix(f".{os.getpid()}.parquet")))
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def explain(name: str, n_rows: int) -> tuple[float]:
    """Return the milliseconds of the median row."""
    import numpy as np

    from networksecurity.data.contracts import Addresses
    from networksecurity.monitoring.profile import reference_profile
    from networksecurity.prediction.native import prepare
    from networksecurity.prediction.reasons import Explainer, alternatives_of
    from networksecurity.tracking.model import probe_rows

    contract = Addresses()
    accepted = contract.validate(contract.make_sample(TRAINED_ON, random_state=1)).accepted
    profile = reference_profile(accepted, data_sha256="", contract=contract)
    others = alternatives_of(profile, contract)
    assert others
    explainer = Explainer(prepare(fitted(name), probe_rows(contract)), others)
    X = contract.to_X(contract.validate(contract.make_sample(n_rows, random_state=2)).accepted).to_numpy()
    explainer.explain(X[:1])
    return (1e3 * float(np.median(list(_seconds(lambda i: explainer.explain(X[[i]]), len(X))))),)


def _seconds(work: Callable[[int], object], n: int) -> Iterator[float]:
    for i in range(n):
        started = time.perf_counter()
        work(i)
        yield time.perf_counter() - started


def train(source: str, *, quick: bool) -> float:
    """Return the wall seconds of a cold training."""
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "NETWORKSECURITY_STORAGE": f"{folder}/storage",
            "PREFECT_HOME": f"{folder}/prefect",
        }
        small = ["--models", "Decision Tree"] if quick else []
        command = [sys.executable, str(PROJECT / "flows" / "train.py"), "--contract", "addresses", "--source", source]
        return measure.run([*command, *small], environment).seconds


def ask(*arguments: str) -> list[float]:
    """Run a case in a process of its own, and return its figures."""
    return [float(of) for of in measure.run([sys.executable, __file__, "--case", *arguments]).stdout.split()]


def together(case: str, n_rows: int) -> tuple[float, float]:
    """Return the seconds of the slowest of several processes that share the rows, and those of the processors."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = [pool.submit(ask, case, str(n_rows // PROCESSES)) for _ in range(PROCESSES)]
    seconds, busy = zip(*(part.result() for part in parts), strict=True)
    return max(seconds), sum(busy)


def main() -> None:
    if sys.argv[1:2] == ["--case"]:
        case, *of = sys.argv[2:]
        cases = {
            "score": lambda: score(of[0], Path(of[1])),
            "reasons": lambda: explain(of[0], EXPLAINED),
        }
        figures = cases.get(case, lambda: compute(case, int(of[0])))()
        print(*figures)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", help="labelled addresses to train on")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows, rounds = (20_000, 1) if options.quick else (options.rows, options.rounds)
    millions = rows / 1e6

    cases = {case: lambda case=case: together(case, rows) for case in ("parse", "features")}
    for case, found in measure.take_turns(cases, rounds).items():
        seconds, busy = zip(*found, strict=True)
        measure.report(f"{rows:,} addresses, {case}, two processes, s", seconds, f"<= {10 * millions:g}")
        print(f"{case}: up to {rows / min(seconds):,.0f} a second, {rows / min(busy):,.0f} a second of one core")

    from networksecurity.data.addresses.sample import make_addresses

    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        sizes = {rows // 4: Path(folder, "few.csv"), rows: Path(folder, "all.csv")}
        for n_rows, file in sizes.items():
            for start in range(0, n_rows, 250_000):
                part = make_addresses(min(250_000, n_rows - start), random_state=start)
                part[["url"]].to_csv(file, index=False, header=start == 0, mode="a")
        for name, most in SCORED.items():
            few = ask("score", name, str(sizes[rows // 4]))
            found = measure.take_turns({name: lambda name=name: ask("score", name, str(sizes[rows]))}, rounds)[name]
            measure.report(f"scoring {rows:,} addresses, {name}, s", [of[0] for of in found], f"<= {most * millions:g}")
            measure.report(f"the same, peak memory ÷ a quarter of the rows, {name}", [of[1] / few[1] for of in found])
            print(f"{name}: at most {max(of[1] for of in found):.0f} MB")
    for name in SCORED:
        found = measure.take_turns({name: lambda name=name: ask("reasons", name)[0]}, rounds)[name]
        measure.report(f"reasons for one address, ms, {name}", found, digits=1)
    if options.source:
        seconds = measure.take_turns({"": lambda: train(options.source, quick=options.quick)}, rounds)[""]
        measure.report("training on the address file, s", seconds)


if __name__ == "__main__":
    main()
