"""What a command says while it works: bars on a terminal, a line about every ten seconds elsewhere, and a log file.

The terminal is for what this package says and for what is wrong. The rest, a line for each task of Prefect, MLflow's
migrations and other libraries' warnings, is for `--verbose` and the log file.
"""

import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import networksecurity
from networksecurity.exceptions import NetworkSecurityException

from .ending import before_the_end

_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""
_OURS = tuple(str(Path(str(module)).resolve().parent) for module in (__file__, networksecurity.__file__))
_LOG_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s %(task_run_name)s: %(message)s"


@dataclass(frozen=True)
class Work:
    """One of several things that a step does at the same time."""

    done: int
    total: int | None = None
    """None if it is not known."""
    note: str = ""
    """How good it is so far."""

    @property
    def is_over(self) -> bool:
        """Whether all of it is done."""
        return self.total is not None and self.done >= self.total


class Display:
    """Shows only what is said, which is warnings: for `--quiet`."""

    least_level = logging.WARNING
    """Of our own log records that are said."""

    def say(self, text: str) -> None:
        """Print a sentence that stays."""
        print(f"{text}\n", end="", file=sys.stderr, flush=True)  # at once: threads may print at the same time

    def begin(self, step: str) -> None:
        """Begin a step of the run; the one before is done."""

    def show(self, name: str, work: Work) -> None:
        """Show how far one part of the step is."""

    def close(self, *, is_done: bool) -> None:
        """End the display; what was said stays."""


class Bars(Display):
    """A live display on a terminal: one bar for each part of the step, below what was said."""

    least_level = logging.INFO

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = Progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._parts = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}{task.fields[of]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._shown: dict[str, TaskID] = {}
        self._running: tuple[TaskID, str, float] | None = None
        self._live = Live(Group(self._parts, self._step), console=console, refresh_per_second=5, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        """Print a sentence above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, step: str) -> None:
        """Say how long the step before took, and show the next."""
        self._finish()
        self._running = self._step.add_task(step), step, time.monotonic()

    def show(self, name: str, work: Work) -> None:
        """Move the bar of a part; the first call makes it."""
        if name not in self._shown:
            self._shown[name] = self._parts.add_task(name, total=work.total, of="", note="", left="")
        of = "" if work.total is None else f"/{work.total:,}"
        left = "" if work.is_over or work.total is None else "left"
        self._parts.update(
            self._shown[name], completed=work.done, total=work.total, of=of, note=work.note, left=left, refresh=False
        )

    def close(self, *, is_done: bool) -> None:
        """Take the bars away."""
        if is_done:
            self._finish()
        self._live.stop()

    def _finish(self) -> None:
        if self._running is not None:
            task, step, began = self._running
            self._step.remove_task(task)
            self.say(f"✓ {step}  {time.monotonic() - began:.1f} s")
            self._running = None
        while self._shown:
            self._parts.remove_task(self._shown.popitem()[1])


class Lines(Display):
    """A line for each step, and one about every ten seconds: for files, logs and `--verbose`."""

    least_level = logging.INFO

    def __init__(self, every: float = _EVERY) -> None:
        self._step = ""
        self._parts: dict[str, Work] = {}
        self._closed = Event()
        self._every = every
        self._last = time.monotonic()
        Thread(target=self._tick, daemon=True).start()

    def say(self, text: str) -> None:
        """Print a sentence with the time of day."""
        self._last = time.monotonic()
        super().say(f"{time.strftime('%H:%M:%S')} {text}")

    def begin(self, step: str) -> None:
        """Say which step begins."""
        self._parts = {}
        self._step = step
        self.say(f"{step} …")

    def show(self, name: str, work: Work) -> None:
        """Keep how far a part is for the next line."""
        self._parts[name] = work

    def close(self, *, is_done: bool) -> None:  # noqa: ARG002 (each step was said when it began)
        """Say nothing more."""
        self._closed.set()

    def _tick(self) -> None:
        while not self._closed.wait(max(0.01, self._last + self._every - time.monotonic())):
            if self._step and time.monotonic() >= self._last + self._every:
                self.say(f"{self._step}: {self._state() or 'still running'}")

    def _state(self) -> str:
        parts = [(name, work) for name, work in list(self._parts.items()) if not work.is_over]
        return "; ".join(
            " ".join(filter(None, (name, f"{work.done:,}" + (f"/{work.total:,}" if work.total else ""), work.note)))
            for name, work in parts
        )


_display: ContextVar[Display | None] = ContextVar("display", default=None)


@contextmanager
def display(*, quiet: bool, verbose: bool) -> Iterator[Display]:
    """Open the display of a command; what runs in this context shows itself there."""
    console = Console(stderr=True)
    if quiet:
        opened: Display = Display()
    elif console.is_terminal and not verbose:
        opened = Bars(console)
    else:
        opened = Lines()
    before_the_end(partial(opened.close, is_done=False))  # a terminal shows its cursor again
    token, is_done = _display.set(opened), False
    try:
        yield opened
        is_done = True
    finally:
        _display.reset(token)
        opened.close(is_done=is_done)


def begin(step: str) -> None:
    """Begin a step of the run; without a display, as in a worker, nothing is shown."""
    if shown := _display.get():
        shown.begin(step)


def show(name: str, work: Work) -> None:
    """Show how far one part of the step is."""
    if shown := _display.get():
        shown.show(name, work)


def take_over(shown: Display, logs: Path, *, verbose: bool) -> None:
    """Write all that libraries log to a file of the day, and say only what is ours or wrong, unless `verbose`.

    Called after the imports: Prefect and MLflow have set up their loggers by then.
    """
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict))):
        for handler in [of for of in logger.handlers if isinstance(of, logging.StreamHandler)]:
            if verbose:
                handler.addFilter(_is_news)
            else:
                logger.removeHandler(handler)
                logger.propagate = True
    if not verbose:
        root.addHandler(_Said(shown))
    with suppress(OSError):  # a run can do without
        logs.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(logs / time.strftime("%Y-%m-%d.log"), encoding="utf-8")
        handler.setFormatter(logging.Formatter(_LOG_FORMAT, defaults={"task_run_name": "-"}))
        root.addHandler(handler)


class _Said(logging.Handler):
    """Says what our own modules log, and what other libraries call an error."""

    def __init__(self, shown: Display) -> None:
        super().__init__()
        self._display = shown

    def emit(self, record: logging.LogRecord) -> None:
        least = self._display.least_level if record.pathname.startswith(_OURS) else logging.ERROR
        if record.levelno >= least and _is_news(record):
            self._display.say(self.format(record))


_REPORTED_AGAIN = re.compile(
    r"Finished in state (Failed|TimedOut|Pending|Crashed)\(|^Flow run failed due to timeout: |^Crash detected! "
)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether the end of a command does not report it in one line."""
    if record.exc_info and isinstance(record.exc_info[1], NetworkSecurityException):
        return False
    return not (record.name.startswith("prefect.") and _REPORTED_AGAIN.search(record.getMessage()))
