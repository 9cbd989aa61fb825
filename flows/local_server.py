"""The Prefect server of a single run: started before the slow imports, ended with the process.

Prefect can start one by itself, but first imports its whole server into our process, for seconds. Here the server is
the first process to start and comes up beside the flow's imports: `python -m` this module, with the number of an open
SOCKET, LOG and the run's process ID. If a Prefect profile names another server, that process finds out and exits.
"""

import atexit
import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from networksecurity.exceptions import ConfigurationError, NetworkSecurityException
from networksecurity.parent import alone_in, ctrl_c_blocked, end_with_parent
from networksecurity.settings import without_secrets

from .ending import before_the_end

LOG = "server-of-single-runs.log"
"""File in Prefect's home for what the server prints: ended in the middle of its work, it prints tracebacks."""


@contextmanager
def local_server() -> Iterator[Callable[[], None]]:
    """Start a Prefect server for this process unless one is configured; give what waits until it answers."""
    if os.environ.get("PREFECT_API_URL"):
        yield lambda: None
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:  # handed over open: nobody else can take its port
        port = listening.getsockname()[1]
        server = _start(listening.fileno())

    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

    settings = get_current_settings()
    if settings.api.url:
        yield lambda: None
        return
    if not settings.server.ephemeral.enabled:
        raise ConfigurationError(
            "there is no Prefect server: set PREFECT_API_URL to a running one, or let a run start its own "
            "(PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=true)"
        )
    os.environ |= {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_UI_URL": ""}  # it has no pages
    refresh_global_settings_context()
    timeout, log = settings.server.ephemeral.startup_timeout_seconds, settings.home / LOG
    # The server ends with the run, so nobody would miss its heartbeats; without them it ends up to a second earlier.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield lambda: wait_for_server(server, port, timeout, log)


def _start(listening: int) -> subprocess.Popen:
    # The same folders in the same order: another one may hold something else of this package's name.
    path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
    command = [sys.executable, "-P", "-m", f"{__package__}.local_server", str(listening), LOG, str(os.getpid())]
    # Ctrl-C reaches every process of the terminal. The server inherits this mask and lives on: Prefect records how the
    # run ended before we end the server.
    with ctrl_c_blocked():
        server = subprocess.Popen(  # noqa: S603 (this interpreter, a fixed command)
            command,
            pass_fds=[listening],
            env=without_secrets(os.environ, but="PREFECT_") | {"PREFECT_UI_ENABLED": "0", "PYTHONPATH": path},
            # What is wrong with Prefect's settings is said by this process; the server has a log for the rest.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    before_the_end(partial(end_server, server))
    atexit.register(end_server, server)  # runs after what Prefect registers later, and sends to the server
    return server


def wait_for_server(server: subprocess.Popen, port: int, timeout: float, log: Path) -> None:
    """Return as soon as the server answers.

    Raises
    ------
    NetworkSecurityException
        It ended, or did not answer within `timeout` seconds.
    """
    import httpx

    started = time.monotonic()
    # One client: each takes 20 ms to make, which the server lacks. The question waits, and is reset if the server ends.
    with httpx.Client(timeout=timeout) as client:
        while time.monotonic() - started < timeout and server.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(f"http://127.0.0.1:{port}/api/health").is_success:
                    return
            time.sleep(0.05)
    found = f"ended with {server.returncode}" if server.returncode is not None else f"did not answer within {timeout} s"
    raise NetworkSecurityException(
        f"Prefect's server did not start, see {log}: at 127.0.0.1:{port} it {found}. Set PREFECT_API_URL to a running "
        "server, or allow more time with PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
    )


def end_server(server: subprocess.Popen) -> None:
    """End the server, by force after 5 s."""
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def serve(listening: int, log_name: str, parent: int) -> None:
    """Run Prefect's server in this process, as long as its parent lives, unless Prefect's settings name another."""
    end_with_parent(parent)
    gc.disable()  # as in `flows.launch`
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return
    with (settings.home / log_name).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    import uvicorn
    from prefect.server.api.server import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            # Two that make or migrate the tables of one database at once break it.
            with alone_in(settings.home):
                await super().startup(sockets)

    app = partial(create_app, ephemeral=True, final=True)
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(app, factory=True, log_level="error", lifespan="on")
    Server(config).run([socket.socket(fileno=listening)])


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
