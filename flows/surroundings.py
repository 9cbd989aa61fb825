"""What surrounds a command: proxies, a terminal that cannot show every sign, a reader that stops reading."""

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from io import TextIOWrapper

from rich.console import Console

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Keep what goes to this machine itself away from the proxies of an environment.

    Examples
    --------
    >>> environment = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "intranet"}
    >>> bypass_proxies(environment)
    >>> environment["NO_PROXY"]
    'intranet,127.0.0.1,localhost,::1'
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environment):
        return
    kept = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in kept.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in _LOOPBACK if name not in names]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(names)


def show_what_can_be_shown() -> None:
    """Print `?` for signs that a stream cannot show, instead of losing the report to an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


class ReportConsole(Console):
    """A console that leaves it to `while_somebody_reads` what a reader means that stops reading; rich's own exits."""

    def on_broken_pipe(self) -> None:
        """Raise the error again."""
        raise BrokenPipeError


@contextmanager
def while_somebody_reads() -> Iterator[None]:
    """End the output without an error when its reader has seen enough, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
