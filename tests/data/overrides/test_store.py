import multiprocessing
import sqlite3
from datetime import timedelta

import pytest
from overriding import NOW, override
from pydantic import SecretStr
from reading import configured

from networksecurity.data.overrides.file import OverrideFile
from networksecurity.data.overrides.override import MOST_IN_FORCE
from networksecurity.data.overrides.store import override_store, overrides_in_force
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
)


@pytest.fixture(params=["file", "mongodb"])
def place(request, tmp_path):
    """Return settings whose overrides are in a file, or in MongoDB."""
    if request.param == "file":
        yield configured(storage=str(tmp_path / "storage"))
        return
    mongod, collection = request.getfixturevalue("mongod"), request.getfixturevalue("collection")
    yield configured(mongodb_uri=SecretStr(f"{mongod.uri}/{collection.full_name}"))
    collection.database.drop_collection(f"{collection.name}_overrides")


@pytest.fixture
def store(place):
    return override_store(place)


def values(store, **options):
    return [one.value for one in store.read("addresses", **options)]


def test_what_was_added_is_read_back_the_oldest_first(store):
    first, second = override("b.test"), override("a.test", "phishing", at=NOW + timedelta(seconds=1))
    store.add([first])
    store.add([second, override("[1]", contract="websites", covers="row")])
    assert store.read("addresses") == [first, second]
    assert [one.value for one in store.read("websites")] == ["[1]"]


def test_the_newer_one_of_the_same_ends_the_older_one(store):
    older, newer = override("a.test"), override("a.test", "phishing", at=NOW + timedelta(days=1), by="joe")
    store.add([older, override("a.test", covers="host")])
    store.add([newer])
    in_force = store.read("addresses", in_force_at=newer.at)
    assert {(one.covers, one.label) for one in in_force} == {("domain", "phishing"), ("host", "legitimate")}
    (ended,) = [one for one in store.read("addresses") if one.ended_at]
    assert (ended.id, ended.ended_at, ended.ended_by) == (older.id, newer.at, "joe")


def test_the_same_again_changes_nothing(store):
    store.add([override("a.test")])
    store.add([override("a.test")])
    assert store.read("addresses", in_force_at=NOW) == [override("a.test")]


def test_a_removed_one_is_kept_and_no_more_in_force(store):
    one = override("a.test")
    store.add([one])
    ended = store.remove(one.id, at=NOW + timedelta(hours=1), by="joe")
    assert ended == store.read("addresses")[0]
    assert ended.ended_by == "joe"
    assert store.read("addresses", in_force_at=NOW) == []
    assert store.remove(one.id, at=NOW, by="joe") is None
    assert store.remove("nothing", at=NOW, by="joe") is None


def test_one_whose_time_is_over_is_not_in_force(store, place):
    one = override("a.test")
    store.add([one])
    for now, n_found in ((one.until - timedelta(seconds=1), 1), (one.until, 0)):
        assert len(store.read("addresses", in_force_at=now)) == n_found
        assert len(overrides_in_force(place, "addresses", now).by_key) == n_found


def test_too_many_are_refused_and_none_of_them_stored(store, monkeypatch):
    monkeypatch.setattr("networksecurity.data.overrides.override.MOST_IN_FORCE", 2)
    store.add([override("a.test")])
    with pytest.raises(DataValidationError, match="1 overrides in force and 2 more"):
        store.add([override("b.test"), override("c.test")])
    assert values(store) == ["a.test"]
    later = override("a.test").until
    store.add([override(name, at=later, until=later + timedelta(days=1)) for name in ("b.test", "c.test")])
    assert values(store, in_force_at=later) == ["b.test", "c.test"]


def add_many(place, name, start):
    store = override_store(place)
    start.wait()
    for i in range(20):
        store.add([override(f"{name}{i}.test"), override("shared.test", at=NOW + timedelta(seconds=i), by=name)])


def test_writers_at_once_lose_nothing_and_leave_one_of_the_same(place, store):
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    writers = [context.Process(target=add_many, args=(place, name, start)) for name in "ab"]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    found = values(store, in_force_at=NOW)
    assert sorted(set(found) - {"shared.test"}) == sorted(f"{name}{i}.test" for name in "ab" for i in range(20))
    assert 1 <= found.count("shared.test") <= 2
    assert len(overrides_in_force(place, "addresses", NOW).by_key) == 41


def test_nothing_is_made_by_reading(tmp_path):
    store = override_store(configured(storage=str(tmp_path / "storage")))
    assert store.read("addresses") == []
    assert store.remove("nothing", at=NOW, by="joe") is None
    assert not (tmp_path / "storage").exists()


def test_a_storage_elsewhere_holds_no_overrides_and_takes_none():
    place = configured(storage="memory://somewhere")
    assert overrides_in_force(place, "addresses", NOW).by_key == {}
    with pytest.raises(ConfigurationError, match="set MONGODB_URI, or NETWORKSECURITY_STORAGE to a folder"):
        override_store(place)


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    path = tmp_path / "overrides.db"
    path.write_text("something else\n" * 100)
    for act in (lambda: OverrideFile(path).read("addresses"), lambda: OverrideFile(path).add([override("a.test")])):
        with pytest.raises(DataSourceError, match="does not hold overrides"):
            act()
    assert path.read_text() == "something else\n" * 100


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "storage").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        OverrideFile(tmp_path / "storage" / "overrides.db").add([override("a.test")])


def test_a_file_that_another_process_keeps_busy_may_be_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("networksecurity.data.overrides.file._PATIENCE", 0.1)
    store = OverrideFile(tmp_path / "overrides.db")
    store.add([override("a.test")])
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnavailableError, match="is busy"):
        store.add([override("b.test")])
    other.rollback()
    other.close()
    assert len(store.read("addresses")) == 1


def test_the_limit_is_what_the_service_reads_again_and_again(tmp_path):
    store = OverrideFile(tmp_path / "overrides.db")
    store.add([override(f"a{i}.test") for i in range(MOST_IN_FORCE)])
    assert len(store.read("addresses", in_force_at=NOW)) == MOST_IN_FORCE
