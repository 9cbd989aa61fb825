"""The figures of a fitted model on given rows. The positive class of every figure is phishing (`y = 1`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.utils.validation import check_consistent_length

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.schema import CLASS_LABELS
from networksecurity.exceptions import DataValidationError
from networksecurity.training.intervals import Interval, intervals, mean_interval, score_intervals
from networksecurity.training.label_rule import LabelRule, rule_of

FIGURES = (
    "f1_score",
    "precision",
    "recall_score",
    "accuracy",
    "roc_auc",
    "average_precision",
    "brier_score",
    "log_loss",
    "false_positive_rate",
)
"""The figures of `evaluate` that are no counts."""
DECIDED = ("coverage", "decided_f1_score")
"""The figures of a model that leaves rows to a person: the share that it decides, and F1 of these."""
BOUNDS = tuple(f"{name}_{bound}" for name in (*FIGURES, *DECIDED) for bound in ("low", "high"))
"""The bounds of their intervals, among the figures of `evaluate_model`."""
F1_LOW = "f1_score_low"


def evaluate(y_true: np.ndarray, y_pred: np.ndarray, y_score: np.ndarray) -> dict[str, float]:
    """Return the figures of a set of predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        1 is phishing.
    y_score : array-like of shape (n_samples,)
        Probability of phishing.

    Returns
    -------
    metrics : dict
        `f1_score`, `precision`, `recall_score`, `accuracy`, `roc_auc`, `average_precision`, `brier_score`,
        `log_loss` (nats), `false_positive_rate` (share of legitimate rows called phishing), and the confusion matrix as
        the counts `true_negatives`, `false_positives`, `false_negatives`, `true_positives`.

    Examples
    --------
    >>> figures = evaluate([1, 1, 0, 0], [1, 0, 0, 0], [0.9, 0.4, 0.2, 0.1])
    >>> figures["precision"], figures["recall_score"], round(figures["f1_score"], 3)
    (1.0, 0.5, 0.667)
    """
    check_consistent_length(y_true, y_pred, y_score)
    tn, fp, fn, tp = metrics.confusion_matrix(y_true, y_pred, labels=[0, 1]).ravel()
    return {
        "f1_score": float(metrics.f1_score(y_true, y_pred, zero_division=0.0)),
        "precision": float(metrics.precision_score(y_true, y_pred, zero_division=0.0)),
        "recall_score": float(metrics.recall_score(y_true, y_pred, zero_division=0.0)),
        "accuracy": float(metrics.accuracy_score(y_true, y_pred)),
        "roc_auc": float(metrics.roc_auc_score(y_true, y_score)),
        "average_precision": float(metrics.average_precision_score(y_true, y_score)),
        "brier_score": float(metrics.brier_score_loss(y_true, y_score)),
        "log_loss": float(metrics.log_loss(y_true, y_score, labels=[0, 1])),
        "false_positive_rate": float(fp / (fp + tn)),
        "true_negatives": float(tn),
        "false_positives": float(fp),
        "false_negatives": float(fn),
        "true_positives": float(tp),
    }


def evaluate_model(
    model: Any, rows: pd.DataFrame, *, base_rate: float | None = None, contract: Contract = WEBSITES
) -> dict[str, float]:
    """Return `evaluate`'s figures of a fitted classifier on validated rows, each with its 95 % interval.

    The bounds have `_low` and `_high` at the end of the figure's name: see `intervals`, with the contract's groups. A
    model that leaves rows to a person has `coverage` and `decided_f1_score` too; in all other figures such rows count
    as it would have decided them, which keeps models with and without a band comparable.

    Parameters
    ----------
    model : estimator
    rows : DataFrame of shape (n_samples, n_columns)
    base_rate : float, optional
        Share of phishing, in (0, 1), where the model is used: adds `precision_at_base_rate`.
    contract : Contract, default=WEBSITES
        What the rows are.
    """
    X, y = contract.to_X_y(rows)
    figures, bounds = figures_with_intervals(y, model.predict_proba(X)[:, 1], rule_of(model), contract.groups(rows))
    for name, (low, high) in bounds.items():
        figures |= {f"{name}_low": low, f"{name}_high": high}
    if base_rate is not None:
        figures["precision_at_base_rate"] = precision_at(
            base_rate, figures["recall_score"], figures["false_positive_rate"]
        )
    return figures


def figures_with_intervals(
    y_true: np.ndarray, y_score: np.ndarray, rule: LabelRule, groups: np.ndarray, *, random_state: int = 0
) -> tuple[dict[str, float], dict[str, Interval]]:
    """Return the figures of probabilities and the labels that follow from them, and the 95 % interval of each share.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        1 is phishing; of both classes.
    y_score : ndarray of shape (n_samples,)
        Probability of phishing.
    groups : ndarray of shape (n_samples,)
        Rows with equal values are resampled together.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    figures : dict of str to float
        As of `evaluate`, with `DECIDED` if the rule has a band.
    intervals : dict of str to (float, float)
    """
    y_pred = rule.classes(y_score)
    figures = evaluate(y_true, y_pred, y_score)
    bounds = intervals(y_true, y_pred, groups, random_state=random_state)
    bounds |= score_intervals(y_true, y_score, groups, random_state=random_state)
    if rule.band:
        decided = ~rule.is_unsure(y_score)
        figures["coverage"], (low, high) = mean_interval(decided.astype(float), groups)
        bounds["coverage"] = max(low, 0.0), min(high, 1.0)
        if decided.any():
            figures["decided_f1_score"] = float(metrics.f1_score(y_true[decided], y_pred[decided], zero_division=0.0))
            of_decided = intervals(y_true[decided], y_pred[decided], groups[decided], random_state=random_state)
            bounds["decided_f1_score"] = of_decided["f1_score"]
    return figures, bounds


def interval_of(figures: Mapping[str, float], name: str) -> Interval | None:
    """Return the interval of a figure, of those that `evaluate_model` returned; None for models of older versions."""
    bounds = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    return None if bounds[0] is None or bounds[1] is None else (bounds[0], bounds[1])


def with_interval(figures: Mapping[str, float], name: str) -> str:
    """Return a figure as people read it.

    Examples
    --------
    >>> with_interval({"precision": 0.95, "precision_low": 0.93, "precision_high": 0.97}, "precision")
    '0.9500 (0.9300 to 0.9700)'
    """
    bounds = interval_of(figures, name)
    return f"{figures[name]:.4f}" + (" ({:.4f} to {:.4f})".format(*bounds) if bounds else "")


def precision_at(base_rate: float, recall: float, false_positive_rate: float) -> float:
    """Return the precision when `base_rate` of all websites are phishing, by Bayes' theorem; 0 if nothing alarms.

    Recall and false positive rate do not depend on the share of phishing; precision does.

    Examples
    --------
    >>> round(precision_at(0.5, 0.9, 0.05), 3), round(precision_at(0.01, 0.9, 0.05), 3)
    (0.947, 0.154)
    """
    called = base_rate * recall + (1 - base_rate) * false_positive_rate
    return base_rate * recall / called if called else 0.0


def require_both_classes(y: np.ndarray, what: str) -> None:
    """Raise a DataValidationError that names `what` unless the rows are of both classes."""
    absent = [label for value, label in CLASS_LABELS.items() if not (y == value).any()]
    if absent:
        raise DataValidationError(f"the {what} ({len(y)}) have none that is labelled {' or '.join(absent)}")
