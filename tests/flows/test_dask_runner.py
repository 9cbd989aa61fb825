"""A training on a cluster: one of this machine's processes, one that DASK_ADDRESS names, one that is not there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

COMMAND = [sys.executable, str(Path(__file__).resolve().parents[2] / "flows" / "train.py")]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CLUSTER = """
import os, psutil
from flows.dask_runner import Cluster

def tell():
    for one in psutil.Process().children(recursive=True):
        print(*sorted(one.environ()))

if __name__ == "__main__":
    with Cluster.at(None, 60.0, 1) as cluster:
        cluster.connect()
        (first,) = cluster.client.run(os.getpid).values()
        tell()
        worker = psutil.Process(first)
        worker.kill()
        worker.wait(60)
        while not (pids := list(cluster.client.run(os.getpid, on_error="ignore").values())) or pids == [first]:
            pass
        tell()
    print("MONGODB_URI" in os.environ)
else:  # as the script of a flow, whose imports are those of a package
    raise ImportError(__name__)
"""
PROJECT = Path(__file__).resolve().parents[2]
SECRETS = ["MONGODB_URI", "MLFLOW_TRACKING_TOKEN", "NETWORKSECURITY_SIGNING_KEY", "DAGSHUB_USER_TOKEN"]
OF_STORAGE, OF_PREFECT = "AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING"


@pytest.mark.parametrize("storage", ["file:///nowhere", "memory://elsewhere"])
def test_workers_get_the_secrets_of_prefect_and_of_a_storage_elsewhere_and_no_others(storage, tmp_path):
    secrets = dict.fromkeys([*SECRETS, OF_STORAGE, OF_PREFECT], "mongodb://jane:canary-of-sixteen@host")
    places = {"NETWORKSECURITY_STORAGE": storage, "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    script = tmp_path / "script.py"
    script.write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | secrets | places,
        capture_output=True,
        text=True,
        check=False,
    )
    *families, ours = done.stdout.splitlines()
    assert ours == "True", done.stderr
    assert len(families) >= 4, done.stdout
    for names in map(str.split, families):
        assert not set(SECRETS) & set(names)
        assert OF_PREFECT in names
        assert (OF_STORAGE in names) == storage.startswith("memory")


def grid_points(client, output):
    """Return the figures of every grid point of the training that a command has told of, but for the times."""
    (parent,) = re.search(r"/runs/(\w{32})", output).groups()
    experiment = client.get_experiment_by_name("networksecurity-grid").experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000)
    return {
        run.info.run_name: {name: of for name, of in run.data.metrics.items() if not name.endswith("time")}
        for run in found
    }


def test_a_cluster_finds_what_threads_find(served_command, environment, dask_cluster):
    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    # All models search alike on a cluster: tests/training/test_dask_backend.py.
    options = ("--source", "sample:1200", "--models", "Random Forest,Decision Tree", "--promotion", "off", "--verbose")
    on_cluster = {
        "NETWORKSECURITY_TASK_RUNNER": "dask",
        "DASK_ADDRESS": dask_cluster.address,
        "NETWORKSECURITY_STORAGE": dask_cluster.storage,
    }
    outputs = [served_command(*options), served_command(*options, **on_cluster)]
    assert [done.returncode for done in outputs] == [0, 0], [done.stderr for done in outputs]
    here, there = (grid_points(client, done.stdout) for done in outputs)
    assert here == there
    assert len(here) == 8
    assert f"Connecting to an existing Dask cluster at {dask_cluster.address}" in outputs[1].stderr
    table = [re.findall(r"^ +\d   .*?  (?=[\d.]+ s)", done.stdout, re.MULTILINE) for done in outputs]
    assert len(table[0]) == 2
    assert table[0] == table[1]


def test_a_cluster_that_is_not_there_is_said_in_one_line(command, served_command, closed_port):
    address = f"tcp://127.0.0.1:{closed_port}"
    wrong = {"NETWORKSECURITY_TASK_RUNNER": "dask", "DASK_ADDRESS": address, "NETWORKSECURITY_DASK_TIMEOUT": "1"}
    for run, message in (
        (served_command, f"error: the Dask scheduler at {address} cannot be reached: .*; start one with .*"),
        (command, "error: DASK_ADDRESS is set and PREFECT_API_URL is not: .*"),
    ):
        done = run(**wrong)
        assert done.returncode == 1
        assert re.search(f"^{message}$", done.stderr, re.MULTILINE), done.stderr
        assert "Traceback" not in done.stderr
