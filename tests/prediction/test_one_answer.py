"""One model, one answer: in memory, stored, through MLflow, in its native form, in batch and in the service."""

import functools
import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.data.schema import CLASS_LABELS, LABELS
from networksecurity.data.sources import parse
from networksecurity.data.storage import Storage
from networksecurity.prediction import native, rows
from networksecurity.prediction.native import prepare
from networksecurity.prediction.scoring import score
from networksecurity.settings import Settings
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import ADDRESS_CANDIDATES, CANDIDATES, get_candidate, get_classifier
from networksecurity.training.label_rule import LabelRule, rule_of, with_rule
from networksecurity.training.search import fit_best

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

N_SINGLE = 100
"""Rows that are also asked for one by one."""


@pytest.fixture(scope="module")
def websites(real_data):
    """Return the distinct rows of the real file: as they are, and with a twentieth of their values missing."""
    accepted = WEBSITES.validate(parse(str(real_data), Settings(_env_file=None)).read().frame).accepted
    distinct = accepted.drop_duplicates(subset=list(WEBSITES.columns)).reset_index(drop=True)
    assert len(distinct) > 5_000
    gaps = np.random.default_rng(0).random((len(distinct), len(WEBSITES.columns))) < 0.05
    with_gaps = distinct.copy()
    with_gaps[list(WEBSITES.columns)] = distinct[list(WEBSITES.columns)].mask(gaps)
    return pd.concat([distinct, with_gaps], ignore_index=True)


@pytest.fixture(scope="module")
def addresses(real_addresses):
    contract = Addresses()
    return contract.validate(parse(str(real_addresses), Settings(_env_file=None), contract).read().frame).accepted


@pytest.fixture
def in_each_form(monkeypatch):
    """Return what prepares a model so that its native form answers, if it has one, and so that the plain one does."""

    def prepared(model, contract):
        for crossover in (10**9, 0):  # measured otherwise, on whatever this machine is busy with
            monkeypatch.setattr(native, "_crossover", lambda *_, rows=crossover: rows)
            yield (form := prepare(model, probe_rows(contract)))
            if form.up_to == 0:
                return

    return prepared


def assert_one_answer(model, accepted, contract, folder, in_each_form):
    """Compare the probabilities, up to the order of a sum, and the labels, exactly."""
    X = contract.to_X(accepted)
    y_score, predicted = model.predict_proba(X)[:, 1], model.predict(X)
    labels = [LABELS[code] for code in predicted]
    in_band = rule_of(model).band and not isinstance(get_classifier(model), DecisionTreeClassifier)  # it is always sure
    assert set(labels) == set((LABELS if in_band else CLASS_LABELS).values())

    def assert_same(found, its_labels):
        np.testing.assert_allclose(found, y_score[: len(found)], rtol=0, atol=1e-12)
        assert list(its_labels) == labels[: len(found)]

    storage = Storage(str(folder / "storage"))
    stored = storage.get_model(storage.put_model(model))
    in_batch = score(stored, accepted, contract)
    assert_same(in_batch["phishing_probability"], in_batch["label"])
    mlflow.sklearn.save_model(
        stored,
        folder / "model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        pip_requirements=[],
    )
    assert (mlflow.pyfunc.load_model(str(folder / "model")).predict(X) == predicted).all()

    asked = json.loads(accepted[list(contract.columns)].to_json(orient="records"))
    for form in in_each_form(stored, contract):
        answers = rows.predict(form, asked, contract=contract)
        answers_one_by_one = [rows.predict(form, [row], contract=contract)[0] for row in asked[:N_SINGLE]]
        for some in (answers, answers_one_by_one):
            assert_same([of["phishing_probability"] for of in some], [of["label"] for of in some])


# The search for the nearest rows takes long: a sixth of the rows are asked for where it is done.
@pytest.mark.parametrize(
    ("imputer", "rule", "groups", "every"),
    [
        ("most_frequent", LabelRule(), {}, 1),
        ("knn", LabelRule(threshold=0.25, band=(0.2, 0.5)), WEBSITES.feature_groups, 6),
    ],
)
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_model_of_websites_gives_one_answer_to_each_real_row(
    websites, name, imputer, rule, groups, every, tmp_path, in_each_form
):
    candidate = get_candidate(name)
    params = {"n_estimators": 16} if "n_estimators" in candidate.param_grid else {}
    learned = websites.iloc[::8]  # with gaps, too
    how = {"imputer": imputer, "feature_groups": groups}
    model = with_rule(fit_best(candidate, params, *WEBSITES.to_X_y(learned), **how), rule)
    assert_one_answer(model, websites.iloc[::every].reset_index(drop=True), WEBSITES, tmp_path, in_each_form)


@pytest.fixture(scope="module")
def fit_to_addresses(addresses):
    """Return what fits a candidate to some of the addresses, once."""

    @functools.cache
    def fit(name):
        candidate = get_candidate(name, "addresses")
        params = {"n_estimators": 16} if "n_estimators" in candidate.param_grid else {}
        return fit_best(candidate, params, *Addresses().to_X_y(addresses.iloc[::8]))

    return fit


# A rule sees probabilities alone, which are compared for all rows under the first.
@pytest.mark.parametrize(
    ("rule", "every"),
    [(LabelRule(), 1), (LabelRule(threshold=0.48, band=(0.43, 0.5)), 4)],  # AdaBoost's are close to one half
)
@pytest.mark.parametrize("name", ADDRESS_CANDIDATES)
def test_a_model_of_addresses_gives_one_answer_to_each_real_row(
    addresses, fit_to_addresses, name, rule, every, tmp_path, in_each_form
):
    asked = addresses.iloc[::every].reset_index(drop=True)
    assert_one_answer(with_rule(fit_to_addresses(name), rule), asked, Addresses(), tmp_path, in_each_form)
