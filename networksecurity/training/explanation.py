"""The curves, tables and importances of a fitted model on given rows."""

from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn import metrics
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags, resample

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.schema import CLASS_LABELS, MISSING
from networksecurity.data.vectors import codes_of, vector_codes
from networksecurity.training.calibration import CalibrationCurve
from networksecurity.training.evaluation import require_both_classes
from networksecurity.training.label_rule import classify, rule_of

_MAX_POINTS = 500
"""Points kept of a curve: about as many as its picture has pixels across."""
_N_REPEATS = 5
_MAX_IMPORTANCE_ROWS = 10_000
_MAX_ROWS_OF_NUMBERS = 2_000
"""Where each shuffle is predicted, rather than looked up."""
_LEAST_ROWS, _MAX_CELLS = 300, 60_000
"""Of a table: one with many columns must not take minutes."""


class ConfusionMatrix(BaseModel, frozen=True):
    """Rows by their true and their predicted class."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]` rows of class `labels[i]` were called `labels[j]`."""


class RocCurve(BaseModel, frozen=True):
    """The share of each class that is called phishing, by threshold, the highest first."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    """Rows of at least this probability are called phishing; None: no row is called so (infinity in scikit-learn)."""
    auc: float
    """Of the whole curve, not of the points kept here."""


class PrecisionRecallCurve(BaseModel, frozen=True):
    """Precision and recall by threshold, the lowest first."""

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    """Rows of at least this probability are called phishing; None: no row is called so."""
    average_precision: float
    """Of the whole curve, not of the points kept here."""


class FeatureImportance(BaseModel, frozen=True):
    """How much F1 falls when one feature's values are shuffled among the rows."""

    feature: str
    mean: float
    std: float
    """Over the shuffles."""


class ClassFigures(BaseModel, frozen=True):
    """One class taken for the positive one, or an average over both."""

    precision: float
    recall: float
    f1_score: float
    support: int
    """Rows that are truly of the class."""


class Explanation(BaseModel, frozen=True):
    """The curves, tables and importances of a model on given rows, in plain values for JSON."""

    confusion_matrix: ConfusionMatrix
    roc_curve: RocCurve
    precision_recall_curve: PrecisionRecallCurve
    calibration_curve: CalibrationCurve
    permutation_importance: tuple[FeatureImportance, ...]
    """All features, the most important first; none of a model that does not learn from single features."""
    classification_report: dict[str, ClassFigures]
    """By `legitimate`, `phishing`, `macro avg` and `weighted avg`."""


def explain(model: Any, rows: pd.DataFrame, *, random_state: int = 0, contract: Contract = WEBSITES) -> Explanation:
    """Return the curves, tables and importances of a fitted classifier.

    Parameters
    ----------
    model : estimator
        Its prediction of a row depends on that row's features only.
    rows : DataFrame of shape (n_samples, n_columns)
        Validated rows.
    random_state : int, default=0
        Seed of the shuffles and, above 10,000 rows (2,000 of addresses), of the sample that is shuffled.
    contract : Contract, default=WEBSITES
        What the rows are.

    Raises
    ------
    DataValidationError
        The rows are of one class only, for which most figures are not defined.
    """
    X, y = contract.to_X_y(rows)
    require_both_classes(y, "rows to explain")
    shuffle = _SHUFFLES.get(contract.candidates, _importance_of_columns)
    y_score = model.predict_proba(X)[:, 1]
    y_pred = rule_of(model).classes(y_score)
    names = list(CLASS_LABELS.values())
    report = metrics.classification_report(
        y, y_pred, labels=list(CLASS_LABELS), target_names=names, output_dict=True, zero_division=0.0
    )
    return Explanation(
        confusion_matrix=ConfusionMatrix(
            labels=tuple(names),
            counts=metrics.confusion_matrix(y, y_pred, labels=list(CLASS_LABELS)).tolist(),
        ),
        roc_curve=_roc_curve(y, y_score),
        precision_recall_curve=_precision_recall_curve(y, y_score),
        calibration_curve=CalibrationCurve.of(y, y_score),
        permutation_importance=shuffle(model, X, y, random_state),
        classification_report={
            name: ClassFigures(**{figure.replace("-", "_"): of for figure, of in figures.items()})
            for name, figures in report.items()
            if name != "accuracy"  # a number among the tables
        },
    )


def _thinned(*curve: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return at most `_MAX_POINTS` evenly chosen points of a curve, its ends among them."""
    n_points = len(curve[0])
    kept = np.linspace(0, n_points - 1, min(n_points, _MAX_POINTS)).round().astype(int)
    return tuple(values[kept] for values in curve)


def _plain(thresholds: np.ndarray) -> tuple[float | None, ...]:
    return tuple(None if np.isinf(threshold) else float(threshold) for threshold in thresholds)


def _roc_curve(y: np.ndarray, y_score: np.ndarray) -> RocCurve:
    fpr, tpr, thresholds = _thinned(*metrics.roc_curve(y, y_score))
    return RocCurve(
        fpr=tuple(fpr), tpr=tuple(tpr), thresholds=_plain(thresholds), auc=metrics.roc_auc_score(y, y_score)
    )


def _precision_recall_curve(y: np.ndarray, y_score: np.ndarray) -> PrecisionRecallCurve:
    precision, recall, thresholds = metrics.precision_recall_curve(y, y_score, drop_intermediate=True)
    # The last point, precision 1 at recall 0, has no threshold in scikit-learn.
    precision, recall, thresholds = _thinned(precision, recall, np.append(thresholds, np.inf))
    return PrecisionRecallCurve(
        precision=tuple(precision),
        recall=tuple(recall),
        thresholds=_plain(thresholds),
        average_precision=metrics.average_precision_score(y, y_score),
    )


def _permutation_importance(
    model: Any, X: pd.DataFrame, y: np.ndarray, random_state: int
) -> tuple[FeatureImportance, ...]:
    """Return scikit-learn's permutation importances from few predictions.

    A shuffle changes one feature, which has few values: every row that can arise is predicted once and looked up in
    each of the 150 shuffles. Passing scikit-learn the model itself was considered: it
    predicts all rows in each shuffle, which takes many times as long.
    """
    if len(y) > _MAX_IMPORTANCE_ROWS:
        # max_samples would compare the score in the sample with that in all rows.
        X, y = resample(X, y, replace=False, n_samples=_MAX_IMPORTANCE_ROWS, stratify=y, random_state=random_state)
    distinct = X.drop_duplicates()
    rows = [distinct]
    for name in X.columns:
        rows += [distinct[distinct[name] != value].assign(**{name: value}) for value in X[name].unique()]
    codes, first = np.unique(np.concatenate([vector_codes(of_rows) for of_rows in rows]), return_index=True)
    answers = np.concatenate([classify(model, of_rows) for of_rows in rows if len(of_rows)])[first]

    def f1_score(_: Any, states: np.ndarray, y: np.ndarray) -> float:
        # scikit-learn's f1_score would spend most of the time checking its arguments.
        y_pred = answers[np.searchsorted(codes, codes_of(states.T))]
        return 2 * (y & y_pred).sum() / ((y.sum() + y_pred.sum()) or 1)

    states = X.fillna(MISSING).to_numpy("int8")
    return _shuffled(list(X.columns), model, states, y, f1_score, random_state)


def _importance_of_computed_features(
    model: Pipeline, X: pd.DataFrame, y: np.ndarray, random_state: int
) -> tuple[FeatureImportance, ...]:
    """Return the importances of the features that a pipeline's first step computes; none if that step learns."""
    if get_tags(model[0]).requires_fit:
        return ()
    if len(y) > _MAX_ROWS_OF_NUMBERS:
        X, y = resample(X, y, replace=False, n_samples=_MAX_ROWS_OF_NUMBERS, stratify=y, random_state=random_state)

    def f1_score(model: Any, X: Any, y: np.ndarray) -> float:
        return metrics.f1_score(y, classify(model, X), zero_division=0.0)

    names = list(model[0].get_feature_names_out())
    return _shuffled(names, model[1:], model[0].transform(X), y, f1_score, random_state)


def _importance_of_columns(
    model: Pipeline, X: pd.DataFrame, y: np.ndarray, random_state: int
) -> tuple[FeatureImportance, ...]:
    """Return scikit-learn's permutation importances, of fewer rows the more columns there are."""
    n_rows = max(_LEAST_ROWS, min(_MAX_ROWS_OF_NUMBERS, _MAX_CELLS // X.shape[1]))
    if len(y) > n_rows:
        X, y = resample(X, y, replace=False, n_samples=n_rows, stratify=y, random_state=random_state)
    return _shuffled(list(X.columns), model, X, y, "f1", random_state)


_SHUFFLES = {"websites": _permutation_importance, "addresses": _importance_of_computed_features}
"""By the kind of candidates; columns of a table are shuffled as they are."""


def _shuffled(
    names: list[str], model: Any, X: Any, y: np.ndarray, scoring: Any, random_state: int
) -> tuple[FeatureImportance, ...]:
    """Return scikit-learn's permutation importances of the columns of `X`, the most important first."""
    how = {"scoring": scoring, "n_repeats": _N_REPEATS, "n_jobs": 1, "random_state": random_state}
    found = permutation_importance(model, X, y, **how)
    return tuple(
        FeatureImportance(feature=names[i], mean=found.importances_mean[i], std=found.importances_std[i])
        for i in np.argsort(-found.importances_mean, kind="stable")
    )
