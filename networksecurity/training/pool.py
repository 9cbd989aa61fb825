"""The processes that the fits of searches share: joblib's pool, which gets no secret of ours and ends with us."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.parallel import LokyBackend, ParallelBackendBase
from threadpoolctl import threadpool_limits

from networksecurity.parent import children_deaf_to_ctrl_c, end_with_parent, hidden_from_children
from networksecurity.settings import may_be_secret

MakeBackend = Callable[[Callable[[], None]], ParallelBackendBase]
"""Makes a joblib backend that runs fits elsewhere and calls the given function after each."""


class _Pool(LokyBackend):
    """joblib's pool of processes, without what may be a secret in our environment: a fit needs none."""

    def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
        # No public way leads to the environment of the processes. A variable cannot be taken away, only emptied.
        return dict.fromkeys(filter(may_be_secret, os.environ), "") | super()._prepare_worker_env(n_jobs)


@cache
def start_trackers() -> None:
    """Start what notes the files and locks that processes share: two processes, without what may be a secret.

    They would be started with the first pool, and inherit the environment as it is. This comes before there are threads
    that read the secrets.
    """
    with hidden_from_children(filter(may_be_secret, os.environ)):
        resource_tracker.ensure_running()
        loky_tracker.ensure_running()


@contextmanager
def fitting(n_jobs: int, backend: MakeBackend | None, on_fit: Callable[[], None]) -> Iterator[None]:
    """Run fits on the backend, or in `n_jobs` processes, each with one thread of BLAS and OpenMP."""
    if backend:
        with parallel_config(backend(on_fit)):
            yield
    elif n_jobs == 1:
        with threadpool_limits(1):
            yield
    else:
        pool = _Pool(initializer=_end_with_parent)
        with children_deaf_to_ctrl_c(), parallel_config(pool, inner_max_num_threads=1):
            yield


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    end_with_parent(parent.pid)


def _processes() -> list[BaseProcess]:
    return [process for process in multiprocessing.active_children() if process.name.startswith("LokyProcess")]


def release_processes() -> None:
    """End the processes that searches share while no search is running; the next search starts new ones.

    Idle processes hold their memory for minutes, and this process cannot exit before they do.
    """
    if _processes():
        get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


def end_processes() -> None:
    """Kill the processes that searches share, and with them every search that runs in another thread.

    The pool's own shutdown can wait forever for a search that keeps handing it fits.
    """
    for process in _processes():
        if process.pid:
            with suppress(ProcessLookupError):  # it has just ended, and the pool's own thread has collected it
                os.kill(process.pid, signal.SIGKILL)
