"""A limit for calls that may never return."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

_T = TypeVar("_T")


def end_within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns, or raise TimeoutError after some seconds; it then goes on in a thread of its own."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as exc:  # noqa: BLE001 (`result` raises it)
            outcome.set_exception(exc)

    Thread(target=run, daemon=True).start()  # a daemon, because the process must not wait for it at its end
    wait([outcome], seconds)
    if not outcome.done():
        raise TimeoutError
    return outcome.result()


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns; raise TimeoutError a second after its sockets' limit of `seconds`.

    A socket's limit applies to one address and does not cover name resolution, which can take a minute. If a library
    wrapped an error of the operating system, the original is raised.
    """

    def unwrapped() -> _T:
        try:
            return call()
        except Exception as exc:
            root: BaseException = exc
            while inner := root.__cause__ or root.__context__:
                root = inner
            if isinstance(root, OSError):
                raise root from None
            raise

    try:
        return end_within(seconds + 1, unwrapped)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
