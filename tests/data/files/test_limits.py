"""Files that are small and would fill a machine, or never end: each is refused with the limit and its setting."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import zipfile

import pandas as pd
import pyarrow
import pytest
from formats import ROWS, share_texts, to_parquet, to_xlsx, to_zip
from reading import configured, frames, read, refused

from networksecurity.data import sources
from networksecurity.data.files.limits import Cells, Limits
from networksecurity.data.tables.file import read_table
from networksecurity.exceptions import ConfigurationError, DataSourceError

LOW = {"max_unpacked_bytes": 50_000, "max_columns": 40, "max_cell_bytes": 1_000, "max_sample_rows": 1_000}
LONG = b"port,Result\n" + b"-1,1\n" * 20_000
ARFF = b"@relation x\n@attribute port {-1,1}\n@data\n"
NAMES = [f"c{number}" for number in range(50)]


def lying_zip():
    """Return an archive that says of its member that it is small."""
    content = bytearray(to_zip(rows__csv=LONG))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", 100)
    return bytes(content)


def sparse_workbook():
    """Return a workbook with a cell far to the right, far below."""
    content = to_xlsx([["port", "Result"], *ROWS])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    place = "xl/worksheets/sheet1.xml"
    parts[place] = parts[place].replace(b"</sheetData>", b'<row r="1000"><c r="XFD1000"><v>1</v></c></row></sheetData>')
    return to_zip(**parts)


def workbook_of(text, n_cells=1):
    """Return a workbook with a text in some cells, which is in the file once."""
    return share_texts(to_xlsx([["key", "port"], *[["a text", 1]] * n_cells]), {b"<t>a text</t>": text})


UNPACKED = "50,000 bytes, the limit: set NETWORKSECURITY_MAX_UNPACKED_BYTES"
COLUMNS = "40 columns, the limit: set NETWORKSECURITY_MAX_COLUMNS"
CELL = "1,000 bytes, the limit: set NETWORKSECURITY_MAX_CELL_BYTES"
BOMBS = {
    "a text by gzip": ("rows.csv.gz", gzip.compress(LONG), UNPACKED),
    "a text by bzip2": ("rows.csv.bz2", bz2.compress(LONG), UNPACKED),
    "a text by xz": ("rows.csv.xz", lzma.compress(LONG), UNPACKED),
    "a text by zstd": ("rows.csv.zst", pyarrow.compress(LONG, "zstd", asbytes=True), UNPACKED),
    "blank lines only": ("rows.csv.gz", gzip.compress(b"\n" * 100_000), UNPACKED),
    "ARFF by gzip": ("rows.arff.gz", gzip.compress(ARFF + b"1\n" * 50_000), UNPACKED),
    "JSON by gzip": ("rows.jsonl.gz", gzip.compress(b'{"port": 1}\n' * 9_000), UNPACKED),
    "the member of an archive": ("rows.zip", to_zip(rows__csv=LONG), UNPACKED),
    "a member that lies about its size": ("rows.zip", lying_zip(), "is damaged"),
    "a packed member of an archive": ("rows.zip", to_zip(rows__csv__gz=gzip.compress(LONG)), UNPACKED),
    "a workbook": ("rows.xlsx", to_xlsx([["port", "Result"], *ROWS * 2_000]), UNPACKED),
    "a workbook in an archive": ("rows.zip", to_zip(rows__xlsx=to_xlsx([["port"], *[[1]] * 4_000])), UNPACKED),
    "a workbook of blanks": ("rows.xlsx", sparse_workbook(), COLUMNS),
    "one value of Parquet a million times": (
        "rows.parquet",
        to_parquet(pd.DataFrame({"port": pd.array([1] * 1_000_000, "int8")})),
        UNPACKED,
    ),
    "a long text of Parquet many times": (
        "rows.parquet",
        to_parquet(pd.DataFrame({"key": ["x" * 900] * 900})),
        UNPACKED,
    ),
    "a cell of Parquet": ("rows.parquet", to_parquet(pd.DataFrame({"key": ["x" * 1_001]}), use_dictionary=False), CELL),
    "columns of a text": ("rows.csv", ",".join(NAMES).encode() + b"\n", COLUMNS),
    "cells of the first row": ("rows.csv", b"port,Result\n" + b"1," * 50 + b"\n", COLUMNS),
    "cells of a first row that is long": ("rows.csv", b"port,Result\n" + b"1," * 40_000 + b"\n", COLUMNS),
    "columns of Parquet": ("rows.parquet", to_parquet(pd.DataFrame({name: [1] for name in NAMES})), COLUMNS),
    "columns of a workbook": ("rows.xlsx", to_xlsx([NAMES]), COLUMNS),
    "names of a JSON object": ("rows.json", json.dumps([dict.fromkeys(NAMES)]).encode(), COLUMNS),
    "names of many JSON objects": ("rows.jsonl", "\n".join(f'{{"{name}": 1}}' for name in NAMES).encode(), COLUMNS),
    "attributes of ARFF": (
        "rows.arff",
        b"".join(f"@attribute {name} real\n".encode() for name in NAMES) + b"@data\n",
        COLUMNS,
    ),
    "a cell": ("rows.csv", b"port,Result\n1," + b"1" * 1_001 + b"\n", CELL),
    "a cell of a workbook": ("rows.xlsx", workbook_of(b"<t>" + b"x\n" * 501 + b"</t>"), CELL),
    "a cell of a workbook in pieces": (
        "rows.xlsx",
        workbook_of(b"<r><t>" + b"x</t></r><r><t>" * 1_001 + b"x</t></r>"),
        CELL,
    ),
    "a text of a workbook many times": ("rows.xlsx", workbook_of(b"<t>" + b"x" * 900 + b"</t>", 60), UNPACKED),
    "a line of ARFF": (
        "rows.arff",
        ARFF + b"1" * 16_001,
        "16,000 bytes, the limit: set NETWORKSECURITY_MAX_CELL_BYTES",
    ),
    "a JSON object": ("rows.json", b'[{"port": "' + b"1" * 17_000, "16,000 characters, the limit"),
    "an attribute that is hard to read": ("rows.arff", b"@attribute " + b"{" * 15_000, "is not ARFF"),
    "a number of many digits": ("rows.json", b'[{"port": ' + b"1" * 5_000 + b"}]", "is not JSON that can be read"),
    "a deep nest": ("rows.json", b"[" * 10_000, "nested too deeply"),
}


@pytest.mark.parametrize("batch_rows", [None, 1_000])
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_exceeds_a_limit_is_refused_with_its_setting(bomb, batch_rows, tmp_path):
    name, content, says = BOMBS[bomb]
    (tmp_path / name).write_bytes(content)
    if batch_rows is None:
        refused(DataSourceError, tmp_path / name, says=[name, says], **LOW)
        return
    with pytest.raises(DataSourceError, match=re.escape(says)):
        list(frames(sources.parse(str(tmp_path / name), configured(**LOW)), batch_rows))


def test_a_quote_that_is_not_closed_makes_no_cell_of_the_rest(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"port,Result\n" + b"1,1\n" * 20_000 + b'1,"1\n' + b"1,1\n" * 200_000)
    source = sources.parse(str(tmp_path / "rows.csv"), configured(max_unpacked_bytes=600_000))
    with pytest.raises(DataSourceError, match=r"a batch of 20000 rows holds more than 600,000 bytes"):
        list(frames(source))


@pytest.mark.parametrize("n_rows", ["1001", "10000000000", "9" * 5_000])
def test_a_sample_has_a_limit(n_rows):
    refused(ConfigurationError, f"sample:{n_rows}", says=["1,000 rows, the limit", "MAX_SAMPLE_ROWS"], **LOW)


def test_a_pipe_is_no_file_of_rows(tmp_path):
    os.mkfifo(tmp_path / "rows.csv")
    refused(DataSourceError, tmp_path / "rows.csv", says="is no regular file")
    os.mkfifo(tmp_path / "shop.yaml")
    with pytest.raises(ConfigurationError, match="is a pipe"):
        read_table(tmp_path / "shop.yaml")


def test_what_is_within_the_limits_is_read(tmp_path):
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"key,port\n" + b"x" * 1_000 + b",1\n", mtime=0))
    assert read(tmp_path / "rows.csv.gz", **LOW)["port"].tolist() == [1]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "is_too_long"),
    [(b"ab,abc\nabcd\r\n,,\n", False), (b"ab,abcde\nab", True), (b"a,b\nabcde", True), (b"abcde", True), (b"", False)],
)
def test_a_cell_that_is_too_long_is_found_wherever_the_reading_stops(text, is_too_long, size):
    cells, found = Cells(Limits(cell=4), "rows.csv", ","), False
    try:
        for start in range(0, len(text), size):
            cells.update(text[start : start + size])
    except DataSourceError:
        found = True
    assert found == is_too_long
