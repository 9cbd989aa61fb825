"""Processes of ours: they end with their parent, leave Ctrl-C and its secrets to it, and wait for each other."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, current_thread, main_thread

_SECONDS_BETWEEN_LOOKS = 1.0


def end_with_parent(parent: int) -> None:
    """End this process at once, without cleaning up, within about a second of the end of the one that started it.

    `parent` is that one's process ID, which it must tell: it may end before this process could ask for it.

    For processes that keep nothing of their own: a pool's workers, the Prefect server of a single run. Linux could send
    a signal instead (`PR_SET_PDEATHSIG`), but does so already when the *thread* that started the process ends.
    """
    after_parent(lambda: os._exit(1), parent)


def after_parent(action: Callable[[], object], parent: int | None = None) -> None:
    """Call a function in a thread of its own, within about a second of the end of the process that started this one.

    `parent` is that one's process ID; without it, it is taken to be still alive.
    """
    Thread(target=_watch, args=[parent or os.getppid(), action], name="parent", daemon=True).start()


def _watch(parent: int, action: Callable[[], object]) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    action()


@contextmanager
def children_deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that this thread starts ignore Ctrl-C, which reaches all of a terminal's: ours ends them.

    In the main thread, which has to hear of it, nothing changes.
    """
    if current_thread() is main_thread():
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else a pool starts it, which lifts the block
    with ctrl_c_blocked():
        yield


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and for good in the processes that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def hidden_from_children(names: Iterable[str]) -> Iterator[None]:
    """Take variables out of the environment while processes start that would inherit them.

    They are gone for this process too: no other thread may read them meanwhile.
    """
    hidden = {name: os.environ.pop(name) for name in list(names)}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let other processes that want to be alone in a folder wait until the context ends."""
    import fcntl

    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
