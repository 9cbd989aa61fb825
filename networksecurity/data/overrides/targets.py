"""What a person names to override: rows of a file, or a domain, a host or an address; and the overrides made of it."""

from datetime import datetime
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import ValidationError

from networksecurity.data import sources
from networksecurity.data.addresses.names import is_address_column
from networksecurity.data.contracts import Contract
from networksecurity.data.files import ENDINGS, kind_of
from networksecurity.data.overrides.override import MOST_IN_FORCE, Covers, Label, Override, read_target, row_value
from networksecurity.data.schema import REASONS
from networksecurity.exceptions import AddressError, ConfigurationError, DataValidationError, quoted
from networksecurity.settings import Settings

Target = tuple[Covers, str]
"""What an override covers, and its value."""


def find_targets(
    what: str, contract: Contract, settings: Settings, covers: Literal["address", "host", "domain"] | None = None
) -> list[Target]:
    """Return what a text names, each once.

    Parameters
    ----------
    what : str
        A file of rows; of addresses also a domain, a host or an address itself.
    covers : "address", "host" or "domain", optional
        Of addresses: what to cover, in place of what the text suggests.

    Raises
    ------
    ConfigurationError
        It is no file, and the rows are no addresses.
    DataSourceError
        The file cannot be read.
    DataValidationError
        Rows are not valid, or no addresses.
    """
    is_file = kind_of(what) is not None and Path(what).expanduser().is_file()
    if contract.name == "addresses":
        texts = _addresses_in(sources.parse_file(what, settings, contract).read().frame) if is_file else [what]
        return _targets_of(texts, covers)
    if covers is not None:
        raise ConfigurationError("--covers is for --contract addresses: other rows are covered one by one")
    if not is_file:
        raise ConfigurationError(
            f"{quoted(what)} is no file of rows that ends in {ENDINGS}; add --contract addresses for a domain or an "
            "address"
        )
    return _rows_of(sources.parse_file(what, settings, contract).read().frame, contract)


def make_overrides(
    targets: list[Target], *, contract: str, label: Label, reason: str, by: str, at: datetime, until: datetime
) -> list[Override]:
    """Return the override of each target.

    Raises
    ------
    DataValidationError
        There are none or too many, or the reason or the name is empty or too long.
    """
    if not 0 < len(targets) <= MOST_IN_FORCE:
        raise DataValidationError(f"{len(targets):,} overrides at once: give between 1 and {MOST_IN_FORCE:,}")
    about = {"contract": contract, "label": label, "reason": reason.strip(), "by": by.strip(), "at": at, "until": until}
    try:
        return [Override(covers=covers, value=value, **about) for covers, value in targets]
    except ValidationError as exc:
        problem = exc.errors(include_input=False, include_url=False)[0]
        raise DataValidationError(f"--{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}") from None


def _rows_of(frame: pd.DataFrame, contract: Contract) -> list[Target]:
    accepted, rejected = contract.validation(with_target=False).add(frame.reset_index(drop=True))
    if len(rejected):
        first = f"row {rejected.index[0]}: {rejected[REASONS].iloc[0]}"
        raise DataValidationError(f"nothing was added, {len(rejected)} of {len(frame)} rows are not valid: {first}")
    return list(dict.fromkeys(("row", row_value(row)) for row in contract.to_X(accepted).to_numpy().tolist()))


def _targets_of(texts: list[str], covers: Covers | None) -> list[Target]:
    found: dict[Target, None] = {}
    for text in texts:
        try:
            found[read_target(text, covers)] = None
        except AddressError as exc:
            raise DataValidationError(f"nothing was added, {quoted(text)} is no address: {exc}") from None
    return list(found)


def _addresses_in(frame: pd.DataFrame) -> list[str]:
    columns = [name for name in frame if is_address_column(name)]
    if len(columns) != 1:
        raise DataValidationError(
            f"the file has {len(columns) or 'no'} columns that could hold addresses: call one `url`"
        )
    return frame[columns[0]].astype("str").tolist()
