"""The threads in which a run's tasks run, and how they end if the run ends first."""

from threading import Thread
from typing import Any

from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from .ending import call_off, end_soon

_SECONDS_TO_END = 10


class Threads(TaskRunner[PrefectConcurrentFuture[Any]]):
    """Prefect's threads, which end with the process if they still compute when the run is over.

    A thread cannot be killed. We wait briefly so the run can record its final state, then exit the process.
    """

    def __init__(self, max_workers: int = 16) -> None:
        super().__init__()
        self._max_workers = max_workers
        self._pool = ThreadPoolTaskRunner(max_workers)
        self._is_open = False

    def duplicate(self) -> "Threads":
        """Return a runner for another run."""
        return Threads(self._max_workers)

    def submit(self, *args: Any, **kwargs: Any) -> PrefectConcurrentFuture[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run a task in a thread."""
        return self._pool.submit(*args, **kwargs)

    def cancel_all(self) -> None:
        """Start no more tasks, and wait briefly for those that run."""
        if not self._is_open:
            return
        self._is_open = False
        ending = Thread(target=self._pool.cancel_all, daemon=True)  # it waits for the threads without limit
        ending.start()
        ending.join(_SECONDS_TO_END)
        if ending.is_alive():
            end_soon(_SECONDS_TO_END)
        else:
            call_off()

    def __enter__(self) -> "Threads":
        """Start the threads."""
        super().__enter__()
        self._pool.__enter__()
        self._is_open = True
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """End the threads."""
        self.cancel_all()
        super().__exit__(*exc_info)
