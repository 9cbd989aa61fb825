"""What else a row could have held: what reasons compare it with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Changed:
    """Rows in which one feature has another value.

    Attributes
    ----------
    row, feature : ndarray of shape (n_changed,), int
        Which row was changed, and in which feature.
    share : ndarray of shape (n_changed,), float64
        Of the rows behind the model, that of the value put in its place.
    X : ndarray of shape (n_changed, n_columns)
        The changed rows.
    """

    row: np.ndarray
    feature: np.ndarray
    share: np.ndarray
    X: np.ndarray


class Alternatives(Protocol):
    """The other values of each feature."""

    @property
    def names(self) -> Sequence[str]:
        """The features."""
        ...

    @property
    def most(self) -> int:
        """Changed rows that one row can have."""
        ...

    def change(self, X: np.ndarray) -> Changed:
        """Put each other value into each row, one at a time."""
        ...

    def describe(self, x: np.ndarray, feature: int) -> tuple[str, object]:
        """Return what a feature is about, and the value that a row has of it, None if it has none."""
        ...
