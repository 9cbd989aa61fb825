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
"""

import gzip
import io
import logging
import math
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlsplit

import numpy as np
import pandas as pd
import pyarrow

from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError
from networksecurity.schema import MISSING, canonical_name
from networksecurity.settings import Settings, without_credentials
from networksecurity.settings import settings as current_settings

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo.collection import Collection

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
    if _is_sample(source):
        frame = _read_sample(source)
    elif _is_mongodb(source):
        frame = _read_mongodb(_mongodb_address(source, settings), settings)
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
    if _is_sample(source):
        return source
    if _is_mongodb(source):
        return _mongodb_address(source, settings or current_settings()).shown
    if _is_url(source):
        return without_credentials(UCI_URL if source == "uci" else source)
    if "://" in source or not source.strip():
        raise ConfigurationError(f"unknown source {without_credentials(source)!r}; one of: {_ACCEPTED}")
    return str(Path(os.path.expanduser(source)).resolve())  # noqa: PTH111 (an unknown ~user is left as it is)


def _is_sample(source: str) -> bool:
    return source == "sample" or source.startswith("sample:")


def _is_mongodb(source: str) -> bool:
    return source == "mongodb" or source.startswith(("mongodb://", "mongodb+srv://"))


def _is_url(source: str) -> bool:
    return source == "uci" or source.lower().startswith(("http://", "https://"))


def _read_sample(source: str) -> pd.DataFrame:
    from networksecurity.sample import make_phishing_websites

    if source == "sample":
        return _storable(make_phishing_websites(random_state=0))
    n_samples = source.removeprefix("sample:")
    if not (n_samples.isascii() and n_samples.isdigit() and int(n_samples) > 0):
        raise ConfigurationError(f"{source!r}: expected sample:N with N a whole number from 1, such as sample:100000")
    return _storable(make_phishing_websites(int(n_samples), random_state=0))


# --- files ------------------------------------------------------------------------------------------------------------


def _read_path(source: str, path: Path) -> pd.DataFrame:
    kind = _kind(path.name)
    with _file_errors(str(path)):
        if path.is_dir():
            raise DataSourceError(f"{path} is a folder: give the file in it")
        if kind:
            return _read_file(path, kind, str(path))
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
        with path.open("rb") as file:
            head = file.read(1024).lstrip().lower()
        if not head:
            raise DataSourceError(f"{shown} is empty")
        if head.startswith((b"<!doctype", b"<html")):
            raise DataSourceError(f"{shown} is a web page, not {kind}: a link to the file itself is needed")
        if kind in (".csv", ".csv.gz"):
            frame = _read_csv(path, shown)
        elif kind == ".parquet":
            frame = _read_parquet(path)
        else:
            frame = _read_arff(_unzipped(path, shown) if kind == ".zip" else path.read_bytes(), shown)
    return _storable(frame)


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


def _read_csv(path: Path, shown: str) -> pd.DataFrame:
    # By content, not by name: web servers may unpack a .csv.gz on its way here.
    with path.open("rb") as file:
        compression = "gzip" if file.read(2) == b"\x1f\x8b" else None
    with gzip.open(path) if compression else path.open("rb") as file:
        if b"\0" in file.read(1 << 16):
            raise DataSourceError(f"{shown} is binary (or UTF-16), not UTF-8 text")
    # Only the empty cell is taken for missing here: were `na` too, the cells beside it would be read as floats.
    frame = pd.read_csv(path, compression=compression, keep_default_na=False, na_values=[""], low_memory=False)
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        raise DataSourceError(f"{shown}: its rows have more cells than its header has names")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    # An open file, because pandas would make columns of a path with `key=value` in it.
    try:
        with path.open("rb") as file:
            frame = pd.read_parquet(file)
    except (ValueError, KeyError) as exc:  # damage in what pandas itself wrote into the file
        raise pyarrow.ArrowInvalid(_one_line(exc)) from exc
    return frame.reset_index(drop=frame.index.name is None)


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


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({str(name): _storable_column(column) for name, column in frame.items()}, copy=False)


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


# --- MongoDB ----------------------------------------------------------------------------------------------------------

_BATCH_SIZE = 5000
_SOCKET_TIMEOUT = 60.0
"""Seconds after which a server that accepted a query and says nothing is given up."""
_ENDS = 20
"""Documents looked at, at either end of a collection, for the spellings of columns: two imports may differ in them."""
_ESCAPING = "user name and password must be percent-escaped (urllib.parse.quote_plus)"


@dataclass(frozen=True)
class _MongoAddress:
    uri: str = field(repr=False)
    server: str
    """Scheme and hosts, without credentials."""
    database: str
    collection: str

    @property
    def shown(self) -> str:
        return f"{self.server}/{self.database}.{self.collection}"


def _mongodb_address(source: str, settings: Settings) -> _MongoAddress:
    """Resolve a source; the database or collection that its path leaves out comes from the settings."""
    named = "the source"
    if source == "mongodb":
        if settings.mongodb_uri is None:
            raise ConfigurationError(
                "the source mongodb needs MONGODB_URI: set it in the environment or in .env, "
                "for example MONGODB_URI=mongodb://localhost:27017"
            )
        named, source = "MONGODB_URI", settings.mongodb_uri.get_secret_value().strip()
        if not source.startswith(("mongodb://", "mongodb+srv://")):
            raise ConfigurationError("MONGODB_URI must begin with mongodb:// or mongodb+srv://")
    shown = without_credentials(source)
    if shown.endswith("://…"):
        raise ConfigurationError(f"{named} is not a valid {shown}: ports must be numbers, and {_ESCAPING}")
    scheme, _, rest = shown.partition("://")
    hosts, _, path = rest.partition("/")
    database, _, collection = unquote_plus(path).partition(".")
    return _MongoAddress(
        source,
        f"{scheme}://{hosts}",
        database or settings.mongodb_database,
        collection or settings.mongodb_collection,
    )


@contextmanager
def _collection(address: _MongoAddress, settings: Settings) -> Iterator["Collection"]:
    """Open a client for one collection and translate all that pymongo raises while it is in use."""
    from bson.codec_options import CodecOptions, DatetimeConversion
    from bson.errors import BSONError
    from pymongo import MongoClient, errors

    wait = settings.mongodb_timeout
    timeouts: dict[str, Any] = {
        "serverSelectionTimeoutMS": 1000 * wait,
        "connectTimeoutMS": 1000 * wait,
        "socketTimeoutMS": 1000 * max(wait, _SOCKET_TIMEOUT),
    }
    given = {name.lower() for name in re.findall(r"[?&;]([^=&;]+)=", address.uri)}
    # Cells that Python cannot hold (dates beyond year 9999, broken text) are for the validation to judge, not fatal.
    lenient = CodecOptions(unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    started = time.monotonic()
    try:
        # The path's database is also where pymongo looks for the user, as with any other client.
        # With connect=False a mongodb+srv:// name is looked up at first use: a failing lookup is no bad setting.
        client = MongoClient(
            address.uri, connect=False, **{name: ms for name, ms in timeouts.items() if name.lower() not in given}
        )
    except (errors.PyMongoError, ValueError, TypeError, OSError) as exc:
        # Without the cause: of a URI that cannot be parsed its text may quote a piece of the password.
        quotes_uri = isinstance(exc, errors.InvalidURI) and "@" in address.uri
        raise ConfigurationError(
            f"{address.shown} is not a connection string that works: {_ESCAPING if quotes_uri else _one_line(exc)}"
        ) from None
    with client:
        try:
            yield client[address.database].get_collection(address.collection, codec_options=lenient)
        except (errors.ConnectionFailure, errors.CursorNotFound, errors.ExecutionTimeout) as exc:
            # pymongo goes on to repeat its timeouts and to describe the whole topology.
            reason = re.split(r" \(configured timeouts|, Timeout: |, full error", _one_line(exc))[0]
            raise SourceUnavailableError(
                f"MongoDB at {address.server} failed after {time.monotonic() - started:.1f} s: {reason}; "
                "start the server, or set MONGODB_URI to one that can be reached "
                f"(NETWORKSECURITY_MONGODB_TIMEOUT is {wait:g} s)"
            ) from exc
        except errors.OperationFailure as exc:
            reason = (exc.details or {}).get("errmsg") or _one_line(exc)
            refused = exc.code in (13, 18, 8000)  # Unauthorized, AuthenticationFailed, Atlas' own of the same meaning
            advice = ": check user, password and authSource in the connection string, and the user's roles"
            raise DataSourceError(
                f"MongoDB refused {address.shown} (code {exc.code}, {reason}){advice if refused else ''}"
            ) from exc
        except errors.ConfigurationError as exc:  # a mongodb+srv:// name that is not found
            raise SourceUnavailableError(
                f"MongoDB at {address.server} failed after {time.monotonic() - started:.1f} s: {_one_line(exc)}; "
                "check the host name in MONGODB_URI and the network"
            ) from exc
        except errors.InvalidName as exc:
            raise ConfigurationError(f"{address.shown}: {exc}") from exc
        except (errors.PyMongoError, BSONError) as exc:
            raise DataSourceError(f"{address.shown} cannot be read: {_one_line(exc)}") from exc


def _read_mongodb(address: _MongoAddress, settings: Settings) -> pd.DataFrame:
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    with _collection(address, settings) as collection:
        ends = [document for order in (1, -1) for document in collection.find(sort={"_id": order}, limit=_ENDS)]
        if not ends:
            raise DataSourceError(
                f"the collection {address.collection} in database {address.database} at {address.server} is empty or "
                "does not exist: load rows with the ingest flow, or set MONGODB_DATABASE and MONGODB_COLLECTION"
            )
        names = list(dict.fromkeys(name for document in ends for name in document))
        fields = [name for name in names if canonical_name(name)]
        if not fields:
            raise DataSourceError(
                f"{address.shown} holds no column of the phishing websites data, only {', '.join(names[:8])}"
            )
        raw = collection.with_options(CodecOptions(document_class=RawBSONDocument))
        cursor = raw.find({}, {"_id": False} | dict.fromkeys(fields, True), sort={"_id": 1}, batch_size=_BATCH_SIZE)
        batches = iter(lambda: [bytes(document.raw) for document in cursor.to_list(_BATCH_SIZE)], [])
        return _to_frame(batches, fields, collection.codec_options)


def _to_frame(batches: Iterable[list[bytes]], fields: list[str], codec_options: "CodecOptions") -> pd.DataFrame:
    """Return BSON documents as a frame of `fields`, `Int8` where every cell is a small whole number or missing.

    Documents are held one batch at a time; what is kept is one byte per cell, and text for columns that need it.
    """
    blocks: list[np.ndarray] = []
    texts: dict[int, dict[int, pd.Series]] = {}  # column -> batch -> its cells, where the block cannot hold them
    for documents in batches:
        block, odd = _decode(documents, fields, codec_options)
        for column, (rows, cells) in odd.items():
            texts.setdefault(column, {})[len(blocks)] = _to_text(block[:, column], rows, cells)
        blocks.append(block)
    columns = {}
    for column, name in enumerate(fields):
        if column in texts:
            parts = [
                texts[column][number] if number in texts[column] else _to_text(block[:, column], [], [])
                for number, block in enumerate(blocks)
            ]
            columns[name] = pd.concat(parts, ignore_index=True)
        else:
            values = np.concatenate([block[:, column] for block in blocks])
            columns[name] = pd.arrays.IntegerArray(values, values == MISSING)
    return pd.DataFrame(columns, copy=False)


def _to_text(values: np.ndarray, rows: list[int], texts: list[str]) -> pd.Series:
    """Return int8 `values` as text, with `texts` in the given rows."""
    if len(rows) == len(values):
        return pd.Series(texts, dtype="str")
    cells = [None if value == MISSING else str(value) for value in values.tolist()]
    for row, text in zip(rows, texts, strict=True):
        cells[row] = text
    return pd.Series(cells, dtype="str")


def _decode(
    documents: list[bytes], fields: list[str], codec_options: "CodecOptions"
) -> tuple[np.ndarray, dict[int, tuple[list[int], list[str]]]]:
    """Return the cells of BSON documents.

    Returns
    -------
    block : ndarray of shape (n_documents, n_fields), int8
        `MISSING` where a cell is absent, null, NaN, or not a whole number from -127 to 127.
    odd : dict of column to (rows, texts)
        The cells of that last sort, as text.
    """
    from bson import decode_all
    from bson.int64 import Int64

    block = np.full((len(documents), len(fields)), MISSING, dtype=np.int8)
    rows = np.flatnonzero(~_decode_alike(documents, fields, block)).tolist()
    others = decode_all(b"".join([documents[row] for row in rows]), codec_options)
    odd: dict[int, tuple[list[int], list[str]]] = {}
    cells = [tuple(map(document.get, fields)) for document in others]
    for column, values in enumerate(zip(*cells, strict=True)):
        if set(map(type, values)) == {str}:
            odd[column] = rows, list(values)
            continue
        for row, value in zip(rows, values, strict=True):
            if value is None or ((kind := type(value)) is float and math.isnan(value)):
                continue
            # Of exactly these types: True is an int too, and must not become 1.
            if (kind is int or kind is float or kind is Int64) and -127 <= value <= 127 and value == int(value):
                block[row, column] = value
            else:
                odd_rows, texts = odd.setdefault(column, ([], []))
                odd_rows.append(row)
                texts.append(str(value))
    return block, odd


# BSON's codes for double, int32 and int64.
_NUMBERS = {0x01: np.dtype("<f8"), 0x10: np.dtype("<i4"), 0x12: np.dtype("<i8")}


def _decode_alike(documents: list[bytes], fields: list[str], block: np.ndarray) -> np.ndarray:
    """Fill the rows of `block` whose documents are laid out alike and hold small whole numbers only.

    A collection written by one program is nearly all such documents: the same bytes but for the numbers, which NumPy
    reads in place. Documents that differ in any other byte, or hold any other number, are left to the caller.

    Returns
    -------
    ndarray of shape (n_documents,), bool
        The rows that were filled.
    """
    filled = np.zeros(len(documents), dtype=bool)
    sizes = Counter(map(len, documents))
    size = sizes.most_common(1)[0][0] if sizes else 0
    rows = np.array([row for row, document in enumerate(documents) if len(document) == size], dtype=np.intp)
    numbers = _layout(documents[rows[0]]) if len(rows) else None
    if numbers is None:
        return filled
    content = np.frombuffer(b"".join([documents[row] for row in rows]), dtype=np.uint8).reshape(len(rows), size)
    fixed = np.ones(size, dtype=bool)
    for start, dtype in numbers.values():
        fixed[start : start + dtype.itemsize] = False
    alike = (content[:, fixed] == content[0, fixed]).all(axis=1)
    cells = np.full((len(rows), len(fields)), MISSING, dtype=np.int8)
    for column, name in enumerate(fields):
        if name in numbers:
            start, dtype = numbers[name]
            values = np.ndarray(len(rows), dtype, content, start, strides=(size,))
            small = (values >= -127) & (values <= 127)
            cells[:, column] = np.where(small, values, 0)
            alike &= small & (cells[:, column] == values)
    filled[rows[alike]] = True
    block[rows[alike]] = cells[alike]
    return filled


def _layout(document: bytes) -> dict[str, tuple[int, np.dtype]] | None:
    """Return where each number of a BSON document starts and its type; None if it holds anything but numbers."""
    numbers, position = {}, 4
    while code := document[position]:
        if code not in _NUMBERS:
            return None
        end = document.index(0, position + 1)
        numbers[document[position + 1 : end].decode()] = end + 1, _NUMBERS[code]
        position = end + 1 + _NUMBERS[code].itemsize
    return numbers
