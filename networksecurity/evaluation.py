"""How good a fitted model is on given rows. The positive class of every figure is phishing (`y = 1`)."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.utils.validation import check_consistent_length

from networksecurity.schema import to_X_y


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
        `f1_score`, `precision`, `recall_score`, `accuracy`, `roc_auc`, `average_precision`, `log_loss` (nats),
        `false_positive_rate` (share of legitimate rows called phishing), and the confusion matrix as the counts
        `true_negatives`, `false_positives`, `false_negatives`, `true_positives`.
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
        "log_loss": float(metrics.log_loss(y_true, y_score, labels=[0, 1])),
        "false_positive_rate": float(fp / (fp + tn)),
        "true_negatives": float(tn),
        "false_positives": float(fp),
        "false_negatives": float(fn),
        "true_positives": float(tp),
    }


def evaluate_model(model: Any, rows: pd.DataFrame) -> dict[str, float]:
    """Return `evaluate`'s figures of a fitted classifier on validated rows, DataFrame of shape (n_samples, 31)."""
    X, y = to_X_y(rows)
    return evaluate(y, model.predict(X), model.predict_proba(X)[:, 1])
