"""How many threads BLAS and OpenMP take beside our own: as few as make a result the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import threadpool_limits


class _OneOfBlas:
    """Holds BLAS to one thread until the last of those that asked for it is done.

    BLAS has one limit for the whole process: if each thread set and restored its own, the first to finish would lift
    those of the others, and the last digit of a sum depends on the number of threads that share it.
    """

    def __init__(self) -> None:
        self._lock, self._n_users = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_users == 0:
                self._limits = threadpool_limits(1, user_api="blas")
            self._n_users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                self._limits.restore_original_limits()


_one_of_blas = _OneOfBlas()


@contextmanager
def limited_threads(n_threads: int = 1) -> Iterator[None]:
    """Let OpenMP start at most `n_threads` from this thread, and BLAS one."""
    with _one_of_blas, threadpool_limits(n_threads, user_api="openmp"):
        yield
