import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pytest
import skops.io
from mlflow import MlflowClient
from sklearn.preprocessing import FunctionTransformer

from networksecurity import registry, tracking
from networksecurity.exceptions import DataSourceError, TrackingError
from networksecurity.schema import to_X_y

NAME = "networksecurity-phishing"


@pytest.fixture(params=["full", "old"])
def server(request, server):
    """Both kinds of server: with logged models and aliases, and without."""
    return server if request.param == "full" else replace(server, logged_models=False, aliases=False)


@pytest.fixture
def register(server, outcome):
    def run():
        training = tracking.start_training(server, "networksecurity", {})
        uri = tracking.log_outcome(server, training, outcome).model_uri
        tracking.end_training(server, training)
        return registry.register(
            server, NAME, uri, training.train_run_id, tags={"data.sha256": "abc"}, description="a tree"
        )

    return run


def test_versions_count_up_and_the_candidate_is_the_newest(server, register):
    first, second = register(), register()
    assert (first.version, second.version) == ("1", "2")
    assert first.run_id != second.run_id
    assert first.tags["data.sha256"] == "abc"
    assert registry.get_version(server, NAME, registry.CANDIDATE) == second


def test_registering_the_same_run_again_makes_no_second_version(server, register):
    version = register()
    again = registry.register(server, NAME, version.source, version.run_id, tags={}, description="")
    assert again == version
    assert len(MlflowClient(server.uri).search_model_versions(f"name = '{NAME}'")) == 1


def test_an_alias_can_go_back(server, register):
    first, _ = register(), register()
    registry.set_alias(server, NAME, registry.CANDIDATE, first.version)
    assert registry.get_version(server, NAME, registry.CANDIDATE) == first


@pytest.mark.parametrize(("name", "alias"), [("nothing", "candidate"), (NAME, "nobody")])
def test_what_is_not_there(server, register, name, alias):
    register()
    with pytest.raises(TrackingError, match=rf"no version of {name} has the alias {alias} .*train first"):
        registry.get_version(server, name, alias)


def test_model_predicts_the_same_in_a_process_that_allows_no_pickle(server, register, outcome, rows, tmp_path):
    register()
    X, _ = to_X_y(rows)
    assert X.isna().any(axis=None)
    X.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import numpy as np, pandas as pd; from dataclasses import replace; "
        "from networksecurity import registry, tracking_server; from networksecurity.settings import Settings; "
        f"server = replace(tracking_server.connect(Settings()), logged_models={server.logged_models}, "
        f"aliases={server.aliases}); "
        f"model = registry.load_model(server, registry.get_version(server, '{NAME}', 'candidate')); "
        "np.save('answers.npy', model.predict_proba(pd.read_parquet('rows.parquet')))"
    )
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (np.load(tmp_path / "answers.npy") == outcome.model.predict_proba(X)).all()


def test_reference_profile_comes_with_the_model(server, register, outcome, tmp_path):
    version = register()
    assert registry.load_reference(server, version) == outcome.reference
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path), tracking_uri=server.uri)
    elsewhere = version.model_copy(update={"source": folder})
    path = Path(folder, tracking.REFERENCE_FILE)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(TrackingError, match="no reference profile that can be read: train again"):
        registry.load_reference(server, elsewhere)
    path.unlink()
    with pytest.raises(TrackingError, match="FileNotFoundError"):
        registry.load_reference(server, elsewhere)


def test_the_version_in_use_is_the_champion_or_else_the_candidate(server, register):
    in_use = (registry.CHAMPION, registry.CANDIDATE)
    with pytest.raises(TrackingError, match="has the alias champion or candidate"):
        registry.get_version(server, NAME, *in_use)
    first, second = register(), register()
    assert registry.get_version(server, NAME, *in_use) == second
    registry.set_alias(server, NAME, registry.CHAMPION, first.version)
    assert registry.get_version(server, NAME, *in_use) == first


def test_a_pickled_model_is_not_loaded(server, outcome, tmp_path):
    mlflow.sklearn.save_model(
        outcome.model, str(tmp_path / "model"), serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    version = registry.RegisteredVersion(
        name=NAME, version="1", run_id="", source=(tmp_path / "model").as_uri(), tags={}
    )
    with pytest.raises(TrackingError, match="not stored by skops"):
        registry.load_model(server, version)


def test_a_model_whose_file_holds_other_code_is_not_loaded(server, register, tmp_path):
    version = register()
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path), tracking_uri=server.uri)
    skops.io.dump(FunctionTransformer(os.system), f"{folder}/model.skops")
    with pytest.raises(DataSourceError, match=r"cannot be loaded: .*system"):
        registry.load_model(server, version.model_copy(update={"source": folder}))
