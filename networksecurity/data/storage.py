"""Content-addressed files: data sets as Parquet, models as skops, each named by the SHA-256 of what is in it.

Steps of a flow pass the small `DataRef` and `ModelRef` instead of frames and models. A step's result can then be found
by its inputs, also from another process or machine that sees the same storage.
"""

import hashlib
import io
import posixpath
import zipfile
from threading import Lock
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.schema import MISSING
from networksecurity.exceptions import ConfigurationError, DataSourceError

TRUSTED_TYPES = [
    "networksecurity.training.address_features.AddressFeatures",
    "networksecurity.training.address_text.AddressText",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
]
"""What skops may load besides its own safe list: compiled trees that hold numbers only, and what reads addresses."""


class DataRef(BaseModel, frozen=True):
    """A stored frame: its fingerprint is its name."""

    sha256: str
    n_rows: int


class ModelRef(BaseModel, frozen=True):
    """A stored, fitted pipeline: the SHA-256 of its skops file is its name."""

    sha256: str


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


def load_model(content: bytes) -> Any:
    """Return the estimator of a skops file; no type outside skops' list and `TRUSTED_TYPES` is loaded.

    Raises
    ------
    DataSourceError
        The file is damaged, or holds another type.
    """
    import skops.io

    try:
        return skops.io.loads(content, trusted=TRUSTED_TYPES)
    except (skops.io.exceptions.UntrustedTypesFoundException, ValueError, KeyError, zipfile.BadZipFile) as exc:
        raise DataSourceError(f"the model file cannot be loaded: {exc}") from exc


class Storage:
    """A folder, local or behind any fsspec URL, that holds data sets and models by content.

    Writing what already exists does nothing; a file appears whole or not at all.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as exc:
            raise ConfigurationError(f"NETWORKSECURITY_STORAGE cannot be used: {exc}") from exc

    def put_frame(self, frame: pd.DataFrame) -> DataRef:
        """Store a frame (columns numeric or text) and return its reference; its index is not kept."""
        ref = DataRef(sha256=fingerprint(frame), n_rows=len(frame))
        self._put(self._data(ref), lambda file: frame.to_parquet(file, index=False))
        return ref

    def get_frame(self, ref: DataRef) -> pd.DataFrame:
        """Return a stored frame.

        Raises
        ------
        DataSourceError
            It does not exist: the storage was emptied, or is another one.
        """
        with self._open(self._data(ref)) as file:
            return pd.read_parquet(file)

    def put_model(self, model: Any) -> ModelRef:
        """Store a fitted scikit-learn estimator and return its reference."""
        import skops.io

        content = skops.io.dumps(model)
        ref = ModelRef(sha256=hashlib.sha256(content).hexdigest())
        self._put(self._model(ref), lambda file: file.write(content))
        return ref

    def get_model(self, ref: ModelRef) -> Any:
        """Return a stored estimator; no type outside skops' list and `TRUSTED_TYPES` is loaded.

        Do not change it: a process that asks for the same model again gets the same object.

        Raises
        ------
        DataSourceError
            It does not exist, or is damaged.
        """
        path = self._model(ref)
        with _loading:  # the steps of a training ask for the same model, some at once
            if ref not in _loaded:
                with self._open(path) as file:
                    content = file.read()
                _loaded.clear()
                _loaded[ref] = load_model(content)
            return _loaded[ref]

    def quarantine(self, rejected: pd.DataFrame) -> str:
        """Store rejected rows, their values as text beside the `reasons`, and return the file's path."""
        text = rejected.astype("str").rename_axis("row").reset_index()
        path = posixpath.join(self._root, "quarantine", f"{fingerprint(text)}.parquet")
        self._put(path, lambda file: text.to_parquet(file, index=False))
        return path

    def quarantined(self) -> dict[str, pd.DataFrame]:
        """Return the rows that `quarantine` stored, by the name of their file.

        Raises
        ------
        DataSourceError
            A file cannot be read.
        """
        frames = {}
        for path in sorted(self._files.glob(posixpath.join(self._root, "quarantine", "*.parquet"))):
            try:
                with self._open(path) as file:
                    frames[posixpath.basename(path).removesuffix(".parquet")] = pd.read_parquet(file)
            except (OSError, ValueError) as exc:
                raise DataSourceError(f"{path} cannot be read: {exc}") from exc
        return frames

    def _data(self, ref: DataRef) -> str:
        return posixpath.join(self._root, "data", f"{ref.sha256}.parquet")

    def _model(self, ref: ModelRef) -> str:
        return posixpath.join(self._root, "models", f"{ref.sha256}.skops")

    def _put(self, path: str, write: Any) -> None:
        if self._files.exists(path):
            return
        self._files.makedirs(posixpath.dirname(path), exist_ok=True)
        buffer = io.BytesIO()
        write(buffer)
        partial = f"{path}.{uuid4().hex}.partial"
        self._files.pipe_file(partial, buffer.getvalue())
        self._files.mv(partial, path)

    def _open(self, path: str) -> Any:
        try:
            return self._files.open(path, "rb")
        except FileNotFoundError as exc:
            raise DataSourceError(
                f"{path} is gone, though an earlier run remembers it: run again with --refresh, or point "
                "NETWORKSECURITY_STORAGE at the storage it was written to"
            ) from exc
