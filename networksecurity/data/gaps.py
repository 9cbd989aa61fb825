"""Features that are suddenly missing in many rows: more often a service that is down than a change of the websites."""

import math
from collections.abc import Mapping

_LEAST_GAP = 10
"""Missing values of a feature that are worth a word, unless there are no others."""


def find_gaps(n_rows: int, n_missing: Mapping[str, int], expected: Mapping[str, float] | None = None) -> list[str]:
    """Return a sentence for each feature that suddenly is missing in many rows, or in all.

    That is 5 points of the share more than expected, and four standard deviations, so a small sample is no alarm.

    Parameters
    ----------
    n_rows : int
        Accepted rows.
    n_missing : dict of str to int
        Rows without a value, by feature.
    expected : dict of str to float, optional
        The share of rows without a value in the training data, by feature. Without it, only a feature that is missing
        in all rows has a gap.

    Examples
    --------
    >>> find_gaps(1000, {"SFH": 330, "port": 1}, {"SFH": 0.002})
    ['SFH is missing in 330 of 1,000 rows (33.0%; in the training data 0.2%)']
    >>> find_gaps(1000, {"SFH": 330, "port": 1000})
    ['port is missing in all 1,000 rows']
    """
    gaps = []
    for name, count in n_missing.items():
        usual = (expected or {}).get(name, 0.0)
        share = count / n_rows
        n_more, deviation = count - usual * n_rows, math.sqrt(n_rows * max(usual, 1 / n_rows) * (1 - usual))
        if count == n_rows and usual < 1 and (count >= _LEAST_GAP or expected is None):
            known = "" if expected is None else f" (in the training data in {usual:.1%})"
            gaps.append(f"{name} is missing in all {n_rows:,} rows{known}")
        elif expected is not None and count >= _LEAST_GAP and share > usual + 0.05 and n_more > 4 * deviation:
            gaps.append(
                f"{name} is missing in {count:,} of {n_rows:,} rows ({share:.1%}; in the training data {usual:.1%})"
            )
    return gaps
