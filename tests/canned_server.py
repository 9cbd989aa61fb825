"""A web server with canned answers, and an environment for processes that meet one."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@contextmanager
def serving(answers):
    """Answer each path with a status and a body, and 404 with a page; yield the address and the requests."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = next((answers[path] for path in answers if path in self.path), (404, "<html>no page"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 (http.server's name)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def bare_environment(home, **variables):
    return {"HOME": str(home), "PATH": os.environ["PATH"], "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"} | {
        "PYTHONPATH": str(PROJECT),
        **variables,
    }
