"""The errors this package raises on purpose; anything else that escapes is a bug.

```
NetworkSecurityError
├── ConfigurationError          an option or setting is wrong: nothing was tried
├── DataError
│   ├── DataSourceError         rows could not be had: no such file, collection, format
│   └── DataValidationError     rows were had and are not fit to learn from
├── TrainingError               no candidate could be trained
│   └── SearchAbandonedError        a search goes on for nobody: its run has ended
├── TimeLimitError              a run took longer than it may; also a TimeoutError
├── TrackingError               the tracking server refused: credentials, missing repository
├── PromotionError              a version is not fit to be the champion, or there is none to go back to
└── TransientError              may pass when tried again: the only errors that are retried
    ├── ClusterUnavailableError     the Dask scheduler cannot be reached
    ├── SourceUnavailableError      the database or web server cannot be reached
    ├── TrackingUnavailableError    the tracking server cannot be reached
    └── PromotionConflictError      the champion was changed by another while this change was under way
```

Each message is written for the person at the terminal: what was tried, what came back, what to do.
Foreign errors are translated where the foreign library is called (`raise … from exc`), nowhere else.
"""


class NetworkSecurityError(Exception):
    """Base of all errors raised on purpose."""


class ConfigurationError(NetworkSecurityError):
    """An option or a setting is wrong; nothing was tried."""


class DataError(NetworkSecurityError):
    """Base of the errors about rows."""


class DataSourceError(DataError):
    """Rows could not be had from a source, and trying again will not help."""


class DataValidationError(DataError):
    """Rows were had and are not fit to learn from."""


class TrainingError(NetworkSecurityError):
    """No candidate could be trained."""


class SearchAbandonedError(TrainingError):
    """A search goes on for nobody: the run that wanted it has ended."""


class TimeLimitError(NetworkSecurityError, TimeoutError):
    """A run took longer than it may."""


class TrackingError(NetworkSecurityError):
    """The tracking server answered and refused."""


class PromotionError(NetworkSecurityError):
    """A version is not fit to be the champion, or there is none to go back to."""


class TransientError(NetworkSecurityError):
    """Base of the errors that may pass when the same is tried again."""


class ClusterUnavailableError(TransientError):
    """The Dask scheduler cannot be reached."""


class SourceUnavailableError(TransientError):
    """A database or web server that holds rows cannot be reached."""


class TrackingUnavailableError(TransientError):
    """The tracking server cannot be reached."""


class PromotionConflictError(TransientError):
    """The champion was changed by another while this change was under way: it has to be judged anew."""
