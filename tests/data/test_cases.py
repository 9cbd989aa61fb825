"""Files that once came out as another library's error, or ended the interpreter."""

from pathlib import Path

import pytest

from networksecurity.data.contracts import WEBSITES
from networksecurity.data.model_files import load_model
from networksecurity.data.sources import parse
from networksecurity.exceptions import DataSourceError
from networksecurity.settings import Settings

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
FILES = {
    "bare-carriage-return.arff": "it has 31 attributes, and rows of 2 values",
    "bare-carriage-return.zip": "it has 31 attributes, and rows of 9 values",
}


@pytest.fixture
def cases():
    if not CASES.is_dir():
        pytest.skip(f"{CASES.name} is not here: files that were damaged by hand")
    return CASES


@pytest.mark.parametrize("name", FILES)
def test_an_arff_with_a_carriage_return_in_a_line_is_refused_in_a_line(cases, name):
    with pytest.raises(DataSourceError) as refused:
        parse(str(cases / name), Settings(_env_file=None)).read()
    assert FILES[name] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_whole_parquet_file_is_read_whatever_its_pandas_metadata_says(cases):
    frame = parse(str(cases / "damaged-pandas-metadata.parquet"), Settings(_env_file=None)).read().frame
    report = WEBSITES.validate(frame).report
    assert (report.n_accepted, report.n_rejected) == (60, 0)


def test_a_model_whose_trees_are_damaged_is_refused_before_it_is_asked(cases):
    with pytest.raises(DataSourceError, match="the model file cannot be loaded: "):
        load_model((cases / "damaged-tree-arrays.skops").read_bytes())
