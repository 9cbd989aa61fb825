"""The connection to a MongoDB server: addresses, clients, and what pymongo's errors mean."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    NetworkSecurityException,
    SourceUnavailableError,
    one_line,
)
from networksecurity.settings import Settings, is_escaped, login_of, reveals, without_credentials

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo import collection as pymongo
    from pymongo.errors import OperationFailure

BATCH_SIZE = 5000
"""Documents per message, read or written."""
_SOCKET_TIMEOUT = 60.0
"""Seconds to wait for the answer to a command that the server accepted."""
_ESCAPING = "user name and password must be percent-escaped (urllib.parse.quote_plus)"
_SCHEMES = ("mongodb://", "mongodb+srv://")
_DUPLICATE_KEY = 11000
_MAY_PASS = {6, 7, 64, 89, 91, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}
"""The server's codes for a passing trouble: unreachable, timed out, shutting down, no primary, no majority in time."""
_REFUSED = {13, 18, 8000}
"""Unauthorized, AuthenticationFailed, and Atlas' own code of the same meaning."""


@dataclass(frozen=True)
class Address:
    """Where a collection is."""

    uri: str = field(repr=False)
    """The connection string, with credentials."""
    server: str
    """Scheme and hosts, without credentials."""
    database: str
    name: str
    timeout: float
    """Seconds to wait for the server, if the connection string does not say."""
    contract: Contract = WEBSITES
    """What the rows are."""

    @property
    def shown(self) -> str:
        """Hosts, database and collection, without credentials."""
        return f"{self.server}/{self.database}.{self.name}"

    @property
    def quarantine(self) -> str:
        """What is `shown` of the collection of rejected rows."""
        return f"{self.shown}_quarantine"


def resolve(text: str, settings: Settings, contract: Contract = WEBSITES) -> Address | None:
    """Return the address of the collection that a text names, None if it names none.

    The database or collection that its path leaves out comes from the settings. `mongodb` is the collection of a
    contract: for websites the one that MONGODB_URI or the settings name, for others the one beside it.

    Raises
    ------
    ConfigurationError
        The address is no connection string that works, or MONGODB_URI is needed and not set.
    """
    if text == "mongodb":
        if settings.mongodb_uri is None:
            raise ConfigurationError(
                "the source mongodb needs MONGODB_URI: set it in the environment or in .env, "
                "for example MONGODB_URI=mongodb://localhost:27017"
            )
        named, uri = "MONGODB_URI", settings.mongodb_uri.get_secret_value().strip()
        if not uri.startswith(_SCHEMES):
            raise ConfigurationError(
                "MONGODB_URI must begin with mongodb:// or mongodb+srv://: correct it, in the environment or in .env"
            )
    elif text.startswith(_SCHEMES):
        named, uri = "the source", text
    else:
        return None
    shown = without_credentials(uri)
    scheme, _, rest = uri.partition("://")
    rest = rest.removeprefix(f"{login_of(uri)}@")
    if not is_escaped(uri) or "@" in rest:
        raise ConfigurationError(f"{named} is not a valid address ({shown}): {_ESCAPING}")
    path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")[2]
    database, _, name = unquote_plus(path).partition(".")
    if text == "mongodb" or not name:
        name = collection_of(contract.name, name or settings.mongodb_collection)
    address = Address(
        uri=uri,
        server=f"{scheme}://{shown.partition('://')[2].partition('/')[0]}",
        database=database or settings.mongodb_database,
        name=name,
        timeout=settings.mongodb_timeout,
        contract=contract,
    )
    _client(address, named).close()
    return address


def collection_of(contract: str, name: str) -> str:
    """Return the collection of a contract, beside that of the websites.

    Examples
    --------
    >>> collection_of("addresses", "phishing_websites"), collection_of("addresses", "rows")
    ('phishing_addresses', 'rows_addresses')
    """
    return name if contract == WEBSITES.name else f"{name.removesuffix('_websites')}_{contract}"


class Connection:
    """A collection and those beside it, while a client is connected."""

    def __init__(self, address: Address, client: "MongoClient") -> None:
        self.address = address
        self.client = client

    def beside(self, suffix: str = "") -> "pymongo.Collection":
        """Return pymongo's collection, or the one beside it whose name ends in `suffix`."""
        from bson.codec_options import CodecOptions, DatetimeConversion

        # Cells that Python cannot hold (dates beyond year 9999, broken text) are for the validation to judge.
        lenient = CodecOptions(
            unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
        )
        return self.client[self.address.database].get_collection(f"{self.address.name}{suffix}", lenient)

    def writable(self, suffix: str = "", *, journal: bool = False) -> "pymongo.Collection":
        """Return the same for writing, acknowledged by a majority and, with `journal`, in its journals."""
        from pymongo import ReadPreference, WriteConcern

        # From the primary, even if the address prefers others: what was just written has to be seen.
        return self.beside(suffix).with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority", j=journal or None)
        )

    def is_replicated(self) -> bool:
        """Return whether the server is one of several."""
        hello = self.client.admin.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"


@contextmanager
def connected(address: Address) -> Iterator["MongoClient"]:
    """Open a client and translate all that pymongo raises while it is in use."""
    from bson.errors import BSONError
    from pymongo.errors import PyMongoError

    started = time.monotonic()
    with _client(address, address.shown) as client:
        try:
            yield client
        except (PyMongoError, BSONError) as exc:
            raise _translated(exc, address, time.monotonic() - started) from exc


def _client(address: Address, named: str) -> "MongoClient":
    """Return a client, which has not asked for anything yet."""
    from pymongo import MongoClient, errors

    timeouts: dict[str, Any] = {
        "serverSelectionTimeoutMS": 1000 * address.timeout,
        "connectTimeoutMS": 1000 * address.timeout,
        "socketTimeoutMS": 1000 * max(address.timeout, _SOCKET_TIMEOUT),
    }
    given = {name.lower() for name in re.findall(r"[?&;]([^=&;]+)=", address.uri)}
    try:
        # The path's database is also the user's, as with any other client.
        # With connect=False a mongodb+srv:// name is resolved at first use: if that fails, the setting is not wrong.
        return MongoClient(
            address.uri, connect=False, **{name: ms for name, ms in timeouts.items() if name.lower() not in given}
        )
    except (errors.PyMongoError, ValueError, TypeError, OSError) as exc:
        # Without the cause: its text may quote a piece of the password.
        reason = _ESCAPING if reveals(str(exc), address.uri) else one_line(exc)
        raise ConfigurationError(
            f"{named} is not a connection string that works ({address.server}): {reason}"
        ) from None


def _translated(exc: Exception, address: Address, seconds: float) -> NetworkSecurityException:
    """Return what an error of pymongo means here."""
    from pymongo import errors

    def unavailable(reason: str, advice: str) -> SourceUnavailableError:
        return SourceUnavailableError(f"MongoDB at {address.server} failed after {seconds:.1f} s: {reason}; {advice}")

    if isinstance(exc, errors.ConnectionFailure | errors.CursorNotFound | errors.ExecutionTimeout):
        # pymongo goes on to repeat its timeouts and to describe the whole topology.
        reason = re.split(r" \(configured timeouts|, Timeout: |, full error", one_line(exc))[0]
        return unavailable(
            reason,
            "start the server, or set MONGODB_URI to one that can be reached "
            f"(NETWORKSECURITY_MONGODB_TIMEOUT is {address.timeout:g} s)",
        )
    if isinstance(exc, errors.OperationFailure):
        code, reason = _reason(exc)
        if exc.has_error_label("RetryableWriteError") or code in _MAY_PASS:
            return unavailable(f"code {code}, {reason}", "try again")
        advice = ": check user, password and authSource in the connection string, and the user's roles"
        return DataSourceError(
            f"MongoDB refused {address.shown} (code {code}, {reason}){advice if code in _REFUSED else ''}"
        )
    if isinstance(exc, errors.ConfigurationError):  # a mongodb+srv:// name that is not found
        return unavailable(one_line(exc), "check the host name in MONGODB_URI and the network")
    if isinstance(exc, errors.InvalidName):
        return ConfigurationError(f"{address.shown}: {one_line(exc)}")
    return DataSourceError(f"{address.shown} cannot be used: {one_line(exc)}")


def _reason(exc: "OperationFailure") -> tuple[int | None, str]:
    """Return code and text of the server's answer; of one about many documents, those of the first that failed."""
    details: Any = exc.details or {}
    problems = [
        *details.get("writeConcernErrors", ()),
        *(error for error in details.get("writeErrors", ()) if not already_exists(error)),
    ]
    first = problems[0] if problems else details
    return first.get("code", exc.code), " ".join(str(first.get("errmsg") or exc).split())


def already_exists(error: dict[str, Any]) -> bool:
    """Return whether a write error means that a document with this key already exists."""
    # A unique index that somebody else created would refuse rows that do not exist at all.
    return error["code"] == _DUPLICATE_KEY and set(error.get("keyPattern", {"_id": 1})) == {"_id"}
