"""Runs all benchmarks one after the other, and writes their figures as JSON and as a Markdown table.

Usage: python benchmarks/all.py [--source sample] [--rounds 3] [--quick] [--output docs/benchmarks]
--quick takes minutes and only shows that everything runs. Without it, leave the machine idle for about 50 minutes.
`--source` is measured in the searches and the flow: use the UCI file if you have it.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

from benchmarks import measure


def commands(source: str, rounds: int, picture: Path, *, quick: bool) -> list[list[str]]:
    """Return the benchmarks with their options."""
    turns = ["--rounds", str(rounds)]
    small = ["--models", "Decision Tree,Logistic Regression"] if quick else []
    rows = ["--rows", "20000"] if quick else []
    return [
        ["search.py", "--source", source, *turns, *small],
        ["flow.py", "--source", source, *turns, *small],
        ["validation.py", *turns, *rows],
        ["addresses.py", *turns, *(["--quick"] if quick else [])],
        ["mongodb.py", "--cases", "ingest", "fetch", "find", *turns, *(rows or ["--rows", "1000000"])],
        ["scoring.py", *turns, *rows, "--cases", "score"],
        ["reasons.py", *turns],
        ["growth.py", *turns, "--picture", str(picture), *(["--rows", "2000", "4000"] if quick else [])],
        ["tracking.py", *turns],
        ["serving.py", *turns, *(["--quick"] if quick else [])],
        ["cluster.py", "--source", source, *turns, *small],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "benchmarks", help="a folder")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    started, found = time.perf_counter(), {}
    for file, *arguments in commands(
        options.source, options.rounds, options.output / "scaling.png", quick=options.quick
    ):
        print(f"\n{file} {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-u", str(PROJECT / "benchmarks" / file), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.startswith(f"{measure.MARK} "):
                    name, figures, target = (cell.strip() for cell in line.removeprefix(measure.MARK).split("|"))
                    found[name] = {
                        "target": "" if options.quick else target,
                        **dict(zip(("min", "median", "max"), map(float, figures.split("/")), strict=True)),
                    }
        if process.returncode:
            sys.exit(f"{file} ended with {process.returncode}")
    described = {
        "machine": measure.machine(),
        "versions": measure.versions(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "source": Path(options.source).name,
        "rounds": options.rounds,
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }
    (options.output / "benchmarks.json").write_text(json.dumps({**described, "figures": found}, indent=2) + "\n")
    lines = ["| what | min / median / max | target |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {of['min']:g} / {of['median']:g} / {of['max']:g} | {of['target']} |" for name, of in found.items()
    ]
    lines += ["", *(f"- {name}: {value}" for name, value in described.items())]
    (options.output / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"\n{options.output / 'benchmarks.md'}:\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
