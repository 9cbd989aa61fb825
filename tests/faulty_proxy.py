"""A proxy before a real server that spoils one request, or all from one on."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from listening import Handler, listening

KINDS = ("cut", "lost", "truncated", "500", "503", "html", "silence", "dead")
"""Cut before the server sees it; its answer lost, or truncated; an error; a page with 200; no answer; dead for good."""


@dataclass
class Proxy:
    url: str
    kind: str | None = None
    at: int = 0
    seen: list[str] = field(default_factory=list)
    """Method and path of the requests since `spoil`."""

    def spoil(self, kind, at=0):
        """Spoil the request number `at` from now on, counted from 1."""
        self.kind, self.at, self.seen = kind, at, []


@contextmanager
def spoiling(server):
    """Serve a proxy before the server at an address."""
    handler = type("Handler", (_Handler,), {"server_at": urlsplit(server).netloc})
    with listening(handler) as address:
        handler.proxy = Proxy(address)
        yield handler.proxy


class _Handler(Handler):
    proxy: Proxy
    server_at: str

    def handle_request(self):
        body = self.body()
        self.proxy.seen.append(f"{self.command} {urlsplit(self.path).path}")
        n, kind = len(self.proxy.seen), self.proxy.kind
        spoiled = n == self.proxy.at or (kind == "dead" and n > self.proxy.at)
        match kind if spoiled else None:
            case "cut" | "dead":
                self.connection.close()
            case "silence":
                self.connection.settimeout(20)
                self.connection.recv(1)  # until the client has had enough
            case "500" | "503":
                self.answer(int(kind), b'{"error_code": "INTERNAL_ERROR"}', {"Content-Type": "application/json"})
            case "html":
                self.answer(200, b"<!DOCTYPE html><title>Please log in</title>", {"Content-Type": "text/html"})
            case "lost":
                self.ask(self.server_at, self.path, body)
                self.connection.close()
            case "truncated":
                status, content, headers = self.ask(self.server_at, self.path, body)
                headers["Content-Length"] = str(len(content))
                self.answer(status, content[: len(content) // 2], headers)
            case _:
                self.answer(*self.ask(self.server_at, self.path, body))
