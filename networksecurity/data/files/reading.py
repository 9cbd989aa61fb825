"""How a file is read, whatever its format."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from networksecurity.data.files.limits import DEFAULT, Limits
from networksecurity.data.raw import Check


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a reader of any format has to know of a file."""

    shown: str
    """The file, for messages."""
    limits: Limits = DEFAULT
    member: str | None = None
    """The file in an archive, or the sheet of a workbook, that is meant; by default the only one with rows."""
    columns: tuple[str, ...] | None = None
    """The names of the columns, the target last, of a file that has none in its first line."""
    check: Check | None = field(default=None, repr=False, compare=False)
    """What its first rows have to pass before the others are read."""
    is_text: Callable[[object], bool] | None = field(default=None, repr=False, compare=False)
    """Which columns of a file that is no Parquet are read as their text; by default all as what they look like."""

    def keeps_text(self, column: object) -> bool:
        """Return whether a column is read as its text."""
        return bool(self.is_text and self.is_text(column))

    def typed(self, cells: pd.DataFrame, to_text: Callable[[Any], str] = str) -> pd.DataFrame:
        """Return columns of objects as what they look like, or as their text."""
        return cells.apply(
            lambda column: (
                column.map(to_text, na_action="ignore").astype("str")
                if self.keeps_text(column.name)
                else column.infer_objects()
            )
        )
