"""A check of the storage: reachable, readable, writable, and room on its disk. Nothing is written."""

import os
import shutil
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from networksecurity.exceptions import ConfigurationError, counted, one_line
from networksecurity.finding import Finding
from networksecurity.settings import Settings, without_credentials

ENOUGH_SPACE = 2 * 10**9
"""Bytes that a training with its caches and models leaves unused on any ordinary disk."""

_SET = "set NETWORKSECURITY_STORAGE to another folder"


def check_storage(settings: Settings, enough: int = ENOUGH_SPACE) -> list[Finding]:
    """Check the storage of the settings.

    Parameters
    ----------
    enough : int
        Bytes that should be free on its disk.

    Raises
    ------
    ConfigurationError
        There is no such kind of storage.
    """
    shown = without_credentials(settings.storage)
    try:
        files, root = fsspec.url_to_fs(settings.storage)
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(
            f"NETWORKSECURITY_STORAGE cannot be used ({one_line(exc)}): install what it needs, or {_SET}"
        ) from exc
    if isinstance(files, LocalFileSystem):
        return _check_folder(Path(root), enough)
    try:
        n_entries = len(files.ls(root)) if files.exists(root) else 0
    except (OSError, ValueError) as exc:
        fix = "check the address, the credentials of its library, and the network"
        return [Finding(subject="storage", state="failure", found=f"{shown} cannot be read: {one_line(exc)}", fix=fix)]
    return [Finding(subject="storage", state="ok", found=f"{shown}, {counted(n_entries, 'entry', 'entries')}")]


def _check_folder(folder: Path, enough: int) -> list[Finding]:
    there = folder
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return [_failure(f"{there} is not a folder", f"move that file, or {_SET}")]
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return [_failure(f"{there} cannot be read and written by this user", f"give the user that right, or {_SET}")]
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 1e9:.1f} GB free" + ("" if folder.exists() else "; made by the first run")
    if free < enough:
        fix = f"free some space (`make clean`, old files), or {_SET}"
        return [Finding(subject="storage", state="warning", found=found, fix=fix)]
    return [Finding(subject="storage", state="ok", found=found)]


def _failure(found: str, fix: str) -> Finding:
    return Finding(subject="storage", state="failure", found=found, fix=fix)
