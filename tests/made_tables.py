"""Made-up tables in the shapes that people have, with the files that describe them."""

import numpy as np
import pandas as pd


def shop(n_samples, *, random_state=0):
    """Return numbers and categories, some missing, with a domain to group by and an address as key."""
    rng = np.random.default_rng(random_state)
    phishing = rng.integers(0, 2, n_samples)
    hosts = rng.integers(0, n_samples // 4 + 1, n_samples)
    return pd.DataFrame(
        {
            "domain": [f"d{host}.example" for host in hosts],
            "url": [f"http://d{host}.example/{i}" for i, host in enumerate(hosts)],
            "length": (40 + 25 * phishing + 10 * rng.normal(size=n_samples)).round(),
            "depth": np.where(rng.random(n_samples) < 0.1, np.nan, rng.poisson(2 + phishing)),
            "tld": np.where(rng.random(n_samples) < 0.3 + 0.4 * phishing, "test", "example"),
            "title": rng.choice(np.array(["Home", "Sign in", "Shop", None], dtype=object), n_samples),
            "status": np.where(phishing == 1, "phishing", "legitimate"),
        }
    )


SHOP = """
contract: shop
target: status
positive: phishing
group: domain
keys: [url]
aliases:
  length: [url length]
schema:
  schema_type: dataframe
  columns:
    length: {dtype: float64, in_range: {min_value: 0, max_value: 200}, description: characters of the address}
    depth: {dtype: int64, nullable: true}
    tld: {dtype: str, isin: [test, example]}
    title: {dtype: str, nullable: true}
    status: {dtype: str, isin: [phishing, legitimate]}
"""


def integers(n_samples, *, n_columns=111, random_state=0):
    """Return whole numbers, -1 for what is not there, and a label of 0 and 1."""
    rng = np.random.default_rng(random_state)
    phishing = rng.integers(0, 2, n_samples)
    counts = rng.poisson(2 + 0.4 * phishing[:, None], (n_samples, n_columns - 1))
    counts[:, ::3][rng.random(counts[:, ::3].shape) < 0.2] = -1
    frame = pd.DataFrame(counts, columns=[f"qty_{i}" for i in range(n_columns - 1)])
    return frame.assign(tls_ssl_certificate=1, phishing=phishing)


def mixed(n_samples, *, random_state=0):
    """Return 54 columns: file names, addresses, domains and titles of their own, and numbers; 1 is legitimate."""
    rng = np.random.default_rng(random_state)
    legitimate = rng.integers(0, 2, n_samples)
    texts = {
        "FILENAME": [f"{i}.txt" for i in range(n_samples)],
        "URL": [f"http://d{i // 2}.example/{i}" for i in range(n_samples)],
        "Domain": [f"d{i // 2}.example" for i in range(n_samples)],
        "TLD": rng.choice(["com", "test", "example"], n_samples),
        "Title": [f"Page {i} of {n_samples}" for i in range(n_samples)],
    }
    numbers = rng.normal(size=(n_samples, 48)) + 0.5 * legitimate[:, None]
    return pd.DataFrame(texts | {f"Ratio{i}": of for i, of in enumerate(numbers.T)} | {"label": legitimate})


def words(n_samples, *, random_state=0):
    """Return an address, 87 numbers and `status` in words."""
    rng = np.random.default_rng(random_state)
    phishing = rng.integers(0, 2, n_samples)
    numbers = rng.poisson(3 + phishing[:, None], (n_samples, 87))
    urls = {"url": [f"http://d{i}.example/" for i in range(n_samples)]}
    status = {"status": np.where(phishing == 1, "phishing", "legitimate")}
    return pd.DataFrame(urls | {f"nb_{i}": of for i, of in enumerate(numbers.T)} | status)
