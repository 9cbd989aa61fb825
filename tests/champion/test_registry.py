import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pytest
import skops.io
from pydantic import SecretStr
from sklearn.preprocessing import FunctionTransformer

from networksecurity.champion.registry import CANDIDATE, CHAMPION, RegisteredVersion, Registry
from networksecurity.champion.stored_model import Reference
from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.schema import to_X_y
from networksecurity.exceptions import DataSourceError, TrackingError
from networksecurity.settings import Settings
from networksecurity.tracking import runs
from networksecurity.tracking.outcome import KNOWN_FILE, LEARNED_FILE, REFERENCE_FILE, TESTED_FILE
from networksecurity.tracking.server import connect

NAME = "networksecurity-phishing"


def registry_in(database, *, full):
    server = connect(Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{database}")))
    return Registry(replace(server, logged_models=full, aliases=full), NAME)


@pytest.fixture(scope="module")
def databases(tmp_path_factory, mlflow_database, outcome):
    """Register two versions at each kind of server; return its database and the versions by whether it is full."""

    def filled(full):
        database = shutil.copy(mlflow_database, tmp_path_factory.mktemp("registered"))
        registry = registry_in(database, full=full)

        def register():
            training = runs.start_training(registry.server, "networksecurity", {})
            logged = runs.log_outcome(registry.server, training, outcome)
            runs.end_training(registry.server, training)
            tags = {"data.sha256": "abc", **logged.seal}
            return registry.register(logged.model_uri, training.train_run_id, tags=tags, description="a tree")

        return database, [register(), register()]

    return {full: filled(full) for full in (True, False)}


@pytest.fixture(params=["full", "old"])
def registered(request, databases):
    """Return the database of each kind of server, its kind and its versions."""
    full = request.param == "full"
    database, versions = databases[full]
    return database, full, versions


@pytest.fixture
def versions(registered):
    return registered[2]


@pytest.fixture
def registry(registered, tmp_path):
    """Return a copy of the registry with two versions."""
    database, full, _ = registered
    return registry_in(shutil.copy(database, tmp_path), full=full)


def test_versions_count_up_and_the_candidate_is_the_newest(registry, versions):
    first, second = versions
    assert (first.version, second.version) == ("1", "2")
    assert first.run_id != second.run_id
    assert first.tags["data.sha256"] == "abc"
    assert registry.get(CANDIDATE) == second


def test_registering_the_same_run_again_makes_no_second_version(registry, versions):
    version = versions[-1]
    again = registry.register(version.source, version.run_id, tags={}, description="")
    assert again == version
    assert len(registry.versions()) == 2


def test_of_versions_that_are_registered_at_once_the_newest_is_the_candidate(registry, versions, monkeypatch):
    with registry.server.client() as client:
        stored = client.get_model_version(NAME, "1")
        run_ids = [client.create_run("0").info.run_id for _ in range(3)]
    model_uri, set_alias = f"models:/{stored.model_id}" if stored.model_id else stored.source, registry._set_alias

    def overtaken(_, client, alias, version):
        if run_ids:
            registry.register(model_uri, run_ids.pop(), tags={}, description="")
        set_alias(client, alias, version)

    monkeypatch.setattr(Registry, "_set_alias", overtaken)
    first = registry.register(model_uri, run_ids.pop(), tags={}, description="")
    assert first.version == "3"
    assert registry.get(CANDIDATE).version == "5"


def test_an_alias_can_go_back_to_an_earlier_version(registry, versions):
    registry.set_alias(CANDIDATE, "1")
    assert registry.get(CANDIDATE) == versions[0]


@pytest.mark.parametrize(("name", "alias"), [("nothing", "candidate"), (NAME, "nobody")])
def test_an_unknown_model_or_alias_is_refused_with_advice(registry, name, alias):
    with pytest.raises(TrackingError, match=rf"no version of {name} has the alias {alias} .*train first"):
        Registry(registry.server, name).get(alias)


def test_a_loaded_model_predicts_the_same_in_a_process_that_allows_no_pickle(databases, outcome, rows, tmp_path):
    X, _ = to_X_y(rows)
    assert X.isna().any(axis=None)
    X.to_parquet(tmp_path / "rows.parquet")
    code = f"""
import sys; from dataclasses import replace
import numpy as np; import pandas as pd
from networksecurity.champion.registry import Registry
from networksecurity.settings import Settings
from networksecurity.tracking.server import connect
for database, full in zip(sys.argv[1:], (True, False), strict=True):
    server = connect(Settings(mlflow_tracking_uri=f"sqlite:///{{database}}"))
    registry = Registry(replace(server, logged_models=full, aliases=full), "{NAME}")
    model = registry.load_model(registry.get("candidate"))
    np.save(f"answers-{{full}}.npy", model.predict_proba(pd.read_parquet("rows.parquet")))
"""
    environment = os.environ | {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    arguments = [databases[full][0] for full in (True, False)]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, check=True)
    for full in (True, False):
        assert (np.load(tmp_path / f"answers-{full}.npy") == outcome.model.predict_proba(X)).all()


def test_the_reference_profile_comes_with_the_model(registry, versions, outcome, tmp_path):
    version = versions[0]
    found = registry.load_reference(version)
    assert found.profile == outcome.reference
    assert found.learned.tolist() == outcome.learned.tolist()
    assert found.tested.tolist() == outcome.tested.tolist()
    folder = mlflow.artifacts.download_artifacts(
        version.source, dst_path=str(tmp_path), tracking_uri=registry.server.uri
    )
    elsewhere = version.model_copy(update={"source": folder, "tags": {}})  # as of an older version, without a seal
    path = Path(folder, LEARNED_FILE)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TrackingError, match="no reference profile that can be read: train again"):
        registry.load_reference(elsewhere)
    for name in (LEARNED_FILE, TESTED_FILE):  # as of an older version
        Path(folder, name).unlink()
    assert registry.load_reference(elsewhere) == Reference(found.profile, None, None)
    path = Path(folder, REFERENCE_FILE)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(TrackingError, match="no reference profile that can be read: train again"):
        registry.load_reference(elsewhere)
    path.unlink()
    with pytest.raises(TrackingError, match="FileNotFoundError"):
        registry.load_reference(elsewhere)


@pytest.mark.parametrize(("file", "part"), [(REFERENCE_FILE, "profile"), (KNOWN_FILE, "known")])
def test_a_model_is_loaded_with_what_is_stored_beside_it_that_is_sound(stored_model, server, outcome, rows, file, part):
    registry, X = Registry(server, NAME), to_X_y(rows)[0].head(5)
    parts = registry.load_parts(stored_model)
    assert (parts.model.predict_proba(X) == outcome.model.predict_proba(X)).all()
    assert (parts.profile, parts.known) == (outcome.reference, outcome.known)
    path = Path(stored_model.source, file)
    path.write_text(path.read_text()[:-9])
    assert getattr(registry.load_parts(stored_model), part) is None
    path.unlink()
    assert getattr(registry.load_parts(stored_model), part) is None


def test_the_version_in_use_is_the_champion_or_else_the_candidate(registry, versions):
    in_use = (CHAMPION, CANDIDATE)
    with pytest.raises(TrackingError, match="has the alias champion or candidate"):
        Registry(registry.server, "nothing").get(*in_use)
    assert registry.get(*in_use) == versions[1]
    registry.set_alias(CHAMPION, "1")
    assert registry.get(*in_use) == versions[0]


@pytest.mark.parametrize(("contract", "option"), [(WEBSITES, ""), (Addresses(), " --contract addresses")])
def test_a_hint_is_a_command_about_the_same_contract(server, contract, option):
    registry = Registry(server, "nothing", contract)
    with pytest.raises(TrackingError, match=f"`networksecurity champion promote VERSION{option}`"):
        registry.choose()
    with pytest.raises(TrackingError, match=f"`networksecurity champion show{option}`"):
        registry.choose("7")


def test_a_pickled_model_is_not_loaded(registry, outcome, tmp_path):
    mlflow.sklearn.save_model(
        outcome.model, str(tmp_path / "model"), serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    version = RegisteredVersion(name=NAME, version="1", run_id="", source=(tmp_path / "model").as_uri(), tags={})
    with pytest.raises(TrackingError, match="not stored by skops"):
        registry.load_model(version)


def test_a_model_whose_file_holds_other_code_is_not_loaded(registry, versions, tmp_path):
    version = versions[0]
    folder = mlflow.artifacts.download_artifacts(
        version.source, dst_path=str(tmp_path), tracking_uri=registry.server.uri
    )
    skops.io.dump(FunctionTransformer(os.system), f"{folder}/model.skops")
    with pytest.raises(DataSourceError, match=r"cannot be loaded: .*system"):
        registry.load_model(version.model_copy(update={"source": folder, "tags": {}}))


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (
            "data.contract",
            "addresses",
            "version 2 of networksecurity-phishing takes rows of addresses, not of websites",
        ),
        ("data.contract.sha256", "abc", "was trained under another contract websites .SHA-256 abc…"),
    ],
)
def test_a_version_is_not_asked_about_rows_of_another_contract(registry, tag, value, message):
    registry.set_tag(tag, value, "2")
    with pytest.raises(TrackingError, match=message):
        registry.choose(CANDIDATE)
    assert registry.choose("1").version == "1"
