"""The processes that serve: one, or workers that share a port; their log, and the line that says where they answer.

The only module that runs uvicorn. What a worker needs is imported in the worker: whoever looks after workers stays
small.
"""

import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from networksecurity.exceptions import ConfigurationError, NetworkSecurityException, TransientError
from networksecurity.parent import hidden_from_children
from networksecurity.settings import Settings, may_be_secret, variable_of

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 100
"""At once in a process; others get a 503."""
_LONGEST_END = 30
"""Seconds that requests in flight have to finish when the service ends."""
_PAUSE = 1.0
"""Seconds until another worker takes the place of one that ended: one that cannot start must not keep us busy."""

Report = Callable[[str | None], None]
"""Hears from a process, again and again, why it has no model to answer with; None if it has one."""


def serve(settings: Settings, host: str, port: int, workers: int = 1) -> None:
    """Serve the champion until SIGTERM, or Ctrl-C, which is raised; requests in flight are finished first.

    Parameters
    ----------
    port : int
        0 takes a free one.
    workers : int, default=1
        Processes that answer. One is this process; several are looked after by it, replaced when they end, and end
        with it, even if it is killed.

    Raises
    ------
    ConfigurationError
        The port is not available, or a setting of the tracking server is wrong.
    TrackingError
        The tracking server refuses us. The service waits for one that is down or has no champion yet.
    """
    with _listen(host, port) as listener:
        _log_as_json()
        if settings.serve_token is None and host not in {"127.0.0.1", "::1", "localhost"}:
            _log.warning("anyone who can reach %s gets predictions: set NETWORKSECURITY_SERVE_TOKEN", host)
        shown = f"[{host}]" if ":" in host else host
        announcement = Announcement(f"http://{shown}:{listener.getsockname()[1]}", workers)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if workers == 1:
            _answer(settings, listener, lambda problem: announcement.hear(0, problem))
        else:
            _look_after(workers, settings, listener, announcement)


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).partition(" (")[0]
        raise ConfigurationError(
            f"{host} port {port} is not available ({reason}): name another, --host, --port"
        ) from None
    # Inherited by connections; asyncio sets it only on sockets of its own. Without it the body of an answer waits 40 ms
    # until the client acknowledges the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Announcement:
    """Prints where the service answers once all its processes do, and before, once, what they wait for.

    Examples
    --------
    >>> announcement = Announcement("http://127.0.0.1:8000", 2)
    >>> announcement.hear(0, "no version is the champion")
    >>> announcement.hear(1, None)
    No model yet for http://127.0.0.1:8000, until Ctrl-C: no version is the champion
    >>> announcement.hear(0, None)
    Serving on http://127.0.0.1:8000, until Ctrl-C
    """

    def __init__(self, url: str, n_processes: int) -> None:
        self._url = url
        self._n_processes = n_processes
        self._problems: dict[int, str | None] = {}
        self._said_waiting = False
        self.made = False

    def hear(self, process: int, problem: str | None) -> None:
        """Take what a process reports: why it has no model to answer with, None if it has one."""
        self._problems[process] = problem
        if self.made or len(self._problems) < self._n_processes:
            return
        problem = next(filter(None, self._problems.values()), None)
        if problem is None:
            print(f"Serving on {self._url}, until Ctrl-C", flush=True)
            self.made = True
        elif not self._said_waiting:
            print(f"No model yet for {self._url}, until Ctrl-C: {problem}", flush=True)
            self._said_waiting = True


# --- A process that answers -------------------------------------------------------------------------------------------


def _answer(settings: Settings, listener: socket.socket, report: Report, n_processes: int = 1) -> None:
    """Answer what arrives at `listener`, with this process's share of the cores."""
    gc.disable()  # a fifth of the time until it is ready; what was made until then stays, and is never searched again
    import uvicorn
    from threadpoolctl import threadpool_limits

    from networksecurity.prediction.http import Limits, limited
    from networksecurity.prediction.service import create_app
    from networksecurity.tracking.server import connect
    from networksecurity.training.search import available_cores

    threadpool_limits(1)  # some rows are scored by the thread of the event loop
    settings = settings.model_copy(update={"cores": max(1, available_cores(settings.cores) // n_processes)})
    with suppress(TransientError):  # reported by ModelInUse, which tries again
        connect(settings)

    def checked(problem: str | None) -> None:
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        report(problem)

    app = create_app(settings, checked)
    if n_processes > 1:  # others answer meanwhile: this one takes no request before it can
        app.state.model_in_use.refresh()
    config = uvicorn.Config(
        app,
        http=limited(Limits(settings.serve_timeout, settings.serve_connections_per_client, _MOST_CONNECTIONS)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LONGEST_END,
    )
    # It finishes the requests in flight, then raises the signal again with the handler that it found.
    uvicorn.Server(config).run(sockets=[listener])


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("networksecurity").setLevel(logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # silences its retries


class JsonLines(logging.Formatter):
    """One line of JSON per record; an exception by type and place only, for its text may hold values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname}
        line |= getattr(record, "request", None) or {"message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = type(record.exc_info[1]).__name__
            line["traceback"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line)


# --- Workers ----------------------------------------------------------------------------------------------------------


def _look_after(n_workers: int, settings: Settings, listener: socket.socket, announcement: Announcement) -> None:
    """Keep workers running; raise what prevents the first ones from starting."""
    # A fork server imports everything once, and its forks share that memory. On macOS, forks of such a process crash.
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload(["networksecurity.prediction.service"])

    def start() -> tuple[Connection, BaseProcess]:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(settings, listener, theirs, n_workers))
        with hidden_from_children(_of_no_use()):
            process.start()
        theirs.close()  # ours reports the worker's end when the worker's own is closed
        return ours, process

    with hidden_from_children(filter(may_be_secret, os.environ)):  # it notes what processes share, and needs none
        resource_tracker.ensure_running()
    workers: dict[int, tuple[Connection, BaseProcess]] = {}
    try:
        workers |= {number: start() for number in range(n_workers)}
        while True:
            heard_from = wait([pipe for pipe, _ in workers.values()])
            for number, (pipe, process) in list(workers.items()):
                if pipe not in heard_from:
                    continue
                try:
                    said = pipe.recv()
                except EOFError:
                    pipe.close()
                    process.join()
                    _log.error("a worker ended with exit code %s: another takes its place", process.exitcode)
                    time.sleep(_PAUSE)
                    workers[number] = start()
                    continue
                if not isinstance(said, NetworkSecurityException):
                    announcement.hear(number, said)
                elif not announcement.made:
                    raise said
                else:
                    _log.error("%s", said)
    finally:
        for _, process in workers.values():
            process.terminate()
        ended = time.monotonic() + _LONGEST_END + 5
        for _, process in workers.values():
            process.join(max(0.0, ended - time.monotonic()))
            process.kill()


def _of_no_use() -> Iterator[str]:
    """Yield the variables with secrets that a worker does without: it is handed the settings, and has no Prefect.

    MLflow reads a token, and a store of its files any other, from the environment alone.
    """
    ours = {variable_of(field) for field in Settings.model_fields}
    yield from (name for name in os.environ if may_be_secret(name) and (name in ours or name.startswith("PREFECT_")))


def _work(settings: Settings, listener: socket.socket, pipe: Connection, n_workers: int) -> None:
    """Answer as one of several; the process that looks after us ends us, also by its own end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    _log_as_json()

    def report(said: str | NetworkSecurityException | None) -> None:
        with suppress(BrokenPipeError):  # nobody listens any more: we are about to end
            pipe.send(said)

    try:
        _answer(settings, listener, report, n_workers)
    except NetworkSecurityException as exc:
        report(exc)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
