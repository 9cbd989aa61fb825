"""The split into training and test rows: by a contract's groups, never by row.

More than half of a plain random test set of the UCI data also stands in its training set. Here a group (equal feature
vectors; a registrable domain) is always on one side, and keeps its side when rows are added: today's test rows are
unseen by every older model of the same split.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.hashing import split_mix
from networksecurity.data.schema import CLASS_LABELS
from networksecurity.exceptions import ConfigurationError, DataValidationError


def is_test(
    accepted: pd.DataFrame, *, test_size: float, random_state: int, contract: Contract = WEBSITES
) -> np.ndarray:
    """Return for each row whether the split of this `test_size` and `random_state` keeps it for the test.

    This holds for any rows, also for those that came after that split; see `split` for the parameters.

    Returns
    -------
    is_test : ndarray of shape (n_samples,), bool
    """
    return split_mix(contract.groups(accepted), random_state) < np.uint64(int(test_size * 2**64))


@dataclass(frozen=True)
class SplitReport:
    """Sizes and overlap of the two sides, in plain values."""

    n_train: int
    n_test: int
    train_phishing_share: float
    test_phishing_share: float
    n_train_vectors: int
    n_test_vectors: int
    shared_vectors: int
    """Feature vectors on both sides: 0 by construction, but counted."""
    n_duplicate_rows: int
    """Rows, of both sides, whose feature vector stands in an earlier row."""
    n_ambiguous_vectors: int
    """Feature vectors that carry both labels."""
    n_ambiguous_rows: int

    def to_dict(self) -> dict:
        """Return the report as plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """The two sides of a data set."""

    train: pd.DataFrame
    """Of shape (n_train, n_columns)."""
    test: pd.DataFrame
    """Of shape (n_test, n_columns)."""
    report: SplitReport


def split(
    accepted: pd.DataFrame, *, test_size: float = 0.2, random_state: int = 0, contract: Contract = WEBSITES
) -> Split:
    """Divide validated rows: a row is test when the salted hash of its group falls under `test_size`.

    Parameters
    ----------
    accepted : DataFrame of shape (n_samples, n_columns)
        Rows that the contract's `validate` accepted.
    test_size : float, default=0.2
        Expected share of the groups, in (0, 1), that are test.
    random_state : int, default=0
        The salt; not negative.
    contract : Contract, default=WEBSITES
        What the rows are.

    Raises
    ------
    DataValidationError
        A side lacks one of the two classes.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.validation import validate
    >>> sides = split(validate(make_phishing_websites(1000)).accepted, test_size=0.2)
    >>> len(sides.train) + len(sides.test), sides.report.shared_vectors
    (1000, 0)
    """
    if not 0 < test_size < 1:
        raise ConfigurationError(f"test_size must be a share between 0 and 1, not {test_size}")
    codes = contract.groups(accepted)
    in_test = is_test(accepted, test_size=test_size, random_state=random_state, contract=contract)
    y = contract.to_y(accepted)
    for side, rows in (("training", ~in_test), ("test", in_test)):
        absent = [label for value, label in CLASS_LABELS.items() if not (y[rows] == value).any()]
        if absent:
            raise DataValidationError(
                f"the {side} side ({int(rows.sum())} of {len(y)} rows, test_size={test_size}) has no row labelled "
                f"{' or '.join(absent)}: more rows are needed, or another test_size"
            )

    distinct, of_row = np.unique(contract.distinct(accepted), return_inverse=True)
    n_rows = np.bincount(of_row)
    n_phishing = np.bincount(of_row, weights=y)
    ambiguous = (n_phishing > 0) & (n_phishing < n_rows)
    train_vectors, test_vectors = np.unique(codes[~in_test]), np.unique(codes[in_test])
    report = SplitReport(
        n_train=int((~in_test).sum()),
        n_test=int(in_test.sum()),
        train_phishing_share=float(y[~in_test].mean()),
        test_phishing_share=float(y[in_test].mean()),
        n_train_vectors=len(train_vectors),
        n_test_vectors=len(test_vectors),
        shared_vectors=len(np.intersect1d(train_vectors, test_vectors, assume_unique=True)),
        n_duplicate_rows=len(codes) - len(distinct),
        n_ambiguous_vectors=int(ambiguous.sum()),
        n_ambiguous_rows=int(n_rows[ambiguous].sum()),
    )
    return Split(accepted[~in_test], accepted[in_test], report)


def draw(train: pd.DataFrame, n_rows: int, *, random_state: int = 0, contract: Contract = WEBSITES) -> pd.DataFrame:
    """Return at most `n_rows` of the training rows, all or none of each feature vector, in their order.

    The vectors with the smallest salted hashes are drawn, so data that grows mostly keeps its draw.
    """
    if n_rows >= len(train):
        return train
    order = split_mix(contract.groups(train), random_state)
    return train[order < np.partition(order, n_rows)[n_rows]]


def assign_folds(
    train: pd.DataFrame, *, n_splits: int = 3, random_state: int = 0, contract: Contract = WEBSITES
) -> np.ndarray:
    """Return the cross-validation fold in which each row is scored; equal feature vectors share one.

    Stratified and grouped by feature vector; for `sklearn.model_selection.PredefinedSplit`.

    Returns
    -------
    test_fold : ndarray of shape (n_samples,), int8
        From 0 to `n_splits` - 1.

    Raises
    ------
    DataValidationError
        There are too few distinct vectors of a class for `n_splits` folds.
    """
    groups = contract.groups(train)
    y = contract.to_y(train)
    for value, label in CLASS_LABELS.items():
        n_groups = len(np.unique(groups[y == value]))
        if n_groups < n_splits:
            raise DataValidationError(
                f"{n_splits} folds need at least {n_splits} distinct {contract.group}s of each class, and the training "
                f"side has {n_groups} labelled {label}: more rows are needed, or fewer folds (cv)"
            )
    test_fold = np.empty(len(y), dtype="int8")
    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)
    for fold, (_, scored) in enumerate(splitter.split(np.zeros(len(y)), y, groups)):
        test_fold[scored] = fold
        if len(np.unique(y[scored])) < len(CLASS_LABELS):
            raise DataValidationError(
                f"a fold of {n_splits} holds one class only: more rows are needed, or fewer folds (cv)"
            )
    return test_fold
