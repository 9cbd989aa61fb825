"""The table in an open file: found behind compression and archives, read by the reader of its format."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO

import pandas as pd

from networksecurity.data.file_kinds import ARCHIVE, DELIMITED, EXCEL, JSON, PARQUET, format_of, kind_of
from networksecurity.data.files import arff, delimited, documents, parquet, workbook
from networksecurity.data.files.compression import ZIP, choose_member, looks_like, open_member, passing, unpacked
from networksecurity.data.files.dialect import Dialect
from networksecurity.data.files.limits import Cells, Size
from networksecurity.data.files.reading import Reading
from networksecurity.data.raw import Digest
from networksecurity.exceptions import shortened

_HEAD = 20
"""Rows by which a table is recognised."""


def open_table(file: IO[bytes], open_files: ExitStack, kind: str, how: Reading) -> "Table":
    """Return the table in a file; what is unpacked stays open until `open_files` ends.

    Parameters
    ----------
    file : binary file
        At its start.
    kind : str
        What its name ends in.
    """
    packed_as = format_of(kind)
    if not head_of(file).startswith(ZIP) or packed_as in (EXCEL, PARQUET):
        if packed_as == ARCHIVE:
            raise zipfile.BadZipFile("it is no zip archive")
        return Table(file, file, packed_as, how)
    archive = open_files.enter_context(zipfile.ZipFile(file))
    if packed_as != ARCHIVE and looks_like(archive) == EXCEL:
        said = ("it is an Excel workbook, despite its name",)
        return Table(file, file, EXCEL, how, said)
    chosen = choose_member(archive, how.member, how.shown)
    how.limits.check_unpacked(chosen.file_size, how.shown)  # more than this is never unpacked
    content, contained = open_files.enter_context(open_member(archive, chosen, how.shown)), kind_of(chosen.filename)
    contained_format = format_of(contained or ".csv")
    if contained_format in (EXCEL, PARQUET):  # they are not read from the front to the end
        content = _copied(content, open_files)
    said = (f"the file {shortened(chosen.filename)} of the archive is read",)
    return Table(file, content, contained_format, replace(how, member=None), said)


def head_of(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file, and go back to its start."""
    head = file.read(1024)
    file.seek(0)
    return head


def _copied(content: IO[bytes], open_files: ExitStack) -> IO[bytes]:
    copy = open_files.enter_context(tempfile.TemporaryFile(prefix="networksecurity-"))  # noqa: SIM115 (the stack closes it)
    shutil.copyfileobj(content, copy)
    copy.seek(0)
    return copy


@dataclass(frozen=True)
class Table:
    """The table in an open file, and how it is read."""

    file: IO[bytes]
    content: IO[bytes]
    """The same, or the member of the archive that it is; it may be compressed."""
    format: str
    how: Reading
    opened_as: tuple[str, ...] = ()
    """What is to be said of the archive."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it is read in a way that its name does not tell."""
        return self.opened_as + (self._dialect().notes if self.format == DELIMITED else ())

    def head(self) -> pd.DataFrame | None:
        """Return the first rows, which have all columns; None of JSON, whose objects may leave some out."""
        return None if self.format == JSON else next(self.read(_HEAD, None, None), None)

    def read(
        self, batch_rows: int | None, others: Callable[[object], bool] | None, digest: Digest | None
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows, at most `batch_rows` at a time, columns that `others` accepts unchanged."""
        is_stream = self.format not in (PARQUET, EXCEL)
        if digest and not (
            is_stream and self.content is self.file
        ):  # it wants the bytes in order, which rows do not need
            self.file.seek(0)
            _drain(passing(self.file, digest))
            digest = None
        dialect = self._dialect() if self.format == DELIMITED else None
        self.content.seek(0)
        how = replace(self.how, is_text=others or self.how.is_text)
        if is_stream:
            yield from self._read_text(how, batch_rows, digest, dialect)
        elif self.format == EXCEL:
            yield from workbook.read_workbook(self.content, how, batch_rows)
        elif batch_rows is None:
            yield parquet.read_parquet(self.content, how)
        else:
            yield from parquet.read_parquet_batches(self.content, how, batch_rows, others)

    def _read_text(
        self, how: Reading, batch_rows: int | None, digest: Digest | None, dialect: Dialect | None
    ) -> Iterator[pd.DataFrame]:
        head = head_of(self.content)
        source = passing(self.content, digest) if digest else self.content
        content = unpacked(source, head, Size(how.limits, how.shown))
        if dialect:
            yield from delimited.read_delimited(content, dialect, how, batch_rows)
        else:
            reader = documents.read_json
            if self.format != JSON:  # JSON has no need of lines
                reader, content = arff.read_arff, passing(content, Cells(how.limits, how.shown))
            text = io.TextIOWrapper(content, "utf-8-sig")
            try:
                yield from reader(text, how, batch_rows)
            finally:
                text.detach()  # it would close the file, which may have more to come
        if digest:
            _drain(source)

    def _dialect(self) -> Dialect:
        self.content.seek(0)
        content = unpacked(self.content, head_of(self.content), Size(self.how.limits, self.how.shown))
        return delimited.look(content, self.how)


def _drain(file: IO[bytes]) -> None:
    while file.read(1 << 20):
        pass
