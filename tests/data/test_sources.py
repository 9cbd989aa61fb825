import gzip
import hashlib
import io
import logging
import math
import threading
import zipfile
from collections import namedtuple
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from reading import PASSWORD, cells, configured, frames, read, refused

from networksecurity.data import sources
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError
from networksecurity.settings import without_credentials

CSV = "port,Result\n-1,1\n1,-1\n"
ROWS = [[-1, 1], [1, -1]]


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
        sources.parse(source, settings).shown
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
    ".csv.gz": gzip.compress(CSV.encode(), mtime=0),
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
        (".zip", KINDS[".zip"][:-30], "damaged or incomplete"),
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
        read(path)


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


@pytest.mark.parametrize("kind", KINDS)
def test_url_of_every_kind(kind, web):
    web.answers[f"/rows{kind}"] = Answer(KINDS[kind])
    assert read(f"http://{web.host}/rows{kind}?raw=true").to_numpy().tolist() == ROWS


def test_uci_is_its_archive(web, monkeypatch):
    web.answers["/static/public/327/phishing+websites.zip"] = Answer(KINDS[".zip"])
    monkeypatch.setattr(
        sources, "UCI_URL", sources.UCI_URL.replace("https://archive.ics.uci.edu", f"http://{web.host}")
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


# --- batches ----------------------------------------------------------------------------------------------------------


def fetched(source, tmp_path):
    return sources.parse_file(str(source), configured()).fetch(tmp_path)


def digest_of(source, batch_rows=100):
    digest = hashlib.sha256()
    list(frames(source, batch_rows, digest=digest))
    return digest.hexdigest()


def big_file(kind, tmp_path, n_rows=250):
    frame = make_phishing_websites(n_rows, random_state=0)
    path = tmp_path / f"rows{kind}"
    text = frame.to_csv(index=False).encode()
    contents = {
        ".csv": text,
        ".csv.gz": gzip.compress(text),
        ".parquet": to_parquet(frame, row_group_size=70),
        ".arff": to_arff(frame),
        ".zip": to_zip(rows__arff=to_arff(frame)),
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_rows_of_the_file(kind, tmp_path):
    path = big_file(kind, tmp_path)
    file = fetched(path, tmp_path)
    assert digest_of(file) == hashlib.sha256(path.read_bytes()).hexdigest()
    for _ in range(2):
        batches = list(frames(file, 100))
        assert all(0 < len(batch) <= 100 for batch in batches)
        pd.testing.assert_frame_equal(pd.concat(batches), read(path))


def test_batches_of_a_sample(tmp_path):
    file = fetched("sample:250", tmp_path)
    assert file == fetched("sample:250", tmp_path)
    assert digest_of(file) == digest_of(file) != digest_of(fetched("sample:251", tmp_path))
    assert digest_of(fetched("sample", tmp_path)) == digest_of(fetched("sample:11055", tmp_path))
    batches = list(frames(file, 100))
    assert [len(batch) for batch in batches] == [100, 100, 50]
    pd.testing.assert_frame_equal(pd.concat(batches), read("sample:250"))
    with pytest.raises(ConfigurationError, match="sample:N"):
        fetched("sample:0", tmp_path)


def test_batches_of_a_url(web, tmp_path):
    web.answers["/rows.csv"] = Answer(CSV.encode())
    file = fetched(f"http://me:{PASSWORD}@{web.host}/rows.csv?token={PASSWORD}", tmp_path)
    assert file.shown == f"http://{web.host}/rows.csv"
    assert PASSWORD not in repr(file)
    assert digest_of(file) == hashlib.sha256(CSV.encode()).hexdigest()
    assert next(frames(file)).to_numpy().tolist() == ROWS


def test_batches_may_differ_in_kind(tmp_path):
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
        (".csv", b"port,Result\n1,1,\n1,1,\n", "more cells than its header"),
        (".csv", b"port,Result\n" + b"1,1\n" * 150 + b"\xff,1\n", "not UTF-8"),
        (".csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-10], "damaged or incomplete"),
        (".parquet", KINDS[".parquet"][:-10], "cannot be read as Parquet"),
        (".parquet", to_parquet_with_pandas_notes(b"not JSON"), "cannot be read as Parquet"),
        (".parquet", to_parquet(TABLE[:0]), "holds no rows"),
        (".arff", b"hello\n", "is not ARFF"),
    ],
)
def test_bad_file_in_batches(kind, content, says, tmp_path):
    path = tmp_path / f"rows{kind}"
    path.write_bytes(content)
    with pytest.raises(DataSourceError, match=says) as caught:
        list(frames(fetched(path, tmp_path), 100))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_file_that_is_changed_meanwhile(kind, tmp_path):
    path = big_file(kind, tmp_path)
    file = fetched(path, tmp_path)
    big_file(kind, tmp_path, n_rows=240)
    with pytest.raises(DataSourceError, match=r"rows\..* was changed while it was read"):
        list(frames(file, 100))
    path.unlink()
    with pytest.raises(DataSourceError, match="there is no file"):
        list(frames(file, 100))


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("nothing.csv", DataSourceError, "there is no file"),
        ("foo", ConfigurationError, "unknown source"),
        ("mongodb://host/db.rows", ConfigurationError, "mongodb://host/db.rows is a collection"),
        ("mongodb", ConfigurationError, "MONGODB_URI"),
    ],
)
def test_source_that_is_no_file(source, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGODB_URI", raising=False)
    with pytest.raises(error, match=says):
        fetched(source, tmp_path)


# --- rows to predict --------------------------------------------------------------------------------------------------


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
