"""A DagsHub for tests: the part of its API that `dagshub.init` calls, in front of a real MLflow server."""

import base64
import http.client
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

# What an older MLflow at DagsHub lacks: MLflow 3's logged models, and aliases.
LACKING = re.compile(r"/mlflow/(logged-models|runs/outputs|registered-models/alias)")
HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class DagsHub:
    """What the stand-in holds and was asked; `mode` and `status` may be changed while it runs."""

    url: str
    user: str = "jane"
    token: str = "hush-3f1a9c"
    mode: Literal["full", "old"] = "full"
    status: int | None = None
    """The status of every answer; None for the right one."""
    private: dict[str, bool] = field(default_factory=lambda: {"jane/phishing": True})
    """The repositories."""
    created: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Method and path of each, without its query."""


@contextmanager
def serving(mlflow_url):
    """Serve a DagsHub in front of the MLflow at `mlflow_url`."""
    handler = type("Handler", (_Handler,), {"mlflow": urlsplit(mlflow_url).netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.hub = DagsHub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield handler.hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: DagsHub
    mlflow: str
    # One request for each connection: the server's thread for it then ends with the answer.
    protocol_version = "HTTP/1.0"

    def handle_request(self):
        self.route = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {self.route}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.status:
            self.answer(self.hub.status, {})
        elif self.route.startswith("/api/v1/"):
            self.serve_api(body)
        elif inside := re.fullmatch(r"/(?P<repo>[^/]+/[^/]+)\.mlflow(?P<rest>/.*)", self.route):
            self.serve_mlflow(inside["repo"], inside["rest"], body)
        else:
            self.answer(404, "<!DOCTYPE html><title>Page not found</title>")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 (http.server's names)

    def serve_api(self, body):
        if self.headers["Authorization"] != f"Bearer {self.hub.token}":
            return self.answer(401, {"error": "Unauthorized", "message": "token is required"})
        match self.command, self.route.removeprefix("/api/v1/").split("/"):
            case "GET", ["user"]:
                return self.answer(200, user(self.hub.user))
            case "GET", ["repos", owner, name] if f"{owner}/{name}" in self.hub.private:
                return self.answer(200, self.repo(owner, name))
            case "POST", ["user", "repos"]:
                return self.create(self.hub.user, body)
            case "POST", ["org", owner, "repos"]:
                return self.create(owner, body)
        return self.answer(404, {"message": "Not Found"})

    def create(self, owner, body):
        wanted = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        repo = f"{owner}/{wanted['name']}"
        if repo in self.hub.private:
            return self.answer(422, {"message": "repository already exists"})
        self.hub.private[repo] = wanted["private"] == "true"
        self.hub.created.append(repo)
        return self.answer(201, self.repo(owner, wanted["name"]))

    def repo(self, owner, name):
        page = f"{self.hub.url}/{owner}/{name}"
        counts = dict.fromkeys(("stars_count", "forks_count", "watchers_count", "open_issues_count", "size"), 0)
        texts = {"description": "", "default_branch": "main", "clone_url": f"{page}.git", "html_url": page}
        return {
            "id": 7,
            "owner": user(owner),
            "name": name,
            "full_name": f"{owner}/{name}",
            "private": self.hub.private[f"{owner}/{name}"],
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            **dict.fromkeys(("fork", "empty", "mirror"), False),
            **counts,
            **texts,
        }

    def serve_mlflow(self, repo, rest, body):
        credentials = base64.b64encode(f"{self.hub.user}:{self.hub.token}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {credentials}":
            return self.answer(401, "<!DOCTYPE html><title>Unauthorized</title>")
        if repo not in self.hub.private or (self.hub.mode == "old" and LACKING.search(rest)):
            return self.answer(404, "<!DOCTYPE html><title>Page not found</title>")
        query = urlsplit(self.path).query
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(self.mlflow, timeout=120)
        try:
            connection.request(self.command, f"{rest}?{query}" if query else rest, body or None, headers)
            answer = connection.getresponse()
            return self.answer(answer.status, answer.read(), answer.headers)
        finally:
            connection.close()

    def answer(self, status, content, headers=()):
        kind = "application/json" if isinstance(content, dict) else "text/html; charset=utf-8"
        content = json.dumps(content) if isinstance(content, dict) else content
        content = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        for name, value in dict(headers or {"Content-Type": kind}).items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def user(name):
    return {"id": 1, "login": name, "username": name, "full_name": name.title()}
