"""The end of a process whose parent has ended, however it was ended: SIGKILL lets a parent end nobody."""

import os
import time
from threading import Thread

_SECONDS_BETWEEN_LOOKS = 1.0


def end_with_parent() -> None:
    """End this process at once, without cleaning up, within about a second of the end of the one that started it.

    For processes that keep nothing of their own: a pool's workers, the Prefect server of a single run. Linux could send
    a signal instead (`PR_SET_PDEATHSIG`), but does so already when the *thread* that started the process ends.
    """
    Thread(target=_watch, args=[os.getppid()], name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
