"""Whatever a registry answers, only this package's own errors come out."""

import json
from contextlib import suppress

import mlflow
import pytest
from canned_server import serving
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.exceptions import TrackingError, TransientError
from networksecurity.settings import Settings
from networksecurity.tracking.server import TrackingServer, connect, forget

VERSION = {
    "name": "networksecurity-phishing",
    "version": "1",
    "creation_timestamp": 1,
    "run_id": "a",
    "source": "models:/m-1",
    "tags": [{"key": "k", "value": "v"}],
    "aliases": ["champion"],
}
SOUND = [
    {},
    {"model_version": VERSION},
    {"model_versions": [VERSION], "next_page_token": ""},
    {"registered_model": {"name": "networksecurity-phishing", "tags": [], "latest_versions": [VERSION]}},
    {"alias": "champion", "version": "1"},
    {"artifact_uri": "mlflow-artifacts:/0"},
    {"model": {"info": {"model_id": "m-1", "artifact_uri": "file:///nowhere"}}},
    {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"},
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(document, path=()):
    """Yield the place of each part of a document."""
    yield path
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from places(document[key], (*path, key))


@st.composite
def bodies(draw):
    """Draw an answer of MLflow of which one part is another value, any JSON, or a text that is none."""
    kind = draw(st.sampled_from(["changed", "json", "text", "cut"]))
    if kind == "json":
        return json.dumps(draw(VALUES))
    if kind == "text":
        return draw(st.sampled_from(["", "<html>busy</html>", "{", "null", "\x00"]) | st.text(max_size=20))
    document = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    if kind == "cut":
        return json.dumps(document)[: draw(st.integers(0, 60))]
    *path, last = draw(st.sampled_from([place for place in places(document) if place] or [("other",)]))
    part = document
    for key in path:
        part = part[key]
    part[last] = draw(VALUES)
    return json.dumps(document)


@pytest.fixture(scope="module")
def canned():
    answers = {}
    with pytest.MonkeyPatch.context() as patch, serving(answers) as (url, _):
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_TRACKING_URI", url)
        yield url, answers
        forget()
        mlflow.set_registry_uri(None)


@fuzzed()
@given(status=st.sampled_from([200, 200, 200, 204, 302, 400, 401, 404, 429, 500, 503]), body=bodies())
@example(status=200, body='{"model_version": 1}')
@example(status=200, body='{"model_versions": [null]}')
@example(status=200, body='{"model_version": {"version": {}}}')
@example(status=200, body='{"registered_model": {"tags": [1]}}')
@example(status=404, body='{"error_code": 404}')
def test_any_answer_of_a_registry_is_understood_or_refused(canned, status, body):
    url, answers = canned
    answers["/"] = status, body
    for aliases in (True, False):
        registry = Registry(TrackingServer(url, url, logged_models=True, aliases=aliases), VERSION["name"])
        for ask in (
            lambda of: of.find(CHAMPION),
            lambda of: of.version("1"),
            lambda of: of.versions(),
            lambda of: of.tags(),
            lambda of: of.set_alias(CHAMPION, "1"),
            lambda of: of.register("models:/m-1", "a", tags={}, description=""),
        ):
            with suppress(TrackingError, TransientError):
                ask(registry)
    forget()
    with suppress(TrackingError, TransientError):
        connect(Settings(mlflow_tracking_uri=SecretStr(url)))
