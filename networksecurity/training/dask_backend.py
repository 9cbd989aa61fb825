"""Runs the fits of a search on all workers of a Dask cluster; the search itself is a task of one worker.

This is a joblib backend, and GridSearchCV needs no change. joblib's own Dask backend was considered: this one runs each
fit on one thread instead of turning its trees into tasks, raises if a worker dies instead of waiting forever, and gives
up if nobody waits for the search any more. Dask is an extra, and imported when it is used.
"""

import contextvars
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase
from threadpoolctl import threadpool_limits

from networksecurity.exceptions import SearchAbandonedError

_ALL_AT_ONCE = 100_000
"""Fits handed to the scheduler at a time. It knows the workers, and those that join later get their share."""


def is_worker() -> bool:
    """Return whether this thread runs a task of a Dask worker."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


class ClusterBackend(ParallelBackendBase):
    """joblib's backend for a search that is a task of a Dask worker.

    Parameters
    ----------
    on_fit : callable
        Called after each fit, from another thread.
    """

    supports_retrieve_callback = True

    def __init__(self, on_fit: Callable[[], None]) -> None:
        from distributed import get_client, get_worker

        super().__init__(nesting_level=0)
        worker = get_worker()
        self._client = _outside(get_client)
        self._task = worker.state.tasks[worker.get_current_task()]
        self._on_fit = on_fit
        self._scattered: dict[int, tuple[np.ndarray, Any]] = {}
        self._fits: list[Any] = []

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # noqa: ARG002 (joblib's interface)
        """Return how many fits are handed out at a time."""
        return _ALL_AT_ONCE

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
        """Hand a fit to the scheduler; its rows travel once, from worker to worker."""
        ((function, arguments, options),) = func.items
        arguments = [self._scatter(argument) for argument in arguments]
        options = {name: self._scatter(option) for name, option in options.items()}
        fit = _outside(self._client.submit, _on_one_thread, function, *arguments, pure=False, **options)
        self._fits.append(fit)
        _outside(fit.add_done_callback, callback)
        return fit

    def retrieve_result_callback(self, out: Any) -> list[Any]:
        """Return the result of a fit; raise its error, or SearchAbandonedError if nobody waits for the search."""
        if self._task.state == "cancelled":
            raise SearchAbandonedError("nobody waits for this search any more")
        result = out.result()
        self._on_fit()
        return [result]

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002
        """Cancel the fits that no worker has begun."""
        if self._client.status == "running":  # else the worker itself is ending
            _outside(self._client.cancel, self._fits)

    def terminate(self) -> None:
        """Release what the cluster holds for this search."""
        self._fits.clear()
        self._scattered.clear()

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Give this thread's slot on the worker to the fits while the search waits for them."""
        from distributed import rejoin, secede

        _outside(secede)
        try:
            yield
        finally:
            _outside(rejoin)

    def _scatter(self, argument: Any) -> Any:
        if not isinstance(argument, np.ndarray):
            return argument
        # By identity: keys by content would be shared, and released, between searches.
        if id(argument) not in self._scattered:
            self._scattered[id(argument)] = argument, _outside(self._client.scatter, argument, hash=False)
        return self._scattered[id(argument)][1]


def _outside(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call Dask with nothing but its own variable of this thread's context.

    The worker's loop would pass the rest on to later tasks, including a caller's open connections.
    """
    context = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        if variable.name == "_worker_cvar":  # marks a thread of a worker for Dask
            context.run(variable.set, value)
    return context.run(function, *arguments, **options)


def _on_one_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with threadpool_limits(1), parallel_config(backend="sequential"):
        return function(*arguments, **options)
