"""Files as people have them: what is read although it is unusual, what is said of it, and what is refused."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow.feather
import pyarrow.parquet
import pytest
from formats import ROWS, fetched, to_xlsx, to_zip
from openpyxl.chart import BarChart
from reading import cells, configured, frames, read, refused

from networksecurity.data import sources
from networksecurity.data.contracts import WEBSITES
from networksecurity.data.files.dialect import recognise
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES
from networksecurity.exceptions import ConfigurationError, DataSourceError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "data.md"
NO_NAMES = make_phishing_websites(2).to_csv(index=False, header=False)

# By what docs/data.md calls it: the file's name and its content. Each holds the rows of `ROWS`, or those of NO_NAMES.
UNUSUAL = {
    "cells divided by semicolons": ("rows.csv", "port;Result\n-1;1\n1;-1\n"),
    "cells divided by tabs": ("rows.txt", "port\tResult\n-1\t1\n1\t-1\n"),
    "cells divided by vertical bars": ("rows.csv", "port|Result\n-1|1\n1|-1\n"),
    "decimal commas, between semicolons or tabs": ("rows.csv", "port;Result\n-1,0;1,0\n1,0;-1,0\n"),
    "`sep=;` as Excel writes it": ("rows.csv", "\ufeffsep=;\r\nport;Result\r\n-1;1\r\n1;-1\r\n"),
    "comments (`#`, `%`, `//`) above the header": ("rows.csv", "# from UCI\n% 2015\nport,Result\n-1,1\n1,-1\n"),
    "a row of empty cells above the header": ("rows.csv", ";;\nport;Result;\n-1;1;\n1;-1;\n"),
    "names in a comment, as NumPy writes them": ("rows.data", "# port,Result\n-1,1\n1,-1\n"),
    "a comma at the end of the header": ("rows.csv", "port,Result,\n-1,1,\n1,-1,\n"),
    "a comma at the end of each row but the header": ("rows.csv", "port,Result\n-1,1,\n1,-1,\n"),
    "row numbers without a name, as R's `write.table` writes them": (
        "rows.csv",
        '"port","Result"\n"1",-1,1\n"2",1,-1\n',
    ),
    "no names, with `--header none`": ("rows.csv", NO_NAMES),
    "an archive": ("rows.zip", to_zip(rows__csv="port,Result\n-1,1\n1,-1\n", README__txt="x")),
    "a workbook under another name": ("rows.csv", to_xlsx([["port", "Result"], *ROWS])),
}


def documented():
    text = DOCS.read_text().partition("| in the file | what is said |\n| --- | --- |\n")[2].partition("\n\n")[0]
    return dict(re.fullmatch(r"\| (.+) \| (.+) \|", line).groups() for line in text.splitlines())


def written(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / name


def without_header(path):
    columns = (*WEBSITES.columns, WEBSITES.target)
    return sources.without_header(sources.parse(str(path), configured()), columns)


def test_the_docs_list_what_is_read_although_it_is_unusual():
    assert list(documented()) == list(UNUSUAL)


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_read_and_said(name, tmp_path):
    path = written(tmp_path, *UNUSUAL[name])
    if "--header" in name:
        source, expected = without_header(path), make_phishing_websites(2).to_numpy().tolist()
    else:
        source, expected = sources.parse(str(path), configured()), ROWS
    found = source.read()
    columns = [column for column in found.frame if column in DOMAINS]
    assert found.frame[columns].to_numpy().tolist() == expected
    assert [note for note in found.notes if note == documented()[name]]
    file = source.fetch(tmp_path)
    assert file.notes == found.notes
    for exact in (False, True):
        batches = list(frames(file, 1, exact_others=exact))
        assert [batch["port"].tolist() for batch in batches] == found.frame[["port"]].to_numpy().tolist()


@pytest.mark.parametrize("n_columns", [30, 31])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_file_without_names_is_refused_and_said_how_to_read(n_columns, delimiter, tmp_path):
    rows = make_phishing_websites(3).iloc[:, :n_columns]
    path = tmp_path / "rows.data"
    rows.to_csv(path, index=False, header=False, sep=delimiter)
    refused(DataSourceError, path, says=["the first line of", "is data", "--header none"])
    found = without_header(path).read().frame
    assert found.columns.tolist() == list(DOMAINS)[:n_columns]
    assert found.to_numpy().tolist() == rows.to_numpy().tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (",".join(DOMAINS) + "\n", "holds names: leave out --header none"),
        ("1,1,1\n", "has 3 columns; without names they have to be the 31 of the contract"),
    ],
)
def test_columns_without_names_have_to_be_those_of_the_contract(text, says, tmp_path):
    with pytest.raises(DataSourceError, match=says):
        without_header(written(tmp_path, "rows.csv", text)).read()


def test_only_a_file_lacks_a_header():
    with pytest.raises(ConfigurationError, match="is no file"):
        without_header("sample")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("port;Result,x\n1;1,2\n", ["port;Result", "x"]),  # a comma divides the header, too
        ("port;Result\n1;1;1;1\n1\n", ["port;Result"]),  # rows and header disagree
        ("a;b|c\n1;1|1\n", ["a;b|c"]),  # two signs would do
        ("#,port\n1,-1\n", ["#", "port"]),  # the name of a row number, no comment
        ("port\n1\n", ["port"]),
    ],
)
def test_what_could_be_read_in_two_ways_is_read_as_usual(text, columns, tmp_path):
    assert read(written(tmp_path, "rows.csv", text)).columns.tolist() == columns


def test_decimal_points_and_commas_are_not_both_decimal():
    assert recognise("a;b\n1,5;1.5\n", "rows.csv").decimal == "."


def test_a_key_keeps_its_commas(tmp_path):
    path = written(tmp_path, "rows.csv", f"key;{';'.join(FEATURES)}\n1,50;{';'.join(['1,0'] * 30)}\n")
    [frame] = frames(fetched(path, tmp_path), exact_others=True)
    assert frame["key"].tolist() == ["1,50"]
    assert frame["port"].tolist() == [1]


def test_a_file_of_addresses_without_names_is_refused(tmp_path):
    path = written(tmp_path, "rows.csv", "https://a.test/,bad\nhttps://b.test/,good\n")
    refused(DataSourceError, path, says=["is data", "--header none"])


SEVERAL = to_zip(**{"a/train__csv": "port,Result\n-1,1\n1,-1\n", "b/test__csv": "port,Result\n1,1\n", "x__pdf": "x"})


def test_one_of_several_files_in_an_archive_is_named(tmp_path):
    path = written(tmp_path, "rows.zip", SEVERAL)
    says = [f"holds several files (a/train.csv, b/test.csv): name one, as {path}!a/train.csv"]
    refused(DataSourceError, path, says=says)
    assert read(f"{path}!a/train.csv").to_numpy().tolist() == ROWS
    assert read(f"{path}!test.csv").to_numpy().tolist() == [[1, 1]]
    refused(DataSourceError, f"{path}!none.csv", says="there is no such file in it, only a/train.csv")


@pytest.mark.parametrize("junk", ["__MACOSX/._rows__csv", "folder/__DS_Store", "readme__txt", "licence__md"])
def test_what_comes_along_in_an_archive_is_no_file_of_rows(junk, tmp_path):
    path = written(tmp_path, "rows.zip", to_zip(**{junk: "x", "rows__csv": "port,Result\n-1,1\n1,-1\n"}))
    assert read(path).to_numpy().tolist() == ROWS


def test_one_of_several_sheets_is_named(tmp_path):
    path = written(tmp_path, "rows.xlsx", to_xlsx([["port"], [1]], [], [["port", "Result"], *ROWS]))
    refused(DataSourceError, path, says=["has several sheets (Sheet, Sheet2): name one, as", "rows.xlsx!Sheet"])
    assert read(f"{path}!Sheet2").to_numpy().tolist() == ROWS
    refused(DataSourceError, f"{path}!none", says="has no worksheet none, only Sheet, Sheet1, Sheet2")


def to_xlsx_with_chart(*sheets, is_drawn=True):
    """Return a workbook whose first sheet is a chart."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    chart = book.create_chartsheet("Chart")
    if is_drawn:
        chart.add_chart(BarChart())
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_a_chart_is_no_sheet_of_rows(tmp_path):
    path = written(tmp_path, "rows.xlsx", to_xlsx_with_chart([["port", "Result"], *ROWS]))
    assert read(path).to_numpy().tolist() == ROWS
    refused(DataSourceError, f"{path}!Chart", says="has no worksheet Chart, only Sheet")
    refused(DataSourceError, written(tmp_path, "rows.xlsx", to_xlsx_with_chart()), says="has no worksheet that can be")
    empty = written(tmp_path, "rows.xlsx", to_xlsx_with_chart([["port", "Result"], *ROWS], is_drawn=False))
    refused(DataSourceError, empty, says="perhaps a chart, is not complete): save it anew")


def test_the_cells_of_a_workbook_keep_their_values(tmp_path):
    rows = [[None, "port", "key", None], [None, 1, "007", None], [None, None, 1.5, None], [None, "na", True, None]]
    path = written(tmp_path, "rows.xlsx", to_xlsx([[], *rows, []]))
    frame = read(path)
    assert {name: cells(frame[name]) for name in frame} == {
        "Unnamed: 0": [None, None, None],
        "port": ["1", None, "na"],
        "key": ["007", "1.5", "True"],
    }


def test_json_keeps_its_values(tmp_path):
    text = """[{"port": 1, "key": "007", "big": {"$numberLong": "1180591620717411303424"}},
    {"key": null, "_id": {"$oid": "abc"}, "port": null}, {"port": -1, "key": {"a": [1]}}]"""
    frame = read(written(tmp_path, "rows.json", text))
    assert {name: cells(frame[name]) for name in frame} == {
        "port": [1, None, -1],
        "key": ["007", None, "{'a': [1]}"],
        "big": ["1180591620717411303424", None, None],
        "_id": [None, "abc", None],
    }


def test_arff_may_be_written_in_many_ways(tmp_path):
    text = """% a comment
@relation x
@attribute\tport\t{ -1, 0, 1 }
@ATTRIBUTE 'a key' string
@attribute n REAL
@attribute Result {legitimate, 'phishing'}
@data
% another
1,\t'it\\'s, so',\t1.5, phishing
?, ?, ?, ?

{1 "a, b", 2 7}
"""
    frame = read(written(tmp_path, "rows.arff", text))
    assert {name: cells(frame[name]) for name in frame} == {
        "port": [1, None, -1],
        "a key": ["it's, so", None, "a, b"],
        "n": [1.5, None, 7.0],
        "Result": ["phishing", None, "legitimate"],
    }


def two_streams(compress):
    """Return the rows of `ROWS` in two compressed parts, as `cat a.gz b.gz` makes them."""
    return compress(b"port,Result\n-1,1\n") + compress(b"1,-1\n")


def with_dimension(content, dimension):
    """Return a workbook whose sheet says another size of itself, as some programs write it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    place = "xl/worksheets/sheet1.xml"
    parts[place] = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="%s"' % dimension, parts[place])
    return to_zip(**parts)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv.gz", two_streams(gzip.compress)),
        ("rows.csv.bz2", two_streams(bz2.compress)),
        ("rows.csv.xz", two_streams(lzma.compress)),
        ("rows.csv.zst", two_streams(lambda part: pyarrow.compress(part, "zstd", asbytes=True))),
        ("rows.csv", gzip.compress(b"port,Result\n-1,1\n1,-1\n")),
        ("rows.csv", b"port,Result\r-1,1\r1,-1\r"),
        ("rows.csv", b"\n\nport,Result\n-1,1\n\n1,-1\n"),
        ("rows.csv", b"\r\n  \r\nport;Result\r\n-1;1\r\n\r\n1;-1\r\n"),
        ("rows.csv", "\ufeff\n\nport\tResult\n-1\t1\n1\t-1\n"),
        ("rows.csv", "# UCI\n\nport;Result\n-1,0;1\n1,0;-1\n"),
        ("rows.csv", '"port";note;Result\n-1;"one;\ntwo";1\n1;three;-1\n'),
        ("rows.csv", '\ufeffsep=,\n"port","Result"\n"-1","1"\n"1","-1"\n'),
        ("rows.csv", "port,Result\n -1 ,1.0\n+1,-1e0\n"),
        ("rows.xlsx", with_dimension(to_xlsx([["port", "Result"], *ROWS]), b"A1")),
        ("rows.xlsx", to_xlsx([["port", "Result"], ["-1", "1"], ["1", "-1"]])),
        ("rows.arff", "@ATTRIBUTE port { -1, 1 }\n@attribute 'Result' {\"1\",\"-1\"}\n@DATA\n-1,\t'1'\n 1 , -1 \n"),
        ("rows.arff", b"@relation x\r\n@attribute port {-1,1}\r\n@attribute Result real\r\n@data\r\n-1,1\r\n1,-1\r\n"),
        ("50 % möglich.csv", "port,Result\n-1,1\n1,-1\n"),
        ("rows.json", '{"port": -1, "Result": 1} {"port": 1,\n "Result": -1}'),
        ("rows.json", '\ufeff[{"port": {"$numberInt": "-1"}, "Result": 1}, {"port": 1, "Result": -1}]\n'),
    ],
    ids=[
        "two parts by gzip",
        "two parts by bzip2",
        "two parts by xz",
        "two parts by zstd",
        "gzip without its ending",
        "carriage returns",
        "blank lines",
        "blank lines above semicolons",
        "blank lines above tabs",
        "a blank line below a comment",
        "a line break in a cell between semicolons",
        "a mark and the separator on top",
        "signs, blanks and exponents",
        "a workbook that gives a wrong size",
        "a workbook of text",
        "ARFF in capitals, with tabs and quotes",
        "ARFF with carriage returns",
        "a name with blanks, a percent sign and an umlaut",
        "objects one after the other",
        "a mark and extended JSON",
    ],
)
def test_what_others_cut_or_misread_is_read_whole(name, content, tmp_path):
    frame = read(written(tmp_path, name, content))[["port", "Result"]]
    assert frame.apply(pd.to_numeric).to_numpy().tolist() == ROWS


def to_parquet_with_two_of_a_name():
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table([[1], [-1]], names=["port", "port"]), content)
    return content.getvalue()


def to_feather():
    content = io.BytesIO()
    pyarrow.feather.write_feather(pyarrow.table({"port": [1]}), content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.parquet", to_parquet_with_two_of_a_name(), "has two columns of one name: port"),
        ("rows.csv", "port,Result,port\n1,1,-1\n", "has two columns of one name: port"),
        ("rows.xlsx", to_xlsx([["port", "port"], [1, -1]]), "has two columns of one name: port"),
        ("rows.xlsx", to_xlsx([["port", "Result"], [1, 1], ["=A2", -1]]), "a formula without a value in row 3"),
        ("rows.json", '[{"port": 1, "port": -1}]', "an object has port twice"),
        ("rows.json", '[{"port": 1}] [{"port": -1}]', "something stands behind the array"),
        ("rows.json", '{"port": {"0": 1}, "Result": {"0": 1}}', "whole tables or columns (port, Result): write one"),
        ("rows.json", '{"data": [{"port": 1}]}', "whole tables or columns (data): write one object for each row"),
        (
            "rows.arff",
            "@attribute port {1,-1}\n@data\n{x}\n",
            "has a sparse row that cannot be read, correct it or save it as CSV: x",
        ),
        ("rows.arff", "@attribute port {1,-1}\n@data\n{0 1, 0 -1}\n", "has a sparse row that cannot be read"),
        (
            "rows.arff",
            "@attribute port {1,-1}\n@data\n1 % good\n",
            "port holds what its type does not allow, correct either: 1 % good",
        ),
        (
            "rows.arff",
            "@attribute port {1,-1}\n@attribute b {1}\n@data\n1,1,{5}\n",
            "2 attributes, and rows of 3 values",
        ),
        ("rows.csv", "port,Result\n1,1,\n1,1\n", "rows have more cells than its header has names"),
        ("rows.txt", "port\tResult\n1\t1\n".encode("utf-16"), "is binary (or UTF-16)"),
        ("rows.parquet", to_feather(), "cannot be read as Parquet"),
    ],
)
def test_what_others_read_wrongly_is_refused(name, content, says, tmp_path):
    refused(DataSourceError, written(tmp_path, name, content), says=[name, says])
