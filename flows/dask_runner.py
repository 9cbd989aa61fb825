"""Prefect's runner for Dask, where a training uses a cluster: the only module that imports prefect_dask."""

import signal
from multiprocessing import resource_tracker
from typing import Any

import distributed
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect_dask import DaskTaskRunner

from flows.thread_runner import Threads
from networksecurity.exceptions import ClusterUnavailableError, ConfigurationError


class Cluster(DaskTaskRunner):
    """Cached tasks on the workers of a Dask cluster, the others in threads of this process.

    The cached ones compute from what is stored. So a worker needs the storage, and none of the credentials of MLflow or
    MongoDB. (A tag would tell them apart too, but Prefect asks its server for a slot for each tag of each task.)
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
        self._connect()  # at the first task of any kind: known before anything is computed
        if task.persist_result and (run := FlowRunContext.get()):
            # The workers are told of the server of this run, which may be one that was started for this run alone.
            with temporary_settings({PREFECT_API_URL: str(run.client.api_url)}):
                return super().submit(task, parameters, *args, **kwargs)
        return self._threads.submit(task, parameters, *args, **kwargs)

    def _connect(self) -> None:
        if self.address and not get_current_settings().ui_url:  # one that was started for this run alone has no pages
            raise ConfigurationError(
                "DASK_ADDRESS is set and PREFECT_API_URL is not: the workers of a cluster report to a Prefect server "
                "that all of them can reach; `prefect server start` starts one"
            )
        # Ctrl-C reaches every process of the terminal. The workers inherit this thread's mask: the flow ends them.
        # Python starts this helper with the first of them, and would unblock the signal then.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            _ = self.client
        except OSError as exc:
            raise ClusterUnavailableError(
                f"the Dask scheduler at {self.address} cannot be reached: {exc}; start one with "
                "`python -m dask scheduler`, or correct DASK_ADDRESS"
            ) from exc
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> "Cluster":
        """Start the threads; the cluster is met at the first task."""
        super().__enter__()
        self._threads = self._exit_stack.enter_context(Threads())
        return self
