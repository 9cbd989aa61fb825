"""The process that writes a run: its name, and whether it has ended."""

import os
import platform


def this_process() -> str:
    """Return the name of this process, as `machine:number`."""
    return f"{platform.node()}:{os.getpid()}"


def has_ended(process: str) -> bool:
    """Return whether a process belonged to this machine and no longer exists."""
    machine, _, number = process.rpartition(":")
    if machine != platform.node() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)  # signal 0 checks for existence only
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
