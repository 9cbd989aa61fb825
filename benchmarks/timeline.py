"""Where the seconds of a cold training are: when each of its tasks ran, as Prefect noted it.

Usage: python benchmarks/timeline.py [--source sample] [--models ...] [--checkout FOLDER]
Nothing comes from the cache but the home is warm, as in flow.py. Seconds count from the start of the command; what lies
before the first task and behind the last is start and end of the process. `--checkout` profiles another revision, for a
before and after: `git worktree add FOLDER REVISION`.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(PROJECT := Path(__file__).resolve().parents[1]))

from benchmarks import measure
from benchmarks.flow import environment_in, running_server


def read_task_runs(environment: dict[str, str], since: datetime) -> list[Any]:
    """Return the task runs that began since then, as the home's database has them, in the order of their start."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = TaskRunFilter.model_validate({"start_time": {"after_": since}})
    with (
        running_server(environment) as served,
        temporary_settings({PREFECT_API_URL: served["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        return sorted(client.read_task_runs(task_run_filter=wanted), key=lambda task: task.start_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="as of flows/train.py")
    parser.add_argument("--models", help="as of flows/train.py")
    parser.add_argument("--checkout", type=Path, default=PROJECT, help="of the revision to profile")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    train = [sys.executable, str(checkout / "flows" / "train.py"), "--source", options.source]
    train += ["--models", options.models] if options.models else []
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        environment = environment_in(Path(name)) | {"PYTHONPATH": str(checkout)}
        measure.run(train, environment)
        started = time.time()
        seconds = measure.run([*train, "--refresh"], environment).seconds
        tasks = [
            (task.name, task.start_time.timestamp() - started, task.end_time.timestamp() - started)
            for task in read_task_runs(environment, datetime.fromtimestamp(started, UTC))
        ]
    for task, begin, end in tasks:
        print(f"{begin:7.2f} to {end:6.2f}: {end - begin:6.2f} s  {task}")
    searches = [(begin, end) for task, begin, end in tasks if task.startswith("search")]
    marks = [0, tasks[0][1], searches[0][0], max(end for _, end in searches), max(end for *_, end in tasks), seconds]
    phases = ("start", "until the searches", "searches", "after them", "end")
    for phase, begin, end in zip(phases, marks, marks[1:], strict=False):
        print(f"{phase:18}: {end - begin:5.1f} s")
    print(f"{'all':18}: {seconds:5.1f} s")


if __name__ == "__main__":
    main()
