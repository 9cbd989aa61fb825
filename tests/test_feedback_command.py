import json
from functools import partial
from pathlib import Path

import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES
from networksecurity.settings import settings


@pytest.fixture
def command(command, tmp_path, monkeypatch):
    """Return a function that runs `networksecurity feedback …` and returns exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGODB_URI", raising=False)
    settings.cache_clear()
    make_phishing_websites(2, random_state=0)[[*FEATURES]].to_csv("wrong.csv", index=False)

    yield partial(command, "feedback")
    settings.cache_clear()


@pytest.fixture
def place(mongod, collection):
    yield ("--in", f"{mongod.uri}/{collection.full_name}")
    for suffix in ("_feedback", "_ingestions"):
        collection.database.drop_collection(f"{collection.name}{suffix}")


def test_reports_are_added_listed_accepted_and_rejected(command, place):
    code, out, _ = command("add", "wrong.csv", "--label", "phishing", "--by", "jane", "--comment", "seen", *place)
    assert code == 0
    first, second = out.split()
    code, out, _ = command("list", *place)
    assert all(word in out for word in (first, second, "jane", "open", "seen"))
    assert command("accept", first, "--by", "boss", *place) == (
        0, f"{first}: accepted, ingestion 1; 0 rows had the other label\n", ""
    )  # fmt: skip
    assert command("reject", second, "--by", "boss", *place) == (0, f"{second}: rejected\n", "")
    _, out, _ = command("list", "--json", *place)
    assert {report["id"]: report["status"] for report in json.loads(out)} == {first: "accepted", second: "rejected"}
    assert command("list", "--status", "open", *place)[1].strip() == "Feedback: empty"
    code, out, err = command("accept", second, "--by", "boss", *place)
    assert (code, out) == (1, "")
    assert err == f"error: feedback {second} is rejected already, by boss\n"


def test_without_mongodb_there_is_one_line(command):
    code, out, err = command("list")
    assert (code, out) == (1, "")
    assert err.startswith("error: the source mongodb needs MONGODB_URI")
    assert err.count("\n") == 1


def test_a_label_is_one_of_two(command, place):
    code, _, err = command("add", "wrong.csv", "--label", "good", "--by", "jane", *place)
    assert code == 2
    assert "'good' is not one of 'phishing', 'legitimate'" in err


def test_addresses_are_reported_one_by_one_or_in_a_file(command, place):
    urls = ("--url", "hxxp://evil[.]test", "--url", "b.test/login")
    code, out, _ = command("add", *urls, "--label", "phishing", "--by", "jane", *place)
    assert (code, len(out.split())) == (0, 2)
    Path("wrong.csv").write_text("link\nhttp://evil.test\n", encoding="utf-8")
    of_addresses = ("--contract", "addresses")
    assert command("add", "wrong.csv", "--label", "phishing", "--by", "jane", *of_addresses, *place) == (
        0, f"{out.split()[0]}\n", ""  # the same report
    )  # fmt: skip
    _, listed, _ = command("list", "--json", *of_addresses, *place)
    assert [of["features"] for of in json.loads(listed)] == [
        {"url": "http://evil.test/"}, {"url": "http://b.test/login"}
    ]  # fmt: skip
    assert command("accept", out.split()[0], "--by", "boss", *of_addresses, *place)[0] == 0
    assert command("reject", out.split()[1], "--by", "boss", *of_addresses, *place)[0] == 0


@pytest.mark.parametrize("about", [(), ("wrong.csv", "--url", "a.test")])
def test_a_report_is_about_a_file_or_about_addresses(command, about):
    code, out, err = command("add", *about, "--label", "phishing", "--by", "jane")
    assert (code, out) == (2, "")
    assert "name either a file of rows, or addresses with --url" in err
