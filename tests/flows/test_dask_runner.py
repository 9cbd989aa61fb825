"""A cluster of processes on this machine, as a training without DASK_ADDRESS starts one."""

import os
import subprocess
import sys

import pytest

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
"""
SECRETS = ["MONGODB_URI", "MLFLOW_TRACKING_TOKEN", "NETWORKSECURITY_SIGNING_KEY", "DAGSHUB_USER_TOKEN"]
OF_STORAGE, OF_PREFECT = "AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING"


@pytest.mark.parametrize("storage", ["file:///nowhere", "memory://elsewhere"])
def test_workers_get_the_secrets_of_prefect_and_of_a_storage_elsewhere_and_no_others(storage, tmp_path):
    secrets = dict.fromkeys([*SECRETS, OF_STORAGE, OF_PREFECT], "mongodb://jane:canary-of-sixteen@host")
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER],
        env=os.environ | secrets | {"NETWORKSECURITY_STORAGE": storage, "PREFECT_HOME": str(tmp_path)},
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
