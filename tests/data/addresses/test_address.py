import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st

from networksecurity.data.addresses import MAX_LENGTH, parse_address, parse_addresses
from networksecurity.exceptions import AddressError, DataValidationError

PIECES = [
    *(
        "http://",
        "HTTPS:\\",
        "hxxps[://]",
        "h**p:",
        "//",
        "ftp:",
        "[.]",
        "(dot)",
        "{.}",
        "[:]",
        "[@]",
        "@",
        ":",
        ":80",
        ":99999",
    ),
    *("/", "\\", "?", "#", "%", "%2f", "%41", "&amp;", "..", ".", "a", "Example", ".com", ".co.uk", "blogspot.com"),
    *(
        "127.0.0.1",
        "0x7f",
        "017",
        "1",
        "[::1]",
        "[",
        "]",
        "é",
        "。",
        "\ud800",
        "\x00",
        "\n",
        " ",
        '"',
        "<",
        "xn--",
        "_",
        "-",
    ),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join), st.text("ab.:/@[]()%?#\\1x", max_size=30))


def normalized(text):
    return parse_address(text).normalized


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com.:443/?#", "https://example.com/"),
        ("http://example.com:443/A", "http://example.com:443/A"),
        ("http://example.com:/a", "http://example.com/a"),
        (" \thttp://example.com/a\nb ", "http://example.com/ab"),
        ("http:\\\\example.com\\a?b\\c", "http://example.com/a?b\\c"),
        ("http:///example.com/a", "http://example.com/a"),
        ("//example.com/a", "http://example.com/a"),
        ("http://ex%61mple.com/%7euser/%2f", "http://example.com/%7Euser/%2F"),
        ('http://example.com/a b"é', "http://example.com/a%20b%22%C3%A9"),
        ("http://example.com/?a=1&amp;b=2#!/x?y", "http://example.com/?a=1&amp;b=2#!/x?y"),
        ("http://us er:p@ss@example.com/", "http://us%20er:p%40ss@example.com/"),
        ("http://@example.com/", "http://example.com/"),
    ],
)
def test_spellings_of_one_address_are_normalized(text, expected):
    assert normalized(text) == expected


@pytest.mark.parametrize(
    "text", ["http://münchen.example/", "HTTP://MÜNCHEN。example", "http://xn--MNCHEN-3ya.example"]
)
def test_a_host_beyond_ascii_is_the_same_in_unicode_and_punycode(text):
    assert normalized(text) == "http://xn--mnchen-3ya.example/"


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.1",
        "3232235777",
        "0xC0A80101",
        "0300.0250.01.01",
        "192.168.257",
        "0xc0.0250.1.1",
        "192.11010305",
        "\uff11\uff19\uff12.168.1.1",
    ],
)
def test_every_spelling_of_an_ipv4_address_is_the_same(host):
    address = parse_address(f"http://{host}/")
    assert address.host == address.registrable_domain == "192.168.1.1"
    assert address.is_ip
    assert not address.public_suffix


@pytest.mark.parametrize("host", ["[2001:db8::1]", "[2001:DB8:0:0:0:0:0:1]", "[2001:0db8::0001]"])
def test_every_spelling_of_an_ipv6_address_is_the_same(host):
    address = parse_address(f"http://{host}:8080/")
    assert address.normalized == "http://[2001:db8::1]:8080/"
    assert address.is_ip
    assert address.port == 8080


@pytest.mark.parametrize(
    "text",
    [
        "hxxps://evil.example/a.php",
        "hXXps[:]//evil[.]example[/]a[.]php",
        "htxps[://]evil(.)example/a{.}php",
        "h**ps://evil[dot]example/a(DOT)php",
        "https://evil[.]example/a.php",
        "https://evil[[.]]example/a.php",
    ],
)
def test_a_defanged_address_is_refanged_and_flagged(text):
    address = parse_address(text)
    assert address.normalized == "https://evil.example/a.php"
    assert address.refanged


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://example.com/a(.)b[dot]c", "http://example.com/a(.)b[dot]c"),
        ("http://example.com/?q=hxxp://evil[.]example", "http://example.com/?q=hxxp://evil[.]example"),
        ("hxxp.example.com", "http://hxxp.example.com/"),
        ("http://[::1]/", "http://[::1]/"),
    ],
)
def test_brackets_after_the_host_are_part_of_the_address(text, expected):
    address = parse_address(text)
    assert address.normalized == expected
    assert not address.refanged


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com", "http://example.com/"),
        ("example.com:8080/a", "http://example.com:8080/a"),
        ("user@example.com/a", "http://user@example.com/a"),
        ("example.com?a:b", "http://example.com/?a:b"),
        ("192.168.1.1", "http://192.168.1.1/"),
        ("[::1]/a", "http://[::1]/a"),
    ],
)
def test_a_bare_host_counts_as_http(text, expected):
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "it is missing"),
        (float("nan"), "it is missing"),
        (pd.NA, "it is missing"),
        (12, "it is no text"),
        ([], "it is no text"),
        (b"http://example.com", "it is no text"),
        (" \n", "it is empty"),
        ("a" * (MAX_LENGTH + 1), "it is longer than 8,192 characters"),
        ("ftp://example.com/", "the scheme is not http or https"),
        ("mailto:user@example.com", "the scheme is not http or https"),
        ("javascript:alert(1)", "the scheme is not http or https"),
        ("user@example.com", "it is an e-mail address"),
        ("localhost", "it has no scheme and is no host name with a dot"),
        ("12", "it has no scheme and is no host name with a dot"),
        ("1.7", "it has no scheme and is no host name with a dot"),
        ("http://", "there is no host"),
        ("http://user@/a", "there is no host"),
        ("http://exa mple.com/", "the host is no host name"),
        ("http://a..example.com/", "the host is no host name"),
        ("http://a%2fb.com/", "the host is no host name"),
        ("http://%ff.com/", "the host is no host name"),
        ("http://\ud800.com/", "the host is no host name"),
        (f"http://{'a' * 64}.com/", "the host is no host name"),
        (f"http://{'é' * 8000}.com/", "the host is no host name"),
        (f"http://{'a.' * 127}com/", "the host is no host name"),
        ("http://1.2.3.256/", "the host ends in a number and is no IP address"),
        ("http://1.2.3.4.5/", "the host ends in a number and is no IP address"),
        ("http://4294967296/", "the host ends in a number and is no IP address"),
        ("http://example.09/", "the host ends in a number and is no IP address"),
        ("http://1_0.1/", "the host ends in a number and is no IP address"),
        ("http://[::1/", "the host is in brackets and is no IPv6 address"),
        ("http://[fe80::1%eth0]/", "the host is in brackets and is no IPv6 address"),
        ("http://[::1]a/", "the host is in brackets and is no IPv6 address"),
        ("http://example.com:65536/", "the port is no number up to 65535"),
        ("http://example.com:٣/", "the port is no number up to 65535"),
        ("http://example.com:80:80/", "the port is no number up to 65535"),
    ],
)
def test_what_is_no_address_is_refused_with_its_reason(text, reason):
    with pytest.raises(DataValidationError) as caught:
        parse_address(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("host", "domain", "suffix"),
    [
        ("example.com", "example.com", "com"),
        ("a.b.example.co.uk", "example.co.uk", "co.uk"),
        ("someone.blogspot.com", "someone.blogspot.com", "blogspot.com"),
        ("a.someone.github.io", "someone.github.io", "github.io"),
        ("a.bank.example", "bank.example", "example"),
        ("blogspot.com", "blogspot.com", "blogspot.com"),
        ("localhost", "localhost", "localhost"),
        ("a.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn"),
        ("www.ck", "www.ck", "ck"),
    ],
)
def test_an_address_belongs_to_the_owner_of_its_registrable_domain(host, domain, suffix):
    address = parse_address(f"http://{host}/")
    assert (address.registrable_domain, address.public_suffix) == (domain, suffix)


def test_the_parts_of_an_address_are_those_of_its_normalized_text():
    address = parse_address("HTTPS://user:secret@Example.com:8443/a/B?q=%e9#top")
    assert (address.scheme, address.userinfo, address.host, address.port) == (
        "https",
        "user:secret",
        "example.com",
        8443,
    )
    assert (address.path, address.query, address.fragment) == ("/a/B", "q=%E9", "top")


@fuzzed()
@given(TEXTS)
@example("({.})@a.b")
@example("http://[.]@[(.)]a.b")
@example("http://a.b/[[.].]")
def test_no_text_raises_anything_else_and_normalizing_twice_changes_nothing(text):
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert address.normalized.isascii()
    again = parse_address(address.normalized)
    assert again.normalized == address.normalized
    assert not again.refanged
    assert address.host.endswith(address.registrable_domain)
    assert address.registrable_domain.endswith(address.public_suffix)


@fuzzed()
@given(st.one_of(st.none(), st.floats(), st.binary(), st.lists(st.integers()), st.dates()))
def test_nothing_but_text_is_an_address(value):
    with pytest.raises(AddressError):
        parse_address(value)


@fuzzed()
@given(st.lists(st.one_of(TEXTS, st.none())))
def test_many_addresses_are_read_as_each_alone(texts):
    parsed = parse_addresses(pd.Series(texts, dtype=object, index=range(5, 5 + len(texts))))
    alone = [read(text) for text in texts]
    assert parsed.normalized.where(parsed.reason.isna(), parsed.reason).tolist() == [
        of if isinstance(of, str) else of.normalized for of in alone
    ]
    addresses = [of for of in alone if not isinstance(of, str)]
    assert parsed.normalized.count() == parsed.registrable_domain.count() == len(addresses)
    assert parsed.registrable_domain.dropna().tolist() == [address.registrable_domain for address in addresses]
    assert parsed.n_refanged == sum(address.refanged for address in addresses)
    assert (parsed.reason.index == range(5, 5 + len(texts))).all()


def read(text):
    try:
        return parse_address(text)
    except AddressError as exc:
        return str(exc)


def test_all_real_addresses_are_read(real_addresses):
    texts = pd.read_csv(real_addresses)["url"]
    parsed = parse_addresses(texts)
    assert parsed.reason.isna().all()
    assert parsed.n_refanged == 0
    assert 0 < len(texts) - parsed.normalized.nunique() < 30  # spellings of the same address
    hosts = parsed.normalized.str.extract(r"^https?://(?:[^@/]*@)?([^/:]+)", expand=False)
    assert np.all([host.endswith(domain) for host, domain in zip(hosts, parsed.registrable_domain, strict=True)])
