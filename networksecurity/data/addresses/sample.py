"""Made-up addresses with labels, for trying out: not one of them is real, and a score on them says nothing.

A small grammar puts hosts and paths together from words; the two classes use its rules with different frequency. All
names end in `.example` or `.test` (RFC 2606), all IP addresses are of the ranges for documentation (RFC 5737), so none
can lead anywhere.
"""

import re
from numbers import Integral

import numpy as np
import pandas as pd

from networksecurity.exceptions import ConfigurationError

PHISHING_SHARE = 0.5
"""Probability that a row is phishing."""

_WORDS = np.array(
    (
        "amber alder archive autumn bakery barn bird bloom blue book bridge brook candle canyon castle cedar cloud "
        "clover coast copper coral craft creek crystal daily dawn delta dream eagle ember falcon farm fern field "
        "fjord flora forest fox frost garden glade golden grain green grove harbor harvest hazel heron hill honey "
        "island ivy jade juniper kettle lake lantern leaf lemon lily linden lunar maple marble market meadow mill "
        "mint moss mountain museum north oak ocean olive orchard orchid otter owl paper pearl pebble pepper pine "
        "planet plum pond poppy prairie quarry quartz rain raven reed ridge river robin rose sage sail school shell "
        "shore silver sky snow solar sparrow spring stone storm summer sun swan thistle timber travel tulip valley "
        "velvet village violet walnut water wave willow wind winter wolf wood yarrow"
    ).split(),
    dtype=object,
)
_BAITS = np.array(
    "login signin secure account verify update confirm wallet billing support webmail service password unlock".split(),
    dtype=object,
)
_HOSTS = {
    # what a host is put together from: (how often a legitimate address is, how often a phishing one)
    "{first}{second}{top}": (0.67, 0.18),
    "{first}-{second}{top}": (0.15, 0.15),
    "{first}{number}{top}": (0.08, 0.12),
    "{letters}{top}": (0.03, 0.15),
    "{bait}-{first}{top}": (0.01, 0.17),
    "{first}{number}.{hosting}.test": (0.05, 0.18),
    "{network}{number}": (0.01, 0.05),
}
_SUBDOMAINS = {
    "": (0.24, 0.50),
    "www.": (0.68, 0.18),
    "{word}.": (0.07, 0.12),
    "{bait}.": (0.01, 0.11),
    "{bait}.com-": (0, 0.09),
}
_PATHS = {
    "/": (0.40, 0.14),
    "/{one}/{two}-{three}-{four}": (0.28, 0.04),
    "/{one}/{two}": (0.13, 0.07),
    "/{one}.html": (0.09, 0.07),
    "/{one}.php?id={number}": (0.05, 0.12),
    "/{bait}/": (0.02, 0.15),
    "/{bait}.php": (0.01, 0.15),
    "/{code}/{bait}": (0.01, 0.10),
    "/wp-content/{one}/{bait}/": (0.005, 0.09),
    "/{bait}?mail=user@mail.example": (0.005, 0.07),
}


def make_addresses(n_rows: int = 10_000, *, random_state: int = 0) -> pd.DataFrame:
    """Make synthetic labelled addresses, on average nearly three for each registrable domain.

    Parameters
    ----------
    n_rows : int, default=10_000
        Number of rows, at least 1.
    random_state : int, default=0
        Seed, at least 0. The same `n_rows` and seed give the same rows.

    Returns
    -------
    DataFrame of shape (n_rows, 2)
        `url` and `label`, which is `phishing` or `legitimate`; text.

    Raises
    ------
    ConfigurationError
        `n_rows` or `random_state` is not a whole number or is too small.

    Examples
    --------
    >>> make_addresses(2)["url"].tolist()
    ['http://account.crystalplanet.example/honey/wave-stone-rain', 'http://honey.crystalplanet.example/quarry.html']
    """
    for name, value, least in (("n_rows", n_rows, 1), ("random_state", random_state, 0)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name} of made-up addresses must be a whole number >= {least}, not {value!r}")
    rng = np.random.default_rng(random_state)
    n_sites = int(n_rows * 0.6) + 1
    site_is_phishing = rng.random(n_sites) < PHISHING_SHARE
    sites = _make_sites(site_is_phishing, rng)
    site = rng.integers(n_sites, size=n_rows)
    phishing = site_is_phishing[site]
    scheme = np.where(rng.random(n_rows) < np.where(phishing, 0.34, 0.45), "https://", "http://").astype(object)
    url = scheme + _make_subdomains(phishing, sites[site], rng) + sites[site] + _make_paths(phishing, rng)
    label = np.where(phishing, "phishing", "legitimate")
    return pd.DataFrame({"url": pd.Series(url, dtype="str"), "label": pd.Series(label, dtype="str")})


def _make_sites(phishing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(phishing)
    top = np.where(rng.random(n) < 0.8, ".example", ".test").astype(object)
    first, second, bait = (rng.choice(words, n) for words in (_WORDS, _WORDS, _BAITS))
    number = rng.integers(1, 255, n).astype(str).astype(object)
    letters = np.array(["".join(row) for row in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (n, 9))], dtype=object)
    network = rng.choice(np.array(["192.0.2.", "198.51.100.", "203.0.113."], dtype=object), n)
    hosting = rng.choice(np.array(["pages", "sites", "builder"], dtype=object), n)
    parts = {"first": first, "second": second, "bait": bait, "top": top, "number": number, "letters": letters}
    return _choose(_HOSTS, parts | {"network": network, "hosting": hosting}, phishing, rng)


def _make_subdomains(phishing: np.ndarray, sites: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(phishing)
    parts = {"bait": rng.choice(_BAITS, n), "word": rng.choice(_WORDS, n)}
    ip = np.array([site[-1].isdigit() for site in sites], dtype=bool)
    return np.where(ip, "", _choose(_SUBDOMAINS, parts, phishing, rng))


def _make_paths(phishing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(phishing)
    parts = {name: rng.choice(_WORDS, n) for name in ("one", "two", "three", "four")}
    parts["bait"] = rng.choice(_BAITS, n)
    parts["number"] = rng.integers(1, 100_000, n).astype(str).astype(object)
    codes = [bytes(row).hex() for row in rng.integers(256, size=(n, 8), dtype=np.uint8)]
    return _choose(_PATHS, parts | {"code": np.array(codes, dtype=object)}, phishing, rng)


def _choose(
    rules: dict[str, tuple[float, float]], parts: dict[str, np.ndarray], phishing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return, row by row, the text of one rule with its parts, drawn by the frequencies of the row's class."""
    edges = np.cumsum(list(rules.values()), axis=0)[:-1]
    uniform = rng.random(len(phishing))
    rule = (uniform >= np.where(phishing, edges[:, 1:], edges[:, :1])).sum(axis=0)
    empty = np.full(len(phishing), "", dtype=object)
    texts = [sum((parts.get(piece, piece) for piece in re.split("[{}]", text)), empty) for text in rules]
    return np.stack(texts)[rule, np.arange(len(rule))]
