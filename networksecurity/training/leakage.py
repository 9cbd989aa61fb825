"""How much a careless split would flatter a model, and how good any model could be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import t as student_t
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import StratifiedShuffleSplit

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.exceptions import DataValidationError
from networksecurity.training.evaluation import require_both_classes
from networksecurity.training.label_rule import classify

N_SPLITS = 5
"""Random splits that are averaged."""
_CONFIDENCE = 0.95


class LeakageLedger(BaseModel, frozen=True):
    """How much a split that ignores equal rows would flatter a model, and how good any model could be.

    A single random split moves with its seed by as much as the flattery is worth: `N_SPLITS` of them are averaged. The
    honest figure is that of the model's own test rows. F1 on the random splits' unseen rows is left out: the few rare
    vectors there have another share of phishing (58 % in the UCI data, others 37 %).
    """

    random_split_f1_score: float
    """The flattering figure: mean over plain random splits of the same rows, of clones of the model trained and tested
    on them."""
    random_split_f1_low: float
    random_split_f1_high: float
    """Its 95 % interval, from the deviation between the splits."""
    random_split_f1_scores: tuple[float, ...] = ()
    """Of each split."""
    random_split_seen_share: float
    """Share of the random splits' test rows whose feature vector is in their training rows, in [0, 1]."""
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
        Fitted or not; its clones are fitted, on complete rows: masked copies would double the time and change F1 on
        complete rows by less than a split does.
    train, test : DataFrame of shape (n_train, n_columns) and (n_test, n_columns)
        The sides of `splitting.split`.
    finish : callable, optional
        Takes a fitted clone, and returns it with calibration and threshold.
    random_state : int, default=0
        Seed of the random splits, whose test sides also have `n_test` rows.
    contract : Contract, default=WEBSITES
        What the rows are.

    Notes
    -----
    The splits' training rows overlap. The interval is that of the corrected t-test of Nadeau and Bengio, "Inference for
    the generalization error", 2003: the variance of the mean of J splits is (1/J + n_test/n_train) times theirs.

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
        raise DataValidationError(
            f"{len(shared)} {contract.group}s are in both the training and the test rows: split by them"
        )

    rows = pd.concat([train, test], ignore_index=True)
    scores, seen = _random_splits(model, rows, len(test), finish, random_state, contract)
    half = student_t.isf((1 - _CONFIDENCE) / 2, N_SPLITS - 1) * np.sqrt(
        scores.var(ddof=1) * (1 / N_SPLITS + len(test) / len(train))
    )
    ceiling_f1_score, ceiling_accuracy = _ceilings(contract.to_y(test), contract.distinct(test))
    return LeakageLedger(
        random_split_f1_score=float(scores.mean()),
        random_split_f1_low=float(max(0, scores.mean() - half)),
        random_split_f1_high=float(min(1, scores.mean() + half)),
        random_split_f1_scores=tuple(scores.tolist()),
        random_split_seen_share=float(seen.mean()),
        ceiling_f1_score=ceiling_f1_score,
        ceiling_accuracy=ceiling_accuracy,
    )


def _random_splits(
    model: Any,
    rows: pd.DataFrame,
    n_test: int,
    finish: Callable[[Any], Any] | None,
    random_state: int,
    contract: Contract,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each random split, F1 of a clone of the model and the share of test rows whose group it has seen."""
    (X, y), codes = contract.to_X_y(rows), contract.groups(rows)
    scores, seen = [], []
    splits = StratifiedShuffleSplit(N_SPLITS, test_size=n_test, random_state=random_state)
    for learned, tested in splits.split(X, y):
        careless = clone(model).fit(X.iloc[learned], y[learned])
        if finish:
            careless = finish(careless)
        y_pred = classify(careless, X.iloc[tested])
        scores.append(metrics.f1_score(y[tested], y_pred, zero_division=0.0))
        seen.append(np.isin(codes[tested], codes[learned]).mean())
    return np.array(scores), np.array(seen)


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
