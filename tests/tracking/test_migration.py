import logging
import shutil
import sqlite3
from contextlib import closing
from importlib.resources import files

import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr

from networksecurity.exceptions import TrackingError
from networksecurity.settings import Settings
from networksecurity.tracking.server import connect, look


@pytest.fixture
def path(tmp_path, mlflow_database):
    return shutil.copy(mlflow_database, tmp_path / "mlflow.db")


def settings_for(path):
    return Settings(mlflow_tracking_uri=SecretStr(f"sqlite:///{path}"))


def revision_of(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def make_older(path):
    """Take the last migration back, and return the revision before it."""
    config = Config()
    config.set_main_option("script_location", str(files("mlflow.store.db_migrations")))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.downgrade(config, "-1")
    return revision_of(path)


def test_an_older_database_is_migrated_after_a_copy_was_made(path, caplog):
    newest, older = revision_of(path), make_older(path)
    assert older != newest
    with pytest.raises(TrackingError, match="older MLflow than .*: the next training migrates it"):
        look(settings_for(path))
    with caplog.at_level(logging.WARNING, "networksecurity"):
        connect(settings_for(path))
    copy = path.with_name(f"mlflow.db.{older}")
    assert f"{path} is of an older MLflow and is migrated to " in caplog.text
    assert caplog.text.rstrip().endswith(f"it is {copy}")
    assert (revision_of(path), revision_of(copy)) == (newest, older)


@pytest.mark.parametrize("opened_by", [connect, look])
def test_a_newer_database_is_refused_and_left_alone(path, opened_by):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'f00000000000'")
    before = path.read_bytes()
    with pytest.raises(TrackingError, match="written by a newer MLflow than .*pip install --upgrade mlflow"):
        opened_by(settings_for(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
