"""A DagsHub for tests: the part of its API that `dagshub.init` calls, in front of a real MLflow server."""

import base64
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from listening import Handler, listening

# What an older MLflow at DagsHub lacks: MLflow 3's logged models, and aliases.
LACKING = re.compile(r"/mlflow/(logged-models|runs/outputs|registered-models/alias)")


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
    with listening(handler) as address:
        handler.hub = DagsHub(address)
        yield handler.hub


class _Handler(Handler):
    hub: DagsHub
    mlflow: str

    def handle_request(self):
        self.route = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {self.route}")
        body = self.body()
        if self.hub.status:
            self.tell(self.hub.status, {})
        elif self.route.startswith("/api/v1/"):
            self.serve_api(body)
        elif inside := re.fullmatch(r"/(?P<repo>[^/]+/[^/]+)\.mlflow(?P<rest>/.*)", self.route):
            self.serve_mlflow(inside["repo"], inside["rest"], body)
        else:
            self.tell(404, "<!DOCTYPE html><title>Page not found</title>")

    def serve_api(self, body):
        if self.headers["Authorization"] != f"Bearer {self.hub.token}":
            return self.tell(401, {"error": "Unauthorized", "message": "token is required"})
        match self.command, self.route.removeprefix("/api/v1/").split("/"):
            case "GET", ["user"]:
                return self.tell(200, user(self.hub.user))
            case "GET", ["repos", owner, name] if f"{owner}/{name}" in self.hub.private:
                return self.tell(200, self.repo(owner, name))
            case "POST", ["user", "repos"]:
                return self.create(self.hub.user, body)
            case "POST", ["org", owner, "repos"]:
                return self.create(owner, body)
        return self.tell(404, {"message": "Not Found"})

    def create(self, owner, body):
        wanted = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        repo = f"{owner}/{wanted['name']}"
        if repo in self.hub.private:
            return self.tell(422, {"message": "repository already exists"})
        self.hub.private[repo] = wanted["private"] == "true"
        self.hub.created.append(repo)
        return self.tell(201, self.repo(owner, wanted["name"]))

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
            return self.tell(401, "<!DOCTYPE html><title>Unauthorized</title>")
        if repo not in self.hub.private or (self.hub.mode == "old" and LACKING.search(rest)):
            return self.tell(404, "<!DOCTYPE html><title>Page not found</title>")
        query = urlsplit(self.path).query
        return self.answer(*self.ask(self.mlflow, f"{rest}?{query}" if query else rest, body))

    def tell(self, status, content):
        """Answer with a dictionary as JSON, or with a page."""
        kind = "application/json" if isinstance(content, dict) else "text/html; charset=utf-8"
        content = json.dumps(content) if isinstance(content, dict) else content
        self.answer(status, content.encode(), {"Content-Type": kind})


def user(name):
    return {"id": 1, "login": name, "username": name, "full_name": name.title()}
