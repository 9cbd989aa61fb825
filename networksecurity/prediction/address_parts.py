"""An address in parts, and what else could stand in the place of each: the features that its reasons name.

One definition for every model of addresses, whether it takes numbers or reads characters: what a model makes of a part
is its own matter. The other parts come from addresses of the rows behind the model, one part at a time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from networksecurity.data.addresses import Address, parse_address, parse_addresses
from networksecurity.prediction.alternatives import Changed

PARTS = {
    "scheme": "scheme",
    "userinfo": "what stands before the host and an @",
    "subdomains": "labels before the registrable domain",
    "domain": "registrable domain",
    "port": "port",
    "path": "path",
    "query": "query",
    "fragment": "fragment",
}
"""By name, what each part is."""


def take_apart(address: Address) -> dict[str, str]:
    """Return the parts of an address, empty where it has none.

    Examples
    --------
    >>> take_apart(parse_address("https://login.bank.co.uk:8443/a?b"))["subdomains"]
    'login'
    """
    return {
        "scheme": address.scheme,
        "userinfo": address.userinfo,
        "subdomains": address.host[: -len(address.registrable_domain) - 1],
        "domain": address.registrable_domain,
        "port": "" if address.port is None else str(address.port),
        "path": address.path,
        "query": address.query,
        "fragment": address.fragment,
    }


def put_together(parts: Mapping[str, str]) -> str:
    """Return the address of some parts; an IP literal has no labels before it.

    Examples
    --------
    >>> address = parse_address("http://me:pw@a.b.example.com:81/c?d#e")
    >>> put_together(take_apart(address)) == address.normalized
    True
    """
    domain = parts["domain"]
    named = not (domain.startswith("[") or domain.replace(".", "").isdigit())
    host = f"{parts['subdomains']}.{domain}" if parts["subdomains"] and named else domain
    before = f"{parts['userinfo']}@" if parts["userinfo"] else ""
    port, query, fragment = (
        f"{sign}{parts[name]}" if parts[name] else ""
        for sign, name in ((":", "port"), ("?", "query"), ("#", "fragment"))
    )
    return f"{parts['scheme']}://{before}{host}{port}{parts['path']}{query}{fragment}"


class AddressParts:
    """The parts of other addresses.

    Parameters
    ----------
    examples : sequence of str
        Addresses of the rows behind the model: the share of a part is that of the examples that have it.

    Notes
    -----
    A combination that is no address, such as a host that becomes too long, counts as no change.

    Examples
    --------
    >>> parts = AddressParts(["https://www.a.example/", "http://b.example/c"])
    >>> changed = parts.change(np.array([["http://www.a.example/d"]], dtype=object))
    >>> sorted(changed.X[:, 0].tolist())[:2]
    ['http://a.example/d', 'http://www.a.example/']
    """

    def __init__(self, examples: Sequence[str]) -> None:
        taken = [take_apart(parse_address(example)) for example in examples]
        self.names = list(PARTS)
        self._shares = [
            {part: count / len(taken) for part, count in Counter(of[name] for of in taken).items()} for name in PARTS
        ]
        self.most = sum(map(len, self._shares))

    def change(self, X: np.ndarray) -> Changed:
        """Put each other part into each address."""
        rows, features, shares, texts = [], [], [], []
        for row, text in enumerate(X[:, 0]):
            parts = take_apart(parse_address(text))
            for feature, name in enumerate(self.names):
                for part, share in self._shares[feature].items():
                    if part != parts[name]:
                        rows.append(row)
                        features.append(feature)
                        shares.append(share)
                        texts.append(put_together({**parts, name: part}))
        read = parse_addresses(pd.Series(texts, dtype=object))
        valid = read.reason.isna().to_numpy()
        changed = read.normalized.to_numpy(object)[valid].reshape(-1, 1)
        return Changed(np.array(rows)[valid], np.array(features)[valid], np.array(shares)[valid], changed)

    def describe(self, x: np.ndarray, feature: int) -> tuple[str, object]:
        """Return what a part is, and the address's own, None if it has none."""
        name = self.names[feature]
        return PARTS[name], take_apart(parse_address(x[0]))[name] or None
