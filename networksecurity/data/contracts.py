"""What the rows are, a contract for each kind: the 30 features of a website, or its address.

A contract is the only thing that knows the columns, what a model is given of them, the target, and the *groups*: the
rows that must never stand on both sides of a split. What trains, tracks, promotes and serves models takes a contract
and knows no column.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from networksecurity.data import address_rows, schema
from networksecurity.data.address_rows import DOMAIN, URL, AddressValidation
from networksecurity.data.address_sample import make_addresses
from networksecurity.data.columns import Column
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.validated import Validated, ValidationReport
from networksecurity.data.validation import Validation
from networksecurity.data.vectors import vector_codes
from networksecurity.exceptions import ConfigurationError


class RowValidation(Protocol):
    """The check of rows that come in batches; see `validation.Validation`."""

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Judge a batch of raw rows; return the accepted and the rejected ones."""
        ...

    def finish(self) -> ValidationReport:
        """Judge all rows together and return what was found."""
        ...


@dataclass(frozen=True)
class Contract(ABC):
    """What the rows of a kind are.

    Attributes
    ----------
    name : str
        As in `--contract`.
    """

    name: str

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of `X`."""

    @property
    @abstractmethod
    def target(self) -> str:
        """The column of the label in accepted rows."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What a model of this contract judges by, for people."""

    @property
    @abstractmethod
    def group(self) -> str:
        """What rows of a group have in common, for people."""

    @abstractmethod
    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what checks raw rows; see `validation.Validation` for the parameters."""

    @abstractmethod
    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return one number per row, equal where rows are of the same group, and the same in every process.

        Returns
        -------
        groups : ndarray of shape (n_samples,), uint64
        """

    @abstractmethod
    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return one number per row, equal where a model is given the same.

        Returns
        -------
        codes : ndarray of shape (n_samples,), int64 or uint64
        """

    @abstractmethod
    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:
        """Make synthetic raw rows, of both classes."""

    @abstractmethod
    def to_X(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return what a model is given of accepted rows, of shape (n_samples, n_columns)."""

    @abstractmethod
    def to_y(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the label of accepted rows, int8 of shape (n_samples,): 1 is phishing."""

    @abstractmethod
    def is_own(self, column: object) -> bool:
        """Return whether a column of raw rows is read, rather than passed on, when rows are scored."""

    @property
    @abstractmethod
    def stored(self) -> tuple[Column, ...]:
        """The columns of a row in a collection, the target last."""

    @abstractmethod
    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return accepted rows as a collection stores them, under the names of `stored`: valid again when read."""

    @abstractmethod
    def to_label(self, *, phishing: bool) -> int | str:
        """Return the label of a row in a collection."""

    @abstractmethod
    def canonical_name(self, column: object) -> str | None:
        """Return the column of `stored` that a column of raw rows is known as, None if it is known as none."""

    def spellings(self, columns: Iterable[str]) -> dict[str, list[str]]:
        """Return, by column of `stored`, which columns of raw rows stand for it."""
        found: dict[str, list[str]] = {}
        for column in columns:
            if name := self.canonical_name(column):
                found.setdefault(name, []).append(column)
        return found

    def validate(self, frame: pd.DataFrame, *, max_rejected: float = 0.05) -> Validated:
        """Sort raw rows into those fit to learn from and those that are not; see `validation.validate`."""
        validation = self.validation(max_rejected=max_rejected)
        accepted, rejected = validation.add(frame)
        return Validated(accepted, rejected, validation.finish())

    def to_X_y(self, accepted: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """Return accepted rows, with their target, as scikit-learn takes them."""
        return self.to_X(accepted), self.to_y(accepted)


@dataclass(frozen=True)
class Websites(Contract):
    """The 30 features of UCI "Phishing Websites": see `schema`. Groups are equal feature vectors."""

    name: str = "websites"

    @property
    def columns(self) -> tuple[str, ...]:
        """The 30 features."""
        return tuple(schema.FEATURES)

    @property
    def target(self) -> str:
        """The column `Result`."""
        return schema.TARGET

    @property
    def subject(self) -> str:
        """The features."""
        return "30 features of a website's address, page and domain"

    @property
    def group(self) -> str:
        """The feature vector."""
        return "feature vector"

    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what checks raw rows against the domains of the features."""
        return Validation(max_rejected=max_rejected, with_target=with_target)

    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' feature vectors as numbers."""
        return vector_codes(accepted)

    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' feature vectors as numbers."""
        return vector_codes(accepted)

    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:
        """Make rows of the built-in sample."""
        return make_phishing_websites(n_samples, random_state=random_state)

    def to_X(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the 30 features, float64, NaN where a value is missing."""
        return schema.to_X(accepted)

    def to_y(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return 1 where `Result` is -1."""
        return schema.encode_target(accepted[schema.TARGET])

    def is_own(self, column: object) -> bool:
        """Return whether a column is one of the features, by any of its names."""
        return schema.canonical_name(column) in schema.FEATURES

    @property
    def stored(self) -> tuple[Column, ...]:
        """The 31 columns."""
        return tuple(Column(name, "code") for name in schema.DOMAINS)

    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the rows."""
        return accepted

    def to_label(self, *, phishing: bool) -> int:
        """Return -1 for phishing, otherwise 1."""
        return -1 if phishing else 1

    def canonical_name(self, column: object) -> str | None:
        """Return the schema's name of a column."""
        return schema.canonical_name(column)


@dataclass(frozen=True)
class Addresses(Contract):
    """Addresses (URLs): see `addresses` and `address_rows`. Groups are registrable domains.

    Attributes
    ----------
    positive : str or None
        The value of the label that means phishing, where it is not a word such as `phishing` or `bad`.

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

    @property
    def columns(self) -> tuple[str, ...]:
        """The address alone."""
        return (URL,)

    @property
    def target(self) -> str:
        """The column `label`."""
        return address_rows.TARGET

    @property
    def subject(self) -> str:
        """The address."""
        return "a website's address (URL) alone"

    @property
    def group(self) -> str:
        """The registrable domain."""
        return "registrable domain"

    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what reads addresses and labels."""
        return AddressValidation(max_rejected=max_rejected, with_target=with_target, positive=self.positive)

    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' registrable domains as numbers."""
        return address_rows.hashed(accepted[DOMAIN])

    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' normalized addresses as numbers."""
        return pd.factorize(accepted[URL])[0]

    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:
        """Make up addresses under reserved names."""
        return make_addresses(n_samples, random_state=random_state)

    def to_X(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the normalized addresses, str."""
        return accepted[[URL]]

    def to_y(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the label."""
        return accepted[address_rows.TARGET].to_numpy("int8")

    def is_own(self, column: object) -> bool:  # noqa: ARG002 (an address is passed on with its prediction)
        """Return False: the address as it was given stands beside its prediction."""
        return False

    @property
    def stored(self) -> tuple[Column, ...]:
        """The address and the word for its label: whose domain it is, is read anew."""
        return Column(URL, "text"), Column(address_rows.TARGET, "category")

    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the normalized addresses, with `phishing` or `legitimate`."""
        return accepted[[URL]].assign(**{address_rows.TARGET: accepted[address_rows.TARGET].map(schema.CLASS_LABELS)})

    def to_label(self, *, phishing: bool) -> str:
        """Return `phishing` or `legitimate`."""
        return schema.CLASS_LABELS[int(phishing)]

    def canonical_name(self, column: object) -> str | None:
        """Return `url` or `label` for a column that is called so by any of its names."""
        return address_rows.canonical_name(column)

    def spellings(self, columns: Iterable[str]) -> dict[str, list[str]]:
        """Return the column of that very name or, if there is none, those of its other names."""
        found = super().spellings(columns)
        return {name: [name] if name in spellings else spellings for name, spellings in found.items()}


WEBSITES = Websites()

CONTRACTS: dict[str, type[Websites] | type[Addresses]] = {"websites": Websites, "addresses": Addresses}
"""By the name in `--contract`."""


def option_of(contract: Contract) -> str:
    """Return what a command needs to be about a contract: nothing for that of the websites."""
    return "" if contract == WEBSITES else f" --contract {contract.name}"


def get_contract(name: str, positive: str | None = None) -> Contract:
    """Return the contract called `name`.

    Parameters
    ----------
    name : str
    positive : str, optional
        The value of the label that means phishing; for `addresses` only.

    Raises
    ------
    ConfigurationError
        There is no such contract, or its labels are not open to interpretation.
    """
    if name not in CONTRACTS:
        raise ConfigurationError(f"there is no contract {name!r}; known are {', '.join(CONTRACTS)}")
    if name == "addresses":
        return Addresses(positive=positive)
    if positive is not None:
        raise ConfigurationError("--positive is for --contract addresses: in the 30 features, -1 is phishing")
    return WEBSITES
