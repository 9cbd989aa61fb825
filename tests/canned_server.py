"""A web server with canned answers, and an environment for processes that meet one."""

import os
from contextlib import contextmanager
from pathlib import Path

from listening import Handler, listening

PROJECT = Path(__file__).resolve().parents[1]


@contextmanager
def serving(answers):
    """Answer each path with a status and a body, and 404 with a page; yield the address and the requests."""
    seen = []

    class Canned(Handler):
        def handle_request(self):
            seen.append(self)
            self.body()
            status, body = next((answers[path] for path in answers if path in self.path), (404, "<html>no page"))
            self.answer(status, body.encode())

    with listening(Canned) as address:
        yield address, seen


def bare_environment(home, **variables):
    return {"HOME": str(home), "PATH": os.environ["PATH"], "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"} | {
        "PYTHONPATH": str(PROJECT),
        **variables,
    }
