"""A proxy before a real server that spoils one request, or all from one on."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("cut", "lost", "truncated", "500", "503", "html", "silence", "dead")
"""Cut before the server sees it; its answer lost, or truncated; an error; a page with 200; no answer; dead for good."""
_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}


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
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = True
        handler.proxy = Proxy(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield handler.proxy
        finally:
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    server_at: str
    protocol_version = "HTTP/1.0"  # one request for each connection

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
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
                self.answer(int(kind), {"Content-Type": "application/json"}, b'{"error_code": "INTERNAL_ERROR"}')
            case "html":
                self.answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Please log in</title>")
            case "lost":
                self.ask(body)
                self.connection.close()
            case "truncated":
                self.answer(*self.ask(body), share=0.5)
            case _:
                self.answer(*self.ask(body))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 (http.server's names)

    def ask(self, body):
        asked = http.client.HTTPConnection(self.server_at, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        asked.request(self.command, self.path, body, headers)
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def answer(self, status, headers, body, share=1.0):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: int(len(body) * share)])

    def log_message(self, *args):
        pass
