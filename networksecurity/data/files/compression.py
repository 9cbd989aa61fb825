"""Compressed files, and archives: which member of a zip is meant.

The content tells whether it is compressed, not the name: web servers may unpack a file on its way.
"""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from typing import IO, Any

import pyarrow

from networksecurity.data.file_kinds import ARFF, DELIMITED, EXCEL, format_of, kind_of
from networksecurity.data.raw import Digest
from networksecurity.exceptions import DataSourceError, listed, shortened

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip archive begins, and an empty one."""


class Passing(io.RawIOBase):
    """A file that is read through this one: others see its bytes, and closing this one leaves it open."""

    def __init__(self, file: IO[bytes], *seen_by: Digest) -> None:
        self._file = file
        self._seen_by = seen_by

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read into the buffer; return how many bytes."""
        content = self._file.read(len(buffer))
        for each in self._seen_by:
            each.update(content)
        buffer[: len(content)] = content
        return len(content)


_UNPACK: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pyarrow.CompressedInputStream(pyarrow.PythonFile(Passing(file), "r"), "zstd"),
}
"""By the bytes with which such a file begins."""


def passing(file: IO[bytes], *seen_by: Digest) -> io.BufferedReader:
    """Return a file whose bytes others see as they are read."""
    return io.BufferedReader(Passing(file, *seen_by), 1 << 16)


def unpacked(file: IO[bytes], head: bytes, size: Digest) -> IO[bytes]:
    """Return what gives the content of a file that begins with `head`, which was not read from it.

    Bytes that were packed are seen by `size`.
    """
    unpack = next((unpack for magic, unpack in _UNPACK.items() if head.startswith(magic)), None)
    return passing(unpack(file), size) if unpack else file


def choose_member(archive: zipfile.ZipFile, wanted: str | None, shown: str) -> zipfile.ZipInfo:
    """Return the member of an archive that holds the rows.

    Raises
    ------
    DataSourceError
        There is none, several could be meant, or it is none that `wanted` names.
    """
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/") and not _base(member).startswith(".")
    ]
    if wanted is not None:
        fitting = [member for member in members if wanted in (member.filename, _base(member))]
        if len(fitting) != 1:
            raise DataSourceError(f"{shown}: there is no such file in it, only {_names(members)}")
        return fitting[0]
    rows = [member for member in members if kind_of(member.filename)]
    # A readme is a .txt, too; it holds rows only where nothing else does.
    sure = [member for member in rows if not member.filename.lower().endswith((".txt", ".zip"))] or rows
    if not sure:
        raise DataSourceError(f"{shown} holds no file of rows, only {_names(members) or 'nothing'}")
    if len(sure) > 1 and any(format_of(kind_of(member.filename) or "") != ARFF for member in sure):
        first = shortened(sure[0].filename, 80)
        raise DataSourceError(f"{shown} holds several files ({_names(sure)}): name one, as {shown}!{first}")
    # The archive at UCI holds an older, smaller version besides.
    return max(sure, key=lambda member: member.file_size)


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str) -> IO[bytes]:
    """Open a member of an archive.

    Raises
    ------
    DataSourceError
        It is encrypted, packed by a rare method, or an archive itself.
    """
    if member.filename.lower().endswith(".zip"):
        raise DataSourceError(f"{shown}: {shortened(member.filename)} is an archive itself: unpack it")
    try:
        return archive.open(member)
    except (RuntimeError, NotImplementedError) as exc:
        raise DataSourceError(f"{shown}: {shortened(member.filename)} cannot be unpacked: {shortened(exc)}") from exc


def looks_like(archive: zipfile.ZipFile) -> str:
    """Return what an archive is that has another name: a workbook, or delimited text that was packed."""
    return EXCEL if "[Content_Types].xml" in archive.namelist() else DELIMITED


def _base(member: zipfile.ZipInfo) -> str:
    return member.filename.rpartition("/")[2]


def _names(members: list[zipfile.ZipInfo]) -> str:
    return listed((member.filename for member in members), count=5, most=100)
