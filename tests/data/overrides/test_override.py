from datetime import UTC, datetime, timedelta
from math import nan

import numpy as np
import pytest
from overriding import NOW, override

from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.overrides.override import (
    MOST_IN_FORCE,
    Overrides,
    check_number,
    parse_until,
    read_target,
    row_value,
)
from networksecurity.data.overrides.targets import find_targets, make_overrides
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES
from networksecurity.exceptions import ConfigurationError, DataValidationError
from networksecurity.settings import Settings


def labels(overrides, *urls, now=None):
    """Return what a person has said of each address."""
    X = np.array([[url] for url in urls], dtype=object)
    return [(found := overrides.find(X, now).get(i)) and found.label for i in range(len(urls))]


def addresses(*some):
    return Overrides.of("addresses", [override(value, label, covers=covers) for covers, value, label in some])


@pytest.mark.parametrize(
    ("text", "covers", "value"),
    [
        ("Example.COM.", "domain", "example.com"),
        ("example[.]com", "domain", "example.com"),
        ("bücher.example", "domain", "xn--bcher-kva.example"),
        ("www.example.co.uk", "host", "www.example.co.uk"),
        ("alice.blogspot.com", "domain", "alice.blogspot.com"),
        ("blogspot.com", "host", "blogspot.com"),
        ("192.0.2.7", "host", "192.0.2.7"),
        ("https://example.com", "address", "https://example.com/"),
        ("example.com/a?b#c", "address", "http://example.com/a?b#c"),
        ("example.com:8080", "address", "http://example.com:8080/"),
    ],
)
def test_a_text_covers_as_much_as_it_names(text, covers, value):
    assert read_target(text) == (covers, value)


@pytest.mark.parametrize("text", ["http://192.0.2.7/a", "https://blogspot.com/a", "http://[2001:db8::1]/"])
def test_nobody_owns_all_that_is_under_a_suffix_or_an_ip_literal(text):
    covers, _ = read_target(text, "domain")
    assert covers == "host"


def test_a_domain_covers_every_host_under_it_and_no_other_owner_of_its_suffix():
    found = addresses(("domain", "alice.blogspot.com", "legitimate"))
    assert labels(found, "http://alice.blogspot.com/x", "http://a.alice.blogspot.com/", "http://bob.blogspot.com/") == [
        "legitimate", "legitimate", None
    ]  # fmt: skip
    assert labels(addresses(("host", "blogspot.com", "legitimate")), "http://bob.blogspot.com/") == [None]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com@evil.test/",
        "http://evil.test/example.com",
        "http://example.com.evil.test/",
        "http://example.org/",
    ],
)
def test_an_address_that_only_looks_like_it_is_not_covered(url):
    assert labels(addresses(("domain", "example.com", "legitimate")), url) == [None]


def test_the_narrowest_override_decides():
    found = addresses(
        ("domain", "example.com", "legitimate"),
        ("host", "old.example.com", "phishing"),
        ("address", "http://old.example.com/ok", "legitimate"),
    )
    urls = "http://www.example.com/", "http://old.example.com/", "http://old.example.com/ok"
    assert labels(found, *urls) == ["legitimate", "phishing", "legitimate"]


def test_an_override_ends_on_its_day():
    found = addresses(("domain", "example.com", "phishing"))
    (one,) = found.by_key.values()
    for now, label in ((NOW, "phishing"), (one.until - timedelta(seconds=1), "phishing"), (one.until, None)):
        assert labels(found, "http://example.com/", now=now) == [label]


def test_an_exact_row_is_covered_and_no_other():
    X = np.array([[1.0, -1, nan], [1, -1, 0], [1, -1, nan]])
    one = override(row_value(X[0].tolist()), "phishing", contract="websites", covers="row")
    assert set(Overrides.of("websites", [one]).find(X)) == {0, 2}


def test_the_rows_of_a_file_are_named_once_each(tmp_path):
    rows = make_phishing_websites(3, random_state=0)[[*FEATURES]].astype("Int64")
    rows.loc[1, "SFH"] = None
    rows.loc[[0, 1, 2, 1]].to_csv(tmp_path / "rows.csv", index=False)
    found = find_targets(str(tmp_path / "rows.csv"), WEBSITES, Settings())
    assert [covers for covers, _ in found] == ["row"] * 3
    X = WEBSITES.to_X(WEBSITES.validation(with_target=False).add(rows)[0]).to_numpy()
    assert [value for _, value in found] == [row_value(row) for row in X.tolist()]


def test_the_addresses_of_a_file_are_named_as_on_the_command_line(tmp_path):
    (tmp_path / "hosts.csv").write_text("URL,note\nexample.com,x\nhttp://a.test/b,y\nexample.com,z\n")
    found = find_targets(str(tmp_path / "hosts.csv"), Addresses(), Settings())
    assert found == [("domain", "example.com"), ("address", "http://a.test/b")]


@pytest.mark.parametrize(
    ("what", "contract", "covers", "says"),
    [
        ("example.com", WEBSITES, None, "'example.com' is no file of rows .* add --contract addresses"),
        ("rows.csv", WEBSITES, "host", "--covers is for --contract addresses"),
    ],
)
def test_what_names_nothing_is_refused(what, contract, covers, says):
    with pytest.raises(ConfigurationError, match=says):
        find_targets(what, contract, Settings(), covers)


def test_a_file_with_a_bad_row_is_refused_as_a_whole(tmp_path):
    make_phishing_websites(3)[[*FEATURES]].assign(SFH=[1, 7, 1]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataValidationError, match="nothing was added, 1 of 3 rows are not valid: row 1: SFH"):
        find_targets(str(tmp_path / "rows.csv"), WEBSITES, Settings())
    (tmp_path / "urls.csv").write_text("url\nexample.com\nftp://a.test\n")
    with pytest.raises(DataValidationError, match="nothing was added, 'ftp://a.test' is no address: the scheme"):
        find_targets(str(tmp_path / "urls.csv"), Addresses(), Settings())
    (tmp_path / "urls.csv").write_text("text\nexample.com\n")
    with pytest.raises(DataValidationError, match="no columns that could hold addresses: call one `url`"):
        find_targets(str(tmp_path / "urls.csv"), Addresses(), Settings())


@pytest.mark.parametrize(
    ("reason", "by"),
    [("", "jane"), ("x" * 501, "jane"), ("x", " "), ("x", "y" * 101), ("\x1b[2J", "jane"), ("x", "a\nb")],
)
def test_an_override_needs_a_reason_and_a_name(reason, by):
    about = {"contract": "addresses", "label": "phishing", "at": NOW, "until": NOW + timedelta(days=1)}
    with pytest.raises(DataValidationError, match="^--(reason|by): (String should have|one line)"):
        make_overrides([("domain", "example.com")], reason=reason, by=by, **about)


def test_an_override_ends_after_90_days_or_with_the_day_that_is_given():
    assert parse_until("", NOW) == NOW + timedelta(days=90)
    assert parse_until("2026-01-01", NOW) == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2025-12-31", "tomorrow", "2026-13-01", "9999-12-31", "2026-01-01T10:00"])
def test_a_day_that_is_over_or_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="--until"):
        parse_until(text, NOW)


def test_there_is_a_limit():
    check_number(MOST_IN_FORCE - 1, 1)
    with pytest.raises(DataValidationError, match="at most 10,000 are kept"):
        check_number(MOST_IN_FORCE, 1)
    with pytest.raises(DataValidationError, match="10,001 overrides at once"):
        make_overrides(
            [("domain", "example.com")] * (MOST_IN_FORCE + 1),
            contract="addresses", label="phishing", reason="x", by="y", at=NOW, until=NOW,
        )  # fmt: skip
