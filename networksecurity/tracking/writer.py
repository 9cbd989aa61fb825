"""The process that writes a run: its name, and whether it has ended."""

import os
import platform

import psutil


def this_process() -> str:
    """Return the name of this process, as `machine:number`."""
    return f"{platform.node()}:{os.getpid()}"


def has_ended(process: str) -> bool:
    """Return whether a process belonged to this machine and no longer exists."""
    machine, _, number = process.rpartition(":")
    return machine == platform.node() and number.isdigit() and not psutil.pid_exists(int(number))
