"""How often `drift.compare` raises a false alarm on addresses, and how often it finds a drift that was put in.

Usage: python benchmarks/address_drift.py [--data ../shared/data/labelled_urls.csv] [--trials 200] [--random-state 0]
Each trial takes the reference and the new rows from disjoint parts of the data, divided by row or by registrable
domain. Without the file it runs on made-up addresses, and says so. Prints Markdown tables, with exact 95 % intervals.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

from benchmarks.drift import ROWS, Subject, measure_rates, parse_options
from networksecurity.data.addresses.names import TARGET, URL
from networksecurity.data.contracts import Addresses
from networksecurity.training.address_features import AddressFeatures

ADDRESSES = Addresses()


def rewritten(
    rows: pd.DataFrame, rng: np.random.Generator, pattern: str, replacement: str
) -> tuple[pd.DataFrame, None]:
    """Rewrite every tenth address."""
    chosen = np.zeros(len(rows), bool)
    chosen[rng.choice(len(rows), len(rows) // 10, replace=False)] = True
    urls = rows[URL].mask(chosen, rows[URL].str.replace(pattern, replacement, regex=True))
    return ADDRESSES.validation().add(ADDRESSES.to_raw(rows).assign(**{URL: urls}))[0], None


def with_less_phishing(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, None]:
    """Leave out half of the phishing rows."""
    return rows[(rows[TARGET] == 0) | (rng.random(len(rows)) < 0.5)], None


NEW_KIND = "a script `/login/verify.php`"
INJECTIONS = {
    "without https": partial(rewritten, pattern="^https:", replacement="http:"),
    NEW_KIND: partial(rewritten, pattern="^(https?://[^/]*)/.*$", replacement=r"\1/login/verify.php"),
    "under `.xyz`": partial(rewritten, pattern=r"^(https?://[^/]*?)\.[a-z]+/", replacement=r"\1.xyz/"),
    "half of the phishing": with_less_phishing,
}
SUBJECT = Subject(
    contract=ADDRESSES,
    draws=(ROWS, "registrable domains"),
    sizes=(500, 1_000, 1_800),
    injections=INJECTIONS,
    marked=(NEW_KIND, INJECTIONS[NEW_KIND]),
    to_numbers=AddressFeatures().transform,
    n_trees=32,
)


if __name__ == "__main__":
    measure_rates(SUBJECT, parse_options(__doc__, "labelled_urls.csv"))
