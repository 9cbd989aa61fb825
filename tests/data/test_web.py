import gzip
import hashlib
import logging
import socket
import threading
from collections import namedtuple
from contextlib import nullcontext, suppress

import httpx
import pytest
from formats import CSV, KINDS, ROWS, digest_of, fetched
from listening import Handler, listening
from reading import PASSWORD, configured, frames, read, refused

from networksecurity.data import sources
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError

Answer = namedtuple("Answer", "body status headers", defaults=(b"", 200, {}))


@pytest.fixture
def web():
    """Serve `web.answers`, by path; a body shorter than its Content-Length is cut off there."""
    answers = {}

    class Prepared(Handler):
        def handle_request(self):
            seen.append(self)
            self.answer(**answers[self.path.partition("?")[0]]._asdict())

    seen = []
    with listening(Prepared) as address:
        yield namedtuple("Web", "host answers seen")(address.removeprefix("http://"), answers, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_from_the_web(kind, web):
    web.answers[f"/rows{kind}"] = Answer(KINDS[kind])
    assert read(f"http://{web.host}/rows{kind}?raw=true").to_numpy().tolist() == ROWS


def test_uci_stands_for_its_archive(web, monkeypatch):
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
def test_the_answer_may_tell_the_kind_of_a_file(headers, web):
    web.answers["/download"] = Answer(CSV.encode(), headers=headers)
    assert read(f"http://{web.host}/download").to_numpy().tolist() == ROWS


def test_a_redirect_may_tell_the_kind_of_a_file(web):
    web.answers["/latest"] = Answer(status=302, headers={"Location": "/v2/rows.csv"})
    web.answers["/v2/rows.csv"] = Answer(CSV.encode())
    assert read(f"http://{web.host}/latest").to_numpy().tolist() == ROWS


def test_a_gzip_file_may_be_unpacked_on_its_way(web):
    web.answers["/rows.csv.gz"] = Answer(KINDS[".csv.gz"], headers={"Content-Encoding": "gzip"})
    assert read(f"http://{web.host}/rows.csv.gz").to_numpy().tolist() == ROWS


def test_a_download_leaves_nothing_behind(web, tmp_path, monkeypatch):
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
def test_a_page_that_may_not_be_read_is_refused(status, web):
    web.answers["/rows.csv"] = Answer(status=status)
    refused(DataSourceError, f"http://{web.host}/rows.csv", says=[f"http://{web.host}/rows.csv", str(status)])


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_page_that_may_come_back_is_tried_again_later(status, web):
    web.answers["/rows.csv"] = Answer(status=status)
    refused(SourceUnavailableError, f"http://{web.host}/rows.csv", says=[f"{web.host}/rows.csv", str(status), " s"])


def test_an_interrupted_download_is_tried_again_later(web):
    web.answers["/rows.csv"] = Answer(CSV.encode(), headers={"Content-Length": "1000"})
    refused(
        SourceUnavailableError,
        f"http://{web.host}/rows.csv",
        says=[f"{web.host}/rows.csv", "received 22 bytes, expected 1000"],
    )


def test_a_dead_web_server_is_reported(closed_port):
    refused(SourceUnavailableError, f"http://127.0.0.1:{closed_port}/x.csv", says=[str(closed_port), "refused", " s "])


def test_a_silent_web_server_is_reported(silent_port):
    source = f"http://me:{PASSWORD}@127.0.0.1:{silent_port}/x.csv"
    refused(
        SourceUnavailableError, source, says=["ReadTimeout", "NETWORKSECURITY_HTTP_TIMEOUT is 0.2 s"], http_timeout=0.2
    )


def test_odd_pages_are_refused_with_the_reason(web):
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
    refused(DataSourceError, f"http://{web.host}/away.csv", says=["/away.csv", "redirects to ftp:"])
    refused(DataSourceError, f"http://{web.host}/page.csv", says="web page")
    refused(DataSourceError, f"http://{web.host}/empty.csv", says="is empty")
    refused(ConfigurationError, f"http://me:{PASSWORD}/x@host/x.csv", says="http")
    refused(ConfigurationError, f"http://{'a' * 70}.test/x.csv", says="is not, or leads to")


@pytest.mark.parametrize(
    ("of", "to", "is_followed"),
    [
        ("https://a.example/x.csv", "http://a.example/x.csv", False),
        ("http://a.example/x.csv", "https://a.example/x.csv", True),
        ("http://127.0.0.1/x.csv", "http://[::1]/x.csv", True),
        ("http://93.184.215.14/x.csv", "http://169.254.169.254/latest", False),
        ("http://93.184.215.14/x.csv", "http://[::ffff:127.0.0.1]/x.csv", False),
        ("http://93.184.215.14/x.csv", "http://93.184.215.14:8080/x.csv", True),
    ],
)
def test_only_safe_redirects_are_followed(of, to, is_followed):
    source = sources.parse("http://a.example/x.csv", configured())
    with nullcontext() if is_followed else pytest.raises(DataSourceError, match="NETWORKSECURITY_HTTP_REDIRECTS=any"):
        source._check_redirect(httpx.URL(of), httpx.URL(to))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {"Content-Length": "5000"}),
        (b"", {"Content-Length": "9" * 19}),
        (CSV.encode() * 100, {}),
        (gzip.compress(b"1" * 1_000_000), {"Content-Encoding": "gzip"}),
    ],
    ids=["of a given length", "of a length of many digits", "of no given length", "packed"],
)
def test_a_download_that_is_too_large_is_refused(body, headers, web):
    web.answers["/rows.csv"] = Answer(body, headers=headers)
    says = "has more than 1,000 bytes, the limit: set NETWORKSECURITY_MAX_DOWNLOAD_BYTES"
    refused(DataSourceError, f"http://{web.host}/rows.csv", says=says, max_download_bytes=1_000)


@pytest.mark.parametrize("sent_at_once", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"])
def test_a_download_that_takes_too_long_is_refused(sent_at_once):
    """Send a byte now and then, of the head or of the body, each in time."""

    def drip(server):
        client, _ = server.accept()
        with client, suppress(OSError):
            client.sendall(sent_at_once)
            while not over.wait(0.02):
                client.sendall(b" ")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        source = f"http://127.0.0.1:{server.getsockname()[1]}/rows.csv"
        says = "takes longer than 0.3 seconds, the limit: set NETWORKSECURITY_HTTP_TIME_LIMIT"
        refused(DataSourceError, source, says=says, http_time_limit=0.3, http_timeout=5)
        over.set()


@pytest.mark.parametrize("scheme", ["gopher", "socks4"])
def test_a_proxy_that_cannot_be_used_is_said(scheme, web, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://proxy:70")
    refused(
        ConfigurationError, f"http://{web.host}/rows.csv", says=f"ALL_PROXY: there are no proxies of the kind {scheme}"
    )


def test_a_url_comes_in_batches(web, tmp_path):
    web.answers["/rows.csv"] = Answer(CSV.encode())
    file = fetched(f"http://me:{PASSWORD}@{web.host}/rows.csv?token={PASSWORD}", tmp_path)
    assert file.shown == f"http://{web.host}/rows.csv"
    assert PASSWORD not in repr(file)
    assert digest_of(file) == hashlib.sha256(CSV.encode()).hexdigest()
    assert next(frames(file)).to_numpy().tolist() == ROWS
