"""Whatever comes in, only this project's own errors come out: foreign ones end where their library is called."""

import io
import zipfile
from contextlib import suppress

import pandas as pd
import pytest
from formats import KINDS, to_parquet, to_zip
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st
from made_tables import SHOP, shop
from reading import configured, frames

from networksecurity.data import sources
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import CONTRACTS, Addresses, Table, Websites
from networksecurity.data.files import File
from networksecurity.data.mongodb.reading import parse_since
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.tables.file import parse_table
from networksecurity.exceptions import DataError, NetworkSecurityException

PIECES = {
    ".csv": ["port", "Result", ",", ";", "\t", '"', "\n", "\r", "-1", "1", "1e400", "9" * 25, "na", "\0", "#", "sep=;"],
    ".arff": [
        "@attribute ",
        "@data\n",
        "@relation ",
        "port ",
        "real\n",
        "{1,-1}\n",
        "{",
        "}",
        "'",
        '"',
        "\\",
        ",",
        "0 ",
        "1\n",
        "?",
        "%",
        "1_0\n",
        "nan\n",
        "9" * 25,
        "{0 1}\n",
        "\n",
    ],
    ".json": [
        "[",
        "]",
        "{",
        "}",
        '"port"',
        ":",
        ",",
        "1",
        "-1",
        "null",
        "true",
        "NaN",
        "1e999",
        "9" * 25,
        '"\\ud800"',
        '{"$numberLong": "x"}',
        '{"port": 1}',
        "\n",
    ],
}
PIECES[".csv.gz"] = PIECES[".csv"]
PARTS = {
    "xl/worksheets/sheet1.xml": [
        "<row",
        "<c ",
        "<v>",
        'r="A2"',
        't="s"',
        't="b"',
        't="d"',
        's="99"',
        "A9999999",
        "<f>",
    ],
    "xl/workbook.xml": ["<sheets>", "<sheet ", 'r:id="rId1"', "sheetId"],
    "xl/sharedStrings.xml": ["<si>", "<t>"],
    "[Content_Types].xml": ["<Override", "ContentType"],
}


def read_both(path, content):
    """Read a file whole and in batches; only errors of data may come."""
    path.write_bytes(content)
    for columns in (None, ("port", "Result")):
        with suppress(DataError):
            source = File.at(str(path))
            (source if columns is None else sources.without_header(source, columns)).read()
    with suppress(DataError):
        list(frames(File.at(str(path)), 2, exact_others=True))


@fuzzed()
@given(kind=st.sampled_from(list(PIECES)), data=st.data())
def test_texts_of_any_kind_are_read_or_refused(kind, data, tmp_path):
    pieces = st.lists(st.sampled_from(PIECES[kind]) | st.text(max_size=3), max_size=25)
    text = "".join(data.draw(pieces)).encode("utf-8", "surrogatepass")
    read_both(tmp_path / f"rows{kind}", text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (".json", '[{"port": ' + "1" * 5_000 + "}]"),
        (".json", '[{"port": "\\ud800"}]'),
        (".json", '[{"port": 1, "port": 1}]'),
        (".json", '[{"\\ud800": 1}]'),
        (".json", '[{"port": {"$numberLong": [1]}}]'),
        (".arff", "@attribute port {1_0}\n@data\n1_0\n"),
        (".arff", "@attribute port real\n@data\n" + "9" * 400 + "\n"),
        (".csv", "port,Result\n" + "9" * 5_000 + ",1\n"),
        (".csv", '"' + "x" * 200_000 + '",b\n1,2\n'),
        (".csv", "a,b\n\ud800,1\n"),
    ],
)
def test_odd_values_are_read_or_refused(kind, text, tmp_path):
    read_both(tmp_path / f"rows{kind}", text.encode("utf-8", "surrogatepass"))


@fuzzed()
@given(part=st.sampled_from(list(PARTS)), data=st.data())
def test_workbooks_with_a_damaged_part_are_read_or_refused(part, data, tmp_path):
    with zipfile.ZipFile(io.BytesIO(KINDS[".xlsx"])) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if part in parts:
        old, new = (data.draw(st.sampled_from(PARTS[part]) | st.text(max_size=4)).encode() for _ in range(2))
        parts[part] = parts[part].replace(old, new, data.draw(st.integers(1, 3))) if old else parts[part][len(new) :]
    read_both(tmp_path / "rows.xlsx", to_zip(**parts))


def test_a_sheet_that_is_listed_and_is_nowhere_makes_a_workbook_unreadable(tmp_path):
    with zipfile.ZipFile(io.BytesIO(KINDS[".xlsx"])) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(b'r:id="rId1"', b"")
    (tmp_path / "rows.xlsx").write_bytes(to_zip(**parts))
    with pytest.raises(DataError, match="invalid specification"):
        File.at(str(tmp_path / "rows.xlsx")).read()


@fuzzed()
@given(
    frame=st.sampled_from(
        [
            pd.DataFrame({"port": pd.to_timedelta([1, 2])}),
            pd.DataFrame({"port": pd.period_range("2026", periods=2, freq="D")}),
            pd.DataFrame({"port": [b"\xff", b"1"]}),
            pd.DataFrame({"port": [2**63, 1]}, dtype="uint64"),
            pd.DataFrame({"port": [[1], None]}),
            pd.DataFrame({"port": [float("inf"), 1]}, dtype="float32"),
            pd.DataFrame({"port": pd.interval_range(0, 2)}),
            pd.DataFrame({"port": pd.Categorical([1, None])}),
            pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["x", "y"])),
        ]
    )
)
def test_parquet_of_any_type_is_read_or_refused(frame, tmp_path):
    read_both(tmp_path / "rows.parquet", to_parquet(frame))


SOURCES = [
    "sample:",
    "mongodb://",
    "@",
    "/",
    "http://",
    "[",
    "]",
    ":",
    "%",
    "\0",
    "~",
    "x.csv",
    "!",
    "9" * 5_000,
    "\ud800",
]


@fuzzed()
@given(st.text() | st.lists(st.sampled_from(SOURCES)).map("".join))
@example("http://[::1/x.csv")
@example("mongodb://[host/x")
@example("x" * 5_000 + ".csv")
@example("a\0b.csv")
@example("~\0/x.csv")
def test_any_source_is_understood_or_refused(text):
    for contract in CONTRACTS.values():
        with suppress(NetworkSecurityException):
            source = sources.parse(text, configured(mongodb_uri="mongodb://127.0.0.1"), contract)
            assert isinstance(source.shown, str)
            if isinstance(source, File):
                source.read()


@fuzzed()
@given(st.text() | st.just("9" * 5_000))
def test_any_starting_point_is_understood_or_refused(text):
    with suppress(NetworkSecurityException):
        parse_since(text)


TABLE = """contract: shop
target: status
positive: bad
schema:
  schema_type: dataframe
  columns:
    length: {dtype: float64, nullable: true}
    status: {dtype: str, isin: [bad, good]}
"""
WORDS = [
    "contract",
    "shop",
    "bad",
    "float64",
    "str",
    "isin",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n",
    "nullable",
    "true",
    "schema",
]
VALUES = [*WORDS, "2026-01-01", "1e9", "!!binary x", "&a", "\t", "0x", "~", "nan", "datetime64[ns]"]


@fuzzed()
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(VALUES) | st.text(max_size=3)), max_size=4))
@example([("length", "[1, 2]")])
@example([("{dtype: float64, nullable: true}", "{dtype: float64, in_range: {min_value: 2026-01-01, max_value: x}}")])
@example([("{dtype: float64, nullable: true}", "{dtype: float64, str_length: 3}")])
@example([("shop", "!!timestamp 9999-99-99")])
@example([("bad", "9" * 5_000)])
def test_any_table_is_understood_or_refused(changes):
    text = TABLE
    for old, new in changes:
        text = text.replace(old, new)
    with suppress(NetworkSecurityException):
        parse_table(text)


ROWS = {
    "websites": (Websites(), make_phishing_websites(3)),
    "addresses": (Addresses(), make_addresses(3)),
    "a table": (Table.parse(SHOP), shop(3)),
}
TEXTS = st.text(max_size=5) | st.sampled_from(["1", "-1", "na", "1e999", "9" * 400, "http://["])
COLUMNS = {"str": TEXTS | st.none(), "float64": st.floats(), "int64": st.integers(-(2**63), 2**63 - 1)}


@fuzzed()
@given(name=st.sampled_from(list(ROWS)), with_target=st.booleans(), data=st.data())
def test_any_cells_are_judged_by_a_contract_or_refused(name, with_target, data):
    contract, rows = ROWS[name]
    changed = {}
    for column in data.draw(st.lists(st.sampled_from(list(rows)), max_size=3, unique=True)):
        dtype = data.draw(st.sampled_from(list(COLUMNS)))
        changed[column] = pd.Series(data.draw(st.lists(COLUMNS[dtype], min_size=3, max_size=3)), dtype=dtype)
    validation = contract.validation(with_target=with_target)
    with suppress(DataError):
        accepted, rejected = validation.add(rows.assign(**changed))
        assert len(accepted) + len(rejected) == len(rows)
        validation.finish()
