import gzip
import io
import logging
import math
import socket
import threading
import traceback
import zipfile
from collections import namedtuple
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bson
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from networksecurity import datasets
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError
from networksecurity.sample import make_phishing_websites
from networksecurity.schema import DOMAINS
from networksecurity.settings import Settings, without_credentials

PASSWORD = "hunter2"
CSV = "port,Result\n-1,1\n1,-1\n"
ROWS = [[-1, 1], [1, -1]]


def configured(**values):
    return Settings(_env_file=None, **values)


def read(source, **values):
    frame = datasets.read(str(source), configured(**values))
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
        datasets.read(str(source), configured(**values))
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    for part in [says] if isinstance(says, str) else says:
        assert part in message
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return message


# --- the source string ------------------------------------------------------------------------------------------------


def test_sample():
    pd.testing.assert_frame_equal(read("sample"), make_phishing_websites(random_state=0))
    pd.testing.assert_frame_equal(read("sample:123"), make_phishing_websites(123, random_state=0))


@pytest.mark.parametrize("source", ["sample:abc", "sample:0", "sample:-5", "sample:", "sample:1.5", "sample:1e3"])
def test_sample_of_no_size(source):
    refused(ConfigurationError, source, says=["sample:N", repr(source)])


@pytest.mark.parametrize("source", ["foo", "data.xlsx", "ftp://host/data.csv", "", " ", "s3://bucket/x.csv", "MONGODB"])
def test_unknown_source_lists_what_is_known(source):
    refused(ConfigurationError, source, says=["sample:N", ".csv.gz", ".parquet", "uci", "mongodb://", "MONGODB_URI"])


def test_describe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    settings = configured(mongodb_uri=f"mongodb://me:{PASSWORD}@a:1,b:2/?tls=true")
    assert [
        datasets.describe(source, settings)
        for source in [
            "sample:5",
            "data/x.csv",
            "~/x.csv",
            "uci",
            f"https://me:{PASSWORD}@host/x.csv?token={PASSWORD}",
            "mongodb",
            f"mongodb://me:{PASSWORD}@host/db.a.b?authSource=admin",
            "mongodb+srv://host/db",
            "mongodb://host",
        ]
    ] == [
        "sample:5",
        str(tmp_path / "data/x.csv"),
        "/home/someone/x.csv",
        "https://archive.ics.uci.edu/static/public/327/phishing+websites.zip",
        "https://host/x.csv",
        "mongodb://a:1,b:2/networksecurity.phishing_websites",
        "mongodb://host/db.a.b",
        "mongodb+srv://host/db.phishing_websites",
        "mongodb://host/networksecurity.phishing_websites",
    ]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://me:hunter2@a:1,b:2/db.c?x=1", "mongodb://a:1,b:2/db.c"),
        ("mongodb://me:hun@ter2@host/db", "mongodb://host/db"),
        ("mongodb://me:hun/ter2@host/db", "mongodb://…"),
        ("mongodb://me:hun?ter2@host/db", "mongodb://…"),
        ("mongodb://me:hun#ter2@host/db", "mongodb://…"),
        ("mongodb://me:2/hunter2@host/db", "mongodb://…"),
        ("mongodb://me:hun[ter2@host/db", "mongodb://host/db"),
        ("mongodb://[::1]:27017/db", "mongodb://[::1]:27017/db"),
        ("https://me:hunter2@host/repo@1/x.csv?token=hunter2#part", "https://host/repo@1/x.csv"),
        ("https://host/x.csv?mail=a@b", "https://host/x.csv"),
        ("sqlite:///folder/mlflow.db", "sqlite:///folder/mlflow.db"),
        ("folder/mlruns", "folder/mlruns"),
    ],
)
def test_without_credentials(uri, shown):
    assert without_credentials(uri) == shown


# --- files ------------------------------------------------------------------------------------------------------------


def to_arff(frame, quote=""):
    """Return the rows as the UCI archive writes them: comments, odd blanks, nominals with or without quotes."""

    def quoted(values):
        return ",".join(f"{quote}{value}{quote}" for value in values)

    names = "\n".join(f"@attribute {name}  {{ {quoted(sorted(frame[name].unique()))} }}" for name in frame)
    rows = "\n".join(quoted(row) for row in frame.itertuples(index=False))
    return f"% from UCI\n@relation phishing\n\n{names}\n\n\n@data\n{rows}\n% the end\n\n".encode()


def to_zip(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return content.getvalue()


def to_parquet(frame, **options):
    content = io.BytesIO()
    frame.to_parquet(content, **options)
    return content.getvalue()


def to_parquet_with_pandas_notes(notes):
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"port": [1]}).replace_schema_metadata({b"pandas": notes}), content)
    return content.getvalue()


TABLE = pd.DataFrame(ROWS, columns=["port", "Result"])
KINDS = {
    ".csv": CSV.encode(),
    ".csv.gz": gzip.compress(CSV.encode()),
    ".parquet": to_parquet(TABLE),
    ".arff": to_arff(TABLE, "'"),
    ".zip": to_zip(old__arff=to_arff(TABLE[:1]), Training__ARFF=to_arff(TABLE), readme__txt=b"x" * 10_000),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_every_kind_of_file(kind, change, tmp_path):
    path = tmp_path / change(f"rows{kind}")
    path.write_bytes(KINDS[kind])
    frame = read(path)
    assert frame.columns.tolist() == ["port", "Result"]
    assert frame.to_numpy().tolist() == ROWS
    assert set(frame.dtypes) == {np.dtype("int8")}


def test_relative_path_and_home(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("x.csv").equals(read("~/x.csv"))


def test_missing_file_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(DataSourceError, "none/x.csv", says=str(tmp_path / "none/x.csv"))
    refused(DataSourceError, "~nobody-at-all/x.csv", says="~nobody-at-all/x.csv")
    refused(DataSourceError, f"{'x' * 300}.csv", says="cannot be read")


def test_folder(tmp_path):
    (tmp_path / "x.csv").mkdir()
    refused(DataSourceError, tmp_path / "x.csv", says="is a folder")
    refused(DataSourceError, tmp_path, says="is a folder")


def test_file_of_unknown_kind(tmp_path):
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    refused(ConfigurationError, tmp_path / "rows.xlsx", says=["rows.xlsx", ".csv.gz", ".arff"])


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        (".csv", b"", "is empty"),
        (".csv", b"\n\n", "is empty"),
        (".csv", b"port,Result\n", "holds no rows"),
        (".csv", b"port,Result\n1,1\n1,1,1\n", "line 3"),
        (".csv", b"port,Result\n1,1,\n1,1,\n", "more cells than its header"),
        (".csv", b'port,Result\n1,"1\n1,1\n', "not a table of comma-separated values"),
        (".csv", "port,Résult\n1,1\n".encode("latin-1"), "not UTF-8"),
        (".csv", CSV.encode("utf-16"), "not UTF-8"),
        (".csv", b"\x00\x01\x02\x03,\x00\n\x00,\x00\n", "is binary"),
        (".csv", np.random.default_rng(0).bytes(5000), "not UTF-8"),
        (".csv", b"<!DOCTYPE html><html>", "is a web page"),
        (".csv.gz", gzip.compress(CSV.encode())[:-10], "damaged or cut short"),
        (".csv.gz", gzip.compress(CSV.encode())[:12], "damaged or cut short"),
        (".csv.gz", b"\x1f\x8b\x08" + bytes(7) + b"garbage", "damaged or cut short"),
        (".parquet", b"", "is empty"),
        (".parquet", CSV.encode(), "cannot be read as Parquet"),
        (".parquet", KINDS[".parquet"][:-10], "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"{}"), "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"not JSON"), "cannot be read as Parquet"),
        (".parquet", to_parquet(TABLE[:0]), "holds no rows"),
        (".zip", CSV.encode(), "damaged or cut short"),
        (".zip", KINDS[".zip"][:-30], "damaged or cut short"),
        (".zip", to_zip(rows__csv=CSV), "holds no .arff file, only rows.csv"),
        (".arff", b"hello\nworld\n", "is not ARFF"),
        (".arff", CSV.encode(), "is not ARFF"),
        (".arff", b"@relation x\n@attribute a {1}\n@data\n", "holds no rows"),
        (".arff", b"@relation x\n@attribute a {1}\n@data\n7\n", "7"),
        (".arff", b"@relation x\n@attribute a string\n@data\n7\n", "String attributes"),
        (".arff", b"@relation x\n@attribute a {1}\n@attribute b {1}\n@data\n1\n", "is not ARFF"),
        (".arff", b"@relation x\n@attribute a {1}\n@attribute b {1}\n@data\n1,1,1\n", "2 attributes"),
        (".arff", b"@relation x\n@attribute a {\xff}\n@data\n\xff\n", "not UTF-8"),
    ],
)
def test_bad_file(kind, content, says, tmp_path):
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    refused(DataSourceError, path, says=[says, str(path)])


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(list(KINDS)), data=st.data())
def test_damaged_file_is_read_or_refused(kind, data, tmp_path):
    content = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    with suppress(DataSourceError):
        datasets.read(str(path), configured())


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
def test_csv_keeps_values(column, dtype, values, tmp_path):
    frame = read_csv(tmp_path, "a,Result\n" + "".join(f"{value},1\n" for value in column))
    assert frame["a"].dtype == dtype
    assert cells(frame["a"]) == values


def test_csv_with_byte_order_mark(tmp_path):
    assert read_csv(tmp_path, "\ufeff" + CSV).columns[0] == "port"


def test_parquet_of_any_type(tmp_path):
    frame = pd.DataFrame(
        {
            "number": pd.array([1, None], dtype="Int64"),
            "category": pd.Categorical(["1", None]),
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
        "flag": ["True", None],
        "list": ["[1 2]", None],
        "date": ["2020-01-01 00:00:00", None],
        "big": [2**40, 1],
    }
    assert rows["number"].dtype == "Int8"


def test_arff_of_other_kinds(tmp_path):
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


def test_real_data_in_uci_form(real_data, tmp_path):
    frame = read(real_data)
    assert frame.columns.tolist() == list(DOMAINS)
    assert len(frame) == 11_055
    assert set(frame.dtypes) == {np.dtype("int8")}
    (tmp_path / "uci.zip").write_bytes(
        to_zip(old__arff=to_arff(frame[:2000]), **{"Training Dataset__arff": to_arff(frame, "'")})
    )
    pd.testing.assert_frame_equal(read(tmp_path / "uci.zip"), frame)


# --- the web ----------------------------------------------------------------------------------------------------------

Answer = namedtuple("Answer", "body status headers", defaults=(b"", 200, {}))


@pytest.fixture
def web():
    """Serve `web.answers`, by path; a body shorter than its Content-Length is cut off there."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self)
            answer = answers[self.path.partition("?")[0]]
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args):
            pass

    seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield namedtuple("Web", "host answers seen")(f"127.0.0.1:{server.server_port}", answers, seen)
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
        yield listener.getsockname()[1]


@pytest.fixture
def silent_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_url_of_every_kind(kind, web):
    web.answers[f"/rows{kind}"] = Answer(KINDS[kind])
    assert read(f"http://{web.host}/rows{kind}?raw=true").to_numpy().tolist() == ROWS


def test_uci_is_its_archive(web, monkeypatch):
    web.answers["/static/public/327/phishing+websites.zip"] = Answer(KINDS[".zip"])
    monkeypatch.setattr(
        datasets, "UCI_URL", datasets.UCI_URL.replace("https://archive.ics.uci.edu", f"http://{web.host}")
    )
    assert read("uci").to_numpy().tolist() == ROWS


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/csv; charset=utf-8"},
        {"Content-Disposition": 'attachment; filename="rows.csv"'},
        {"Content-Disposition": "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.CSV"},
    ],
)
def test_kind_told_by_the_answer(headers, web):
    web.answers["/download"] = Answer(CSV.encode(), headers=headers)
    assert read(f"http://{web.host}/download").to_numpy().tolist() == ROWS


def test_redirect_tells_the_kind(web):
    web.answers["/latest"] = Answer(status=302, headers={"Location": "/v2/rows.csv"})
    web.answers["/v2/rows.csv"] = Answer(CSV.encode())
    assert read(f"http://{web.host}/latest").to_numpy().tolist() == ROWS


def test_gzip_unpacked_on_the_way(web):
    web.answers["/rows.csv.gz"] = Answer(KINDS[".csv.gz"], headers={"Content-Encoding": "gzip"})
    assert read(f"http://{web.host}/rows.csv.gz").to_numpy().tolist() == ROWS


def test_nothing_is_left_behind(web, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    web.answers.update({"/rows.csv": Answer(CSV.encode()), "/bad.csv": Answer(b"\xff")})
    read(f"http://{web.host}/rows.csv")
    refused(DataSourceError, f"http://{web.host}/bad.csv", says=f"http://{web.host}/bad.csv is not UTF-8")
    assert list(tmp_path.iterdir()) == []


def test_credentials_are_used_and_not_shown(web, caplog):
    caplog.set_level(logging.INFO)
    web.answers.update({"/rows.csv": Answer(CSV.encode()), "/secret.csv": Answer(status=403)})
    read(f"http://me:{PASSWORD}@{web.host}/rows.csv?token={PASSWORD}")
    assert web.seen[-1].headers["Authorization"].startswith("Basic ")
    assert web.seen[-1].path.endswith(f"?token={PASSWORD}")
    refused(
        DataSourceError, f"http://me:{PASSWORD}@{web.host}/secret.csv?token={PASSWORD}", says=f"{web.host}/secret.csv"
    )
    assert f"GET http://{web.host}/rows.csv" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_page_that_is_refused(status, web):
    web.answers["/rows.csv"] = Answer(status=status)
    refused(DataSourceError, f"http://{web.host}/rows.csv", says=[f"http://{web.host}/rows.csv", str(status)])


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_page_that_may_come_back(status, web):
    web.answers["/rows.csv"] = Answer(status=status)
    refused(SourceUnavailableError, f"http://{web.host}/rows.csv", says=[f"{web.host}/rows.csv", str(status), " s"])


def test_body_cut_short(web):
    web.answers["/rows.csv"] = Answer(CSV.encode(), headers={"Content-Length": "1000"})
    refused(
        SourceUnavailableError,
        f"http://{web.host}/rows.csv",
        says=[f"{web.host}/rows.csv", "received 22 bytes, expected 1000"],
    )


def test_web_server_that_is_not_there(closed_port):
    refused(SourceUnavailableError, f"http://127.0.0.1:{closed_port}/x.csv", says=[str(closed_port), "refused", " s "])


def test_web_server_that_says_nothing(silent_port):
    source = f"http://me:{PASSWORD}@127.0.0.1:{silent_port}/x.csv"
    refused(
        SourceUnavailableError, source, says=["ReadTimeout", "NETWORKSECURITY_HTTP_TIMEOUT is 0.2 s"], http_timeout=0.2
    )


def test_odd_pages(web):
    web.answers.update(
        {
            "/data": Answer(CSV.encode(), headers={"Content-Type": "text/plain"}),
            "/loop.csv": Answer(status=302, headers={"Location": "/loop.csv"}),
            "/away.csv": Answer(status=302, headers={"Location": "ftp://host/x.csv"}),
            "/page.csv": Answer(b"\n<!doctype html><html>..."),
            "/empty.csv": Answer(),
        }
    )
    refused(DataSourceError, f"http://{web.host}/data", says=["text/plain", ".parquet"])
    refused(DataSourceError, f"http://{web.host}/loop.csv", says="redirects without end")
    refused(ConfigurationError, f"http://{web.host}/away.csv", says="/away.csv")
    refused(DataSourceError, f"http://{web.host}/page.csv", says="web page")
    refused(DataSourceError, f"http://{web.host}/empty.csv", says="is empty")
    refused(ConfigurationError, f"http://me:{PASSWORD}/x@host/x.csv", says="http")


# --- MongoDB ----------------------------------------------------------------------------------------------------------


def source_of(mongod, collection, options=""):
    return f"{mongod.uri}/{collection.full_name}{options}"


@contextmanager
def failing(mongod, app, **failure):
    """Make the server fail commands of the client named `app`."""
    command = {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": {"appName": app, **failure}}
    try:
        mongod.client.admin.command(command)
    except OperationFailure as exc:
        pytest.skip(f"the server takes no failpoints: {exc}")
    try:
        yield
    finally:
        mongod.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_collection_is_read_in_order_of_id(mongod, collection, monkeypatch):
    monkeypatch.setattr(datasets, "_BATCH_SIZE", 300)
    expected = make_phishing_websites(1000, random_state=0)
    documents = [{"_id": i, "source": "x", **row} for i, row in enumerate(expected.to_dict("records"))]
    collection.insert_many(documents[::-1])
    frame = read(source_of(mongod, collection))
    assert set(frame.dtypes) == {pd.Int8Dtype()}
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


def test_real_data_from_mongodb(mongod, collection, real_data):
    expected = read(real_data)
    collection.insert_many(expected.to_dict("records"))
    pd.testing.assert_frame_equal(read(source_of(mongod, collection)), expected, check_dtype=False)


@pytest.mark.parametrize("path", ["networksecurity_tests", "networksecurity_tests.{}", ""])
def test_mongodb_of_the_settings(path, mongod, collection):
    collection.insert_one({"port": 1})
    values = {"mongodb_database": "networksecurity_tests", "mongodb_collection": collection.name}
    source = f"{mongod.uri}/{path.format(collection.name)}"
    assert cells(read("mongodb", mongodb_uri=source, **values)["port"]) == [1]
    assert cells(read(source, **values)["port"]) == [1]


def test_collection_with_dots_in_its_name(mongod, collection):
    dotted = collection["of.today"]
    dotted.insert_one({"port": 1})
    assert cells(read(source_of(mongod, dotted))["port"]) == [1]
    dotted.drop()


def test_values_are_kept_as_they_are(mongod, collection):
    odd = [
        1.7,
        True,
        2**40,
        128,
        -128,
        "na",
        "1",
        math.inf,
        Decimal128("1"),
        {"a": 1},
        [1],
        b"\x00",
        datetime(2020, 1, 1, tzinfo=UTC),
    ]
    fine = [1, -1.0, Int64(0), 127, -127]
    missing = [None, math.nan]
    collection.insert_many([{"_id": i, "port": value, "SFH": 1} for i, value in enumerate([*odd, *fine, *missing])])
    collection.insert_one({"_id": 1000, "SFH": 0})
    frame = read(source_of(mongod, collection))
    assert frame["SFH"].dtype == "Int8"
    assert frame["port"].dtype == "str"
    assert cells(frame["port"]) == [
        "1.7",
        "True",
        "1099511627776",
        "128",
        "-128",
        "na",
        "1",
        "inf",
        "1",
        "{'a': 1}",
        "[1]",
        "b'\\x00'",
        "2020-01-01 00:00:00",
        "1",
        "-1",
        "0",
        "127",
        "-127",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("n_odd_first", [0, 20])
def test_odd_cell_in_one_batch_only(n_odd_first, mongod, collection, monkeypatch):
    monkeypatch.setattr(datasets, "_BATCH_SIZE", 10)
    values = ["na"] * n_odd_first + [1] * 30 + [None] + [True]
    collection.insert_many([{"_id": i, "port": value} for i, value in enumerate(values)])
    assert cells(read(source_of(mongod, collection))["port"]) == [None if v is None else str(v) for v in values]


def test_values_that_python_cannot_hold(mongod, collection):
    # A date in the year 292,278,994, and text that is not UTF-8.
    date = b"\x13\x00\x00\x00\x09port\x00" + (2**63 - 1).to_bytes(8, "little") + b"\x00"
    text = b"\x13\x00\x00\x00\x02port\x00\x04\x00\x00\x00a\xffb\x00\x00"
    collection.insert_many([bson.raw_bson.RawBSONDocument(document) for document in (date, text)])
    first, second = cells(read(source_of(mongod, collection))["port"])
    assert str(2**63 - 1) in first
    assert second == "a\ufffdb"


def test_known_columns_only_under_any_known_name(mongod, collection):
    collection.insert_many([{"_id": i, "id": i, "notes": {"port": 9}, "port_no": 1, "class": -1} for i in range(50)])
    assert read(source_of(mongod, collection)).columns.tolist() == ["port_no", "class"]
    # A later import with another spelling is seen, so that validation can speak of it.
    collection.insert_many([{"_id": i, "port": 1, "class": -1} for i in range(50, 100)])
    frame = read(source_of(mongod, collection))
    assert frame.columns.tolist() == ["port_no", "class", "port"]
    assert frame["port"].isna().sum() == frame["port_no"].isna().sum() == 50


def test_collection_of_something_else(mongod, collection):
    collection.insert_one({"_id": 1, "NumDots": 1, "NumDash": 2})
    refused(DataSourceError, source_of(mongod, collection), says=[collection.name, "NumDots", "NumDash"])


def test_empty_collection(mongod, collection):
    host = mongod.uri.rpartition("/")[2]
    says = [collection.name, "networksecurity_tests", host, "MONGODB_COLLECTION", "ingest"]
    refused(DataSourceError, source_of(mongod, collection), says=says)


def test_mongodb_without_uri(monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    refused(ConfigurationError, "mongodb", says="MONGODB_URI")


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://me:{PASSWORD}@host:port/db",
        f"mongodb://me:{PASSWORD}@host:99999/db",
        f"mongodb://me:{PASSWORD}@/db",
        f"mongodb://me:a/{PASSWORD}@host/db",
        f"mongodb://me:a?{PASSWORD}@host/db",
        f"mongodb://me:a@{PASSWORD}@host/db",
        f"mongodb://me:a:{PASSWORD}@host/db",
        f"mongodb://me:{PASSWORD}@host/a$b.c",
        f"mongodb://me:{PASSWORD}@host/db.c?tls",
        f"mongodb://me:{PASSWORD}@host/db.c?tls=true&ssl=false",
        f"mongodb://me:{PASSWORD}@host/db.c?tlsCAFile=/no/such/file",
        f"mongodb://me:{PASSWORD}@host/db..c",
        f"mongodb+srv://me:{PASSWORD}@host:27017/db.c",
    ],
)
def test_mongodb_uri_that_is_not_valid(uri):
    refused(ConfigurationError, uri, says="mongodb")
    refused(ConfigurationError, "mongodb", says="mongodb", mongodb_uri=uri)


def test_mongodb_uri_of_another_kind():
    refused(ConfigurationError, "mongodb", says="MONGODB_URI", mongodb_uri=f"postgresql://me:{PASSWORD}@host")


def test_mongodb_that_is_not_there(closed_port):
    source = f"mongodb://me:{PASSWORD}@127.0.0.1:{closed_port}/db.rows"
    says = [f"mongodb://127.0.0.1:{closed_port}", "after 0.", " s: ", "refused", "start the server", "MONGODB_URI"]
    refused(SourceUnavailableError, source, says=says, mongodb_timeout=0.2)
    # What the connection string says about time counts more.
    refused(SourceUnavailableError, f"{source}?serverSelectionTimeoutMS=200", says=says, mongodb_timeout=60)


def test_mongodb_name_that_nobody_knows():
    source = f"mongodb+srv://me:{PASSWORD}@cluster.nowhere.invalid/db.rows?connectTimeoutMS=500"
    refused(SourceUnavailableError, source, says=["cluster.nowhere.invalid", "MONGODB_URI"], mongodb_timeout=0.5)


def test_mongodb_that_says_nothing(silent_port):
    source = f"mongodb://127.0.0.1:{silent_port}/db.rows"
    refused(SourceUnavailableError, source, says=str(silent_port), mongodb_timeout=0.3)


def test_user_of_the_database_in_the_path(mongod, collection):
    collection.insert_one({"port": 1})
    database = collection.database
    database.command("createUser", "me", pwd=PASSWORD, roles=["read"])
    try:
        with_user = source_of(mongod, collection).replace("://", f"://me:{PASSWORD}@")
        assert cells(read(with_user)["port"]) == [1]
        for wrong in (with_user.replace(PASSWORD, f"{PASSWORD}x"), f"{with_user}?authSource=admin"):
            refused(DataSourceError, wrong, says=[collection.full_name, "code 18", "authSource"])
    finally:
        database.command("dropUser", "me")


def test_read_that_is_not_allowed(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "refused", failCommands=["find"], errorCode=13):
        refused(DataSourceError, source_of(mongod, collection, "?appName=refused"), says=["code 13", "roles"])


def test_other_failure_of_the_server(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "other", failCommands=["find"], errorCode=2):
        refused(DataSourceError, source_of(mongod, collection, "?appName=other"), says=["code 2", collection.full_name])


@pytest.mark.parametrize("failure", [{"closeConnection": True}, {"errorCode": 43}, {"errorCode": 50}])
def test_lost_in_the_middle(failure, mongod, collection, monkeypatch):
    monkeypatch.setattr(datasets, "_BATCH_SIZE", 10)
    collection.insert_many([{"port": 1} for _ in range(30)])
    with failing(mongod, "lost", failCommands=["getMore"], **failure):
        refused(
            SourceUnavailableError, source_of(mongod, collection, "?appName=lost"), says=["failed after", "MONGODB_URI"]
        )


def test_read_that_is_blocked(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "slow", failCommands=["find"], blockConnection=True, blockTimeMS=1500):
        source = source_of(mongod, collection, "?appName=slow&socketTimeoutMS=200")
        refused(SourceUnavailableError, source, says=["failed after", "timed out"])


CELL = st.one_of(
    st.integers(-1, 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-130, 130).map(float),
    st.integers(-130, 130).map(Int64),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["na", "1", ""]),
    st.builds(ObjectId, st.binary(min_size=12, max_size=12)),
)
DOCUMENT = st.one_of(
    st.fixed_dictionaries({"port": st.integers(-1, 1), "SFH": st.integers(-1, 1).map(float)}),
    st.fixed_dictionaries({"SFH": st.integers(-2, 1), "port": st.integers(-1, 1)}),
    st.fixed_dictionaries({}, optional={"port": CELL, "SFH": CELL, "other": CELL}),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(DOCUMENT, min_size=1, max_size=8), min_size=1, max_size=3))
def test_fast_path_reads_what_the_slow_path_would(batches):
    def expected(value, as_text):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if type(value) in (int, float, Int64) and abs(value) <= 127 and value == int(value):
            return str(int(value)) if as_text else int(value)
        return str(value)

    encoded = [[bson.encode(document) for document in batch] for batch in batches]
    frame = datasets._to_frame(encoded, ["port", "SFH"], CodecOptions())
    for name in frame:
        values = [bson.decode(document).get(name) for batch in encoded for document in batch]
        as_text = any(isinstance(expected(value, False), str) for value in values)
        assert frame[name].dtype == ("str" if as_text else "Int8")
        assert cells(frame[name]) == [expected(value, as_text) for value in values]
