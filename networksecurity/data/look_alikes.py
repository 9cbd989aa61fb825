"""Rows that are those of another contract than the one that was asked for."""

from collections.abc import Callable, Iterable

import pandas as pd

from networksecurity.data import schema
from networksecurity.data.addresses import names, parse_addresses

_N_READ = 100
"""Cells that are read to tell whether a column holds addresses."""

_BUILT_IN: dict[str, tuple[Callable[[object], str | None], Iterable[str], str]] = {
    "websites": (schema.canonical_name, schema.FEATURES, schema.TARGET),
    "addresses": (names.canonical_name, (names.URL,), names.TARGET),
}
"""By contract, what names a column, the columns that it needs, and its target."""


def look_alike(frame: pd.DataFrame, *, instead_of: str, with_target: bool = True) -> str:
    """Return the end of a message which says what other contract has all its columns here; empty if there is none.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_columns)
        Rows that lack columns of the contract `instead_of`.
    with_target : bool, default=True
        Whether rows need a label.

    Examples
    --------
    >>> look_alike(pd.DataFrame({"Link": ["a.example/b"], "status": ["bad"]}), instead_of="websites")
    '. This looks like `addresses`: --contract addresses'
    >>> look_alike(pd.DataFrame({"domain": [-1], "status": ["bad"]}), instead_of="websites")
    ''
    """
    for contract, (name_of, features, target) in _BUILT_IN.items():
        needed = {*features, target} if with_target else {*features}
        if contract != instead_of and needed <= {name_of(column) for column in frame}:
            if names.URL in needed and not _holds_addresses(frame):
                continue
            return f". This looks like `{contract}`: --contract {contract}"
    return ""


def _holds_addresses(frame: pd.DataFrame) -> bool:
    """Return whether most cells of a column that is called after addresses are some."""
    places = [place for place, column in enumerate(frame) if names.is_address_column(column)]
    read = (parse_addresses(frame.iloc[:, place].dropna().head(_N_READ)).reason.isna() for place in places)
    return any(is_address.mean() > 0.5 for is_address in read)
