"""Where the tasks of a training run, and how they end when it ends before them."""

import concurrent.futures
from typing import Any

from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.launch import call_off, end_soon
from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import Settings
from networksecurity.training import search

_SECONDS_TO_END = 10


class Threads(ThreadPoolTaskRunner):
    """Prefect's threads; one that goes on computing when the run is over ends with the process.

    Nothing stops a thread. So it is waited for a while only, that the run can note how it ended, and then the process
    is ended around it.
    """

    def __init__(self, max_workers: int = 16) -> None:
        super().__init__(max_workers)
        self._submitted: list[concurrent.futures.Future] = []

    def submit(self, *args: Any, **kwargs: Any) -> PrefectConcurrentFuture:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run a task in a thread."""
        future = super().submit(*args, **kwargs)
        self._submitted.append(future.wrapped_future)
        return future

    def cancel_all(self) -> None:
        """Begin no task any more, and wait a while for those that run."""
        for event in self._cancel_events.values():
            event.set()
        if self._executor is None:
            return
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None
        if concurrent.futures.wait(self._submitted, timeout=_SECONDS_TO_END).not_done:
            end_soon(_SECONDS_TO_END)
        else:
            call_off()


def make_runner(settings: Settings) -> TaskRunner[Any]:
    """Return what runs the tasks, as the settings say.

    Raises
    ------
    ConfigurationError
        Dask is wanted and not installed.
    """
    cores = search.available_cores(settings.cores)
    if settings.task_runner == "threads":
        # The fits of all searches share one pool of processes; a thread here only waits for its own. On a single core
        # there is no pool and the fits run in the thread, so one at a time.
        return Threads(1) if cores == 1 else Threads()
    try:
        from flows.dask_runner import Cluster
    except ImportError as exc:
        raise ConfigurationError(
            "NETWORKSECURITY_TASK_RUNNER is dask, which is not installed: pip install 'prefect-dask>=0.3.7,<0.4'"
        ) from exc
    return Cluster.at(settings.dask_address, settings.dask_timeout, cores)
