"""Feature vectors of the 30-feature websites as numbers: equal where the vectors are equal."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from networksecurity.data.schema import FEATURES, MISSING


def vector_codes(accepted: pd.DataFrame) -> np.ndarray:
    """Return one number per row, equal exactly where the feature vectors are equal.

    Returns
    -------
    codes : ndarray of shape (n_samples,), uint64
    """
    return codes_of(accepted[name].to_numpy("int8", na_value=MISSING) for name in FEATURES)


def codes_of(columns: Iterable[np.ndarray]) -> np.ndarray:
    """Return the `vector_codes` of rows given as one array per feature, with -128 for a missing value.

    A feature takes one of four states (-1, 0, 1, missing), so a vector is a number of 60 bits.
    """
    codes = np.uint64(0)
    for values in columns:
        digits = np.where(values == MISSING, 2, values) + 1
        codes = (codes << np.uint64(2)) | digits.astype(np.uint64)
    return np.asarray(codes)
