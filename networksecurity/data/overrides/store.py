"""Where the overrides of an installation are: in MongoDB if MONGODB_URI is set, otherwise in a file of the storage."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from networksecurity.data import mongodb
from networksecurity.data.mongodb import Collection
from networksecurity.data.overrides.file import OverrideFile
from networksecurity.data.overrides.override import Override, Overrides
from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import Settings


@dataclass(frozen=True)
class _OverrideCollection:
    """The overrides of a team, as `OverrideFile`; connects for each call."""

    collection: Collection

    @property
    def shown(self) -> str:
        return f"{self.collection.shown}_overrides"

    def add(self, overrides: list[Override]) -> None:
        with mongodb.open(self.collection) as opened:
            opened.add_overrides(overrides)

    def remove(self, name: str, *, at: datetime, by: str) -> Override | None:
        with mongodb.open(self.collection) as opened:
            return opened.remove_override(name, at=at, by=by)

    def read(self, contract: str, *, in_force_at: datetime | None = None) -> list[Override]:
        with mongodb.open(self.collection) as opened:
            return opened.read_overrides(contract, in_force_at=in_force_at)


def override_store(settings: Settings) -> OverrideFile | _OverrideCollection:
    """Return the place for the overrides of an installation; several processes may use it at once.

    Raises
    ------
    ConfigurationError
        MONGODB_URI is not valid; or it is not set, and the storage is not on this machine.
    """
    if store := _find_store(settings):
        return store
    raise ConfigurationError(
        "overrides are kept in MongoDB or in a storage folder on this machine: set MONGODB_URI, or "
        "NETWORKSECURITY_STORAGE to a folder"
    )


def overrides_in_force(settings: Settings, contract: str, now: datetime) -> Overrides:
    """Return the overrides of a contract that are in force; none where there is no place for them.

    Raises
    ------
    ConfigurationError, DataSourceError, SourceUnavailableError
        Their place cannot be read.
    """
    store = _find_store(settings)
    return Overrides.of(contract, store.read(contract, in_force_at=now) if store else ())


def _find_store(settings: Settings) -> OverrideFile | _OverrideCollection | None:
    if settings.mongodb_uri is not None:
        return _OverrideCollection(mongodb.parse_target("mongodb", settings))
    files, folder = fsspec.url_to_fs(settings.storage)
    return OverrideFile(Path(folder, "overrides.db")) if isinstance(files, LocalFileSystem) else None
