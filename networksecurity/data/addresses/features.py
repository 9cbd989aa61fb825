"""Numbers that an address itself gives: what models that take numbers see, and what drift compares.

Nothing is fetched: an address is text.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from networksecurity.data.addresses.address import is_hosting_suffix, lookalike_letters
from networksecurity.data.addresses.lexical import count_characters, count_matches, entropy, has_match, longest_run

ADDRESS_FEATURES: dict[str, str] = {
    # the whole address
    "length": "characters of the address: long ones hide what matters from the eye",
    "https": "whether the scheme is https: a certificate is free, but old and hasty sites have none",
    "port": "whether a port other than the scheme's is named: few legitimate sites need one",
    "userinfo": "whether something stands before an @ in front of the host: http://bank.com@evil.example/",
    "at_signs": "@ after the host: mail addresses of victims, or text made to look like a host",
    "escapes": "percent-encoded characters: they hide words from people and filters",
    "mail_address": "whether a mail address stands after the host: phishing kits pass on that of the victim",
    # the host
    "host_length": "characters of the host: generated and chained names are long",
    "host_dots": "dots of the host: chained names have many",
    "host_hyphens": "hyphens of the host: they join the words of look-alike names",
    "host_digits": "digits of the host: generated names have many",
    "host_digit_share": "share of digits among the host's characters: a short host of many digits is no word",
    "host_entropy": "Shannon's entropy of the host's characters, in bits: random names are more even",
    "host_longest_label": "characters of the host's longest label: sentences and codes written as one label",
    "host_digit_run": "the host's longest run of digits: customer and machine numbers of hosting services",
    "host_words": "words of phishing in the host, such as login, secure and account: a bank's own host rarely says so",
    "host_http": "whether http stands in the host: it poses as a scheme",
    "ip": "whether the host is an IP literal: a site without a name of its own",
    "punycode": "whether a label is in punycode: letters beyond ASCII can look like others",
    "lookalike_letters": "letters of the host that look like Latin ones and are not: Cyrillic a for a",
    # what stands before the registrable domain
    "www": "whether the host starts with www.: the front door of an established site",
    "www_elsewhere": "whether www stands in the host and is not its first label: it poses as a front door",
    "subdomains": "labels before the registrable domain, without a leading www: free to choose, so they pose as others",
    "subdomain_length": "characters before the registrable domain: they push the true domain out of sight",
    "subdomain_suffix": "whether a label of the host poses as a suffix: paypal.com.evil.example",
    "subdomain_brands": "names of imitated brands before the registrable domain: the commonest disguise",
    # the registered label: the one before the public suffix
    "name_length": "characters of the registered label: short names are taken, and cost more",
    "name_hyphens": "hyphens of the registered label: a name bought for its words",
    "name_digits": "digits of the registered label: numbered in a series, or in place of letters",
    "name_vowel_share": "share of vowels in the registered label: words have about 40 %, random letters 20 %",
    "name_consonant_run": "the registered label's longest run of consonants: words can be spoken",
    "name_is_brand": "whether the registered label is an imitated brand's name itself: then the brand is at home there",
    "name_brands": "names of imitated brands in a longer registered label: paypal-support.example",
    "name_disguised_brand": "whether a brand shows once digits are read as letters: paypa1, g00gle",
    # the public suffix
    "suffix_length": "characters of the public suffix: long ones are new, or those of hosting services",
    "suffix_com": "whether the public suffix is com: the default",
    "suffix_org_net": "whether the public suffix is org or net: older and rarer than com",
    "suffix_institution": "whether the public suffix is kept for schools, governments and the like: not for sale",
    "suffix_country": "whether the public suffix is a country's two letters: some ask for papers, some are given away",
    "suffix_cheap": "whether the public suffix is given away or sold below a dollar: a campaign buys many",
    "suffix_hosting": "whether names under the public suffix are a hosting service's customers: quick and free to get",
    "shortener": "whether the registrable domain shortens links: they hide where a link leads",
    # the path
    "path_length": "characters of the path: copies of a page lie deeper than the page",
    "path_depth": "slashes of the path but the first: kits lie deep in sites that were broken into",
    "path_root": "whether there is neither path nor query: a home page",
    "path_digit_share": "share of digits among the path's characters: numbers are made by programs",
    "path_capitals": "capital letters of the path: identifiers rather than words",
    "path_hyphens": "hyphens of the path: titles of articles",
    "path_underscores": "underscores of the path: file names of kits rather than titles",
    "path_dots": "dots of the path: versions, and several file endings",
    "path_entropy": "Shannon's entropy of the path's characters, in bits: codes are more even than words",
    "path_longest_word": "longest run of letters and digits in the path: hashes and identifiers",
    "path_hex_run": "longest run of hexadecimal digits in the path: hashes that name a victim or a visit",
    "path_double_slash": "whether // stands in the path: careless joins, and redirects",
    "path_words": "words of phishing in path, query and fragment: they are to look like the step that was expected",
    "path_brands": "names of imitated brands after the host, unless the site is the brand's: that of the copied page",
    "path_host": "whether a host name or scheme stands after the host: posing or redirecting",
    "path_php": "whether the path names a script of PHP or ASP: kits are written in them",
    "path_html": "whether the path ends in .htm or .html: pages saved from the original",
    "path_program": "whether the path ends like a program or an archive: malware is handed over directly",
    "path_wordpress": "whether the path leads into WordPress: often broken into, rarely linked",
    "path_hidden": "whether the path has a folder that is hidden or a user's own: /.well-known/, /~user/, /cgi-bin/",
    # query and fragment
    "query_length": "characters of the query: codes of campaigns and victims",
    "query_parameters": "parameters of the query: links of mailings carry several",
    "query_digit_share": "share of digits among the query's characters: numbers are made by programs",
    "query_entropy": "Shannon's entropy of the query's characters, in bits: codes are more even than words",
    "query_redirect": "whether a parameter is called url, next, continue or the like: open redirects",
    "fragment_length": "characters of the fragment: the victim's mail address, which filters do not see there",
}
"""What `address_features` computes: the name of each feature, what it is, and why it is there."""

_WORDS = (
    "log-?in|log-?on|sign-?in|sign-?on|verif|account|acct|updat|secur|confirm|passw|webscr|cmd=|authen|auth|support|"
    "service|wallet|recover|unlock|suspend|billing|invoice|limited|customer|client|online|webmail|alert|validat|safe|"
    "identi|session|token|credential|bank|ebank|payment|refund|delivery|parcel|tracking|bonus|free|gift|prize|promo|lucky"
)
_BRANDS = (
    "paypal|apple|icloud|itunes|microsoft|office365|outlook|hotmail|onedrive|sharepoint|google|gmail|youtube|facebook|"
    "instagram|whatsapp|netflix|amazon|ebay|alibaba|linkedin|twitter|yahoo|dropbox|docusign|adobe|steam|spotify|"
    "dhl|usps|fedex|laposte|chase|wellsfargo|bankofamerica|citibank|americanexpress|amex|capitalone|hsbc|barclays|lloyds|"
    "natwest|santander|caixa|itau|bradesco|bbva|unicredit|intesa|postbank|sparkasse|commerzbank|swisscom|rakuten|"
    "creditagricole|banquepostale|societegenerale|labanque|orange|vodafone|verizon|comcast|mastercard|visa|"
    "coinbase|binance|blockchain|metamask|bitcoin|roblox|runescape|playstation|telegram|interac|westernunion"
)
_SUFFIXES = "com|net|org|edu|gov|info|biz|co"
_INSTITUTIONS = r"^(edu|gov|mil|int)$|^(edu|gov|gouv|gob|go|ac|mil|nhs|sch)\.[a-z]{2}$"
_CHEAP = (
    "^(tk|ml|ga|cf|gq|xyz|top|club|online|site|website|space|live|icu|buzz|click|link|work|rest|fit|bid|loan|win|men|"
    "vip|shop|store|host|press|fun|cam|surf|monster|bar|cyou|pw|cc|ws|su|info|biz|sbs|cfd|quest|lol|today|world)$"
)
_SHORTENERS = (
    r"^(bit\.ly|bit\.do|tinyurl\.com|t\.co|goo\.gl|ow\.ly|is\.gd|v\.gd|buff\.ly|cutt\.ly|rebrand\.ly|shorturl\.at|tiny\.cc|"
    r"rb\.gy|s\.id|t\.ly|adf\.ly|lnkd\.in|soo\.gd|qrco\.de|linktr\.ee|u\.to|x\.co|trib\.al|po\.st|urlz\.fr|me2\.do)$"
)
_REDIRECTS = (
    "(^|[&;])(url|uri|u|link|next|goto|go|to|target|dest|destination|redirect[a-z_]*|redir|return[a-z_]*|continue)="
)

_READ_AS = {"0": "o", "1": "l", "3": "e", "4": "a", "5": "s", "rn": "m", "vv": "w"}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
# With more than four groups RE2 takes twice the time.
_PARTS = r"^https?://(?P<authority>[^/]*)(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?$"
_ROWS = 2**15
"""Rows whose features are computed at a time: what lies between fits the processor's cache."""


def address_features(addresses: pa.LargeStringArray, domains: pa.LargeStringArray) -> np.ndarray:
    """Return the numbers of `ADDRESS_FEATURES` of normalized addresses.

    Parameters
    ----------
    addresses, domains : LargeStringArray of length n_samples
        As `parse_addresses` normalizes them, and their registrable domains; none missing.

    Returns
    -------
    ndarray of shape (n_samples, n_features), float64
        In the order of `ADDRESS_FEATURES`, none missing.
    """
    features = np.empty((len(addresses), len(ADDRESS_FEATURES)))
    for start in range(0, len(addresses), _ROWS):
        computed = _compute(addresses[start : start + _ROWS], domains[start : start + _ROWS])
        for column, name in enumerate(ADDRESS_FEATURES):
            features[start : start + _ROWS, column] = computed[name]
    return features


def _compute(addresses: pa.LargeStringArray, domains: pa.LargeStringArray) -> dict[str, np.ndarray]:
    authority, path, query, fragment = pc.extract_regex(addresses, _PARTS).flatten()
    host = pc.replace_substring_regex(authority, "^.*@|:[0-9]+$", "")
    rest = pc.ascii_lower(pc.binary_join_element_wise(path, query, fragment, pa.scalar("?", pa.large_string())))
    own_brand = has_match(domains, rf"^({_BRANDS})\.") > 0
    return {
        "length": _length(addresses),
        "https": has_match(addresses, "^https:"),
        "port": has_match(authority, ":[0-9]+$"),
        "userinfo": has_match(authority, "@"),
        "at_signs": count_matches(rest, "@|%40"),
        "escapes": count_matches(addresses, "%[0-9A-F]{2}"),
        "mail_address": has_match(rest, r"[a-z0-9._+-]+(@|%40)[a-z0-9-]+\.[a-z]"),
        **_host_features(host, domains),
        **_path_features(path, rest),
        "path_brands": np.where(own_brand, 0, count_matches(rest, _BRANDS)),
        "path_root": (_length(path) == 1) & (_length(query) == 0),
        **_query_features(query, fragment),
    }


def _host_features(host: pa.LargeStringArray, domains: pa.LargeStringArray) -> dict[str, np.ndarray]:
    length, digits = _length(host), count_characters(host, _DIGITS)
    ip = has_match(host, r"^\[|^[0-9.]+$")
    punycode = has_match(host, r"(^|\.)xn--")
    lookalikes = np.zeros(len(host))
    for row in np.flatnonzero(punycode):
        lookalikes[row] = lookalike_letters(host[row].as_py())
    return {
        "host_length": length,
        "host_dots": count_matches(host, r"\."),
        "host_hyphens": count_matches(host, "-"),
        "host_digits": digits,
        "host_digit_share": digits / np.maximum(length, 1),
        "host_entropy": entropy(host),
        "host_longest_label": longest_run(host, f"{_LETTERS}{_DIGITS}-_"),
        "host_digit_run": longest_run(host, _DIGITS),
        "host_words": count_matches(host, _WORDS),
        "host_http": has_match(host, "http"),
        "ip": ip,
        "punycode": punycode,
        "lookalike_letters": lookalikes,
        **_subdomain_features(host, domains),
        **_name_features(domains, ip > 0),
        "shortener": has_match(domains, _SHORTENERS),
    }


def _subdomain_features(host: pa.LargeStringArray, domains: pa.LargeStringArray) -> dict[str, np.ndarray]:
    pairs = zip(host.to_pylist(), domains.to_pylist(), strict=True)
    subdomain = pa.array([name[: -len(domain) - 1] for name, domain in pairs], pa.large_string())
    www = has_match(subdomain, r"^www(\.|$)")
    length = _length(subdomain)
    return {
        "www": www,
        "www_elsewhere": has_match(host, r".www|^www[^.]"),
        "subdomains": (length > 0) + count_matches(subdomain, r"\.") - www,
        "subdomain_length": length,
        "subdomain_suffix": has_match(host, rf"(^|[.-])({_SUFFIXES})[-.].*\.|-({_SUFFIXES})\."),
        "subdomain_brands": count_matches(subdomain, _BRANDS),
    }


def _name_features(domains: pa.LargeStringArray, ip: np.ndarray) -> dict[str, np.ndarray]:
    named = pc.if_else(pa.array(ip), "", domains)
    name, suffix = pc.extract_regex(named, r"^(?P<name>[^.]*)\.?(?P<suffix>.*)$").flatten()
    letters = np.maximum(count_characters(name, _LETTERS), 1)
    is_brand = has_match(name, f"^({_BRANDS})$")
    brands = count_matches(name, _BRANDS)
    suffixes = pc.dictionary_encode(suffix)
    hosting = np.array([is_hosting_suffix(of) for of in suffixes.dictionary.to_pylist()], dtype=np.float64)
    return {
        "name_length": _length(name),
        "name_hyphens": count_matches(name, "-"),
        "name_digits": count_characters(name, _DIGITS),
        "name_vowel_share": count_characters(name, "aeiouy") / letters,
        "name_consonant_run": longest_run(name, "bcdfghjklmnpqrstvwxz"),
        "name_is_brand": is_brand,
        "name_brands": np.where(is_brand > 0, 0, brands),
        "name_disguised_brand": _disguised_brand(name, brands),
        "suffix_length": _length(suffix),
        "suffix_com": pc.equal(suffix, "com").to_numpy(zero_copy_only=False),
        "suffix_org_net": has_match(suffix, "^(org|net)$"),
        "suffix_institution": has_match(suffix, _INSTITUTIONS),
        "suffix_country": has_match(suffix, r"(^|\.)[a-z]{2}$"),
        "suffix_cheap": has_match(suffix, _CHEAP),
        "suffix_hosting": hosting[suffixes.indices.to_numpy()],
    }


def _disguised_brand(name: pa.LargeStringArray, brands: np.ndarray) -> np.ndarray:
    disguised = np.zeros(len(name))
    rows = np.flatnonzero(has_match(name, "|".join(_READ_AS)))
    read = name.take(pa.array(rows))
    for written, letter in _READ_AS.items():
        read = pc.replace_substring(read, written, letter)
    disguised[rows] = count_matches(read, _BRANDS) > brands[rows]
    return disguised


def _path_features(path: pa.LargeStringArray, rest: pa.LargeStringArray) -> dict[str, np.ndarray]:
    length = _length(path)
    lower = pc.ascii_lower(path)
    return {
        "path_length": length,
        "path_depth": count_matches(path, "/") - 1,
        "path_digit_share": count_characters(path, _DIGITS) / length,
        "path_capitals": count_characters(path, _LETTERS.upper()),
        "path_hyphens": count_matches(path, "-"),
        "path_underscores": count_matches(path, "_"),
        "path_dots": count_matches(path, r"\."),
        "path_entropy": entropy(path),
        "path_longest_word": longest_run(lower, _LETTERS + _DIGITS),
        "path_hex_run": longest_run(lower, f"{_DIGITS}abcdef"),
        "path_double_slash": has_match(path, "//"),
        "path_words": count_matches(rest, _WORDS),
        "path_host": has_match(rest, rf"https?(:|%3a)|www\.|[a-z0-9-]\.({_SUFFIXES})([/?&.:-]|$)"),
        "path_php": has_match(lower, r"\.(php[0-9]?|aspx?|jsp|cgi)(/|$)"),
        "path_html": has_match(lower, r"\.html?$"),
        "path_program": has_match(lower, r"\.(exe|apk|msi|dmg|bat|scr|jar|zip|rar|7z|gz|js|vbs|iso)$"),
        "path_wordpress": has_match(lower, "/wp-|/wordpress|/wp/"),
        "path_hidden": has_match(lower, r"/\.|/~|/cgi-bin"),
    }


def _query_features(query: pa.LargeStringArray, fragment: pa.LargeStringArray) -> dict[str, np.ndarray]:
    length = _length(query)
    return {
        "query_length": length,
        "query_parameters": (length > 0) + count_matches(query, "&"),
        "query_digit_share": count_characters(query, _DIGITS) / np.maximum(length, 1),
        "query_entropy": entropy(query),
        "query_redirect": has_match(pc.ascii_lower(query), _REDIRECTS),
        "fragment_length": _length(fragment),
    }


def _length(texts: pa.LargeStringArray) -> np.ndarray:
    return pc.binary_length(texts).to_numpy().astype(np.float64)
