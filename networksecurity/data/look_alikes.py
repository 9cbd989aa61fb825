"""Rows that are those of another contract than the one that was asked for."""

from collections.abc import Callable, Iterable

from networksecurity.data import address_names, schema

_BUILT_IN: dict[str, tuple[Callable[[object], str | None], Iterable[str], str]] = {
    "websites": (schema.canonical_name, schema.FEATURES, schema.TARGET),
    "addresses": (address_names.canonical_name, (address_names.URL,), address_names.TARGET),
}
"""By contract, what names a column, the columns that it needs, and its target."""


def look_alike(columns: Iterable[object], *, instead_of: str, with_target: bool = True) -> str:
    """Return the end of a message which says what other contract has all its columns here; empty if there is none.

    Parameters
    ----------
    columns : iterable of str
        Of rows that lack columns of the contract `instead_of`.
    with_target : bool, default=True
        Whether rows need a label.

    Examples
    --------
    >>> look_alike(["Link", "status"], instead_of="websites")
    '. This looks like `addresses`: --contract addresses'
    >>> look_alike(["Link"], instead_of="websites")
    ''
    """
    columns = list(columns)
    for contract, (name_of, features, target) in _BUILT_IN.items():
        needed = {*features, target} if with_target else {*features}
        if contract != instead_of and needed <= {name_of(column) for column in columns}:
            return f". This looks like `{contract}`: --contract {contract}"
    return ""
