"""A file of rows: opened, recognised, and read in batches by the reader of its format.

Text, JSON, ARFF, Parquet and workbooks are never in memory as a whole when they are read in batches. A file that
changes while it is read is refused: its size, time of modification and inode are compared, so noticing costs no further
pass over it.
"""

import csv
import gzip
import lzma
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Self

import pandas as pd
import pyarrow

from networksecurity.data.file_kinds import ARCHIVE, ENDINGS, EXCEL, format_of, kind_of
from networksecurity.data.files.limits import DEFAULT, Limits
from networksecurity.data.files.reading import Reading
from networksecurity.data.files.table import Table, head_of, open_table
from networksecurity.data.raw import Batches, Digest, Rows, storable
from networksecurity.data.schema import FEATURES, canonical_name
from networksecurity.exceptions import ConfigurationError, DataSourceError, shortened


@dataclass(frozen=True, kw_only=True)
class File(Reading):
    """A file on this machine."""

    path: Path
    kind: str
    """What its name ends in; see `file_kinds`."""
    state: tuple[int, int, int] | None = None
    """Size in bytes, time of modification in ns and inode when it was fetched: a later reading expects the same."""
    notes: tuple[str, ...] = ()
    """What of it is read in a way that its name does not tell; known once it was fetched."""

    @classmethod
    def at(cls, text: str, limits: Limits = DEFAULT) -> Self | None:
        """Return the file at a typed path, which may begin with `~`; None if its kind is unknown.

        None, too, for what no file can be called. Behind `!` may stand which file of an archive, or which sheet of a
        workbook, is meant.

        Raises
        ------
        ConfigurationError
            There is such a file, and its kind is unknown.
        DataSourceError
            It is a folder.
        """
        try:
            path = _absolute(text)
        except ValueError:  # no file has such a name
            return None
        outer, _, member = text.rpartition("!")
        if member and (kind := kind_of(outer)) and format_of(kind) in (ARCHIVE, EXCEL):
            path = _absolute(outer)
            return cls(path=path, kind=kind, shown=f"{path}!{member}", member=member, limits=limits)
        if kind := kind_of(path.name):
            return cls(path=path, kind=kind, shown=str(path), limits=limits)
        if os.path.isdir(path):  # noqa: PTH112 (unlike Path's, it takes a name that is too long)
            raise _is_a_folder(str(path))
        if os.path.exists(path):  # noqa: PTH110
            raise ConfigurationError(f"{path} is of no kind that can be read: its name must end in {ENDINGS}")
        return None

    def fetch(self, folder: Path) -> "File":  # noqa: ARG002 (a URL needs the folder)
        """Return the file as it is now, to be read several times; it stays where it is.

        Raises
        ------
        DataSourceError
            There is no such file, or it may not be read.
        """
        fetched = replace(self, state=None)
        with fetched._opened() as file, ExitStack() as open_files:
            state = _state(os.fstat(file.fileno()))
            return replace(self, state=state, notes=open_table(file, open_files, self.kind, self).notes)

    def read(self) -> Rows:
        """Return all rows.

        Raises
        ------
        DataSourceError
            There is no such file, it is empty, not of its kind, may not be read, or was changed meanwhile.
        DataValidationError
            Its first rows do not pass `check`.
        """
        with self._opened() as file, ExitStack() as open_files:
            table = self._checked_table(file, open_files)
            notes, frames = table.notes, list(table.read(None, None, None))
            if not frames or frames[0].empty:
                raise DataSourceError(f"{self.shown} holds no rows")
            return Rows(self._storable(frames[0], None), notes=notes)

    @contextmanager
    def batches(
        self, batch_rows: int = 20_000, *, exact_others: bool = False, digest: Digest | None = None
    ) -> Iterator[Batches]:
        """Read the rows in batches.

        Parameters
        ----------
        batch_rows : int, default=20000
            Most rows of one batch.
        exact_others : bool, default=False
            Leave columns that are no features unchanged, for they may be keys: the text of a CSV file (`007` keeps its
            zeros), the types of a Parquet file. Either is the same in all batches.
        digest : of hashlib, optional
            Updated with the file's bytes as they are read; complete after the last batch.

        Raises
        ------
        DataSourceError
            As from `read`, while batches are taken.
        """
        yield Batches(self._frames(batch_rows, exact_others, digest), notes=self.notes)

    def _frames(self, batch_rows: int, exact_others: bool, digest: Digest | None) -> Iterator[pd.DataFrame]:
        n_rows, others = 0, _is_other if exact_others else None
        with self._opened() as file, ExitStack() as open_files:
            for frame in self._checked_table(file, open_files).read(batch_rows, others, digest):
                if len(frame):
                    yield self._storable(frame.set_axis(pd.RangeIndex(n_rows, n_rows + len(frame))), others)
                n_rows += len(frame)
        if not n_rows:
            raise DataSourceError(f"{self.shown} holds no rows")

    def _storable(self, frame: pd.DataFrame, others: Callable[[object], bool] | None) -> pd.DataFrame:
        if repeated := [name for name, count in Counter(map(str, frame)).items() if count > 1]:
            raise DataSourceError(f"{self.shown} has two columns of one name: {shortened(repeated[0])}")
        return storable(frame, but=others)

    def _checked_table(self, file: IO[bytes], open_files: ExitStack) -> Table:
        table = open_table(file, open_files, self.kind, self)
        if self.check and (head := table.head()) is not None:
            self.check(self._storable(head, None))
        return table

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Open the file, refuse what is no file of rows, and refuse it at the end if it was changed meanwhile."""
        with self._errors(), self._regular().open("rb") as file:
            expected = self.state or _state(os.fstat(file.fileno()))
            self._refuse_another(expected, _state(os.fstat(file.fileno())))
            self._check_head(file)
            yield file
            self._refuse_another(expected, _state(self.path.stat()))

    def _regular(self) -> Path:
        """Return the path; raise DataSourceError if a pipe or a device is there, whose reading may never end."""
        if not stat.S_ISREG(self.path.stat().st_mode):
            if self.path.is_dir():
                raise _is_a_folder(self.shown)
            raise DataSourceError(f"{self.shown} is no regular file: write its rows to one")
        return self.path

    def _refuse_another(self, expected: tuple[int, int, int], found: tuple[int, int, int]) -> None:
        if found != expected:
            raise DataSourceError(f"{self.shown} was changed while it was read: try again when it is complete")

    def _check_head(self, file: IO[bytes]) -> None:
        head = head_of(file).lstrip().lower()
        if not head:
            raise DataSourceError(f"{self.shown} is empty")
        if head.startswith((b"<!doctype", b"<html")):
            raise DataSourceError(f"{self.shown} is a web page, not {self.kind}: a link to the file itself is needed")
        if head.startswith(b"version https://git-lfs."):
            raise DataSourceError(f"{self.shown} only stands for a file in Git LFS: fetch the file with git lfs pull")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate what the readers of files raise."""
        try:
            yield
        except FileNotFoundError as exc:
            raise DataSourceError(f"there is no file {self.shown}") from exc
        except tuple(_ERRORS) as exc:
            message = next(message for kind, message in _ERRORS.items() if isinstance(exc, kind))
            reason = getattr(exc, "strerror", None) or shortened(exc) or type(exc).__name__
            raise DataSourceError(f"{self.shown} {message.format(reason=reason)}") from exc


_DAMAGED = "is damaged or incomplete, fetch it again: {reason}"
_UNREADABLE = "cannot be read: {reason}"
_ERRORS: dict[type[Exception], str] = {
    UnicodeError: "is not UTF-8 text ({reason}): save it as UTF-8",
    pd.errors.EmptyDataError: "is empty",
    pd.errors.ParserError: "is not a table of delimited values: {reason}",
    EOFError: _DAMAGED,
    zlib.error: _DAMAGED,
    lzma.LZMAError: _DAMAGED,
    gzip.BadGzipFile: _DAMAGED,
    zipfile.BadZipFile: _DAMAGED,
    NotImplementedError: _UNREADABLE,  # an archive of a newer kind
    pyarrow.ArrowException: "cannot be read as Parquet: {reason}",
    MemoryError: "does not fit into memory: give its rows in several files",
    OSError: _UNREADABLE,
    csv.Error: _UNREADABLE,
    ValueError: _UNREADABLE,
    OverflowError: _UNREADABLE,
    RecursionError: _UNREADABLE,
}
"""What the errors of the readers mean, the first that fits."""


def _is_a_folder(shown: str) -> DataSourceError:
    return DataSourceError(f"{shown} is a folder: give the file in it")


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _absolute(text: str) -> Path:
    return Path(os.path.expanduser(text)).resolve()  # noqa: PTH111 (an unknown ~user is left as it is)


def _is_other(column: object) -> bool:
    return canonical_name(column) not in FEATURES
