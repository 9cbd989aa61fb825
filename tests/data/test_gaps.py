import pytest

from networksecurity.data.gaps import find_gaps


@pytest.mark.parametrize(
    ("n_rows", "n_missing", "usual", "said"),
    [
        (1000, 330, 0.002, "SFH is missing in 330 of 1,000 rows (33.0%; in the training data 0.2%)"),
        (1000, 330, 0.3, None),
        (1000, 330, 0.27, "SFH is missing in 330 of 1,000 rows (33.0%; in the training data 27.0%)"),
        (100, 33, 0.27, None),  # as likely as not
        (1000, 49, 0.0, None),
        (20, 9, 0.0, None),
        (20, 20, 0.0, "SFH is missing in all 20 rows (in the training data in 0.0%)"),
        (20, 20, 1.0, None),
        (1, 1, 0.0, None),
        (1000, 999, None, None),
        (1000, 1000, None, "SFH is missing in all 1,000 rows"),
    ],
)
def test_values_that_are_suddenly_missing_are_reported(n_rows, n_missing, usual, said):
    expected = None if usual is None else {"SFH": usual, "port": 0.5}
    found = find_gaps(n_rows, {"SFH": n_missing}, expected)
    assert found == ([said] if said else [])
