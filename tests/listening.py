"""Web servers in this process, each for the time of a test."""

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}


@contextmanager
def listening(handler):
    """Answer requests by a handler, each in a thread of its own; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers each connection's one request by `handle_request`, which a subclass has, and logs nothing."""

    def do_GET(self):
        self.handle_request()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server's names)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def ask(self, server, path, body):
        """Pass the request on to a server, and return the status, the body and the headers of its answer."""
        connection = http.client.HTTPConnection(server, timeout=120)
        try:
            connection.request(self.command, path, body or None, _end_to_end(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), _end_to_end(answer.headers)
        finally:
            connection.close()

    def log_message(self, *args):
        pass


def _end_to_end(headers):
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
