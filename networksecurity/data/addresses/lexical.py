"""Numbers of many texts at once: characters, runs and words, by NumPy on Arrow's buffers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 4_096
"""Rows whose characters are counted at a time: 4 MB of counts, which the processor's cache holds."""


def _codes(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all texts, one after the other, and where each starts, and the end: (n_samples + 1,)."""
    _, starts, values = texts.buffers()
    offsets = np.frombuffer(starts, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    codes = np.frombuffer(values or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    return codes, offsets - offsets[0]


def _among(characters: str) -> np.ndarray:
    among = np.zeros(256, dtype=bool)
    among[[ord(of) for of in characters]] = True
    return among


def count_characters(texts: pa.LargeStringArray, characters: str) -> np.ndarray:
    """Return how many of these characters each text holds, as float64 of shape (n_samples,).

    Examples
    --------
    >>> count_characters(pa.array(["a12b345", "", "x"], pa.large_string()), "0123456789").tolist()
    [5.0, 0.0, 0.0]
    """
    codes, offsets = _codes(texts)
    sums = np.zeros(len(codes) + 1, dtype=np.int64)
    np.cumsum(_among(characters)[codes], out=sums[1:])
    return np.diff(sums[offsets]).astype(np.float64)


def entropy(texts: pa.LargeStringArray) -> np.ndarray:
    """Return Shannon's entropy of the characters of each text in bits, as float64 of shape (n_samples,).

    Examples
    --------
    >>> entropy(pa.array(["aabb", "aaaa", ""], pa.large_string())).tolist()
    [1.0, 0.0, 0.0]
    """
    codes, offsets = _codes(texts)
    lengths = np.diff(offsets)
    bits = np.empty(len(texts))
    for start in range(0, len(texts), _ROWS):
        rows = slice(start, min(start + _ROWS, len(texts)))
        n_rows = rows.stop - start
        row = np.repeat(np.arange(n_rows), lengths[rows])
        cells = row * 128 + codes[offsets[start] : offsets[rows.stop]]
        n_equal = np.bincount(cells, minlength=n_rows * 128)
        logs = np.log2(np.arange(1, n_equal.max(initial=1) + 1))
        divisor = np.maximum(lengths[rows], 1)
        bits[rows] = np.log2(divisor) - np.bincount(row, logs[n_equal[cells] - 1], n_rows) / divisor
    return bits


def longest_run(texts: pa.LargeStringArray, characters: str) -> np.ndarray:
    """Return, for each text, the length of its longest run of these characters, as float64 of shape (n_samples,).

    Examples
    --------
    >>> longest_run(pa.array(["a12b345", "", "x"], pa.large_string()), "0123456789").tolist()
    [3.0, 0.0, 0.0]
    """
    codes, offsets = _codes(texts)
    # A run ends where a text does: count from the last position that is not among them or lies before the text.
    position = np.arange(1, len(codes) + 1)
    barrier = np.where(_among(characters)[codes], 0, position)
    inside = offsets[:-1] < offsets[1:]
    first = offsets[:-1][inside]
    barrier[first] = np.maximum(barrier[first], first)
    runs = position - np.maximum.accumulate(barrier)
    longest = np.zeros(len(texts))
    if len(first):
        longest[inside] = np.maximum.reduceat(runs, first)
    return longest


def count_matches(texts: pa.LargeStringArray, pattern: str) -> np.ndarray:
    """Return how often the regular expression (RE2) matches in each text, as float64 of shape (n_samples,)."""
    return pc.count_substring_regex(texts, pattern).to_numpy().astype(np.float64)


def has_match(texts: pa.LargeStringArray, pattern: str) -> np.ndarray:
    """Return whether the regular expression (RE2) matches in each text, as float64 of shape (n_samples,)."""
    return pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False).astype(np.float64)
