import gzip
import hashlib
import math
import signal
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from formats import (
    CSV,
    KINDS,
    ROWS,
    TABLE,
    big_file,
    digest_of,
    fetched,
    to_arff,
    to_parquet,
    to_parquet_with_pandas_notes,
    to_xlsx,
    to_zip,
)
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from reading import cells, frames, read, refused

from networksecurity.data.files.limits import Cells
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS
from networksecurity.exceptions import ConfigurationError, DataSourceError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_every_kind_of_file_is_read(kind, change, tmp_path):
    path = tmp_path / change(f"rows{kind}")
    path.write_bytes(KINDS[kind])
    frame = read(path)
    assert frame.columns.tolist() == ["port", "Result"]
    assert frame.to_numpy().tolist() == ROWS
    assert set(frame.dtypes) == {np.dtype("int8")}


def test_a_path_may_be_relative_or_begin_with_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("x.csv").equals(read("~/x.csv"))


def test_a_missing_file_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(DataSourceError, "none/x.csv", says=str(tmp_path / "none/x.csv"))
    refused(DataSourceError, "~nobody-at-all/x.csv", says="~nobody-at-all/x.csv")
    refused(DataSourceError, f"{'x' * 300}.csv", says="cannot be read")


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_while_a_file_is_read_is_no_error_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text(CSV)
    monkeypatch.setattr(Cells, "update", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path / "x.csv")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.csv").mkdir()
    refused(DataSourceError, tmp_path / "x.csv", says="is a folder")
    refused(DataSourceError, tmp_path, says="is a folder")


def test_a_file_of_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "rows.ods").write_bytes(b"PK")
    refused(ConfigurationError, tmp_path / "rows.ods", says=["rows.ods", ".csv", ".gz", ".arff"])


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        (".csv", b"", "is empty"),
        (".csv", b"\n\n", "is empty"),
        (".csv", b"port,Result\n", "holds no rows"),
        (".csv", b"port,Result\n1,1\n1,1,1\n", "line 3"),
        (".csv", b"port,Result\n1,1,5\n1,1,\n", "more cells than its header"),
        (".csv", b"# port,1\n\nport,SFH,Result\n-1,1,1\n1,1\n", "rows end too early (cells missing: 1)"),
        (".csv.gz", gzip.compress(b"port,Result\n1,1\n1", mtime=0), "rows end too early (cells missing: 1)"),
        (".csv", b"port,Result\n" + b"1,1\n" * 20_000 + b'"1\0x",1\n', "is binary"),
        (".csv", b'port,Result\n1,"1\n1,1\n', "not a table of delimited values"),
        (
            ".csv",
            b'port,SFH,Result\n1,"1,1\n-1,1,1\n1,-1,1\n1,1",1\n1,1,1\n',
            "a quote opens in row 0 and closes 3 lines below",
        ),
        (".csv", "port,Résult\n1,1\n".encode("latin-1"), "not UTF-8"),
        (".csv", CSV.encode("utf-16"), "not UTF-8"),
        (".csv", b"\x00\x01\x02\x03,\x00\n\x00,\x00\n", "is binary"),
        (".csv", np.random.default_rng(0).bytes(5000), "not UTF-8"),
        (".csv", b"<!DOCTYPE html><html>", "is a web page"),
        (".csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-10], "damaged or incomplete"),
        (".csv.gz", gzip.compress(CSV.encode(), mtime=0)[:12], "damaged or incomplete"),
        (".csv.gz", b"\x1f\x8b\x08" + bytes(7) + b"garbage", "damaged or incomplete"),
        (".parquet", b"", "is empty"),
        (".parquet", CSV.encode(), "cannot be read as Parquet"),
        (".parquet", KINDS[".parquet"][:-10], "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"{}"), "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"not JSON"), "cannot be read as Parquet"),
        (".parquet", to_parquet(TABLE[:0]), "holds no rows"),
        (".zip", CSV.encode(), "damaged or incomplete"),
        (
            ".zip",
            KINDS[".zip"].replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\x40"),
            "cannot be read: zip file version 6.4",
        ),
        (".zip", KINDS[".zip"][:-30], "damaged or incomplete"),
        (".zip", to_zip(rows__pdf=CSV), "holds no file of rows, only rows.pdf"),
        (".zip", to_zip(), "holds no file of rows, only nothing"),
        (".zip", to_zip(rows__zip=to_zip(rows__csv=CSV)), "rows.zip is an archive itself"),
        (".xlsx", b"PK", "is not a workbook"),
        (".xlsx", to_xlsx([]), "holds no rows"),
        (".json", b'[{"port": 1}, {"port"', "after 1 objects"),
        (".json", b'{"port": 1}\nhello', "after 1 objects"),
        (".json", b"[1, 2]", "JSON objects, one for each row, not 1"),
        (".csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (".arff", b"hello\nworld\n", "is not ARFF"),
        (".arff", CSV.encode(), "is not ARFF"),
        (".arff", b"@relation x\n@attribute a {1}\n@data\n", "holds no rows"),
        (".arff", b"@relation x\n@attribute a {1}\n@data\n7\n", "7"),
        (".arff", b"@relation x\n@attribute a relational\n@data\n7\n", "a type that cannot be read, relational"),
        (".arff", b"@relation x\n@attribute a {1}\n@attribute b {1}\n@data\n1\n", "2 attributes"),
        (".arff", b"@relation x\n@attribute a {1}\n@attribute a {1}\n@data\n1,1\n", "two attributes of one name"),
        (".arff", b"@relation x\n@attribute a real\n@data\nabc\n", "abc"),
        (".arff", b"@relation x\n@attribute a real\n@data\n{7 1}\n", "names attribute 7"),
        (".arff", b"@relation x\n@attribute\n@data\n7\n", "is not ARFF that can be read"),
        (".arff", b"@relation x\n@attribute a {1}\n@attribute b {1}\n@data\n1,1,1\n", "2 attributes"),
        (".arff", b"@relation x\n@attribute a {\xff}\n@data\n\xff\n", "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(kind, content, says, tmp_path):
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    refused(DataSourceError, path, says=[says, str(path)])


@given(kind=st.sampled_from(list(KINDS)), data=st.data())
@fuzzed(30)
def test_a_damaged_file_is_read_or_refused(kind, data, tmp_path):
    content = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    with suppress(DataSourceError):
        read(path)


def test_a_text_of_several_lines_is_a_cell_like_any_other(tmp_path):
    text = 'port,note,Result\n1,"one\ntwo, three\nfour",1\n-1,five,1\n'
    assert read_csv(tmp_path, text)["note"].tolist() == ["one\ntwo, three\nfour", "five"]


def read_csv(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    return read(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (["1", "-1"], "int8", [1, -1]),
        (["1", ""], "Int8", [1, None]),
        (["1.0", "-1"], "int8", [1, -1]),
        (["1", "300"], "int64", [1, 300]),
        (["1.7", "1"], "float64", [1.7, 1.0]),
        (["1", "inf"], "float64", [1.0, math.inf]),
        (["01", "na"], "str", ["01", "na"]),
        (["1.50", "NaN"], "str", ["1.50", "NaN"]),
        (["None", "?"], "str", ["None", "?"]),
        (["True", ""], "str", ["True", None]),
        (["True", "False"], "str", ["True", "False"]),
        (["1180591620717411303424", "1"], "str", ["1180591620717411303424", "1"]),
    ],
)
def test_a_csv_file_keeps_its_values(column, dtype, values, tmp_path):
    frame = read_csv(tmp_path, "a,Result\n" + "".join(f"{value},1\n" for value in column))
    assert frame["a"].dtype == dtype
    assert cells(frame["a"]) == values


def test_a_spreadsheet_leaves_empty_cells_at_the_end_out(tmp_path):
    assert read_csv(tmp_path, "port,SFH,Result\n1,-1,\n1,-1\n,1\n").isna().sum().tolist() == [1, 0, 3]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    assert read_csv(tmp_path, "\ufeff" + CSV).columns[0] == "port"


def test_a_parquet_file_may_hold_any_type(tmp_path):
    frame = pd.DataFrame(
        {
            "number": pd.array([1, None], dtype="Int64"),
            "category": pd.Categorical(["1", None]),
            "decimal": [Decimal("1.5"), None],
            "flag": pd.array([True, None], dtype="boolean"),
            "list": pd.Series([[1, 2], None], dtype=object),
            "date": pd.to_datetime(["2020-01-01", None]),
            "big": [2**40, 1],
        }
    ).set_index(pd.Index([7, 8], name="id"))
    path = tmp_path / "key=value" / "x.parquet"
    path.parent.mkdir()
    frame.to_parquet(path)
    rows = read(path)
    assert {name: cells(rows[name]) for name in rows} == {
        "id": [7, 8],
        "number": [1, None],
        "category": ["1", None],
        "decimal": ["1.5", None],
        "flag": ["True", None],
        "list": ["[1 2]", None],
        "date": ["2020-01-01 00:00:00", None],
        "big": [2**40, 1],
    }
    assert rows["number"].dtype == "Int8"


def test_arff_may_have_quotes_comments_and_missing_values(tmp_path):
    (tmp_path / "x.arff").write_text(
        "@RELATION 'a b'\n@ATTRIBUTE 'my port' {'1','0','-1'}\n@ATTRIBUTE \"Result\" NUMERIC\n@ATTRIBUTE c {yes,no}\n"
        "@DATA\n'-1',1,yes\n\n% comment, with commas\n?,?,?\n"
    )
    frame = read(tmp_path / "x.arff")
    assert {name: cells(frame[name]) for name in frame} == {
        "my port": [-1, None],
        "Result": [1, None],
        "c": ["yes", None],
    }


def test_the_real_data_is_read_from_the_archive_of_uci(real_data, tmp_path):
    frame = read(real_data)
    assert frame.columns.tolist() == list(DOMAINS)
    assert len(frame) == 11_055
    assert set(frame.dtypes) == {np.dtype("int8")}
    (tmp_path / "uci.zip").write_bytes(
        to_zip(old__arff=to_arff(frame[:2000]), **{"Training Dataset__arff": to_arff(frame, "'")})
    )
    pd.testing.assert_frame_equal(read(tmp_path / "uci.zip"), frame)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_rows_of_the_file(kind, tmp_path):
    path = big_file(kind, tmp_path)
    file = fetched(path, tmp_path)
    assert digest_of(file) == hashlib.sha256(path.read_bytes()).hexdigest()
    for _ in range(2):
        batches = list(frames(file, 100))
        assert all(0 < len(batch) <= 100 for batch in batches)
        pd.testing.assert_frame_equal(pd.concat(batches), read(path))


def test_a_column_may_differ_in_dtype_between_batches(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("port,Result\n" + "1,1\n" * 10 + "na,1\n1.5,1\n")
    first, second = frames(fetched(path, tmp_path), 10)
    assert [frame["port"].dtype for frame in (first, second)] == ["int8", "str"]
    assert second["port"].to_dict() == {10: "na", 11: "1.5"}


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        (".csv", b"", "is empty"),
        (".csv", b"port,Result\n", "holds no rows"),
        (".csv", b"port,Result\n" + b"1,1\n" * 150 + b"1,1,1\n", "line 152"),
        (".csv", b"port,Result\n1,1,5\n1,1,\n", "more cells than its header"),
        (".csv", b"port,Result\n" + b"1,1\n" * 150 + b"1\n", "rows end too early"),
        (".csv", b"port,Result,\n" + b"1,1,\n" * 150 + b"1,1,5\n", "values in a column without a name"),
        (".jsonl", b'{"port": 1}\n' * 150 + b"{", "not JSON that can be read, after 150 objects"),
        (".csv", b"port,Result\n" + b"1,1\n" * 150 + b"\xff,1\n", "not UTF-8"),
        (".csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-10], "damaged or incomplete"),
        (".parquet", KINDS[".parquet"][:-10], "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"not JSON"), "cannot be read as Parquet"),
        (".parquet", to_parquet(TABLE[:0]), "holds no rows"),
        (".arff", b"hello\n", "is not ARFF"),
    ],
)
def test_a_bad_file_is_refused_while_it_is_read_in_batches(kind, content, says, tmp_path):
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    with pytest.raises(DataSourceError, match=says) as caught:
        list(frames(fetched(path, tmp_path), 100))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("kind", "n_rows"), [(".csv", 240), (".csv", 500), (".parquet", 240)])
def test_a_file_that_changes_meanwhile_is_refused(kind, n_rows, tmp_path):
    path = big_file(kind, tmp_path)
    file = fetched(path, tmp_path)
    big_file(kind, tmp_path, n_rows=n_rows)
    with pytest.raises(DataSourceError, match=r"rows\..* was changed while it was read"):
        list(frames(file, 100))
    path.unlink()
    with pytest.raises(DataSourceError, match="there is no file"):
        list(frames(file, 100))


def exact(path, batch_rows):
    return pd.concat(frames(fetched(path, path.parent), batch_rows, exact_others=True))


def test_other_columns_of_a_csv_file_are_its_text(tmp_path):
    frame = make_phishing_websites(5).assign(key=["007", "1e3", "na", "", " 9007199254740993"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    found = exact(tmp_path / "rows.csv", 2)
    assert found["key"].fillna("nothing").tolist() == ["007", "1e3", "na", "nothing", " 9007199254740993"]
    assert found["Result"].tolist() == frame["Result"].astype("str").tolist()
    assert found["SFH"].tolist() == frame["SFH"].tolist()
    assert found["SFH"].dtype == "int8"


def test_other_columns_of_a_parquet_file_keep_their_types(tmp_path):
    key = pd.array([2**60 + 1, None, 3, 4, 5], "Int64")
    frame = make_phishing_websites(5).assign(key=key, when=pd.Timestamp("2026-01-01"))
    for name in (None, "name"):  # only an index with a name is a column
        frame.set_index(pd.Index(list("abcde"), name=name)).to_parquet(tmp_path / "rows.parquet")
        found = exact(tmp_path / "rows.parquet", 2)
        assert set(found) - set(DOMAINS) == {"key", "when", name} - {None}
        assert found["key"].dtype == "int64[pyarrow]"
        assert found["key"].tolist()[0] == 2**60 + 1
        assert found["when"].tolist() == [pd.Timestamp("2026-01-01")] * 5
        assert found["SFH"].tolist() == frame["SFH"].tolist()
