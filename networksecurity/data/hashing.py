"""Hashes of rows that never change: a row's side of a split must not depend on a process or a library's release."""

import hashlib

import numpy as np
import pandas as pd


def split_mix(codes: np.ndarray, salt: int) -> np.ndarray:
    """Return SplitMix64 of (code, salt): Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), uint64
    salt : int
        Not negative.

    Returns
    -------
    mixed : ndarray of shape (n_samples,), uint64
    """
    z = codes + np.uint64(0x9E3779B97F4A7C15 * (salt + 1) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hashed(texts: pd.Series) -> np.ndarray:
    """Return a 64-bit BLAKE2b hash of each text, 0 where it is missing.

    Returns
    -------
    codes : ndarray of shape (n_samples,), uint64
    """
    of_row, distinct = pd.factorize(texts)
    codes = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in distinct]
    return np.array([*codes, 0], dtype=np.uint64)[of_row]


def row_codes(rows: pd.DataFrame) -> np.ndarray:
    """Return one number per row, equal where all cells are equal: numbers, text, or both.

    Returns
    -------
    codes : ndarray of shape (n_samples,), uint64

    Examples
    --------
    >>> codes = row_codes(pd.DataFrame({"length": [1.0, 1.0, float("nan")], "tld": ["test", "test", None]}))
    >>> (codes[0] == codes[1], codes[0] == codes[2])
    (np.True_, np.False_)
    """
    codes = np.zeros(len(rows), dtype=np.uint64)
    for column in (rows[name] for name in rows):
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy("float64", na_value=np.nan) + 0.0  # -0.0 becomes 0.0
            cells = np.where(np.isnan(values), np.nan, values).view(np.uint64)
        else:
            cells = hashed(column)
        codes = split_mix(codes ^ cells, 0)
    return codes
