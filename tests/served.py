"""A service in this process, behind no socket, and what its tests ask it."""

from contextlib import contextmanager
from functools import partial

import httpx
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.schema import FEATURES
from networksecurity.prediction import service
from networksecurity.tracking.server import connect

NAME = "networksecurity-phishing"
ROW = dict.fromkeys(FEATURES, 1)
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}


def address(path):
    return SecretStr(f"sqlite:///{path}")


def crown(place, version):
    """Make a version the champion of the settings' tracking server."""
    Registry(connect(place), NAME).set_alias(CHAMPION, version)


class Service:
    def __init__(self, app, portal, client):
        self.model_in_use = app.state.model_in_use
        self._portal, self._client = portal, client

    def __call__(self, method, path, **content):
        return self._portal.call(partial(self._client.request, method, path, **content))

    def predict(self, content, status=200, **options):
        answer = self("POST", "/predict", json=content, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


@contextmanager
def running(place):
    """Run the service of some settings, its model loaded."""
    app = service.create_app(place)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        portal.wrap_async_context_manager(httpx.AsyncClient(transport=transport, base_url="http://service")) as client,
    ):
        app.state.model_in_use.refresh()
        yield Service(app, portal, client)
