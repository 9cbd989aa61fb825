"""Limits on what a file may hold, checked before it is parsed: a small file can unpack to one that fills a machine."""

from dataclasses import dataclass
from typing import Self

from networksecurity.exceptions import DataSourceError
from networksecurity.settings import Settings, variable_of

_CELLS_OF_A_ROW = 16
"""Cells of the largest size that a line of ARFF or a JSON object may hold."""


@dataclass(frozen=True)
class Limits:
    """What a file may hold at most."""

    unpacked: int = Settings.model_fields["max_unpacked_bytes"].default
    """Bytes of what is packed in it."""
    columns: int = Settings.model_fields["max_columns"].default
    cell: int = Settings.model_fields["max_cell_bytes"].default
    """Bytes."""

    @property
    def row(self) -> int:
        """Bytes of a line of ARFF or a JSON object."""
        return _CELLS_OF_A_ROW * self.cell

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return those of an installation."""
        return cls(settings.max_unpacked_bytes, settings.max_columns, settings.max_cell_bytes)

    def check_unpacked(self, n_bytes: int, shown: str) -> None:
        """Raise DataSourceError if there are too many bytes."""
        if n_bytes > self.unpacked:
            raise too_much(f"{shown} holds more than", self.unpacked, "bytes", "max_unpacked_bytes")

    def check_columns(self, n_columns: int, shown: str) -> None:
        """Raise DataSourceError if there are too many columns."""
        if n_columns > self.columns:
            raise too_much(f"{shown} has more than", self.columns, "columns", "max_columns")

    def check_cell(self, n_bytes: int, shown: str) -> None:
        """Raise DataSourceError if a cell has too many bytes."""
        if n_bytes > self.cell:
            raise too_much(f"{shown} has a cell of more than", self.cell, "bytes", "max_cell_bytes")


DEFAULT = Limits()


def too_much(found: str, limit: float, unit: str, setting: str) -> DataSourceError:
    """Return the error of what exceeds a limit, with the limit and the variable that sets it."""
    most = f"{limit:,}".removesuffix(".0")
    return DataSourceError(
        f"{found} {most} {unit}, the limit: set {variable_of(setting)} if there is nothing wrong with it"
    )


class Size:
    """Sees the bytes of a file as they are unpacked, or of some of its rows, and refuses too many.

    Parameters
    ----------
    of : str
        What has the bytes, for the message.
    """

    def __init__(self, limits: Limits, of: str) -> None:
        self._limits = limits
        self._of = of
        self._n_bytes = 0

    def restart(self) -> None:
        """Count from here on."""
        self._n_bytes = 0

    def update(self, content: bytes, /) -> None:
        """Take further bytes; raise DataSourceError if there are too many."""
        self._n_bytes += len(content)
        self._limits.check_unpacked(self._n_bytes, self._of)


class Cells:
    """Sees the bytes of a text as they are read, and refuses one without an end of a cell where there should be one.

    Parameters
    ----------
    delimiter : str, optional
        What ends a cell besides the end of its line; by default only lines count, which may be longer.
    has_lines : bool, default=True
        Whether the end of a line ends a cell at all.
    """

    def __init__(self, limits: Limits, shown: str, delimiter: str | None = None, *, has_lines: bool = True) -> None:
        self._ends = [end.encode() for end in ("\n\r" if has_lines else "") + (delimiter or "")]
        self._most = limits.cell if delimiter else limits.row
        self._refusal = too_much(
            f"{shown} has a {'cell' if delimiter else 'line'} of more than", self._most, "bytes", "max_cell_bytes"
        )
        self._n_open = 0

    def update(self, content: bytes, /) -> None:
        """Take further bytes; raise DataSourceError if a cell is too long."""
        start = 0
        while True:
            # The last end that is near enough: a text of short cells is not searched cell by cell.
            until = start + self._most - self._n_open + 1
            last = max(content.rfind(end, start, until) for end in self._ends)
            if last < 0:
                break
            start, self._n_open = last + 1, 0
        self._n_open += len(content) - start
        if self._n_open > self._most:
            raise self._refusal
