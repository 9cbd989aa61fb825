"""Files of predictions, CSV or Parquet: written batch by batch, all or nothing.

Beside `scored.parquet`, `scored_quarantine.parquet` holds the rows that were not scored, if any. Both are written under
temporary names and then moved, the predictions last; fsspec's transactions are not atomic across disks. An existing
file is replaced if it holds predictions, so scoring again gives the same file; any other file is left alone.
"""

import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, Self

import fsspec
import pandas as pd
import pyarrow
import pyarrow.parquet
from fsspec.implementations.local import LocalFileSystem

from networksecurity.data.files.formulas import csv_for_people
from networksecurity.data.schema import MODEL, MODEL_VERSION, REASONS, ROW, SCORE
from networksecurity.data.unfinished import sweep, unfinished
from networksecurity.exceptions import ConfigurationError, one_line, quoted
from networksecurity.settings import without_credentials

_KINDS = (".parquet", ".csv")


def check_output(output: str) -> str:
    """Return a file as it may be shown: a path made absolute, a URL without credentials.

    Raises
    ------
    ConfigurationError
        The file has an unknown ending, its folder does not exist, or it exists and does not hold predictions.
    """
    return _resolve(output).shown


def write_file(
    batches: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    *,
    output: str,
    on_progress: Callable[[int], None] | None = None,
) -> str | None:
    """Write predictions to a file, and the rows that were not scored to the one beside it.

    Parameters
    ----------
    batches : iterable of (predictions, rejected)
        As `BatchScorer.add` returns them. If it raises, no file is written.
    output : str
        A path or any fsspec URL that ends in `.parquet` or `.csv`.
    on_progress : callable, optional
        Called after each batch with the number of rows done.

    Returns
    -------
    str or None
        The file of the rows that were not scored; None if all were scored.

    Raises
    ------
    ConfigurationError
        As from `check_output`, or the file cannot be written: no permission, no space.
    """
    place = _resolve(output)
    files, n_rows, n_rejected = place.files, 0, 0
    with (
        _writing(place),
        unfinished(files, place.path) as partial,
        unfinished(files, place.quarantine) as partial_quarantine,
    ):
        for path in (place.path, place.quarantine):
            sweep(files, *posixpath.split(path))
        with _Table(files, partial, place.kind) as scored, _Table(files, partial_quarantine, place.kind) as unscored:
            for predictions, rejected in batches:
                scored.add(predictions)
                unscored.add(rejected)
                n_rows += len(predictions) + len(rejected)
                n_rejected += len(rejected)
                if on_progress:
                    on_progress(n_rows)
        if n_rejected:
            files.mv(partial_quarantine, place.quarantine)
        elif files.exists(place.quarantine):
            files.rm_file(place.quarantine)  # of an earlier run
        files.mv(partial, place.path)
    return place.quarantine if n_rejected else None


@dataclass(frozen=True)
class _Place:
    files: fsspec.AbstractFileSystem
    path: str
    kind: str
    shown: str

    @property
    def quarantine(self) -> str:
        return f"{self.path[: -len(self.kind)]}_quarantine{self.kind}"


def _resolve(output: str) -> _Place:
    shown = without_credentials(output)
    kind = next((kind for kind in _KINDS if output.lower().endswith(kind)), None)
    if kind is None:
        raise ConfigurationError(
            f"unknown output {quoted(shown)}: a path or URL that ends in {' or '.join(_KINDS)}, or mongodb"
        )
    try:
        files, path = fsspec.url_to_fs(output)
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(f"{shown} cannot be written: {one_line(exc)}") from exc
    place = _Place(files, path, kind, path if isinstance(files, LocalFileSystem) else shown)
    with _writing(place):
        if isinstance(files, LocalFileSystem):
            folder = posixpath.dirname(path)
            if not files.isdir(folder):
                raise ConfigurationError(f"{place.shown} cannot be written: there is no folder {folder}")
            TemporaryFile(dir=folder).close()
        for file, columns in ((path, {ROW, SCORE, MODEL, MODEL_VERSION}), (place.quarantine, {ROW, REASONS})):
            if files.exists(file) and not columns <= set(_columns(files, file, kind)):
                raise ConfigurationError(f"{file} already exists and does not hold predictions: name another")
    return place


def _columns(files: fsspec.AbstractFileSystem, path: str, kind: str) -> list[str]:
    """Return the names of a file's columns; none for a folder or a file of another kind."""
    if files.isdir(path):
        return []
    with files.open(path, "rb") as file:
        if kind == ".csv":
            return next(csv.reader(io.StringIO(file.readline(1 << 20).decode(errors="replace"))), [])
        try:
            return pyarrow.parquet.read_schema(file).names
        except pyarrow.ArrowInvalid:
            return []


@contextmanager
def _writing(place: _Place) -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        raise ConfigurationError(f"{place.shown} cannot be written: {reason or exc or type(exc).__name__}") from exc


class _Table:
    """A file that takes a table part by part; the first part determines the columns."""

    def __init__(self, files: fsspec.AbstractFileSystem, path: str, kind: str) -> None:
        self._file = files.open(path, "wb")
        self._kind = kind
        self._is_new = True
        self._writer: Any = None  # a ParquetWriter from the first part on

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            if self._writer:
                self._writer.close()

    def add(self, frame: pd.DataFrame) -> None:
        keys = {
            str(name): column.map(_to_text).astype("str") for name, column in frame.items() if column.dtype == object
        }
        frame = frame.assign(**keys)
        if self._kind == ".csv":
            self._file.write(csv_for_people(frame, header=self._is_new))
            self._is_new = False
            return
        schema = self._writer.schema if self._writer else None
        table = pyarrow.Table.from_pandas(frame, schema, preserve_index=False).replace_schema_metadata()
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)


def _to_text(key: object) -> str:
    """Return what is more than a plain value as text: the compound key of an ingested row and reasons as JSON."""
    return json.dumps(key, default=str) if isinstance(key, dict | list) else str(key)
