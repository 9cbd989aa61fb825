"""Overrides: verdicts that a person has set, for a while, in place of the model's.

They are applied after the model, to its answer; no training, evaluation or monitor reads them. An override covers an
exact row, or of addresses: an exact address, a host, or a registrable domain with every host under it. The narrowest
one in force decides. A public or private suffix, as `blogspot.com`, covers its own host alone: each name under it has
another owner.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from networksecurity.data.addresses import Address, parse_address
from networksecurity.exceptions import ConfigurationError, DataValidationError, quoted

Label = Literal["phishing", "legitimate"]
Covers = Literal["row", "address", "host", "domain"]
Time = Annotated[AwareDatetime, AfterValidator(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))]
"""To the millisecond, as BSON keeps it."""

DEFAULT_DAYS = 90
"""How long an override is in force by default."""
MOST_IN_FORCE = 10_000
"""Overrides of a contract at once: the service holds them in memory and reads them again and again."""
MAX_BY, MAX_REASON = 100, 500
"""Characters of the name and of the reason of who overrides."""


def _line(text: str) -> str:
    if not text.isprintable():  # it is shown in terminals
        raise ValueError("one line without control characters")
    return text


class Override(BaseModel, frozen=True):
    """A verdict that a person has set."""

    contract: str
    covers: Covers
    value: str
    """The domain, host or address, normalized; or the row, the values of the contract's columns as a JSON array."""
    label: Label
    reason: Annotated[str, AfterValidator(_line)] = Field(min_length=1, max_length=MAX_REASON)
    by: Annotated[str, AfterValidator(_line)] = Field(min_length=1, max_length=MAX_BY)
    at: Time
    until: Time
    """From then on the model decides again."""
    ended_at: Time | None = None
    """When it was removed, or replaced by another one of the same; None if it was not."""
    ended_by: str | None = None

    @property
    def id(self) -> str:
        """A short name, of what was said and when."""
        told = self.model_dump_json(exclude={"ended_at", "ended_by"})
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def shown(self) -> str:
        """What it covers, for people.

        Examples
        --------
        >>> now = datetime(2026, 1, 1, tzinfo=UTC)
        >>> about = {"label": "legitimate", "reason": "our own", "by": "jane", "at": now, "until": now}
        >>> Override(contract="addresses", covers="domain", value="example.com", **about).shown
        'example.com and every host under it'
        """
        return {
            "row": f"rows equal to {self.value}",
            "address": f"{self.value} alone",
            "host": f"every address of the host {self.value}",
            "domain": f"{self.value} and every host under it",
        }[self.covers]

    def is_in_force(self, now: datetime) -> bool:
        """Return whether it decides at a time."""
        return self.ended_at is None and now < self.until


@dataclass(frozen=True)
class Overrides:
    """Those of one contract, to be asked about rows."""

    contract: str
    by_key: Mapping[tuple[str, str], Override] = field(default_factory=dict)
    """By what is covered and its value; of two that cover the same, the newer one."""

    @classmethod
    def of(cls, contract: str, stored: Iterable[Override]) -> "Overrides":
        """Return those of a contract, which come with the oldest first."""
        return cls(contract, {(one.covers, one.value): one for one in stored})

    def find(self, X: np.ndarray, now: datetime | None = None) -> dict[int, Override]:
        """Return the override that decides about each row, by the row's position; rows without one are left out.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_columns)
            What the model is given.
        now : datetime, optional
            An override whose time is over then decides nothing; by default all are in force.

        Examples
        --------
        >>> now = datetime(2026, 1, 1, tzinfo=UTC)
        >>> about = {"reason": "our own", "by": "jane", "at": now, "until": datetime(2026, 4, 1, tzinfo=UTC)}
        >>> stored = [
        ...     Override(contract="addresses", covers="domain", value="example.com", label="legitimate", **about),
        ...     Override(contract="addresses", covers="host", value="old.example.com", label="phishing", **about),
        ... ]
        >>> urls = ["http://www.example.com/a", "http://old.example.com/", "http://example.org/"]
        >>> found = Overrides.of("addresses", stored).find(np.array([[url] for url in urls]))
        >>> {i: one.label for i, one in found.items()}
        {0: 'legitimate', 1: 'phishing'}
        """
        if not self.by_key:
            return {}
        keys_of = _keys_of_address if self.contract == "addresses" else _keys_of_row
        found = {}
        for i, row in enumerate(X.tolist()):
            candidates = map(self.by_key.get, keys_of(row))
            if one := next((one for one in candidates if one and (now is None or one.is_in_force(now))), None):
                found[i] = one
        return found


def row_value(row: Iterable[Any]) -> str:
    """Return the values of a row as an override holds them.

    Examples
    --------
    >>> row_value([1.0, float("nan"), "a"])
    '[1,null,"a"]'
    """
    return json.dumps([_plain(cell) for cell in row], separators=(",", ":"), ensure_ascii=False)


def read_target(text: str, covers: Covers | None = None) -> tuple[Covers, str]:
    """Return what an override of addresses covers that somebody names, and its value.

    Parameters
    ----------
    text : str
        A domain, a host or an address; what has a scheme or a path is an address, what has a subdomain a host.
    covers : "address", "host" or "domain", optional
        What to cover instead.

    Raises
    ------
    AddressError
        It is no address.

    Examples
    --------
    >>> read_target("Example.co.uk"), read_target("login.example.co.uk"), read_target("example.co.uk/login")
    (('domain', 'example.co.uk'), ('host', 'login.example.co.uk'), ('address', 'http://example.co.uk/login'))
    >>> read_target("https://login.example.co.uk/", "domain")
    ('domain', 'example.co.uk')
    >>> read_target("blogspot.com")
    ('host', 'blogspot.com')
    """
    address = parse_address(text)
    if covers is None:
        covers = "host" if _is_host(text, address) else "address"
        if covers == "host" and address.host == address.registrable_domain:
            covers = "domain"
    if covers == "domain" and (address.is_ip or address.registrable_domain == address.public_suffix):
        covers = "host"  # nobody owns all that is under a public suffix
    return covers, {"address": address.normalized, "host": address.host}.get(covers, address.registrable_domain)


def parse_until(text: str, now: datetime) -> datetime:
    """Return when an override ends: after the day that a text names, in UTC; by default in `DEFAULT_DAYS`.

    Raises
    ------
    ConfigurationError
        It is no date, or in the past.

    Examples
    --------
    >>> parse_until("2026-02-28", datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    if not text:
        return now + timedelta(days=DEFAULT_DAYS)
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 (a day)
        until = datetime.combine(day + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"--until is not a day: {quoted(text)}; write it as 2026-12-31") from None
    if until <= now:
        raise ConfigurationError(f"--until {text} is over already: an override ends in the future")
    return until


def check_number(in_force: int, added: int) -> None:
    """Refuse more overrides than are kept at once.

    Raises
    ------
    DataValidationError
        There would be more than `MOST_IN_FORCE`.
    """
    if in_force + added > MOST_IN_FORCE:
        raise DataValidationError(
            f"there are {in_force:,} overrides in force and {added:,} more to add; at most {MOST_IN_FORCE:,} are kept: "
            "remove some, or name a domain instead of its addresses"
        )


def _keys_of_row(row: list[Any]) -> tuple[tuple[str, str], ...]:
    return (("row", row_value(row)),)


def _keys_of_address(row: list[Any]) -> tuple[tuple[str, str], ...]:
    """Return what an override may name to cover an address, the narrowest first."""
    address = parse_address(row[0])
    return ("address", address.normalized), ("host", address.host), ("domain", address.registrable_domain)


def _plain(cell: Any) -> Any:
    """Return a cell as JSON has it: null if it is missing, a whole number without a fraction."""
    if not isinstance(cell, float):
        return cell
    return None if math.isnan(cell) else int(cell) if cell.is_integer() else cell


def _is_host(text: str, address: Address) -> bool:
    """Return whether a text names a host and no more, not even a scheme."""
    rest = address.path.strip("/") + address.query + address.fragment + address.userinfo
    return not rest and address.port is None and "/" not in text
