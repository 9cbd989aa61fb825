"""How much a careless split would flatter a model, and how good any model could be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.exceptions import DataValidationError
from networksecurity.training.evaluation import require_both_classes
from networksecurity.training.intervals import intervals
from networksecurity.training.label_rule import classify
from networksecurity.training.masking import show_masked


class LeakageLedger(BaseModel, frozen=True):
    """How much a split that ignores equal rows would flatter a model, and how good any model could be.

    One random split says little about the F1 of rows whose vector the model has not seen: the few rare vectors that it
    leaves for that have another share of phishing (58 % in the UCI data, others 37 %), and the figure moves with the
    seed by as much as the flattery is worth. The honest figure is that of the model's own test rows.
    """

    random_split_f1_score: float
    """Of a clone of the model, trained and tested on a plain random split of the same rows: the flattering figure."""
    random_split_f1_low: float
    random_split_f1_high: float
    """Its 95 % interval, resampled by feature vector: see `intervals`."""
    random_split_seen_share: float
    """Share of the random split's test rows whose feature vector is in its training rows, in [0, 1]."""
    ceiling_f1_score: float
    """The best that any function of the features can reach on the model's test rows."""
    ceiling_accuracy: float
    """The same for accuracy, by another function if a vector carries both labels."""


def leakage_ledger(
    model: Any,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    finish: Callable[[Any], Any] | None = None,
    random_state: int = 0,
    contract: Contract = WEBSITES,
) -> LeakageLedger:
    """Compute the figures that a careless split would have shown for a classifier.

    Parameters
    ----------
    model : estimator
        Fitted or not; a clone of it is fitted, as `search.fit_best` does: masked rows are shown too.
    train, test : DataFrame of shape (n_train, n_columns) and (n_test, n_columns)
        The sides of `splitting.split`.
    finish : callable, optional
        Takes a fitted clone, and returns it with calibration and threshold.
    random_state : int, default=0
        Seed of the random split, whose test side also has `n_test` rows.
    contract : Contract, default=WEBSITES
        What the rows are.

    Raises
    ------
    DataValidationError
        A side holds one class only, or a feature vector of `test` is also in `train`.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from networksecurity.data import sample, splitting, validation
    >>> sides = splitting.split(validation.validate(sample.make_phishing_websites(2_000, random_state=0)).accepted)
    >>> ledger = leakage_ledger(DecisionTreeClassifier(random_state=0), sides.train, sides.test)
    >>> 0 < ledger.random_split_seen_share < 1
    True
    >>> ledger.random_split_f1_score < ledger.ceiling_f1_score
    True
    """
    for side, rows in (("training", train), ("test", test)):
        require_both_classes(contract.to_y(rows), f"{side} rows")
    shared = np.intersect1d(contract.groups(train), contract.groups(test))
    if len(shared):
        raise DataValidationError(f"{len(shared)} {contract.group}s are in both the training and the test rows")

    rows = pd.concat([train, test], ignore_index=True)
    random_train, random_test = train_test_split(
        rows, test_size=len(test), stratify=contract.to_y(rows), random_state=random_state
    )
    shown = show_masked(*contract.to_X_y(random_train), contract.feature_groups, random_state=random_state)
    careless = clone(model).fit(shown.X, shown.y)
    if finish:
        careless = finish(careless)
    X, y = contract.to_X_y(random_test)
    y_pred, codes = classify(careless, X), contract.groups(random_test)
    low, high = intervals(y, y_pred, codes, random_state=random_state)["f1_score"]
    ceiling_f1_score, ceiling_accuracy = _ceilings(contract.to_y(test), contract.distinct(test))
    return LeakageLedger(
        random_split_f1_score=float(metrics.f1_score(y, y_pred, zero_division=0.0)),
        random_split_f1_low=low,
        random_split_f1_high=high,
        random_split_seen_share=float(np.isin(codes, contract.groups(random_train)).mean()),
        ceiling_f1_score=ceiling_f1_score,
        ceiling_accuracy=ceiling_accuracy,
    )


def _ceilings(y: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Return the highest F1 and the highest accuracy that a function of the features can have on given rows.

    The majority label of each vector gives the highest accuracy; ties do not matter. F1 is highest if vectors are
    called phishing from some share of phishing on, which may be below one half (Lipton, Elkan and Naryanaswamy,
    "Optimal thresholding of classifiers to maximize F1 measure", 2014): every threshold is tried.
    """
    _, of_row = np.unique(codes, return_inverse=True)
    phishing_share = (np.bincount(of_row, weights=y) / np.bincount(of_row))[of_row]
    precision, recall, _ = metrics.precision_recall_curve(y, phishing_share)
    f1_scores = 2 * precision * recall / (precision + recall)
    return float(f1_scores.max()), float(np.maximum(phishing_share, 1 - phishing_share).mean())
