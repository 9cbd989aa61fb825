"""Text that a spreadsheet would take for a formula, in tables that people open there.

A spreadsheet obeys a cell such as `=HYPERLINK(...)`, whoever wrote it. In the tables that this package writes for
people, an apostrophe stands before such a text, and is taken away again when the package reads them. Numbers stay as
they are, negative ones too.
"""

import csv
import re
from collections.abc import Callable, Iterable

import pandas as pd

from networksecurity.data.schema import MODEL, MODEL_VERSION, REASONS, ROW, SCORE

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")


def is_for_people(columns: Iterable[str]) -> bool:
    """Return whether a table with these columns is one of ours: predictions, or rows that were set aside."""
    return {ROW, REASONS} <= {*columns} or {ROW, SCORE, MODEL, MODEL_VERSION} <= {*columns}


def csv_for_people(frame: pd.DataFrame, *, header: bool = True) -> bytes:
    """Return a table as CSV in UTF-8, without formulas; a line ends in a line feed."""
    frame = neutralised(frame)
    # Python's writer leaves a carriage return without quotes, which then ends a row.
    has_returns = any(frame[name].str.contains("\r", regex=False).any() for name in _texts(frame))
    quoting = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
    return frame.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting).encode()


def neutralised(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with an apostrophe before each text that looks like a formula.

    Examples
    --------
    >>> neutralised(pd.DataFrame({"key": ["=1+1", "@x", "-1", "a=b", "'=1"]}))["key"].tolist()
    ["'=1+1", "'@x", '-1', 'a=b', "''=1"]
    """
    return _changed(frame, lambda text: f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text)


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before `neutralised`.

    Examples
    --------
    >>> restored(pd.DataFrame({"key": ["'=1+1", "'@x", "-1", "a=b", "''=1", "'a"]}))["key"].tolist()
    ['=1+1', '@x', '-1', 'a=b', "'=1", "'a"]
    """
    return _changed(frame, lambda text: text[1:] if _NEUTRALISED.match(text) else text)


def _changed(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table with its text changed, its names included."""
    texts = {name: frame[name].map(change, na_action="ignore").astype("str") for name in _texts(frame)}
    return frame.assign(**texts).rename(columns=change)


def _texts(frame: pd.DataFrame) -> list[str]:
    return [
        str(name)
        for name, kind in frame.dtypes.items()
        if isinstance(kind, pd.StringDtype | pd.ArrowDtype) and pd.api.types.is_string_dtype(kind)
    ]
