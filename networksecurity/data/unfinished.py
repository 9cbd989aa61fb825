"""Files that appear whole or not at all: written under a name of their own, then moved.

A process that is killed leaves such a name behind. Whoever writes beside it later deletes it.
"""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import fsspec

_PARTIAL = re.compile(r"(?P<of>.+)\.[0-9a-f]{32}\.partial")
_ABANDONED = timedelta(days=1)
_FAILS = (OSError, NotImplementedError, TypeError)
"""What file systems raise: of one that tells no times, or times without a zone, nothing is deleted."""


@contextmanager
def unfinished(files: fsspec.AbstractFileSystem, path: str) -> Iterator[str]:
    """Yield the name to write a file under before it is moved to `path`; delete what still has that name afterwards."""
    partial = f"{path}.{uuid4().hex}.partial"
    try:
        yield partial
    finally:
        with suppress(*_FAILS):
            files.rm_file(partial)


def sweep(files: fsspec.AbstractFileSystem, folder: str, of: str | None = None) -> None:
    """Delete the unfinished files in a folder, or those of one name, that nobody has written to for a day.

    What cannot be listed or deleted stays.
    """
    with suppress(*_FAILS):
        for path in files.ls(folder, detail=False):
            found = _PARTIAL.fullmatch(posixpath.basename(path))
            if found and of in (None, found["of"]):
                _remove_abandoned(files, path)


def _remove_abandoned(files: fsspec.AbstractFileSystem, path: str) -> None:
    with suppress(*_FAILS):  # another process may have moved or deleted it
        if datetime.now(UTC) - files.modified(path) > _ABANDONED:
            files.rm_file(path)
