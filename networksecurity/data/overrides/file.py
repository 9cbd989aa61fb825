"""Overrides in a file: an SQLite database beside the storage, for those who have no MongoDB.

SQLite locks the file while it writes, so several processes of one machine may add and remove at once. A database that
several machines share is MongoDB's part: see `data.mongodb.overrides`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from networksecurity.data.overrides.override import Override, check_number
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError

_TABLE = """
CREATE TABLE IF NOT EXISTS overrides (
    id TEXT PRIMARY KEY, contract TEXT NOT NULL, covers TEXT NOT NULL, value TEXT NOT NULL, until REAL NOT NULL,
    ended INTEGER NOT NULL, content TEXT NOT NULL
)
"""
_PATIENCE = 10.0
"""Seconds to wait for another process that writes."""


@dataclass(frozen=True)
class OverrideFile:
    """The overrides of this machine."""

    path: Path

    @property
    def shown(self) -> str:
        """Where they are."""
        return str(self.path)

    def add(self, overrides: list[Override]) -> None:
        """Store overrides; each ends the one before it that covers the same. All are stored, or none.

        Raises
        ------
        ConfigurationError
            The file cannot be written.
        DataValidationError
            There would be too many in force.
        SourceUnavailableError
            Another process writes, and does not end.
        """
        with self._open(make=True) as database, database:
            database.execute("BEGIN IMMEDIATE")  # from here on nobody else writes: what is counted stays so
            for contract in {one.contract for one in overrides}:
                now = max(one.at for one in overrides)
                check_number(len(_read(database, contract, now)), len(overrides))
            for one in overrides:
                same = "contract = ? AND covers = ? AND value = ? AND ended = 0 AND id <> ?"
                _end(database, same, (one.contract, one.covers, one.value, one.id), one.at, one.by)
                database.execute(
                    "INSERT OR IGNORE INTO overrides VALUES (?, ?, ?, ?, ?, 0, ?)",
                    (one.id, one.contract, one.covers, one.value, one.until.timestamp(), one.model_dump_json()),
                )

    def remove(self, name: str, *, at: datetime, by: str) -> Override | None:
        """End an override by its id and return it; None if there is none that could be ended.

        Raises
        ------
        ConfigurationError, SourceUnavailableError
            As in `add`.
        """
        if not self.path.exists():
            return None
        with self._open(make=True) as database, database:
            database.execute("BEGIN IMMEDIATE")
            return _end(database, "id = ? AND ended = 0", (name,), at, by)

    def read(self, contract: str, *, in_force_at: datetime | None = None) -> list[Override]:
        """Return the overrides of a contract, all that ever were or those in force at a time, the oldest first.

        Raises
        ------
        DataSourceError
            The file is no such database.
        SourceUnavailableError
            Another process writes, and does not end.
        """
        if not self.path.exists():
            return []
        with self._open(make=False) as database:
            return _read(database, contract, in_force_at)

    @contextmanager
    def _open(self, *, make: bool) -> Iterator[sqlite3.Connection]:
        try:
            if make:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if make else "ro"
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", _PATIENCE, isolation_level=None, uri=True
            )
            with closing(connection) as database:
                if make:
                    database.execute(_TABLE)
                yield database
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise SourceUnavailableError(f"{self.shown} is busy: another process writes to it, try again") from exc
            raise ConfigurationError(f"{self.shown} cannot be used: {exc}") from exc
        except OSError as exc:
            raise ConfigurationError(f"{self.shown} cannot be written: {exc.strerror or exc}") from exc
        except (sqlite3.DatabaseError, ValueError) as exc:
            raise DataSourceError(f"{self.shown} does not hold overrides: move it away, and add them again") from exc


def _read(database: sqlite3.Connection, contract: str, in_force_at: datetime | None) -> list[Override]:
    after = in_force_at.timestamp() if in_force_at else -1
    found = database.execute(
        "SELECT content FROM overrides WHERE contract = ? AND until > ? AND ended <= ? ORDER BY rowid",
        (contract, after, in_force_at is None),
    )
    return [Override.model_validate_json(content) for (content,) in found]


def _end(database: sqlite3.Connection, which: str, values: tuple[str, ...], at: datetime, by: str) -> Override | None:
    """End what a condition finds; return the last of it."""
    ended = None
    for name, content in database.execute(f"SELECT id, content FROM overrides WHERE {which}", values).fetchall():  # noqa: S608 (ours)
        ended = Override.model_validate_json(content).model_copy(update={"ended_at": at, "ended_by": by})
        database.execute("UPDATE overrides SET ended = 1, content = ? WHERE id = ?", (ended.model_dump_json(), name))
    return ended
