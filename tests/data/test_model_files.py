import io
import json
import zipfile
from itertools import product
from typing import get_args

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.model_files import MODEL_TYPES, check_arrays, load_model, types_in
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.validation import validate
from networksecurity.exceptions import DataSourceError
from networksecurity.training.calibration import Method, calibrate
from networksecurity.training.candidates import BY_CONTRACT, CANDIDATES, Imputer, get_classifier, make_pipeline
from networksecurity.training.domain import with_domain_check
from networksecurity.training.label_rule import LabelRule, with_rule

WITH_TREES = [
    "Decision Tree",
    "Random Forest",
    "Extra Trees",
    "AdaBoost",
    "Gradient Boosting",
    "Hist Gradient Boosting",
]

SMALL = {
    "classifier__estimator__n_estimators": 2,
    "characters__ngrams__ngrams__max_features": 100,
    "classifier__estimator__ngrams__ngrams__ngrams__max_features": 100,
    "classifier__estimator__boosting__classifier__max_iter": 2,
}
"""Parameters of candidates that take long."""


@pytest.fixture(scope="module")
def learned():
    return to_X_y(validate(make_phishing_websites(400, random_state=0)).accepted)


def fitted(learned, name):
    small = {"n_estimators": 3} if "n_estimators" in CANDIDATES[name].param_grid else {}
    return make_pipeline(CANDIDATES[name], small).fit(*learned)


def first_tree(model):
    """Return the writable arrays of a model's first tree: children and features."""
    found = get_classifier(model)
    while not hasattr(found, "tree_"):
        if hasattr(found, "_predictors"):
            nodes = found._predictors[0][0].nodes
            return nodes["left"], nodes["right"], nodes["feature_idx"]
        found = np.ravel(np.asarray(found.estimators_, dtype=object))[0]
    return found.tree_.children_left, found.tree_.children_right, found.tree_.feature


def rows_of(contract, learned):
    """Return rows for the candidates of a contract."""
    X, y = learned
    if contract == "addresses":
        table = make_addresses(100)
        return table[["url"]], (table["label"] == "phishing").astype(int)
    numbers = X.iloc[:, :4].astype(float)
    table = numbers.assign(word=np.where(X["SFH"] == 1, "a", "b")) if contract == "categories" else numbers
    return (X if contract == "websites" else table), y


def stored_models(contract, X, y):
    """Yield a small model of each candidate of a contract, and of one all that a training may make of it."""
    for candidate in BY_CONTRACT[contract].values():
        model = make_pipeline(candidate, threshold=0.5)
        takes = model.get_params().keys() & SMALL.keys()
        yield model.set_params(**{name: SMALL[name] for name in takes}).fit(X, y)
    if contract != "websites":
        return
    tree = CANDIDATES["Decision Tree"]
    for imputer, indicators in product(get_args(Imputer), (False, True)):
        model = make_pipeline(tree, imputer=imputer, indicators=indicators, threshold=0.5).fit(X, y)
        yield with_domain_check(model)
    yield with_rule(model, LabelRule(band=(0.4, 0.6)))
    for method in get_args(Method):
        calibrated = calibrate(model[-1].estimator_, y, model.predict_proba(X)[:, 1], method)
        yield with_rule(model, LabelRule(), calibrated)


def test_every_model_that_may_be_stored_is_loaded_and_no_type_is_allowed_that_none_holds(learned):
    found = set()
    for contract in BY_CONTRACT:
        X, y = rows_of(contract, learned)
        for model in stored_models(contract, X, y):
            content = skops.io.dumps(model)
            assert (load_model(content).predict(X) == model.predict(X)).all()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found |= types_in(archive)
    assert found | {"numpy.dtype"} == MODEL_TYPES


def test_an_estimator_that_none_of_our_models_holds_is_refused_before_it_is_made(learned):
    content = skops.io.dumps(KNeighborsClassifier().fit(*learned))
    with pytest.raises(DataSourceError, match="it holds sklearn.neighbors._classification.KNeighborsClassifier, which"):
        load_model(content)


@pytest.mark.parametrize("name", WITH_TREES)
@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        (0, 10**6, "leads out of its arrays, or in a circle"),
        (1, 0, "leads out of its arrays, or in a circle"),
        (2, 30, "asks about feature 30 of 30"),
        (2, 10**6, "asks about feature 1000000 of 30"),
    ],
)
def test_a_tree_that_cannot_be_walked_is_refused(learned, name, array, value, message):
    model = fitted(learned, name)
    first_tree(model)[array][0] = value
    with pytest.raises(DataSourceError, match=f"the model file cannot be loaded: a tree {message}"):
        load_model(skops.io.dumps(model))


def test_a_tree_with_half_a_leaf_is_refused(learned):
    model = fitted(learned, "Decision Tree")
    first_tree(model)[0][0] = -1
    with pytest.raises(ValueError, match="out of its arrays"):
        check_arrays(model)


def test_a_tree_with_more_nodes_than_it_says_is_refused(learned):
    content = changed(skops.io.dumps(fitted(learned, "Decision Tree")), "node_count", lambda _: 1)
    with pytest.raises(DataSourceError, match="out of its arrays"):
        load_model(content)


def changed(content, key, change):
    """Return a skops file in whose schema each number under `key` is changed."""

    def walk(node):
        if isinstance(node, dict):
            for name, value in node.items():
                if name == key and isinstance(value, dict) and value.get("__loader__") == "JsonNode":
                    value["content"] = json.dumps(change(json.loads(value["content"])))
                else:
                    walk(value)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                walk(schema)
                data = json.dumps(schema).encode()
            after.writestr(name, data)
    return made.getvalue()


def test_a_forest_with_a_tree_of_other_columns_is_refused(learned):
    X, y = learned
    model = RandomForestClassifier(n_estimators=2).fit(X, y)
    model.estimators_[1] = DecisionTreeClassifier().fit(X.iloc[:, :7], y)
    with pytest.raises(ValueError, match="a tree in an ensemble of 30 features takes 7"):
        check_arrays(model)


def test_boosted_trees_of_another_shape_are_refused(learned):
    model = fitted(learned, "Gradient Boosting")
    found = get_classifier(model)
    found.estimators_ = np.repeat(found.estimators_, 4, axis=1)
    with pytest.raises(ValueError, match=r"boosted trees of shape \(4,\) in a stage, for 2 classes"):
        check_arrays(model)


def test_a_model_that_would_make_room_for_more_scores_than_it_has_trees_is_refused(learned):
    content = skops.io.dumps(fitted(learned, "Hist Gradient Boosting"))
    with pytest.raises(DataSourceError, match=r"boosted trees of shape \(2147483647,\) in a stage, for 2 classes"):
        load_model(changed(content, "n_trees_per_iteration_", lambda _: 2**31 - 1))


def test_a_random_generator_that_would_take_hours_to_make_is_refused(learned):
    content = skops.io.dumps(fitted(learned, "Hist Gradient Boosting"))
    with pytest.raises(DataSourceError, match="a random generator has a pool of 1000000 numbers, not of 4"):
        load_model(changed(content, "pool_size", lambda _: 10**6))


def test_a_vocabulary_that_leads_out_of_its_columns_is_refused():
    vectorizer = TfidfVectorizer().fit(["a text", "another text"])
    check_arrays(vectorizer)
    vectorizer.vocabulary_["text"] = 10**9
    with pytest.raises(ValueError, match="a vocabulary leads out of its columns"):
        check_arrays(vectorizer)


def test_no_change_of_one_byte_ends_the_interpreter_or_escapes_as_another_error(learned):
    content, X = skops.io.dumps(fitted(learned, "Decision Tree")), learned[0].head(20)
    generator, n_refused = np.random.default_rng(0), 0
    for position in generator.integers(len(content), size=300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        try:
            load_model(bytes(damaged)).predict(X)
        except DataSourceError:
            n_refused += 1
        except (ValueError, AttributeError, TypeError, KeyError, IndexError):  # scikit-learn's own, at the prediction
            pass
    assert n_refused > 100
