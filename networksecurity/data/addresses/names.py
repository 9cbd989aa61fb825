"""What the columns of addresses and of their labels are called."""

from networksecurity.data.columns import normalized

URL, TARGET = "url", "label"

NAMES = {
    URL: ("url", "urls", "link", "address", "website", "uri", "domain"),
    TARGET: ("label", "status", "type", "class", "result", "target", "phishing", "isphishing"),
}
"""In the order in which a message lists them; case, blanks and underscores do not count."""


def canonical_name(column: object) -> str | None:
    """Return `url` or `label` for a column that is called so by any of its names, None for any other."""
    return next((name for name, names in NAMES.items() if normalized(column) in names), None)


def is_address_column(column: object) -> bool:
    """Return whether a column holds addresses, by its name."""
    return canonical_name(column) == URL
