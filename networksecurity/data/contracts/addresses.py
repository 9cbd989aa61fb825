"""The contract of addresses: a URL and its label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas
import pyarrow as pa

from networksecurity.data import schema
from networksecurity.data.addresses import parse_address
from networksecurity.data.addresses.features import ADDRESS_FEATURES, address_features
from networksecurity.data.addresses.names import TARGET, URL, canonical_name
from networksecurity.data.addresses.rows import DOMAIN, AddressRows, AddressValidation
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.columns import Column
from networksecurity.data.contracts.contract import Contract, RowValidation
from networksecurity.data.hashing import hashed
from networksecurity.exceptions import AddressError

_SUFFIX = "suffix"
_N_EXAMPLES = 32


@dataclass(frozen=True)
class Addresses(Contract):
    """Addresses (URLs): see `addresses`. Groups are registrable domains.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"URL": ["login.bank.example.test/a", "https://b.example.test/"], "type": ["bad", "good"]}
    ... )
    >>> contract = Addresses()
    >>> accepted = contract.validate(rows).accepted
    >>> contract.to_X(accepted)["url"].tolist(), contract.to_y(accepted).tolist()
    (['http://login.bank.example.test/a', 'https://b.example.test/'], [1, 0])
    >>> len(set(contract.groups(accepted).tolist()))
    1
    """

    name: str = "addresses"
    positive: str | None = None
    """The value of the label that means phishing, where it is not a word such as `phishing` or `bad`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The address alone."""
        return (URL,)

    @property
    def target(self) -> str:
        """The column `label`."""
        return TARGET

    @property
    def schema(self) -> pandera.pandas.DataFrameSchema:
        """The address, its domain and the label."""
        return AddressRows.to_schema()

    @property
    def candidates(self) -> str:
        """Those that read an address."""
        return "addresses"

    @property
    def text_columns(self) -> frozenset[str]:
        """The address."""
        return frozenset(self.columns)

    @property
    def subject(self) -> str:
        """The address."""
        return "a website's address (URL) alone"

    @property
    def group(self) -> str:
        """The registrable domain."""
        return "registrable domain"

    @property
    def descriptions(self) -> dict[str, str]:
        """What each feature is that is computed from an address."""
        return {name: text.partition(": ")[0] for name, text in ADDRESS_FEATURES.items()}

    @property
    def row_schema(self) -> dict[str, Any]:
        """A text, as it was found."""
        return {
            "type": "object",
            "description": "An http or https address; the row comes back as `keys`.",
            "properties": {URL: {"description": "the address, also as analysts write it: hxxp://evil[.]example"}},
            "required": [URL],
            "not": {"required": ["rows"]},
        }

    @property
    def example_row(self) -> dict[str, Any]:
        """An address under a reserved name."""
        return {URL: "http://login.bank.example.test/a.php"}

    def read_cells(self, cells: Sequence[Any]) -> list[Any] | None:
        """Return the normalized address; what is none is left to `validation`, which says why."""
        try:
            return [parse_address(cells[0]).normalized]
        except AddressError:
            return None

    @property
    def limits(self) -> tuple[str, ...]:
        """What an address does not say."""
        return (
            "The address is text: nothing is fetched, and the page behind it is not judged.",
            "A legitimate site that was broken into has a legitimate domain.",
        )

    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what reads addresses and labels."""
        return AddressValidation(max_rejected=max_rejected, with_target=with_target, positive=self.positive)

    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' registrable domains as numbers."""
        return hashed(accepted[DOMAIN])

    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' normalized addresses as numbers."""
        return pd.factorize(accepted[URL])[0]

    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:
        """Make up addresses under reserved names."""
        return make_addresses(n_samples, random_state=random_state)

    def is_own(self, column: object) -> bool:  # noqa: ARG002 (an address is passed on with its prediction)
        """Return False: the address as it was given stands beside its prediction."""
        return False

    @property
    def stored(self) -> tuple[Column, ...]:
        """The address and the word for its label: whose domain it is, is read anew."""
        return Column(URL, "text"), Column(TARGET, "category")

    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the normalized addresses, with `phishing` or `legitimate`."""
        return accepted[[URL]].assign(**{TARGET: accepted[TARGET].map(schema.CLASS_LABELS)})

    def to_label(self, *, phishing: bool) -> str:
        """Return `phishing` or `legitimate`."""
        return schema.CLASS_LABELS[int(phishing)]

    def canonical_name(self, column: object) -> str | None:
        """Return `url` or `label` for a column that is called so by any of its names."""
        return canonical_name(column)

    def spellings(self, columns: Iterable[str]) -> dict[str, list[str]]:
        """Return the column of that very name or, if there is none, those of its other names."""
        found = super().spellings(columns)
        return {name: [name] if name in spellings else spellings for name, spellings in found.items()}

    @property
    def watched(self) -> tuple[Column, ...]:
        """The address features, the public suffix, and the label."""
        numbers = (Column(name, "number") for name in ADDRESS_FEATURES)
        return *numbers, Column(_SUFFIX, "category"), Column(TARGET, "code")

    def to_watched(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the address features, the suffix and the label; an IP literal has no suffix."""
        urls, domains = (pa.array(accepted[name], pa.large_string()) for name in (URL, DOMAIN))
        seen = pd.DataFrame(address_features(urls, domains), accepted.index, list(ADDRESS_FEATURES))
        suffix = accepted[DOMAIN].str.replace(r"^[^.]*\.?", "", regex=True).mask(seen["ip"] == 1)
        target = {name: accepted[name] for name in (TARGET,) if name in accepted}
        return seen.assign(**{_SUFFIX: suffix}, **target)

    @property
    def alike(self) -> bool:
        """Return True: addresses of a domain have much in common."""
        return True

    def examples(self, accepted: pd.DataFrame) -> tuple[str, ...]:
        """Return addresses of distinct domains, without any that may hold a mail address or a user's name."""
        rows = accepted[~accepted[URL].str.contains("@|%40")]
        drawn = rows.iloc[np.argsort(hashed(rows[URL]), kind="stable")].drop_duplicates(DOMAIN)
        return tuple(drawn[URL].head(_N_EXAMPLES))
