"""The schema of a local MLflow database: an older one is migrated after a copy was made, a newer one is refused."""

import logging
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import mlflow
from mlflow.db import upgrade

from networksecurity.exceptions import TrackingError

_log = logging.getLogger(__name__)


def migrate(path: Path, uri: str) -> None:
    """Bring a database that is older than the installed MLflow up to date, and keep a copy of it as it was.

    Raises
    ------
    TrackingError
        It is newer.
    """
    if (revision := _older_revision(path)) is None:
        return
    copy = path.with_name(f"{path.name}.{revision}")
    if not copy.exists():  # else an earlier migration did not come to its end
        partial = copy.with_name(f"{copy.name}.partial")
        with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(partial)) as copied:
            database.backup(copied)
        partial.rename(copy)
    _log.warning("%s is of an older MLflow and is migrated to %s; as it was, it is %s", path, mlflow.__version__, copy)
    upgrade.main([uri], standalone_mode=False)


def refuse_another_schema(path: Path) -> None:
    """Raise TrackingError if a database has to be migrated before the installed MLflow can read it, or is newer."""
    if _older_revision(path) is not None:
        raise TrackingError(
            f"{path} is of an older MLflow than {mlflow.__version__}: the next training migrates it, after a copy"
        )


def _older_revision(path: Path) -> str | None:
    """Return the revision of an older database; None if it is of this MLflow, or has no tables yet.

    Raises
    ------
    TrackingError
        It is newer.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(files("mlflow.store.db_migrations")))
    if found is None or found[0] == scripts.get_current_head():
        return None
    if found[0] not in {script.revision for script in scripts.walk_revisions()}:
        raise TrackingError(
            f"{path}: the database was written by a newer MLflow than {mlflow.__version__}, the one installed here: "
            "upgrade that (pip install --upgrade mlflow), or name another database with MLFLOW_TRACKING_URI"
        )
    return found[0]
