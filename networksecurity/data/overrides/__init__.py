"""Overrides: verdicts that a person has set, for a while, whatever the model says; and where they are stored."""

from networksecurity.data.overrides.override import (
    MOST_IN_FORCE,
    Covers,
    Label,
    Override,
    Overrides,
    check_number,
    parse_until,
    read_target,
    row_value,
)

__all__ = [
    "MOST_IN_FORCE",
    "Covers",
    "Label",
    "Override",
    "Overrides",
    "check_number",
    "parse_until",
    "read_target",
    "row_value",
]
