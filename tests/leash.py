"""Ways to make a process end with this one: else a test run that is killed leaves a server behind."""

import shutil
import subprocess
from contextlib import contextmanager

import psutil

LEASH = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
"""The beginning of a command that ends with us."""


@contextmanager
def leashed_children():
    """Yield a function that ties the children started since: they end with us, even if we are killed.

    For children that a library starts. A shell beside them waits until our end of its pipe is closed.
    """
    before = set(psutil.Process().children())
    shells = []

    def tie():
        pids = [str(child.pid) for child in psutil.Process().children() if child not in before]
        shells.append(subprocess.Popen(["sh", "-c", 'read -r _; kill "$@"', "sh", *pids], stdin=subprocess.PIPE))

    try:
        yield tie
    finally:
        for shell in shells:
            shell.kill()
            shell.communicate()
