"""Content-addressed files: data sets as Parquet, models as skops, each named by the SHA-256 of what is in it.

Beside them are documents, small files that have a name and may change.

Steps of a flow pass the small `DataRef` and `ModelRef` instead of frames and models. A step's result can then be found
by its inputs, also from another process or machine that sees the same storage.

The SHA-256 is computed again at each read. A file that holds anything else is moved aside and counts as missing: what
it held is computed anew, or stored anew.
"""

import hashlib
import io
import logging
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel

from networksecurity.data.model_files import load_model
from networksecurity.data.schema import MISSING
from networksecurity.data.unfinished import sweep, unfinished
from networksecurity.exceptions import ConfigurationError, StorageError, one_line
from networksecurity.settings import reveals, without_credentials

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class DataRef(BaseModel, frozen=True):
    """A stored frame: its fingerprint is its name."""

    sha256: str
    n_rows: int


class ModelRef(BaseModel, frozen=True):
    """A stored, fitted pipeline: the SHA-256 of its skops file is its name."""

    sha256: str


class QuarantineRef(BaseModel, frozen=True):
    """Stored rows that were rejected: the fingerprint of the frame is the name of the file."""

    path: str


Ref = DataRef | ModelRef | QuarantineRef

_DAMAGED = ".damaged"
"""The end of the name of a file that was moved aside."""
_NOTES_SHA256 = b"networksecurity.notes.sha256"
_NO_PARQUET = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
"""What pyarrow and pandas raise for a file that is damaged: its pages, its footer, pandas' own notes in it."""
_loaded: dict[ModelRef, Any] = {}
"""The model that this process loaded last."""
_loading = Lock()


def fingerprint(frame: pd.DataFrame) -> str:
    """Return the SHA-256, in hex, of a frame's column names, kinds and values, in order, without the index.

    An Int8 column counts as int8 with -128 for a missing value, text as a 64-bit hash of each value.
    """
    digest = hashlib.sha256()
    for name, column in frame.items():
        if column.dtype == "Int8":
            kind, values = "int8", column.to_numpy("int8", na_value=MISSING)
        elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
            kind, values = str(column.dtype), column.to_numpy()
        else:
            kind, values = "text", pd.util.hash_pandas_object(column, index=False).to_numpy()
        digest.update(f"{name}\0{kind}\0{len(values)}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def references(value: Any) -> Iterator[Ref]:
    """Yield the references in a step's result, however deep.

    Examples
    --------
    >>> list(references({"sides": [DataRef(sha256="ab", n_rows=1)], "n": 2}))
    [DataRef(sha256='ab', n_rows=1)]
    """
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from references(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from references(each)


class Storage:
    """A folder, local or behind any fsspec URL, that holds data sets and models by content.

    Writing what already exists does nothing, unless the file is damaged; a file appears whole or not at all. Each
    method raises `StorageError` if the folder cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        self._swept: set[str] = set()
        try:
            self._files, self._root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as exc:
            reason = "its address is not valid" if reveals(str(exc), url) else exc
            raise ConfigurationError(f"NETWORKSECURITY_STORAGE cannot be used: {reason}") from None
        except OSError as exc:  # some are connected to at once
            raise StorageError(f"{without_credentials(url)} cannot be reached: {one_line(exc)}") from exc

    def put_frame(self, frame: pd.DataFrame) -> DataRef:
        """Store a frame (columns numeric or text) and return its reference; its index is not kept."""
        if "object" in map(str, frame.dtypes):  # comes back with the types that Parquet gives it
            frame = _from_parquet(_to_parquet(frame))
        ref = DataRef(sha256=fingerprint(frame), n_rows=len(frame))
        self._put(ref, lambda: _to_parquet(frame))
        return ref

    def get_frame(self, ref: DataRef) -> pd.DataFrame:
        """Return a stored frame.

        Raises
        ------
        StorageError
            It does not exist: the storage was emptied, or is another one. Or it was damaged, and was moved aside.
        """
        return self._read(self._path(ref), _checked_frame)

    def put_model(self, model: Any) -> ModelRef:
        """Store a fitted scikit-learn estimator and return its reference."""
        import skops.io

        content = skops.io.dumps(model)
        ref = ModelRef(sha256=hashlib.sha256(content).hexdigest())
        self._put(ref, lambda: content)
        return ref

    def get_model(self, ref: ModelRef) -> Any:
        """Return a stored estimator, as `model_files.load_model` loads it.

        Do not change it: a process that asks for the same model again gets the same object.

        Raises
        ------
        StorageError
            It does not exist, or was damaged and was moved aside.
        DataSourceError
            It holds a type that is not trusted.
        """
        with _loading:  # the steps of a training ask for the same model, some at once
            if ref not in _loaded:
                content = self._read(self._path(ref), _checked_model)
                _loaded.clear()
                _loaded[ref] = load_model(content)
            return _loaded[ref]

    def quarantine(self, rejected: pd.DataFrame) -> QuarantineRef:
        """Store rejected rows, their values as text beside the `reasons`, and return where they are."""
        text = rejected.astype("str").rename_axis("row").reset_index()
        ref = QuarantineRef(path=posixpath.join(self._root, "quarantine", f"{fingerprint(text)}.parquet"))
        self._put(ref, lambda: _to_parquet(text))
        return ref

    def quarantined(self) -> dict[str, pd.DataFrame]:
        """Return the rows that `quarantine` stored, by the name of their file.

        Raises
        ------
        StorageError
            A file was damaged, and was moved aside.
        """
        paths = sorted(self._files.glob(posixpath.join(self._root, "quarantine", "*.parquet")))
        return {_name(path): self._read(path, _checked_frame) for path in paths}

    def put_document(self, name: str, content: bytes) -> None:
        """Store a document under a name, such as `tracking/x.json`, in place of the one before."""
        self._write(posixpath.join(self._root, name), lambda: content)

    def documents(self, pattern: str) -> dict[str, bytes]:
        """Return the documents whose names match a pattern, such as `tracking/*.json`, by their names."""
        found = {}
        try:
            for path in sorted(map(str, self._files.glob(posixpath.join(self._root, pattern)))):
                with suppress(FileNotFoundError):  # another process has just dropped it
                    found[posixpath.join(posixpath.dirname(pattern), posixpath.basename(path))] = self._files.cat_file(
                        path
                    )
        except OSError as exc:
            raise StorageError(f"{self._root} cannot be read: {one_line(exc)}") from exc
        return found

    def drop_document(self, name: str) -> None:
        """Delete a document, if it is there."""
        try:
            with suppress(FileNotFoundError):
                self._files.rm_file(posixpath.join(self._root, name))
        except OSError as exc:
            raise StorageError(f"{name} in {self._root} cannot be deleted: {one_line(exc)}") from exc

    def holds(self, ref: Ref) -> bool:
        """Return whether what a reference names is there as it was stored; what is damaged is moved aside."""
        try:
            self._read(self._path(ref), _checked_model if isinstance(ref, ModelRef) else _checked_frame)
        except StorageError:
            return False
        return True

    def _path(self, ref: Ref) -> str:
        if isinstance(ref, QuarantineRef):
            return ref.path
        folder, suffix = ("data", "parquet") if isinstance(ref, DataRef) else ("models", "skops")
        return posixpath.join(self._root, folder, f"{ref.sha256}.{suffix}")

    def _put(self, ref: Ref, content: Callable[[], bytes]) -> None:
        if not self.holds(ref):
            self._write(self._path(ref), content)

    def _write(self, path: str, content: Callable[[], bytes]) -> None:
        folder = posixpath.dirname(path)
        try:
            self._files.makedirs(folder, exist_ok=True)
            with unfinished(self._files, path) as partial:
                self._files.pipe_file(partial, content())
                self._files.mv(partial, path)
            if folder not in self._swept:
                self._swept.add(folder)
                sweep(self._files, folder)
        except OSError as exc:
            raise StorageError(
                f"{path} cannot be written ({one_line(exc)}): make room there, or point NETWORKSECURITY_STORAGE at a "
                "folder that can be written to"
            ) from exc

    def _read(self, path: str, check: Callable[[str, bytes], _T]) -> _T:
        """Return what `check` makes of a file's name and content; move the file aside if it raises `_Damaged`."""
        try:
            content = self._files.cat_file(path)
        except FileNotFoundError as exc:
            raise StorageError(
                f"{path} is gone, though a step of this run remembers it: the same command again computes it anew; if "
                "it was written to another storage, point NETWORKSECURITY_STORAGE at that"
            ) from exc
        except OSError as exc:
            raise StorageError(f"{path} cannot be read: {one_line(exc)}") from exc
        try:
            return check(_name(path), content)
        except _Damaged as exc:
            moved = self._move_aside(path)
            _log.warning("%s is damaged (%s) and %s", path, exc, moved)
            raise StorageError(
                f"{path} is damaged ({exc}) and {moved}: what had written it writes it anew when it runs again"
            ) from exc

    def _move_aside(self, path: str) -> str:
        try:
            self._files.mv(path, f"{path}{_DAMAGED}")
        except OSError as exc:
            return f"cannot be moved aside ({one_line(exc)})"
        return f"was moved to {posixpath.basename(path)}{_DAMAGED}"


class _Damaged(Exception):  # noqa: N818 (never leaves this module)
    """The content of a file is not what its name says."""


def _name(path: str) -> str:
    return posixpath.basename(path).partition(".")[0]


def _to_parquet(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    notes = dict(table.schema.metadata)
    # Pages have checksums; pandas' notes, which hold the types of the columns, have none of their own.
    table = table.replace_schema_metadata(notes | {_NOTES_SHA256: hashlib.sha256(notes[b"pandas"]).hexdigest()})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()


def _from_parquet(content: bytes) -> pd.DataFrame:
    notes = parquet.read_schema(io.BytesIO(content)).metadata or {}
    found = hashlib.sha256(notes.get(b"pandas", b"")).hexdigest()
    if notes.get(_NOTES_SHA256, found.encode()) != found.encode():  # files of older versions have none
        raise ValueError("the types of its columns have another SHA-256")
    return pd.read_parquet(io.BytesIO(content), page_checksum_verification=True)


def _checked_frame(sha256: str, content: bytes) -> pd.DataFrame:
    try:
        frame = _from_parquet(content)
        found = fingerprint(frame)
    except _NO_PARQUET as exc:
        raise _Damaged(one_line(exc)) from exc
    if found != sha256:
        raise _Damaged(f"its rows have the SHA-256 {found[:12]}…")
    return frame


def _checked_model(sha256: str, content: bytes) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _Damaged(f"it has the SHA-256 {found[:12]}…")
    return content
