import os
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from logged import log_all
from made_tables import SHOP, shop

from networksecurity import __version__
from networksecurity.data.contracts import WEBSITES, Addresses, Table
from networksecurity.data.model_files import load_model
from networksecurity.data.schema import DOMAINS, FEATURE_GROUPS, FEATURES, to_X_y
from networksecurity.tracking.model import save_model
from networksecurity.tracking.outcome import PROBE_FILE
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.domain import with_domain_check, without_domain_check
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.label_rule import LabelRule, with_rule
from networksecurity.training.masking import hide


def test_the_stored_model_predicts_the_same(done, outcome, rows):
    X, _ = to_X_y(rows)
    assert X.isna().any(axis=None)
    again = mlflow.sklearn.load_model(done.logged.model_uri)
    assert (again.predict_proba(X) == outcome.model.predict_proba(X)).all()
    served = mlflow.pyfunc.load_model(done.logged.model_uri)
    assert (served.predict(X) == outcome.model.predict(X)).all()
    with pytest.raises(mlflow.exceptions.MlflowException, match="SFH"):
        served.predict(X.drop(columns="SFH"))


def test_the_stored_model_has_its_figures_by_what_is_known_beside_it(done, outcome):
    folder = mlflow.artifacts.download_artifacts(done.logged.model_uri)
    assert KnownFeatures.model_validate_json(Path(folder, "known_features.json").read_text()) == outcome.known


def test_the_model_is_stored_without_pickle_and_described(done, outcome):
    folder = mlflow.artifacts.download_artifacts(done.logged.model_uri)
    files = {file for _, _, names in os.walk(folder) for file in names}
    assert not {file for file in files if file.endswith((".pkl", ".pickle", ".cloudpickle"))}
    assert {"input_example.json", "requirements.txt", "model.skops"} <= files
    info = mlflow.models.get_model_info(done.logged.model_uri)
    assert [(column.name, str(column.type), column.required) for column in info.signature.inputs] == [
        (name, "Any", True) for name in FEATURES
    ]
    assert info.run_id == done.training.train_run_id
    described = info.metadata
    assert described["class"] == "sklearn.ensemble._forest.RandomForestClassifier"
    assert described["feature_names"] == list(FEATURES)
    assert described["class_labels"] in ({0: "legitimate", 1: "phishing"}, {"0": "legitimate", "1": "phishing"})
    assert described["decision_threshold"] == 0.5
    assert {"python", "scikit-learn", "skops"} <= set(described["versions"])
    assert described["training"] == done.training.name
    assert described["k"] == "v"


def test_the_logged_model_carries_the_figures(done, outcome):
    model = done.client.get_logged_model(done.logged.model_uri.removeprefix("models:/"))
    assert model.status.value == "READY"
    by_dataset = {(of.key, of.dataset_name): of.value for of in model.metrics}
    assert by_dataset["f1_score", "db.rows · test"] == outcome.test.metrics["f1_score"]
    assert by_dataset["f1_score", "db.rows · train"] == outcome.train.metrics["f1_score"]


def test_on_a_server_without_logged_models_the_model_belongs_to_the_run(server, client, training, outcome, rows):
    logged = log_all(replace(server, logged_models=False), training, outcome)
    assert logged.model_uri == f"runs:/{training.train_run_id}/model"
    assert client.search_logged_models([training.experiment_id]) == []
    X, _ = to_X_y(rows)
    assert (mlflow.sklearn.load_model(logged.model_uri).predict(X) == outcome.model.predict(X)).all()


@pytest.fixture(scope="module", params=["sklearn", "pyfunc"])
def loaded(request, once):
    """Return the stored model as MLflow's own loaders return it."""
    mlflow.set_tracking_uri(once.server.uri)
    loader = {"sklearn": mlflow.sklearn, "pyfunc": mlflow.pyfunc}[request.param]
    return loader.load_model(once.logged.model_uri)


@pytest.mark.parametrize("known", [("address",), ("address", "page"), ("page", "certificate", "ended services")])
def test_the_stored_model_predicts_the_same_without_groups_of_features(loaded, outcome, rows, known):
    X = hide(to_X_y(rows)[0], FEATURE_GROUPS, known)
    assert (loaded.predict(X) == outcome.model.predict(X)).all()
    if hasattr(loaded, "predict_proba"):
        assert (loaded.predict_proba(X) == outcome.model.predict_proba(X)).all()


@pytest.mark.parametrize(("feature", "value"), [("SFH", 7), ("SFH", 0.5), ("port", 0), ("SFH", np.inf), ("SFH", "no")])
def test_mlflows_own_loading_refuses_a_value_outside_the_domain(loaded, rows, feature, value):
    X, _ = to_X_y(rows.head(2))
    X = X.astype(object)
    X.loc[1, feature] = value
    with pytest.raises(ValueError, match=rf"column {list(FEATURES).index(feature)}\b|could not convert|infinity"):
        loaded.predict(X)


@pytest.mark.parametrize("dtype", ["int64", "int8", "Int8", "float32", "float64", "object"])
def test_mlflows_own_loading_answers_rows_of_whole_numbers(loaded, rows, outcome, dtype):
    X, _ = to_X_y(rows.dropna())
    assert {-1, 0, 1} == set(np.unique(X))
    assert (loaded.predict(X.astype(dtype)) == outcome.model.predict(X)).all()


def test_mlflows_own_loading_answers_a_row_whose_missing_values_are_none(loaded, rows, outcome):
    X, _ = to_X_y(rows.head(1))
    assert X["SFH"].isna().all()
    assert (loaded.predict(X.astype(object).where(X.notna(), None)) == outcome.model.predict(X)).all()


def test_the_domain_check_hands_on_the_same_values(outcome):
    states = [[*domain, np.nan] for domain in DOMAINS.values()]
    X = pd.DataFrame({name: np.resize(values, 12) for name, values in zip(DOMAINS, states, strict=True)})[
        list(FEATURES)
    ]
    checked = with_domain_check(outcome.model)
    handed_on = checked[:-2].transform(X)
    pd.testing.assert_frame_equal(handed_on, X, check_exact=True)
    assert (checked.predict_proba(X) == outcome.model.predict_proba(X)).all()


def test_labels_in_another_code_leave_a_model_its_domain_check_and_its_probe_with_gaps(training, outcome, tmp_path):
    recoded = replace(outcome, contract=WEBSITES.with_positive("0"))
    save_model(str(tmp_path / "model"), training, recoded)
    stored = load_model(Path(tmp_path, "model", "model.skops").read_bytes())
    assert next(iter(stored.named_steps)) == "numbers"
    probe = pd.read_parquet(tmp_path / "model" / PROBE_FILE)
    assert probe[list(FEATURES)].isna().any().all()


@pytest.fixture
def save(training, outcome, tmp_path):
    """Return what stores a model as the winner of a training, and returns its folder."""

    def save(model, contract, X):
        saved = replace(outcome, model=model, contract=contract, input_example=X.head(), known=None, reference=None)
        save_model(str(tmp_path / contract.name), training, saved)
        return tmp_path / contract.name

    return save


@pytest.fixture
def without_this_package(monkeypatch):
    """Return what hides this package, as if scikit-learn and MLflow were installed alone."""

    def hide_it():
        for name in [name for name in sys.modules if name.partition(".")[0] == "networksecurity"]:
            monkeypatch.setitem(sys.modules, name, None)

    return hide_it


def test_models_of_websites_and_of_tables_answer_where_this_package_is_missing(
    save, outcome, rows, without_this_package
):
    table = Table.parse(SHOP)
    X, y = table.to_X_y(table.validate(shop(300)).accepted)
    model = make_pipeline(get_candidate("Logistic Regression", table.candidates)).fit(X, y)
    expected = {"websites": outcome.model.predict(to_X_y(rows)[0]), "shop": model.predict(X)}
    folders = [save(outcome.model, WEBSITES, outcome.input_example), save(model, table, X)]
    asked = {"websites": to_X_y(rows)[0], "shop": X}
    without_this_package()
    for folder in folders:
        assert "networksecurity" not in (folder / "requirements.txt").read_text()
        answers = mlflow.pyfunc.load_model(str(folder)).predict(asked[folder.name])
        assert (answers == expected[folder.name]).all()


def test_models_of_addresses_and_those_with_a_band_require_this_package(save, outcome, rows, without_this_package):
    addresses = Addresses()
    X, y = addresses.to_X_y(addresses.validate(addresses.make_sample(200)).accepted)
    model = make_pipeline(get_candidate("Decision Tree", addresses.candidates)).fit(X, y)
    decided = make_pipeline(get_candidate("Decision Tree"), threshold=0.5).fit(*to_X_y(rows))
    unsure = with_rule(decided, LabelRule(band=(0.4, 0.6)))
    folders = [save(model, addresses, X), save(unsure, WEBSITES, outcome.input_example)]
    without_this_package()
    for folder in folders:
        assert f"networksecurity=={__version__}" in (folder / "requirements.txt").read_text().split()
        with pytest.raises(ImportError, match="networksecurity"):
            mlflow.pyfunc.load_model(str(folder))


def test_the_domain_check_can_be_taken_off(done, outcome):
    folder = mlflow.artifacts.download_artifacts(done.logged.model_uri)
    stored = load_model(Path(folder, "model.skops").read_bytes())
    assert list(stored.named_steps) == ["numbers", "domain", "values", "imputer", "classifier"]
    for pipeline in (stored, outcome.model):
        assert list(without_domain_check(pipeline).named_steps) == ["imputer", "classifier"]
