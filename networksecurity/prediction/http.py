"""HTTP as uvicorn reads it with httptools, and what one client may take of the service: bytes, time and connections."""

import time
from asyncio import AbstractEventLoop, BaseTransport, TimerHandle
from collections import defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 65_536
"""Bytes. The limit of h11, uvicorn's other parser, which takes a third of a millisecond more for each request."""
MOST_REFUSED = 200
"""Connections that may be told at a time that there are too many; more are closed without a word."""
_TO_BE_REFUSED = 1.0
"""Seconds that a connection has to ask something, to be told that there are too many."""
_MAY_BE_LATE = 1.0
"""Seconds for which a connection that has not sent a whole head keeps its place when another wants it."""
_BETWEEN_CHECKS = 0.5


@dataclass
class Limits:
    """The connections of a process, and how many there may be.

    A connection that has sent no whole head for a second gives its place to a new one: those who open connections and
    say nothing cannot keep others out.
    """

    seconds: float
    """In which a head has to arrive, then the body, and in which an answer is taken."""
    per_client: int
    """Connections of one address."""
    total: int
    """Connections of all; each may hold one body in memory."""
    _of: dict[str, list["LimitedHttp"]] = field(default_factory=lambda: defaultdict(list))
    _open: list["LimitedHttp"] = field(default_factory=list)
    _refused: list["LimitedHttp"] = field(default_factory=list)
    _check: TimerHandle | None = None

    def admit(self, connection: "LimitedHttp", loop: AbstractEventLoop) -> int | None:
        """Take a new connection; return the status that it is refused with, None if it is not."""
        mine = self._of[connection.address]
        status = None
        if len(mine) >= self.per_client and not _make_room(mine):
            status = 429
        elif len(self._open) >= self.total and not _make_room(self._open):
            status = 503
        if status is None:
            mine.append(connection)
            self._open.append(connection)
        else:
            self._refused.append(connection)
            if len(self._refused) > MOST_REFUSED:
                connection.transport.abort()
        if self._check is None:
            self._check = loop.call_later(_BETWEEN_CHECKS, self._end_late_ones, loop)
        return status

    def forget(self, connection: "LimitedHttp") -> None:
        """Give up the place of a connection that is lost; done twice, it changes nothing."""
        for connections in (self._of[connection.address], self._open, self._refused):
            if connection in connections:
                connections.remove(connection)
        if not self._of[connection.address]:
            del self._of[connection.address]

    def _end_late_ones(self, loop: AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in (*self._open, *self._refused):
            if connection.due <= now:
                connection.end_late()
        more = self._open or self._refused
        self._check = loop.call_later(_BETWEEN_CHECKS, self._end_late_ones, loop) if more else None


def _make_room(connections: list["LimitedHttp"]) -> bool:
    """End the oldest connection that has not sent a whole head and had time to; return whether there was one."""
    before = time.monotonic() - _MAY_BE_LATE
    silent = next((connection for connection in connections if connection.silent_since <= before), None)
    if silent is not None:
        silent.transport.abort()
        silent.limits.forget(silent)
    return silent is not None


class LimitedHttp(HttpToolsProtocol):
    """A connection that ends when its head is too long or late, its body is late, or nobody takes the answer."""

    limits: Limits
    """Of all connections of this class: see `limited`."""
    due = inf
    """When the connection ends unless more has come, in seconds of the monotonic clock."""
    silent_since = inf
    """Since when it owes the head of a request."""
    _kept = 0
    _refusal: int | None = None

    @property
    def address(self) -> str:
        """Whose connection it is."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: BaseTransport) -> None:  # type: ignore[override]
        """Begin to wait for the head of the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._refusal = self.limits.admit(self, self.loop)
        self._await_head()
        if self._refusal:
            self.due = self.silent_since + _TO_BE_REFUSED

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the place."""
        self.limits.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, unless it makes a head too long."""
        self._kept += len(data)
        super().data_received(data)
        if self._kept > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of the request has more than {LONGEST_HEAD} bytes.")
        if self.due == inf and self.cycle.response_complete:  # the next request has begun
            self._await_head()

    def on_headers_complete(self) -> None:
        """Begin to wait for the body, and to count anew; refuse what is too much."""
        self._kept = 0
        self.silent_since = inf
        if self._refusal:
            self.refuse(self._refusal)
            return
        self.due = time.monotonic() + self.limits.seconds
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Begin to count anew."""
        self._kept = 0
        if not self._refusal:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count anew; the answer takes the time that it takes."""
        self._kept = 0
        if not self._refusal:
            self.due = inf
            super().on_message_complete()

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not take its answer."""
        self.due = time.monotonic() + self.limits.seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        """Wait no longer."""
        self.due = inf
        super().resume_writing()

    def end_late(self) -> None:
        """End a connection that owes something; say so, unless its answer has begun."""
        if self._refusal or (self.cycle and self.cycle.response_started and not self.cycle.response_complete):
            self.transport.abort()
        else:
            self.refuse(408)
        self.due = time.monotonic() + self.limits.seconds  # to take that answer

    def refuse(self, status: int) -> None:
        """Answer without asking the application, and end the connection."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        reason = HTTPStatus(status).phrase.encode()
        again = b"" if status == 408 else b"retry-after: 1\r\n"
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n%bconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, reason, again, len(reason) + 13, b'{"detail":"%b"}' % reason)
        )
        self.transport.close()

    def _await_head(self) -> None:
        self.silent_since = time.monotonic()
        self.due = self.silent_since + self.limits.seconds


def limited(limits: Limits) -> type[LimitedHttp]:
    """Return the class of the connections that share some limits."""
    return type("LimitedHttp", (LimitedHttp,), {"limits": limits})
