import json
import re
from functools import partial

import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES
from networksecurity.settings import settings

WHY = ("--label", "legitimate", "--reason", "our own", "--by", "jane")
ADDRESSES = ("--contract", "addresses")


@pytest.fixture
def command(command, tmp_path, monkeypatch):
    """Return a function that runs `networksecurity overrides …` and returns exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
    settings.cache_clear()

    yield partial(command, "overrides")
    settings.cache_clear()


def test_an_override_of_a_domain_is_added_listed_and_removed(command):
    code, out, _ = command("add", "example.com", *WHY, *ADDRESSES, "--until", "2099-12-31")
    assert code == 0
    name, said = out.split(maxsplit=1)
    assert said == "legitimate until 2100-01-01 00:00 UTC: example.com and every host under it\n"
    _, out, _ = command("list", *ADDRESSES)
    assert all(word in out for word in (name, "legitimate", "2100-01-01", "our own", "jane"))
    assert command("list")[1].startswith("Overrides of websites in ")
    assert command("remove", name, "--by", "joe") == (0, f"{name}: ended, example.com and every host under it\n", "")
    assert "empty" in command("list", *ADDRESSES)[1]
    (found,) = json.loads(command("list", "--all", "--json", *ADDRESSES)[1])
    assert (found["id"], found["value"], found["ended_by"]) == (name, "example.com", "joe")
    assert "ended by joe" in command("list", "--all", *ADDRESSES)[1]


def test_an_override_of_the_rows_of_a_file_lasts_90_days(command, tmp_path):
    make_phishing_websites(2, random_state=0)[[*FEATURES]].to_csv(tmp_path / "rows.csv", index=False)
    code, out, _ = command("add", "rows.csv", *WHY, "--json")
    assert code == 0
    found = json.loads(out)
    assert {one["covers"] for one in found} == {"row"}
    assert json.loads(command("list", "--json")[1]) == found


def test_an_exact_host_is_covered_on_request(command):
    _, out, _ = command("add", "https://example.com/login", *WHY, *ADDRESSES, "--covers", "host")
    assert out.endswith(": every address of the host example.com\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("add", "example.com", *WHY), 1, "error: 'example.com' is no file of rows .*add --contract addresses"),
        (("add", "example.com", *WHY, *ADDRESSES, "--until", "2020-01-01"), 1, "error: --until 2020-01-01 is over"),
        (("add", "no host", *WHY, *ADDRESSES), 1, "error: nothing was added, 'no host' is no address"),
        (("add", "example.com", *WHY[2:], *ADDRESSES), 2, "networksecurity: error: Missing (option|parameter).*label"),
        (("remove", "123", "--by", "joe"), 1, "error: there is no override 123 that has not ended"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(command, arguments, code, says):
    ended, out, err = command(*arguments)
    assert (ended, out) == (code, "")
    assert re.match(says, err)
    assert err.count("\n") == 1
