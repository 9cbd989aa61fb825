"""Addresses (URLs) as rows hold them: read, normalized, and told apart by their owner. Nothing is ever fetched.

What browsers accept counts as an address: this module follows the WHATWG URL Standard for hosts, IP literals and
slashes, and RFC 3986, section 6, for what makes two spellings the same. `docs/addresses.md` lists the rules.

An address belongs to its registrable domain, the public suffix and one label more; private suffixes count, since each
name under `blogspot.com` has another owner. The list of suffixes is the one inside `publicsuffixlist`: of 6,743 host
names of real addresses it reads 176,000 to 237,000 a second, `tldextract` 88,000 to 161,000; it depends on no other
package, has no code path that fetches a list, and its list was 18 months newer than the snapshot in `tldextract`.
"""

import ipaddress
import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import idna
import pandas as pd

from networksecurity.exceptions import AddressError

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

MAX_LENGTH = 8_192
"""Characters of the longest text that is read."""

# As analysts write addresses, to keep people from following them: hxxps[://]evil[.]example
_DEFANGED = re.compile(
    r"(?P<scheme>^h(?:xx|tx|xt|\*\*)p)(?=s?[\[({]{0,2} ?:)|[\[({]{1,2} ?(?P<sign>\.|dot|://|:|//|/|@|at) ?[\])}]{1,2}",
    re.IGNORECASE,
)
_SIGNS = {"dot": ".", "at": "@"}
_PARTS = re.compile(
    r"(?:(?P<scheme>https?):[/\\]+|[/\\]{2})?(?P<authority>[^/\\?#]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://|(?!\d*(?:[/\\?#]|$)))", re.IGNORECASE)
_LOOKALIKES = frozenset(
    "аеорсухіјѕԁһԛԝӏьгтпмвкнαοеνρτυικγωßáàâäãåāąćčçďđéèêëēėęěíìîïīįłñńňóòôöõōøőŕřśšşťúùûüūůűýÿźžżḷọ"
)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_LONGEST_HOST = 253
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# What nothing is to be changed in, which most addresses are: some five times as fast as reading all parts.
_NORMAL = re.compile(r"https?://(?P<host>[a-z0-9._-]+)/[!$&-;=@-Z\[\]-~]*(?:\?[!$&-;=?-~]+)?(?:#[!#$&-;=?-~]+)?")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_TO_ESCAPE = re.compile(r"[^!#-;=?-~]")  # all but printable ASCII without " < >
_TO_ESCAPE_IN_USERINFO = re.compile(r"[^!$%&'*+,.:;=0-9A-Za-z_~-]")


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https address, each part in its normalized spelling."""

    normalized: str
    """The whole address, ASCII; two addresses with the same text are duplicates."""
    scheme: str
    """`http` or `https`; `http` if the text had none."""
    host: str
    """In lower case and punycode, without a final dot; IPv4 as four decimal numbers, IPv6 compressed in brackets."""
    registrable_domain: str
    """The public suffix and the label before it: whose address it is. The host itself if it is an IP literal or a
    public suffix."""
    public_suffix: str
    """Such as `co.uk` or `blogspot.com`; the last label if no suffix is known; empty for an IP literal."""
    port: int | None
    """None if it is that of the scheme."""
    userinfo: str
    """Without `@`; may be empty."""
    path: str
    """Begins with `/`."""
    query: str
    """Without `?`; may be empty."""
    fragment: str
    """Without `#`; may be empty."""
    is_ip: bool
    refanged: bool
    """Whether the text was written to keep people from following it, as in `hxxp://evil[.]example`."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host in its normalized spelling; see `Address`."""

    name: str
    registrable_domain: str
    public_suffix: str
    is_ip: bool


@dataclass(frozen=True)
class ParsedAddresses:
    """Many addresses, read; each series has the index of the texts."""

    normalized: pd.Series
    """Of dtype str; missing where a text is no address."""
    registrable_domain: pd.Series
    """Likewise."""
    reason: pd.Series
    """Why a text is no address, of dtype str; missing where it is one."""
    n_refanged: int
    """Number of addresses that were refanged."""


def parse_address(text: object) -> Address:
    """Read one address.

    Parameters
    ----------
    text : object
        Anything; what is no text is no address.

    Raises
    ------
    AddressError
        It is no http or https address with a host; the message is one of about a dozen short reasons and holds nothing
        of the text.

    Examples
    --------
    >>> address = parse_address("hxxps://Login.Bank.co[.]uk:443/a%2fb")
    >>> address.normalized, address.registrable_domain, address.refanged
    ('https://login.bank.co.uk/a%2Fb', 'bank.co.uk', True)
    >>> parse_address("http://0x7f.1").host
    '127.0.0.1'
    >>> parse_address("ftp://example.com")
    Traceback (most recent call last):
    networksecurity.exceptions.AddressError: the scheme is not http or https
    """
    written = _text(text)
    refanged = _refang(written)
    found = _PARTS.fullmatch(refanged)
    assert found  # each part may be empty
    if not found["scheme"] and _OTHER_SCHEME.match(refanged):
        raise AddressError("the scheme is not http or https")
    scheme = (found["scheme"] or "http").lower()
    userinfo, _, location = found["authority"].rpartition("@")
    name, port = _split_port(location)
    host = read_host(name)
    path, query, fragment = found["path"], found["query"], found["fragment"]
    if not found["scheme"]:
        _check_bare(host, name, is_mail=bool(userinfo) and not (path or query or fragment))
    userinfo = _escape(userinfo, _TO_ESCAPE_IN_USERINFO)
    path = _escape(path.replace("\\", "/")) or "/"
    query, fragment = _escape(query or ""), _escape(fragment or "")
    shown_port = "" if port is None or port == _PORTS[scheme] else f":{port}"
    return Address(
        f"{scheme}://{userinfo}{'@' * bool(userinfo)}{host.name}{shown_port}{path}"
        f"{'?' * bool(query)}{query}{'#' * bool(fragment)}{fragment}",
        scheme,
        host.name,
        host.registrable_domain,
        host.public_suffix,
        port if shown_port else None,
        userinfo,
        path,
        query,
        fragment,
        host.is_ip,
        refanged is not written,
    )


def parse_addresses(texts: pd.Series) -> ParsedAddresses:
    """Read many addresses; a text that is none gets a reason instead.

    Parameters
    ----------
    texts : Series of shape (n_samples,)
        Texts; anything else, a missing value too, gets a reason.

    Examples
    --------
    >>> parsed = parse_addresses(pd.Series(["HTTP://Example.com", "evil[.]example/login", "no address"]))
    >>> parsed.normalized.tolist(), parsed.n_refanged
    (['http://example.com/', 'http://evil.example/login', nan], 1)
    >>> parsed.reason.tolist()
    [nan, nan, 'the host is no host name']
    """
    rows = [_read(text) for text in texts.tolist()]
    normalized, domains, reasons, refanged = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = (pd.Series(values, texts.index, dtype="str") for values in (normalized, domains, reasons))
    return ParsedAddresses(*columns, n_refanged=sum(refanged))


def _read(text: object) -> tuple[str | None, str | None, str | None, bool]:
    """Return what `parse_address` finds: normalized text, registrable domain, reason, and whether it was refanged."""
    try:
        if isinstance(text, str) and len(text) <= MAX_LENGTH and (found := _NORMAL.fullmatch(text)):
            host = read_host(found["host"])
            if host.name == found["host"]:
                return text, host.registrable_domain, None, False
        address = parse_address(text)
    except AddressError as exc:
        return None, None, str(exc), False
    return address.normalized, address.registrable_domain, None, address.refanged


@lru_cache(maxsize=2**16)
def read_host(name: str) -> Host:
    """Read a host as it stands in an address, without userinfo and port.

    Raises
    ------
    AddressError
        It is no host name and no IP literal.
    """
    if not name:
        raise AddressError("there is no host")
    if name.startswith("["):
        return _ip(_ipv6(name))
    ascii_name = _to_ascii(name).removesuffix(".")
    if not _HOST.fullmatch(ascii_name) or len(ascii_name) > _LONGEST_HOST:
        raise AddressError("the host is no host name")
    if _NUMBER.fullmatch(ascii_name.rpartition(".")[2]):
        return _ip(_ipv4(ascii_name))
    domain = _public_suffixes().privatesuffix(ascii_name)
    if domain is None:
        return Host(ascii_name, ascii_name, ascii_name, is_ip=False)
    return Host(ascii_name, domain, domain.partition(".")[2] or domain, is_ip=False)


@lru_cache(maxsize=2**14)
def is_hosting_suffix(suffix: str) -> bool:
    """Return whether a public suffix is that of a company whose customers own the names under it, as `blogspot.com`."""
    return len(_public_suffixes(only_icann=True).publicsuffix(suffix) or suffix) < len(suffix)


def lookalike_letters(host: str) -> int:
    """Return how many letters of a normalized host look like Latin ones and are Cyrillic, Greek or accented.

    Examples
    --------
    >>> lookalike_letters("xn--pypal-4ve.example"), lookalike_letters("paypal.example")
    (1, 0)
    """
    labels = [label.removeprefix("xn--") for label in host.split(".") if label.startswith("xn--")]
    return sum(letter in _LOOKALIKES for label in labels for letter in _from_punycode(label))


def _from_punycode(label: str) -> str:
    try:
        return label.encode().decode("punycode")
    except UnicodeError:
        return ""


@cache
def _public_suffixes(*, only_icann: bool = False) -> "PublicSuffixList":
    from publicsuffixlist import PublicSuffixList  # 0.1 s to read the list: only for addresses

    return PublicSuffixList(only_icann=only_icann)


def _text(text: object) -> str:
    if not isinstance(text, str):
        missing = text is None or text is pd.NA or (isinstance(text, float) and math.isnan(text))
        raise AddressError("it is missing" if missing else "it is no text")
    if len(text) > MAX_LENGTH:
        raise AddressError(f"it is longer than {MAX_LENGTH:,} characters")
    stripped = text.strip().replace("\t", "").replace("\r", "").replace("\n", "")
    if not stripped:
        raise AddressError("it is empty")
    return stripped


def _refang(text: str) -> str:
    """Return the text with each dot, colon, slash and scheme as it was; the same object if the host was not defanged.

    Brackets in the path or query alone are part of the address.
    """
    refanged = _DEFANGED.sub(_as_it_was, text)
    if refanged == text:
        return text
    parts = _PARTS.fullmatch(refanged)
    assert parts
    return text if text.startswith(refanged[: parts.end("authority")]) else refanged


def _as_it_was(found: re.Match[str]) -> str:
    sign = found["sign"]
    return "http" if sign is None else _SIGNS.get(sign.lower(), sign)


def _split_port(location: str) -> tuple[str, int | None]:
    bracket = location.rfind("]") + 1  # the colons of IPv6
    if location.startswith("[") and not bracket:
        return location, None
    name, _, digits = location[bracket:].partition(":")
    if not digits:
        return location[:bracket] + name, None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9 and int(digits) < 2**16):
        raise AddressError("the port is no number up to 65535")
    return location[:bracket] + name, int(digits)


def _check_bare(host: Host, name: str, *, is_mail: bool) -> None:
    """Refuse what has no scheme and is a word, a number or a mail address rather than a host."""
    if is_mail:
        raise AddressError("it is an e-mail address")
    if "[" not in host.name and ("." not in host.name or (host.is_ip and name.count(".") != 3)):
        raise AddressError("it has no scheme and is no host name with a dot")


def _ip(name: str) -> Host:
    return Host(name, name, "", is_ip=True)


def _ipv4(name: str) -> str:
    """Return four decimal numbers for any spelling of them: decimal, octal, hexadecimal, or with fewer dots."""
    parts = name.split(".")
    bases = [16 if part.startswith("0x") else 8 if part.startswith("0") else 10 for part in parts]
    try:
        if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
            raise ValueError
        *first, last = [int(part.removeprefix("0x") or "0", base) for part, base in zip(parts, bases, strict=True)]
        if max(first, default=0) > 255 or last >= 256 ** (4 - len(first)):
            raise ValueError
    except ValueError:
        raise AddressError("the host ends in a number and is no IP address") from None
    return str(ipaddress.IPv4Address(int.from_bytes(first) * 256 ** (4 - len(first)) + last))


def _ipv6(name: str) -> str:
    try:
        if not name.endswith("]") or "%" in name:  # a zone is of this machine only
            raise ValueError
        return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
    except ValueError:
        raise AddressError("the host is in brackets and is no IPv6 address") from None


def _to_ascii(name: str) -> str:
    """Return a host name in lower case, percent-decoded, its labels in punycode (UTS 46, as browsers do)."""
    if "%" in name:
        name = unquote(name)
    if name.isascii():
        return name.lower()
    try:
        mapped = idna.uts46_remap(name, std3_rules=False)
    except idna.IDNAError:
        raise AddressError("the host is no host name") from None
    if len(mapped) > _LONGEST_HOST:  # punycode is never shorter, and takes long for long labels
        raise AddressError("the host is no host name")
    labels = mapped.split(".")
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def _escape(text: str, to_escape: re.Pattern[str] = _TO_ESCAPE) -> str:
    if "%" in text:
        text = _ESCAPE.sub(lambda found: found[0].upper(), text)
    return to_escape.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
