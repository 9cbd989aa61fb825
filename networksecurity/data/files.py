"""Files of rows: CSV (also gzipped), Parquet, ARFF, and a zip archive of ARFF files.

CSV and Parquet are never in memory as a whole when they are read in batches. A file that changes while it is read is
refused: its size, time of modification and inode are compared, so noticing costs no further pass over it.
"""

import gzip
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow

from networksecurity.data.raw import Batches, Digest, Rows, storable
from networksecurity.data.schema import FEATURES, canonical_name
from networksecurity.exceptions import ConfigurationError, DataSourceError, one_line

KINDS = (".csv", ".csv.gz", ".parquet", ".arff", ".zip")
"""What the name of a file ends in."""


def kind_of(name: str) -> str | None:
    """Return which of `KINDS` a name ends in, in upper or lower case."""
    return next((kind for kind in KINDS if name.lower().endswith(kind)), None)


@dataclass(frozen=True)
class File:
    """A file on this machine."""

    path: Path
    kind: str
    """Which of `KINDS` it is."""
    shown: str
    """The path; of a download, its address without credentials."""
    state: tuple[int, int, int] | None = None
    """Size in bytes, time of modification in ns and inode when it was fetched: a later reading expects the same."""

    @classmethod
    def at(cls, text: str) -> Self | None:
        """Return the file at a typed path, which may begin with `~`; None if its kind is unknown.

        Raises
        ------
        ConfigurationError
            There is such a file, and its name ends in none of `KINDS`.
        DataSourceError
            It is a folder.
        """
        path = Path(os.path.expanduser(text)).resolve()  # noqa: PTH111 (an unknown ~user is left as it is)
        if kind := kind_of(path.name):
            return cls(path, kind, str(path))
        if os.path.isdir(path):  # noqa: PTH112 (unlike Path's, it takes a name that is too long)
            raise _is_a_folder(str(path))
        if os.path.exists(path):  # noqa: PTH110
            raise ConfigurationError(f"{path} is of no kind that can be read: its name must end in {', '.join(KINDS)}")
        return None

    def fetch(self, folder: Path) -> "File":  # noqa: ARG002 (a URL needs the folder)
        """Return the file as it is now, to be read several times; it stays where it is.

        Raises
        ------
        DataSourceError
            There is no such file, or it may not be read.
        """
        with self._errors(), self.path.open("rb") as file:
            return replace(self, state=_state(os.fstat(file.fileno())))

    def read(self) -> Rows:
        """Return all rows.

        Raises
        ------
        DataSourceError
            There is no such file, it is empty, not of its kind, may not be read, or was changed meanwhile.
        """
        with self._opened() as file:
            if self.kind in (".csv", ".csv.gz"):
                frame = next(_read_csv(file, self.shown))
            elif self.kind == ".parquet":
                frame = _read_parquet(file)
            else:
                frame = _read_arff(self.kind, file.read(), self.shown)
        if frame.empty:
            raise DataSourceError(f"{self.shown} holds no rows")
        return Rows(storable(frame))

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
        yield Batches(self._frames(batch_rows, exact_others, digest))

    def _frames(self, batch_rows: int, exact_others: bool, digest: Digest | None) -> Iterator[pd.DataFrame]:
        n_rows = 0
        with self._opened() as file:
            for frame in self._raw_frames(file, batch_rows, exact_others, digest):
                if len(frame):
                    others = _is_other if exact_others else None
                    yield storable(frame.set_axis(pd.RangeIndex(n_rows, n_rows + len(frame))), but=others)
                n_rows += len(frame)
        if not n_rows:
            raise DataSourceError(f"{self.shown} holds no rows")

    def _raw_frames(
        self, file: io.BufferedIOBase, batch_rows: int, exact_others: bool, digest: Digest | None
    ) -> Iterator[pd.DataFrame]:
        if self.kind in (".csv", ".csv.gz"):
            yield from _read_csv(file, self.shown, batch_rows, exact_others, digest)
        elif self.kind == ".parquet":
            if digest:  # which wants the bytes in their order; the columns stand in another
                _drain(_digested(file, digest))
            yield from _read_parquet_batches(self.path, batch_rows, exact_others)
        else:  # its reader knows no batches
            content = file.read()
            if digest:
                digest.update(content)
            frame = _read_arff(self.kind, content, self.shown)
            yield from (frame[start : start + batch_rows] for start in range(0, len(frame), batch_rows))

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedIOBase]:
        """Open the file, refuse what is no file of rows, and refuse it at the end if it was changed meanwhile."""
        with self._errors(), self.path.open("rb") as file:
            expected = self.state or _state(os.fstat(file.fileno()))
            self._refuse_another(expected, _state(os.fstat(file.fileno())))
            _check_head(file, self.kind, self.shown)
            yield file
            self._refuse_another(expected, _state(self.path.stat()))

    def _refuse_another(self, expected: tuple[int, int, int], found: tuple[int, int, int]) -> None:
        if found != expected:
            raise DataSourceError(f"{self.shown} was changed while it was read: try again when it is complete")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate what the readers of files raise."""
        try:
            yield
        except FileNotFoundError as exc:
            raise DataSourceError(f"there is no file {self.shown}") from exc
        except IsADirectoryError as exc:
            raise _is_a_folder(self.shown) from exc
        except tuple(_ERRORS) as exc:
            message = next(message for kind, message in _ERRORS.items() if isinstance(exc, kind))
            reason = getattr(exc, "strerror", None) or one_line(exc)
            raise DataSourceError(f"{self.shown} {message.format(reason=reason)}") from exc


_DAMAGED = "is damaged or incomplete, fetch it again: {reason}"
_ERRORS: dict[type[Exception], str] = {
    UnicodeError: "is not UTF-8 text ({reason}): save it as UTF-8",
    pd.errors.EmptyDataError: "is empty",
    pd.errors.ParserError: "is not a table of comma-separated values: {reason}",
    EOFError: _DAMAGED,
    zlib.error: _DAMAGED,
    gzip.BadGzipFile: _DAMAGED,
    zipfile.BadZipFile: _DAMAGED,
    pyarrow.ArrowException: "cannot be read as Parquet: {reason}",
    OSError: "cannot be read: {reason}",
}
"""What the errors of the readers mean, the first that fits."""


def _is_a_folder(shown: str) -> DataSourceError:
    return DataSourceError(f"{shown} is a folder: give the file in it")


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _check_head(file: io.BufferedIOBase, kind: str, shown: str) -> None:
    head = file.read(1024).lstrip().lower()
    file.seek(0)
    if not head:
        raise DataSourceError(f"{shown} is empty")
    if head.startswith((b"<!doctype", b"<html")):
        raise DataSourceError(f"{shown} is a web page, not {kind}: a link to the file itself is needed")


def _is_other(column: object) -> bool:
    return canonical_name(column) not in FEATURES


# --- CSV --------------------------------------------------------------------------------------------------------------


class _Digesting(io.RawIOBase):
    """A file whose bytes go through a digest as they are read."""

    def __init__(self, file: io.BufferedIOBase, digest: Digest) -> None:
        self._file = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        content = self._file.read(len(buffer))
        self._digest.update(content)
        buffer[: len(content)] = content
        return len(content)


def _digested(file: io.BufferedIOBase, digest: Digest) -> io.BufferedIOBase:
    return io.BufferedReader(_Digesting(file, digest), 1 << 16)


def _drain(file: io.BufferedIOBase) -> None:
    while file.read(1 << 20):
        pass


def _read_csv(
    file: io.BufferedIOBase,
    shown: str,
    batch_rows: int | None = None,
    exact_others: bool = False,
    digest: Digest | None = None,
) -> Iterator[pd.DataFrame]:
    # By content, not by name: web servers may unpack a .csv.gz on its way here.
    is_gzip = file.read(2) == b"\x1f\x8b"

    def text(file: io.BufferedIOBase) -> io.BufferedIOBase:
        return gzip.GzipFile(fileobj=file) if is_gzip else file

    file.seek(0)
    if b"\0" in text(file).read(1 << 16):
        raise DataSourceError(f"{shown} is binary (or UTF-16), not UTF-8 text")
    file.seek(0)
    names = pd.read_csv(text(file), nrows=0).columns if exact_others else []
    file.seek(0)
    source = _digested(file, digest) if digest else file
    # Only the empty cell is taken for missing here: were `na` too, the cells beside it would be read as floats.
    with pd.read_csv(
        text(source),
        dtype={name: "str" for name in names if _is_other(name)},
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
        iterator=True,
        chunksize=batch_rows,
    ) as batches:
        for frame in batches:
            if not isinstance(frame.index, pd.RangeIndex):
                raise DataSourceError(f"{shown}: its rows have more cells than its header has names")
            yield frame
    if digest:
        _drain(source)


# --- Parquet ----------------------------------------------------------------------------------------------------------


@contextmanager
def _damage_by_pandas() -> Iterator[None]:
    """Translate damage in what pandas itself wrote into a Parquet file."""
    try:
        yield
    except (ValueError, KeyError) as exc:
        raise pyarrow.ArrowInvalid(one_line(exc)) from exc


def _read_parquet(file: io.BufferedIOBase) -> pd.DataFrame:
    # An open file, because pandas would make columns of a path with `key=value` in it.
    with _damage_by_pandas():
        frame = pd.read_parquet(file)
    return frame.reset_index(drop=frame.index.name is None)


def _read_parquet_batches(path: Path, batch_rows: int, exact_others: bool) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    # Read ahead, whole row groups would be in memory.
    with _damage_by_pandas(), ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
        for batch in file.iter_batches(batch_rows):
            table = pyarrow.Table.from_batches([batch])
            if exact_others:
                yield _with_exact_others(table)
            else:
                frame = table.to_pandas()
                yield frame.reset_index(drop=frame.index.name is None)


def _with_exact_others(table: pyarrow.Table) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(column) if _is_other(name) else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not name.startswith("__index_level_")  # an index without a name
        }
    )


# --- ARFF -------------------------------------------------------------------------------------------------------------


def _unzipped(content: bytes, shown: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [member for member in archive.infolist() if member.filename.lower().endswith(".arff")]
        if not members:
            raise DataSourceError(f"{shown} holds no .arff file, only {', '.join(archive.namelist()[:5]) or 'nothing'}")
        # The archive at UCI holds an older, smaller version besides.
        largest = max(members, key=lambda member: member.file_size)
        try:
            return archive.read(largest)
        except (RuntimeError, NotImplementedError) as exc:  # encrypted, or packed by a rare method
            raise DataSourceError(f"{shown}: {largest.filename} cannot be unpacked: {exc}") from exc


def _read_arff(kind: str, content: bytes, shown: str) -> pd.DataFrame:
    from scipy.io import arff

    text = (_unzipped(content, shown) if kind == ".zip" else content).decode("utf-8-sig")
    try:
        data, meta = arff.loadarff(io.StringIO(text))
    except StopIteration as exc:
        raise DataSourceError(f"{shown} is not ARFF: it has no @relation, @attribute and @data") from exc
    except (arff.ArffError, ValueError, IndexError, NotImplementedError) as exc:
        raise DataSourceError(f"{shown} is not ARFF that can be read: {one_line(exc)}") from exc
    # The reader cuts rows that are too long.
    rows = re.split(r"(?im)^\s*@data\b", text, maxsplit=1)[-1].splitlines()[1:]
    widths = {row.count(",") + 1 for row in rows if row.strip() and not row.lstrip().startswith("%")}
    if widths - {len(meta.names())}:
        raise DataSourceError(f"{shown}: it has {len(meta.names())} attributes, and rows of {max(widths)} values")
    columns = {}
    for name, kind_of_values in zip(meta.names(), meta.types(), strict=True):
        column = pd.Series(data[name])
        if kind_of_values == "nominal":
            column = column.str.decode("utf-8")
            column = column.mask(column == "?")
            numbers = pd.to_numeric(column, errors="coerce")
            column = numbers if numbers.notna().equals(column.notna()) else column
        columns[name.strip("\"'")] = column
    return pd.DataFrame(columns)
