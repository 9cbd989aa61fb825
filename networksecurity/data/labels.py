"""Labels as people write them, where a person says which value means phishing."""

import pandas as pd

from networksecurity.data.schema import MISSING_MARKERS
from networksecurity.exceptions import DataValidationError, listed, quoted


def label_text(cell: object) -> str:
    """Return a label as it is compared: in lower case; a whole number as such, however it is written.

    Examples
    --------
    >>> label_text(" Bad"), label_text(1.0), label_text("-1.0"), label_text(True)
    ('bad', '1', '-1', 'true')
    """
    text = str(cell).strip().casefold()
    return text.removesuffix(".0") if text.removesuffix(".0").lstrip("-").isdigit() else text


class Recoding:
    """Reads labels of which one value means phishing; each other means legitimate, and there may be one.

    Examples
    --------
    >>> Recoding("bad").read(pd.Series(["Bad", "good", None, "?"])).tolist()
    [1, 0, <NA>, <NA>]
    """

    def __init__(self, positive: str) -> None:
        self._positive = label_text(positive)
        self._others: set[str] = set()

    def read(self, raw: pd.Series) -> pd.Series:
        """Return 1 for phishing, 0 for legitimate, and a missing value where there is no label, as Int8.

        Raises
        ------
        DataValidationError
            There are three values or more, here and in what was read before.
        """
        of_row, distinct = pd.factorize(raw.map(label_text, na_action="ignore"))
        meanings = [None if text in MISSING_MARKERS else int(text == self._positive) for text in distinct]
        self._others |= {text for text, meaning in zip(distinct, meanings, strict=True) if meaning == 0}
        if len(self._others) > 1:
            raise DataValidationError(
                f"besides {quoted(self._positive)}, which means phishing, the labels have several values "
                f"({listed(map(repr, sorted(self._others)), count=5, most=100)}): keep two kinds of rows, or "
                "recode them"
            )
        return pd.Series(pd.array([*meanings, None], dtype="Int8")[of_row], raw.index)
