"""Prefect's runner for a Dask cluster; the only module that imports prefect_dask."""

import os
import sys
from multiprocessing import resource_tracker
from typing import Any

import dask
import distributed
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect_dask import DaskTaskRunner

from networksecurity.exceptions import ClusterUnavailableError, ConfigurationError
from networksecurity.parent import ctrl_c_blocked, hidden_from_children
from networksecurity.settings import may_be_secret, settings

from .thread_runner import Threads

_OF_SERVERS = ("MONGODB_", "MLFLOW_", "DAGSHUB_", "NETWORKSECURITY_")


def _is_of_no_use(name: str) -> bool:
    """Return whether a variable may hold a secret that a worker does without.

    A worker reports to Prefect, and reads a storage elsewhere with whatever credentials its kind takes.
    """
    if not may_be_secret(name) or name.startswith("PREFECT_"):
        return False
    storage = settings().storage
    return "://" not in storage or storage.startswith("file:") or name.startswith(_OF_SERVERS)


class Cluster(DaskTaskRunner):
    """Cached tasks on the workers of a Dask cluster, the others in threads of this process.

    The cached ones compute from stored data: a worker needs the storage, but no credentials of MLflow or MongoDB. (A
    tag would tell them apart too, but Prefect requests a slot from its server for each tag of each task.)
    """

    @classmethod
    def at(cls, address: str | None, timeout: float, cores: int) -> "Cluster":
        """Return the runner for a scheduler's address, or for a cluster of its own on this machine.

        Parameters
        ----------
        address : str or None
        timeout : float
            Seconds to wait for the scheduler.
        cores : int
            Processes of a cluster on this machine, of one thread each.
        """
        if address:
            return cls(address=address, client_kwargs={"timeout": timeout})
        local = {"n_workers": cores, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        return cls(cluster_class=distributed.LocalCluster, cluster_kwargs=local | {"memory_limit": None})

    def submit(self, task: Any, parameters: dict[str, Any], *args: Any, **kwargs: Any) -> PrefectFuture:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run a task on a worker, or in a thread."""
        self.connect()  # at the first task of any kind: a wrong address fails before anything is computed
        if task.persist_result and (run := FlowRunContext.get()):
            # The workers report to the server of this run, which may be one that was started for it alone.
            with temporary_settings({PREFECT_API_URL: str(run.client.api_url)}):
                return super().submit(task, parameters, *args, **kwargs)
        return self._threads.submit(task, parameters, *args, **kwargs)

    def connect(self) -> None:
        """Reach the scheduler, or start a cluster on this machine; nothing to do from the second time on.

        Raises
        ------
        ConfigurationError
            The workers of a cluster elsewhere would have no Prefect server to report to.
        ClusterUnavailableError
        """
        if self._is_connected:
            return
        if self.address and not get_current_settings().ui_url:  # a server started for this run alone has no pages
            raise ConfigurationError(
                "DASK_ADDRESS is set and PREFECT_API_URL is not: the workers of a cluster report to a Prefect server "
                "that all of them can reach; `prefect server start` starts one"
            )
        if sys.platform == "linux":
            # All workers are forks of one process, hence one that takes the place of another gets no secret either.
            dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
        # A worker would load the script of the flow again, which works as a part of its package only.
        vars(sys.modules["__main__"]).pop("__file__", None)
        # Ctrl-C reaches every process of the terminal. The workers inherit this thread's mask: the flow ends them.
        try:
            with ctrl_c_blocked(), hidden_from_children(filter(_is_of_no_use, os.environ)):
                # Python would start this helper with the first worker, and unblock the signal.
                resource_tracker.ensure_running()
                _ = self.client
        except OSError as exc:
            raise ClusterUnavailableError(
                f"the Dask scheduler at {self.address} cannot be reached: {exc}; start one with "
                "`python -m dask scheduler`, or correct DASK_ADDRESS"
            ) from exc
        self._is_connected = True

    def __enter__(self) -> "Cluster":
        """Start the threads; the cluster is reached at the first task."""
        self._is_connected = False
        self._threads = Threads().__enter__()
        super().__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """Leave the cluster, and end the threads."""
        try:
            super().__exit__(*exc_info)
        finally:
            self._threads.__exit__(*exc_info)
