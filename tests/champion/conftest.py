import shutil
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from networksecurity.champion import changes
from networksecurity.champion.registry import RegisteredVersion, Registry

NAME = "networksecurity-phishing"


@pytest.fixture(params=["full", "old"])
def registry(request, server):
    """Return a registry at each kind of server: with logged models and aliases, and without."""
    full = request.param == "full"
    return Registry(replace(server, logged_models=full, aliases=full), NAME)


@pytest.fixture
def versions(registry):
    """Create four versions without files, which nobody verifies."""
    client = MlflowClient(registry.server.uri)
    client.create_registered_model(NAME)
    run_id = client.create_run("0").info.run_id
    return [
        RegisteredVersion(
            name=NAME,
            version=str(client.create_model_version(NAME, "file:///nowhere", run_id).version),
            run_id=run_id,
            source="file:///nowhere",
            tags={},
        )
        for _ in range(4)
    ]


@pytest.fixture
def unverified(monkeypatch):
    """Let every version pass verification, and return the versions that were asked about."""
    asked = []
    monkeypatch.setattr(changes, "verify", lambda _, version: asked.append(version.version))
    return asked


@pytest.fixture
def stored_model(saved_model, tmp_path):
    """Return a version whose files the test may damage."""
    folder = shutil.copytree(saved_model, tmp_path / "model")
    return RegisteredVersion(name=NAME, version="1", run_id="", source=str(folder), tags={})
