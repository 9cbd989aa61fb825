import pytest
from stored import source_of

from networksecurity.data.mongodb import server


@pytest.fixture
def target(mongod, collection):
    return source_of(mongod, collection)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 40)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes rows to a CSV file; `row` numbers them as they will be in MongoDB."""

    def to_csv(frame, name="rows.csv"):
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return to_csv
