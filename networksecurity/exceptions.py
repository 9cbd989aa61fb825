"""The errors this package raises on purpose; anything else that escapes is a bug.

```
NetworkSecurityException
├── ConfigurationError          an option or setting is wrong; nothing was attempted
├── DataError
│   ├── DataSourceError         rows cannot be read: no such file, collection, format
│   │   └── StorageError            what a step stored is gone or damaged, or there is no room for more
│   └── DataValidationError     rows were read and are not fit to learn from
│       └── AddressError            a text is no http or https address
├── TrainingError               no candidate could be trained
│   └── SearchAbandonedError        the run that started the search has ended
├── TimeLimitError              a run exceeded its time limit; also a TimeoutError
├── TrackingError               the tracking server refused: credentials, missing repository
│   └── StoredModelError            the files of a version are damaged, or not those that were registered
├── PromotionError              a version is not fit to be the champion, or there is none to go back to
└── TransientError              may pass on another attempt: the only errors that are retried
    ├── ClusterUnavailableError     the Dask scheduler cannot be reached
    ├── SourceUnavailableError      the database or web server cannot be reached
    ├── TrackingUnavailableError    the tracking server cannot be reached
    └── PromotionConflictError      another run changed the champion meanwhile
```

Each message is written for the person at the terminal: what was attempted, what came back, what to do.
Foreign errors are translated where the foreign library is called (`raise … from exc`), nowhere else.
"""

from collections.abc import Iterable


class NetworkSecurityException(Exception):  # noqa: N818 (the name that users of this system know for its errors)
    """Base of all errors raised on purpose."""


class ConfigurationError(NetworkSecurityException):
    """An option or a setting is wrong; nothing was attempted."""


class DataError(NetworkSecurityException):
    """Base of the errors about rows."""


class DataSourceError(DataError):
    """Rows cannot be read from a source, and another attempt will not help."""


class StorageError(DataSourceError):
    """What a step stored is gone or damaged, or cannot be stored."""


class DataValidationError(DataError):
    """Rows were read and are not fit to learn from."""


class AddressError(DataValidationError):
    """A text is no http or https address with a host."""


class TrainingError(NetworkSecurityException):
    """No candidate could be trained."""


class SearchAbandonedError(TrainingError):
    """The run that started the search has ended."""


class TimeLimitError(NetworkSecurityException, TimeoutError):
    """A run exceeded its time limit."""


class TrackingError(NetworkSecurityException):
    """The tracking server answered and refused."""


class StoredModelError(TrackingError):
    """The stored model of a version is damaged, or is not the one that was registered."""


class PromotionError(NetworkSecurityException):
    """A version is not fit to be the champion, or there is none to go back to."""


class TransientError(NetworkSecurityException):
    """Base of the errors that may pass on another attempt."""


class ClusterUnavailableError(TransientError):
    """The Dask scheduler cannot be reached."""


class SourceUnavailableError(TransientError):
    """A database or web server that holds rows cannot be reached."""


class TrackingUnavailableError(TransientError):
    """The tracking server cannot be reached."""


class PromotionConflictError(TransientError):
    """Another run changed the champion meanwhile; the decision has to be made again."""


def one_line(exc: BaseException) -> str:
    """Return what a foreign error says, as part of a message of one line; its name if it says nothing.

    It may quote what it was given, so no more than `MOST_QUOTED` characters are kept.
    """
    return shortened(exc) or type(exc).__name__


MOST_QUOTED = 200
"""Characters of anybody's data that a message quotes."""
MOST_QUOTED_OF_AN_OPTION = 100


def shortened(found: object, most: int = MOST_QUOTED) -> str:
    r"""Return what was found as a message may quote it: on one line, and no longer than `most`.

    Examples
    --------
    >>> shortened("a  table\nof many rows", most=10)
    'a table o…'
    """
    text = " ".join(str(found)[: 100 * most].split())
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(option: str) -> str:
    """Return what an option or a setting was given, in quotes, as a message may repeat it."""
    return repr(shortened(option, MOST_QUOTED_OF_AN_OPTION))


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with what is counted, in the singular or the plural.

    Examples
    --------
    >>> counted(1, "row"), counted(11_055, "row"), counted(0, "copy is", "copies are")
    ('1 row', '11,055 rows', '0 copies are')
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def listed(found: Iterable[object], count: int = 8, most: int = MOST_QUOTED) -> str:
    """Return the first of what was found, as a message may list them: no longer than `most`, and how many are left out.

    Examples
    --------
    >>> listed(["port", "SFH", "Result"], count=2)
    'port, SFH and 1 more'
    >>> listed(["x" * 300, "port"], most=20)
    'xxxxxxx…, port'
    """
    found = list(found)
    shown = [str(one) for one in found[:count]]
    if sum(map(len, shown)) + 2 * (len(shown) - 1) > most:
        shown = [shortened(one, max(most // len(shown) - 2, 1)) for one in shown]
    rest = len(found) - count
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
