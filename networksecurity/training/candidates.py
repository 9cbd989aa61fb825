"""The models that compete, and their grids. A sixth is one more entry in `CANDIDATES`, or `ADDRESS_CANDIDATES`.

scikit-learn is imported when a pipeline is built: the command line needs the names without the wait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from networksecurity.exceptions import ConfigurationError, quoted

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

STEP = "classifier"
"""The name of the model's step in its pipeline."""

DECISION_THRESHOLD = 0.5
"""The probability of phishing from which a fitted winner predicts phishing, unless another was chosen."""

F1_FLOOR = 0.75
"""F1 below which a model does not judge rows that lack features, unless another was chosen: see `known_features`."""

Imputer = Literal["most_frequent", "knn"]
Start = Literal["imputer", "features", "scaled features", "characters", "address", "columns", "scaled columns"]
CandidateRuns = Literal["all", "best", "none"]
"""Which points of a grid are logged as runs of their own."""


@dataclass(frozen=True)
class Candidate:
    """A classifier and the grid over which its parameters are searched."""

    name: str
    estimator: str
    """Its class, as `package.module:Class`."""
    param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]
    """As for `sklearn.model_selection.GridSearchCV`, without the pipeline's prefix."""
    cost: int
    """Rank of its cost to train and predict: the cheaper of two equal scores wins; the costliest search starts
    first."""
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Parameters outside the grid."""
    enabled: bool = True
    """Whether it competes if no models are named."""
    start: Start = "imputer"
    """What its pipeline begins with: an imputer for missing values; or, of an address, the numbers of
    `AddressFeatures`, these scaled, its `character_ngrams`, or nothing; or, of a table, its numbers imputed and its
    categories encoded, scaled or not."""
    categories: bool = False
    """Of a table, whether it has columns that are no numbers."""


_N_ESTIMATORS = (8, 16, 32, 64, 128, 256)

CANDIDATES: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        Candidate(
            "Random Forest",
            "sklearn.ensemble:RandomForestClassifier",
            {"n_estimators": (8, 16, 32, 128, 256)},
            cost=4,
        ),
        Candidate(
            "Decision Tree",
            "sklearn.tree:DecisionTreeClassifier",
            {"criterion": ("gini", "entropy", "log_loss")},
            cost=2,
        ),
        Candidate(
            "Gradient Boosting",
            "sklearn.ensemble:GradientBoostingClassifier",
            {
                "learning_rate": (0.1, 0.05, 0.01, 0.001),
                "subsample": (0.6, 0.7, 0.75, 0.85, 0.9),
                "n_estimators": _N_ESTIMATORS,
            },
            cost=7,
        ),
        Candidate(
            "Logistic Regression",
            "sklearn.linear_model:LogisticRegression",
            {},
            cost=1,
            params={"max_iter": 1000},
        ),
        Candidate(
            "AdaBoost",
            "sklearn.ensemble:AdaBoostClassifier",
            {"learning_rate": (0.1, 0.01, 0.001), "n_estimators": _N_ESTIMATORS},
            cost=6,
        ),
        Candidate(
            "Extra Trees",
            "sklearn.ensemble:ExtraTreesClassifier",
            {"n_estimators": (8, 16, 32, 128, 256)},
            cost=5,
            enabled=False,
        ),
        Candidate(
            "Hist Gradient Boosting",
            "sklearn.ensemble:HistGradientBoostingClassifier",
            {"learning_rate": (0.2, 0.1, 0.05), "max_leaf_nodes": (15, 31, 63)},
            cost=3,
            enabled=False,
        ),
    )
}


def _of_addresses(name: str, param_grid: Mapping[str, Sequence[Any]], **others: Any) -> Candidate:
    """Return a candidate of the websites as it competes on the features of addresses."""
    return replace(CANDIDATES[name], param_grid=param_grid, **{"start": "features"} | others)


ADDRESS_CANDIDATES: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        _of_addresses("Random Forest", {"n_estimators": (32, 128, 256)}),
        _of_addresses("Decision Tree", {"max_leaf_nodes": (30, 60, 120)}),
        _of_addresses(
            "Gradient Boosting",
            {"learning_rate": (0.1, 0.2), "n_estimators": (64, 128, 256)},
            params={"max_depth": 4, "subsample": 0.7},
        ),
        _of_addresses("Logistic Regression", {"C": (0.1, 1.0)}, start="scaled features"),
        _of_addresses("AdaBoost", {"learning_rate": (1.0, 0.5), "n_estimators": (64, 128)}),
        _of_addresses(
            "Hist Gradient Boosting",
            {"learning_rate": (0.06, 0.1), "max_leaf_nodes": (7, 15)},
            params={"max_iter": 200},
        ),
        Candidate(
            "Character N-grams",
            "sklearn.linear_model:LogisticRegression",
            {"C": (3.0, 10.0, 30.0)},
            cost=8,
            params={"solver": "liblinear"},
            start="characters",
        ),
        Candidate(
            "N-grams and Boosting",
            "networksecurity.training.address_models:ngrams_and_boosting",
            {"ngrams__classifier__C": (10.0, 30.0)},
            cost=9,
            enabled=False,
            start="address",
        ),
    )
}
"""Of models that are given an address."""


def _of_tables(*, categories: bool) -> dict[str, Candidate]:
    """Return the candidates of a table: those of the websites, with a start for columns of any kind."""
    return {
        name: replace(
            candidate,
            start="scaled columns" if name == "Logistic Regression" else "columns",
            categories=categories,
        )
        for name, candidate in CANDIDATES.items()
    }


BY_CONTRACT: dict[str, Mapping[str, Candidate]] = {
    "websites": CANDIDATES,
    "addresses": ADDRESS_CANDIDATES,
    "numbers": _of_tables(categories=False),
    "categories": _of_tables(categories=True),
}
"""By what `Contract.candidates` says."""

ENABLED: tuple[str, ...] = tuple(name for name, candidate in CANDIDATES.items() if candidate.enabled)


def get_candidate(name: str, among: str = "websites") -> Candidate:
    """Return the candidate called `name`, in upper or lower case, of those under `among` in `BY_CONTRACT`.

    Raises
    ------
    ConfigurationError
        No candidate has that name; the message lists the names.
    """
    known = BY_CONTRACT[among]
    by_name = {candidate.name.casefold(): candidate for candidate in known.values()}
    try:
        return by_name[name.strip().casefold()]
    except KeyError:
        raise ConfigurationError(f"there is no model {quoted(name)}; known are {', '.join(known)}") from None


def make_pipeline(
    candidate: Candidate,
    params: Mapping[str, Any] = MappingProxyType({}),
    *,
    imputer: Imputer = "most_frequent",
    random_state: int = 0,
    threshold: float | None = None,
    indicators: bool = False,
) -> "Pipeline":
    """Return an unfitted pipeline: what the candidate starts with, then its classifier.

    Classifiers disagree about a row at exactly 0.5: a forest predicts the first class, boosting the second. With a
    threshold the rule is the same for all: phishing if the probability is at least that.

    Parameters
    ----------
    params : mapping of str to object
        A point of its grid.
    imputer : {"most_frequent", "knn"}, default="most_frequent"
        The column's most frequent value (its median, of a table), or the mean of the 5 nearest rows that have a value;
        for pipelines that start with an imputer.
    random_state : int, default=0
        Seed of the classifier, if it takes one.
    threshold : float, optional
        Probability of phishing, in (0, 1], from which `predict` returns 1; None leaves `predict` to the classifier, as
        searches do, whose scores are those of a plain GridSearchCV.
    indicators : bool, default=False
        Whether the imputer also says, in one more column for each feature, where it has filled something in. A forest
        that is shown masked rows needs that.
    """
    from sklearn.pipeline import Pipeline

    classifier = resolve_name(candidate.estimator)(**candidate.params)
    if "random_state" in classifier.get_params():
        classifier.set_params(random_state=random_state)
    classifier.set_params(**params)
    if threshold is not None:
        from sklearn.model_selection import FixedThresholdClassifier

        classifier = FixedThresholdClassifier(
            classifier, threshold=threshold, pos_label=1, response_method="predict_proba"
        )
    return Pipeline([*_start(candidate, imputer, indicators), (STEP, classifier)])


def _start(candidate: Candidate, imputer: Imputer, indicators: bool) -> list[tuple[str, Any]]:
    """Return the first steps of a pipeline, by name."""
    start = candidate.start
    if start in ("columns", "scaled columns"):
        from networksecurity.training.table_columns import read_columns

        return read_columns(scaled=start == "scaled columns", categories=candidate.categories, imputer=imputer)
    if start == "imputer":
        return [("imputer", _imputer(imputer, indicators))]
    return _start_of_address(start)


def _start_of_address(start: Start) -> list[tuple[str, Any]]:
    if start == "address":
        return []
    if start == "characters":
        from networksecurity.training.address_models import character_ngrams

        return [("characters", character_ngrams())]
    from networksecurity.training.address_features import AddressFeatures

    if start == "features":
        return [("features", AddressFeatures())]
    from sklearn.preprocessing import StandardScaler

    return [("features", AddressFeatures()), ("scaler", StandardScaler())]


def _imputer(imputer: Imputer, indicators: bool) -> Any:
    from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
    from sklearn.pipeline import FeatureUnion

    # A feature that is missing in every training row is kept, and one that is missing in none has an indicator: a
    # model's columns never depend on the data, as with the imputers' own `add_indicator` they would.
    if imputer == "knn":
        values = KNNImputer(n_neighbors=5, keep_empty_features=True)
    else:
        values = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    return FeatureUnion([("values", values), ("missing", MissingIndicator(features="all"))]) if indicators else values


def get_classifier(pipeline: "Pipeline") -> Any:
    """Return the fitted classifier of a pipeline, without threshold and calibration around it."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import FixedThresholdClassifier

    last = pipeline[-1]
    if isinstance(last, FixedThresholdClassifier):
        last = last.estimator_
    return last.calibrated_classifiers_[0].estimator if isinstance(last, CalibratedClassifierCV) else last
