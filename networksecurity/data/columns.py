"""The columns of rows, by what they hold: how a collection stores them, and how drift compares them."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["code", "number", "category", "text"]
"""A whole number from -127 to 127 that stands for something, a number, one of some words, or any text."""


def normalized(column: object) -> str:
    """Return a column's name as it is compared: case, blanks and underscores do not count."""
    return "".join(str(column).split()).replace("_", "").casefold()


@dataclass(frozen=True)
class Column:
    """A column of rows."""

    name: str
    kind: Kind
