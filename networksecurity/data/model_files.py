"""Models in skops' format: which types one may hold, and that its arrays may be walked.

scikit-learn predicts in compiled code that trusts the arrays of a tree. A file of trusted types alone, with one number
changed, can end the interpreter.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from networksecurity.exceptions import DataSourceError, one_line, shortened

TRUSTED_TYPES = [
    "networksecurity.training.address_features.AddressFeatures",
    "networksecurity.training.address_text.AddressText",
    "networksecurity.training.label_rule.BandClassifier",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
]
"""What skops may load besides its own safe list: compiled trees and calibrators, which hold numbers only, what reads
addresses, the dtypes by which columns were told apart, and the band of unsure rows."""

MODEL_TYPES = {
    *TRUSTED_TYPES,
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.dummy.DummyClassifier",
    "sklearn.ensemble._forest.ExtraTreesClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._gb.GradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._voting.VotingClassifier",
    "sklearn.ensemble._weight_boosting.AdaBoostClassifier",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.feature_extraction.text.TfidfVectorizer",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.impute._knn.KNNImputer",
    "sklearn.isotonic.IsotonicRegression",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
    "sklearn.pipeline.FeatureUnion",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.QuantileTransformer",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._label.LabelEncoder",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._classes.DecisionTreeRegressor",
    "sklearn.tree._classes.ExtraTreeClassifier",
}
"""What the stored models of the candidates hold, beside types of Python and numpy; a test compares this with models of
all of them. skops trusts every estimator of scikit-learn, also those whose compiled code trusts arrays unseen here."""

_MOST_UNPACKED = 20
"""Times its size that a file may unpack to, beside 10 MB; skops itself packs nothing."""
_POOL_SIZE = str(np.random.SeedSequence().pool_size)
"""Of numpy's random generators, as skops writes it. Each is mixed with each other one: of a million, for hours."""
_LEAF = -1
"""A child that does not exist, in a `Tree`."""
_BOOSTING = GradientBoostingClassifier, HistGradientBoostingClassifier


def load_model(content: bytes) -> Any:
    """Return the estimator of a skops file; no type that none of our models holds is loaded.

    Raises
    ------
    DataSourceError
        The file is damaged, no model, or far larger than it looks; it holds another type, or a tree that leads out of
        its arrays or in a circle.
    """
    import skops.io

    errors = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, OSError, EOFError)
    refused = (skops.io.exceptions.UntrustedTypesFoundException, zipfile.BadZipFile, NotImplementedError, RuntimeError)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_UNPACKED * len(content) + 10_000_000:
                raise ValueError(f"it unpacks to more than {_MOST_UNPACKED} times its size")
            if foreign := types_in(archive) - MODEL_TYPES:
                raise ValueError(f"it holds {shortened(min(foreign))}, which is part of no model of this package")
        model = skops.io.loads(content, trusted=TRUSTED_TYPES)
        if not isinstance(model, BaseEstimator):
            raise ValueError("it holds no estimator")
        check_arrays(model)
    except (*errors, *refused, ImportError, MemoryError) as exc:
        raise DataSourceError(f"the model file cannot be loaded: {one_line(exc)}") from exc
    return model


def types_in(archive: zipfile.ZipFile) -> set[str]:
    """Return the names of the types in a skops file, but for those of Python and numpy: skops has its own list.

    Raises
    ------
    ValueError
        It holds a random generator that would take hours to make.
    """
    found: set[str] = set()

    def note(node: dict[str, Any]) -> Any:
        if "__class__" in node:
            found.add(f"{node.get('__module__')}.{node['__class__']}")
        if (size := node.get("pool_size", _POOL_SIZE)) != _POOL_SIZE:
            raise ValueError(f"a random generator has a pool of {shortened(size)} numbers, not of {_POOL_SIZE}")
        return node.get("content") if node.get("__loader__") == "JsonNode" else None

    json.loads(archive.read("schema.json"), object_hook=note)
    return {name for name in found if name.partition(".")[0] not in ("builtins", "numpy")}


def check_arrays(model: Any) -> None:
    """Raise ValueError if an array of a fitted model cannot be walked: a tree, an ensemble, a vocabulary.

    The children of a node have higher numbers than the node itself, as scikit-learn's builders number them; a walk then
    ends. A node asks about a feature that the model has.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> tree = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    >>> check_arrays(tree)
    >>> tree.tree_.feature[0] = 7
    >>> check_arrays(tree)
    Traceback (most recent call last):
    ...
    ValueError: a tree asks about feature 7 of 1
    """
    for part, n_features in _parts(model, None, set()):
        if isinstance(part, Tree):
            _check_tree(part, n_features)
        elif isinstance(part, TreePredictor):
            _check_predictor(part, n_features)
        elif isinstance(part, BaseEstimator):
            _check_estimator(part)


def _parts(value: Any, n_features: int | None, seen: set[int]) -> Iterator[tuple[Any, int | None]]:
    """Yield a model, all it is made of, and how many features each part is asked about, as far as that is known."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | None):
        return
    seen.add(id(value))
    yield value, n_features
    if isinstance(value, BaseEstimator):
        found = getattr(value, "n_features_in_", None)
        n_features = int(found) if found is not None else None
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set):
        inner = list(value)
    elif isinstance(value, np.ndarray):
        inner = value.ravel().tolist() if value.dtype == object else []
    else:
        inner = list(getattr(value, "__dict__", {}).values())
    for each in inner:
        yield from _parts(each, n_features, seen)


def _check_tree(tree: Tree, n_features: int | None) -> None:
    if tree.node_count < 1:
        raise ValueError("a tree has no nodes")
    if n_features is not None and tree.n_features != n_features:
        raise ValueError(f"a tree of {tree.n_features} features stands in a model of {n_features}")
    left, right = tree.children_left, tree.children_right
    _check_nodes(left, right, tree.feature, (left == _LEAF) & (right == _LEAF), tree.n_features)


def _check_predictor(predictor: TreePredictor, n_features: int | None) -> None:
    nodes = predictor.nodes
    if not len(nodes) or nodes["is_categorical"].any():
        raise ValueError("a tree has no nodes, or splits by categories")
    if n_features is None:
        raise ValueError("a tree stands in a model that does not say how many features it has")
    left, right, feature = (nodes[name].astype("int64") for name in ("left", "right", "feature_idx"))
    _check_nodes(left, right, feature, nodes["is_leaf"] != 0, n_features)


def _check_nodes(left: np.ndarray, right: np.ndarray, feature: np.ndarray, leaf: np.ndarray, n_features: int) -> None:
    node = np.arange(len(left))
    for child in (left, right):
        if (~leaf & ((child <= node) | (child >= len(node)))).any():
            raise ValueError("a tree leads out of its arrays, or in a circle")
    if (out := ~leaf & ((feature < 0) | (feature >= n_features))).any():
        raise ValueError(f"a tree asks about feature {feature[out][0]} of {n_features}")


def _check_estimator(estimator: BaseEstimator) -> None:
    """Check what an ensemble and a vocabulary hand to compiled code."""
    n_features, members = getattr(estimator, "n_features_in_", None), getattr(estimator, "estimators_", None)
    for member in [] if members is None else np.ravel(np.asarray(members, dtype=object)):
        if hasattr(member, "tree_") and member.n_features_in_ != n_features:  # a forest does not ask its trees to check
            raise ValueError(f"a tree in an ensemble of {n_features} features takes {member.n_features_in_}")
    if hasattr(estimator, "classes_") and isinstance(estimator, _BOOSTING):
        n_classes = len(estimator.classes_)
        per_stage = 1 if n_classes == 2 else n_classes
        if hasattr(estimator, "_predictors"):
            # It makes room for the scores of so many trees before it asks one: billions take minutes and the memory.
            shapes = [(len(trees),) for trees in estimator._predictors] + [(estimator.n_trees_per_iteration_,)]
        else:
            shapes = [getattr(members, "shape", ())[1:]]
        for shape in shapes:
            if shape != (per_stage,):
                raise ValueError(f"boosted trees of shape {shape} in a stage, for {n_classes} classes")
    vocabulary = getattr(estimator, "vocabulary_", None)
    if vocabulary is not None and sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError("a vocabulary leads out of its columns")
