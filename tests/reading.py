"""Reads sources for the tests of files and of MongoDB, and checks how bad ones are refused."""

import io
import traceback
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from networksecurity.data import mongodb, sources
from networksecurity.data.sample import make_phishing_websites
from networksecurity.settings import Settings

PASSWORD = "hunter2"


def configured(**values):
    return Settings(_env_file=None, **values)


def opened(target, **values):
    """Return the context in which a collection is open."""
    return mongodb.open(mongodb.parse_target(target, configured(**values)))


def frames(source, batch_rows=20_000, **options):
    """Yield the batches of a source that was parsed."""
    with source.batches(batch_rows, **options) as batches:
        yield from batches.frames


@contextmanager
def passes(path):
    """Count how often a file is read through, by the bytes that this process reads; far more than all other files."""

    def read_so_far():
        return int(Path("/proc/self/io").read_text().split()[1])

    counted, before = [], read_so_far()
    yield counted
    counted.append(round((read_so_far() - before) / path.stat().st_size, 1))


def write_large_csv(path, n_rows=2000):
    """Write a file in which each cell is padded to 200 characters."""
    make_phishing_websites(n_rows, random_state=5).astype("str").map(lambda cell: cell.ljust(200)).to_csv(
        path, index=False
    )
    return path


def read(source, **values):
    frame = sources.parse(str(source), configured(**values)).read().frame
    assert isinstance(frame.index, pd.RangeIndex)
    for column in frame.dtypes:
        assert column == "str" or pd.api.types.is_integer_dtype(column) or pd.api.types.is_float_dtype(column)
    frame.to_parquet(io.BytesIO())  # storable
    return frame


def cells(column):
    return [None if pd.isna(value) else value for value in column.tolist()]


def refused(error, source, *, says, **values):
    """Return the message of the error with which `source` is refused: one line, and no password even in its causes."""
    with pytest.raises(error) as caught:
        sources.parse(str(source), configured(**values)).read()
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    for part in [says] if isinstance(says, str) else says:
        assert part in message
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return message
