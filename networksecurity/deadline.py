"""A limit for calls that may never return."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_T = TypeVar("_T")


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns; raise TimeoutError a second after its sockets' limit of `seconds`.

    A socket's limit applies to one address and does not cover name resolution, which can take a minute. If a library
    wrapped an error of the operating system, the original is raised.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as exc:  # noqa: BLE001 (`result` raises it)
            root = exc
            while inner := root.__cause__ or root.__context__:
                root = inner
            outcome.set_exception(root if isinstance(root, OSError) else exc)

    Thread(target=run, daemon=True).start()  # a daemon, because the process must not wait for it at its end
    try:
        return outcome.result(seconds + 1)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
