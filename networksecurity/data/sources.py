"""Where rows come from: one source string in, one raw frame out, not yet validated.

| source | rows |
| --- | --- |
| `sample`, `sample:100000` | the built-in sample, 11,055 rows or as many as asked for |
| a path or http(s) URL ending in `.csv`, `.csv.gz`, `.parquet`, `.arff`, `.zip` | a file; of a zip its largest ARFF |
| `uci` | the data set's own archive |
| `mongodb://…/database.collection` | a collection; what the path leaves out comes from the settings |
| `mongodb` | the same, with the connection string in `MONGODB_URI` |

A raw frame is storable: each column is an integer, a float or `str`. A column that holds anything else, or a mixture,
becomes `str` with its original values readable in it, so that quarantine can show them.

`read` returns all rows of a source at once. What is larger than memory is read by `fetch_file` and `read_batches`.
"""

import gzip
import hashlib
import io
import logging
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pyarrow
from pydantic import BaseModel

from networksecurity.data import mongodb
from networksecurity.data.schema import FEATURES, canonical_name
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError
from networksecurity.settings import Settings, without_credentials
from networksecurity.settings import settings as current_settings

UCI_URL = "https://archive.ics.uci.edu/static/public/327/phishing+websites.zip"

_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".arff", ".zip")
_CONTENT_TYPES = {
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
}
_ACCEPTED = (
    f"sample, sample:N, a path or http(s) URL that ends in {', '.join(_SUFFIXES)}, uci, "
    "mongodb://host/database.collection, mongodb+srv://…, or mongodb (with MONGODB_URI set)"
)


def read(source: str, settings: Settings | None = None) -> pd.DataFrame:
    """Return the raw rows of a source, under the source's own column names.

    Parameters
    ----------
    source : str
        One of the forms in this module's table. Relative paths are relative to the current folder.
    settings : Settings, optional
        Where MongoDB is and how long to wait, in seconds, for it or for a web server; by default this process's own.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns), n_rows > 0
        Columns of dtype int, float or `str`; integers that fit are int8 (`Int8` where some are missing). Markers of
        missing values such as `na` are still in it. From MongoDB: the known columns only, ordered by `_id`.

    Raises
    ------
    ConfigurationError
        The source is of no known form, or what it needs is not set.
    DataSourceError
        There is no such file, page or collection, it is empty, not of its kind, or may not be read.
    SourceUnavailableError
        The server could not be reached, or was lost while rows were read.
    """
    settings = settings or current_settings()
    shown = describe(source, settings)
    if is_sample(source):
        frame = _read_sample(source)
    elif mongodb.is_address(source):
        frame = mongodb.read(source, settings).frame
    elif _is_url(source):
        frame = _read_url(UCI_URL if source == "uci" else source, shown, settings)
    else:
        frame = _read_path(source, Path(shown))
    if frame.empty:
        raise DataSourceError(f"{shown} holds no rows")
    return frame


def describe(source: str, settings: Settings | None = None) -> str:
    """Return a source as it may be shown and logged: resolved, without credentials and query.

    Nothing is opened. A path comes back absolute, `uci` as its URL, `mongodb` with its host, database and collection.

    Raises
    ------
    ConfigurationError
        The source is of no known form, or what it needs is not set.
    """
    if is_sample(source):
        return source
    if mongodb.is_address(source):
        return mongodb.describe(source, settings)
    if _is_url(source):
        return without_credentials(UCI_URL if source == "uci" else source)
    if "://" in source or not source.strip():
        raise ConfigurationError(f"unknown source {without_credentials(source)!r}; one of: {_ACCEPTED}")
    return str(Path(os.path.expanduser(source)).resolve())  # noqa: PTH111 (an unknown ~user is left as it is)


def is_sample(source: str) -> bool:
    """Return whether a source, or what `describe` says of one, is the built-in sample, which is synthetic."""
    return source == "sample" or source.startswith("sample:")


def _is_url(source: str) -> bool:
    return source == "uci" or source.lower().startswith(("http://", "https://"))


def _read_sample(source: str) -> pd.DataFrame:
    from networksecurity.data.sample import make_phishing_websites

    return _storable(make_phishing_websites(_sample_size(source), random_state=0))


def _sample_size(source: str) -> int:
    if source == "sample":
        return 11_055
    n_samples = source.removeprefix("sample:")
    if not (n_samples.isascii() and n_samples.isdigit() and int(n_samples) > 0):
        raise ConfigurationError(f"{source!r}: expected sample:N with N a whole number from 1, such as sample:100000")
    return int(n_samples)


# --- batches ----------------------------------------------------------------------------------------------------------


class SourceFile(BaseModel, frozen=True):
    """A source whose rows are on this machine, to be read as often as needed."""

    source: str
    """As it may be shown."""
    sha256: str
    """Of the file's bytes, in hex; of a sample, of what it is made from."""
    path: str
    """The file; of a sample, the source."""
    kind: str
    """What the file ends in, or `sample`."""


def fetch_file(source: str, folder: Path, settings: Settings | None = None) -> SourceFile:
    """Bring a source to this machine: a URL is downloaded into `folder`, a file stays where it is.

    Raises
    ------
    ConfigurationError
        The source is of no known form, or is a collection, whose rows are in MongoDB already.
    DataSourceError
        There is no such file or page, or it may not be read.
    SourceUnavailableError
        The web server could not be reached.
    """
    settings = settings or current_settings()
    shown = describe(source, settings)
    if mongodb.is_address(source):
        raise ConfigurationError(f"{shown} is a collection: rows of it are no file that could be told from another")
    if is_sample(source):
        _sample_size(source)
        return SourceFile(source=shown, sha256=_sha256_of_sample(source), path=source, kind="sample")
    if _is_url(source):
        path = folder / "download"
        kind = _download(UCI_URL if source == "uci" else source, path, shown, settings)
    else:
        path = Path(shown)
        kind = _kind_of_path(source, path)
    with _file_errors(shown):
        return SourceFile(source=shown, sha256=_sha256(path), path=str(path), kind=kind)


def read_batches(file: SourceFile, batch_rows: int = 20_000, *, exact_others: bool = False) -> Iterator[pd.DataFrame]:
    """Yield the raw rows of a file, some at a time; CSV and Parquet are never in memory as a whole.

    Parameters
    ----------
    file : SourceFile
        From `fetch_file`.
    batch_rows : int, default=20000
        Most rows of one batch.
    exact_others : bool, default=False
        Leave columns that are no features as they are, for they may be keys: the text of a CSV file, so that `007`
        keeps its zeros, and the types of a Parquet file. Either is of one kind in all batches.

    Yields
    ------
    DataFrame of shape (n_rows, n_columns), 0 < n_rows <= batch_rows
        As from `read`, but for a column's kind, which may differ between batches. The index numbers the file's rows,
        from 0.

    Raises
    ------
    DataSourceError
        The file is empty, not of its kind, or is not the one that was fetched: it was changed meanwhile.
    """
    n_rows = 0
    if file.kind == "sample":
        frame = _read_sample(file.path)
        yield from (frame[start : start + batch_rows] for start in range(0, len(frame), batch_rows))
        return
    for frame in _raw_batches(file, batch_rows, exact_others):
        if len(frame):
            yield frame.set_axis(pd.RangeIndex(n_rows, n_rows + len(frame)))
        n_rows += len(frame)
    if not n_rows:
        raise DataSourceError(f"{file.source} holds no rows")
    with _file_errors(file.source):
        changed = _sha256(Path(file.path)) != file.sha256
    if changed:
        raise DataSourceError(f"{file.source} was changed while it was read: try again when it is complete")


def _raw_batches(file: SourceFile, batch_rows: int, exact_others: bool) -> Iterator[pd.DataFrame]:
    path, shown = Path(file.path), file.source
    if file.kind in (".arff", ".zip"):  # its reader knows no batches
        frame = _read_file(path, file.kind, shown)
        yield from (frame[start : start + batch_rows] for start in range(0, len(frame), batch_rows))
        return
    with _file_errors(shown):
        _check_head(path, file.kind, shown)
        if file.kind == ".parquet":
            batches = _read_parquet_batches(path, batch_rows, exact_others)
        else:
            batches = _read_csv(path, shown, batch_rows, exact_others)
        for frame in batches:
            yield _storable(frame, but=_is_other if exact_others else None)


def _is_other(column: object) -> bool:
    return canonical_name(column) not in FEATURES


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_sample(source: str) -> str:
    from networksecurity.data.sample import PARAMETERS

    figures = resources.files("networksecurity.data").joinpath(PARAMETERS).read_bytes()
    return hashlib.sha256(b"%d random_state=0 " % _sample_size(source) + figures).hexdigest()


# --- files ------------------------------------------------------------------------------------------------------------


def _read_path(source: str, path: Path) -> pd.DataFrame:
    return _read_file(path, _kind_of_path(source, path), str(path))


def _kind_of_path(source: str, path: Path) -> str:
    with _file_errors(str(path)):
        if path.is_dir():
            raise DataSourceError(f"{path} is a folder: give the file in it")
        if kind := _kind(path.name):
            return kind
        if path.exists():
            raise ConfigurationError(
                f"{path} is of no kind that can be read: its name must end in {', '.join(_SUFFIXES)}"
            )
    raise ConfigurationError(f"unknown source {source!r}; one of: {_ACCEPTED}")


def _kind(name: str) -> str | None:
    return next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), None)


def _read_file(path: Path, kind: str, shown: str) -> pd.DataFrame:
    """Return the rows of the file at `path`; errors call it `shown`."""
    with _file_errors(shown):
        _check_head(path, kind, shown)
        if kind in (".csv", ".csv.gz"):
            frame = next(_read_csv(path, shown))
        elif kind == ".parquet":
            frame = _read_parquet(path)
        else:
            frame = _read_arff(_unzipped(path, shown) if kind == ".zip" else path.read_bytes(), shown)
    return _storable(frame)


def _check_head(path: Path, kind: str, shown: str) -> None:
    with path.open("rb") as file:
        head = file.read(1024).lstrip().lower()
    if not head:
        raise DataSourceError(f"{shown} is empty")
    if head.startswith((b"<!doctype", b"<html")):
        raise DataSourceError(f"{shown} is a web page, not {kind}: a link to the file itself is needed")


@contextmanager
def _file_errors(shown: str) -> Iterator[None]:
    """Translate what the readers of files raise."""
    try:
        yield
    except FileNotFoundError as exc:
        raise DataSourceError(f"there is no file {shown}") from exc
    except UnicodeError as exc:
        raise DataSourceError(f"{shown} is not UTF-8 text ({exc}): save it as UTF-8") from exc
    except pd.errors.EmptyDataError as exc:
        raise DataSourceError(f"{shown} is empty") from exc
    except pd.errors.ParserError as exc:
        raise DataSourceError(f"{shown} is not a table of comma-separated values: {_one_line(exc)}") from exc
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as exc:
        raise DataSourceError(f"{shown} is damaged or cut short, fetch it again: {_one_line(exc)}") from exc
    except pyarrow.ArrowException as exc:
        raise DataSourceError(f"{shown} cannot be read as Parquet: {_one_line(exc)}") from exc
    except OSError as exc:
        raise DataSourceError(f"{shown} cannot be read: {exc.strerror or _one_line(exc)}") from exc


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


def _read_csv(
    path: Path, shown: str, batch_rows: int | None = None, exact_others: bool = False
) -> Iterator[pd.DataFrame]:
    # By content, not by name: web servers may unpack a .csv.gz on its way here.
    with path.open("rb") as file:
        compression = "gzip" if file.read(2) == b"\x1f\x8b" else None
    with gzip.open(path) if compression else path.open("rb") as file:
        if b"\0" in file.read(1 << 16):
            raise DataSourceError(f"{shown} is binary (or UTF-16), not UTF-8 text")
    names = pd.read_csv(path, compression=compression, nrows=0).columns if exact_others else []
    # Only the empty cell is taken for missing here: were `na` too, the cells beside it would be read as floats.
    with pd.read_csv(
        path,
        compression=compression,
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


def _read_parquet(path: Path) -> pd.DataFrame:
    # An open file, because pandas would make columns of a path with `key=value` in it.
    try:
        with path.open("rb") as file:
            frame = pd.read_parquet(file)
    except (ValueError, KeyError) as exc:  # damage in what pandas itself wrote into the file
        raise pyarrow.ArrowInvalid(_one_line(exc)) from exc
    return frame.reset_index(drop=frame.index.name is None)


def _read_parquet_batches(path: Path, batch_rows: int, exact_others: bool) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    try:
        # Read ahead, whole row groups would be in memory.
        with ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
            for batch in file.iter_batches(batch_rows):
                table = pyarrow.Table.from_batches([batch])
                if exact_others:
                    yield _with_exact_others(table)
                else:
                    frame = table.to_pandas()
                    yield frame.reset_index(drop=frame.index.name is None)
    except (ValueError, KeyError) as exc:  # damage in what pandas itself wrote into the file
        raise pyarrow.ArrowInvalid(_one_line(exc)) from exc


def _with_exact_others(table: pyarrow.Table) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(column) if _is_other(name) else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not name.startswith("__index_level_")  # an index without a name
        }
    )


def _unzipped(path: Path, shown: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.lower().endswith(".arff")]
        if not members:
            raise DataSourceError(f"{shown} holds no .arff file, only {', '.join(archive.namelist()[:5]) or 'nothing'}")
        # The archive at UCI holds an older, smaller version besides.
        largest = max(members, key=lambda member: member.file_size)
        try:
            return archive.read(largest)
        except (RuntimeError, NotImplementedError) as exc:  # encrypted, or packed by a rare method
            raise DataSourceError(f"{shown}: {largest.filename} cannot be unpacked: {exc}") from exc


def _read_arff(content: bytes, shown: str) -> pd.DataFrame:
    from scipy.io import arff

    text = content.decode("utf-8-sig")
    try:
        data, meta = arff.loadarff(io.StringIO(text))
    except StopIteration as exc:
        raise DataSourceError(f"{shown} is not ARFF: it has no @relation, @attribute and @data") from exc
    except (arff.ArffError, ValueError, IndexError, NotImplementedError) as exc:
        raise DataSourceError(f"{shown} is not ARFF that can be read: {_one_line(exc)}") from exc
    # The reader cuts rows that are too long.
    rows = re.split(r"(?im)^\s*@data\b", text, maxsplit=1)[-1].splitlines()[1:]
    widths = {row.count(",") + 1 for row in rows if row.strip() and not row.lstrip().startswith("%")}
    if widths - {len(meta.names())}:
        raise DataSourceError(f"{shown}: it has {len(meta.names())} attributes, and rows of {max(widths)} values")
    columns = {}
    for name, kind in zip(meta.names(), meta.types(), strict=True):
        column = pd.Series(data[name])
        if kind == "nominal":
            column = column.str.decode("utf-8")
            column = column.mask(column == "?")
            numbers = pd.to_numeric(column, errors="coerce")
            column = numbers if numbers.notna().equals(column.notna()) else column
        columns[name.strip("\"'")] = column
    return pd.DataFrame(columns)


def _storable(frame: pd.DataFrame, but: Callable[[object], bool] | None = None) -> pd.DataFrame:
    columns = {str(name): column if but and but(name) else _storable_column(column) for name, column in frame.items()}
    return pd.DataFrame(columns, copy=False)


def _storable_column(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    is_integer, is_float = pd.api.types.is_integer_dtype(column), pd.api.types.is_float_dtype(column)
    if not (is_integer or is_float):
        return column.map(str, na_action="ignore").astype("str")
    known = column.dropna()
    if known.between(-127, 127).all() and (is_integer or (known % 1 == 0).all()):
        return column.astype("int8" if len(known) == len(column) else "Int8")
    return column


# --- the web ----------------------------------------------------------------------------------------------------------


def _read_url(url: str, shown: str, settings: Settings) -> pd.DataFrame:
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        path = Path(folder) / "download"
        kind = _download(url, path, shown, settings)
        return _read_file(path, kind, shown)


def _download(url: str, path: Path, shown: str, settings: Settings) -> str:
    """Write what is at `url` to `path` and return which of `_SUFFIXES` it is."""
    import httpx

    started = time.monotonic()
    try:
        with (
            _httpx_logs_without_credentials(),
            httpx.stream("GET", url, follow_redirects=True, timeout=settings.http_timeout) as response,
        ):
            status = f"{response.status_code} {response.reason_phrase}".strip()
            if response.status_code in (408, 425, 429) or response.is_server_error:
                raise SourceUnavailableError(
                    f"{shown} answered {status} after {time.monotonic() - started:.1f} s: try again later"
                )
            if not response.is_success:
                raise DataSourceError(f"{shown} answered {status}: check the URL and that it may be read")
            disposition = Message()
            disposition["content-disposition"] = response.headers.get("content-disposition", "")
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            kind = (
                _kind(unquote(urlsplit(url).path))
                or _kind(unquote(response.url.path))
                or _kind(disposition.get_filename(""))
                or _CONTENT_TYPES.get(content_type)
            )
            if kind is None:
                raise DataSourceError(
                    f"{shown}: neither the URL nor the answer ({content_type or 'no content type'}) says what it is: "
                    f"its path must end in {', '.join(_SUFFIXES)}"
                )
            with path.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        # Without the cause: its text may quote a piece of a password that was not percent-escaped.
        raise ConfigurationError(f"{shown} is not, or leads to something that is not, an http(s) URL") from None
    except httpx.TooManyRedirects as exc:
        raise DataSourceError(f"{shown} redirects without end") from exc
    except httpx.RequestError as exc:
        raise SourceUnavailableError(
            f"{shown} could not be fetched, given up after {time.monotonic() - started:.1f} s "
            f"({type(exc).__name__}: {_one_line(exc)}): check the address and the network; "
            f"NETWORKSECURITY_HTTP_TIMEOUT is {settings.http_timeout:g} s"
        ) from exc
    return kind


@contextmanager
def _httpx_logs_without_credentials() -> Iterator[None]:
    """Keep user, password and query out of the line that httpx logs, at level INFO, for each request."""
    from httpx import URL

    def shorten(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(without_credentials(str(arg)) if isinstance(arg, URL) else arg for arg in record.args)
        return True

    logger = logging.getLogger("httpx")
    logger.addFilter(shorten)
    try:
        yield
    finally:
        logger.removeFilter(shorten)
