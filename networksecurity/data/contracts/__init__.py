"""What the rows are, a contract for each kind: the 30 features of a website, or its address.

A contract is the only thing that knows the columns, what a model is given of them, the target, and the *groups*: the
rows that must never stand on both sides of a split. What trains, tracks, promotes and serves models takes a contract
and knows no column.
"""

from networksecurity.data.contracts.addresses import Addresses
from networksecurity.data.contracts.contract import Contract, RowValidation
from networksecurity.data.contracts.websites import WEBSITES, Websites
from networksecurity.exceptions import ConfigurationError

__all__ = [
    "CONTRACTS",
    "WEBSITES",
    "Addresses",
    "Contract",
    "RowValidation",
    "Websites",
    "get_contract",
    "option_of",
]

CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in (WEBSITES, Addresses())}
"""Those that need no file, by the name in `--contract`."""


def option_of(contract: Contract) -> str:
    """Return what a command needs to be about a contract: nothing for that of the websites."""
    return "" if contract.name == WEBSITES.name else f" --contract {contract.name}"


def get_contract(name: str, positive: str | None = None) -> Contract:
    """Return the contract called `name`.

    Parameters
    ----------
    name : str
    positive : str, optional
        The value of the label that means phishing, where the contract does not know it.

    Raises
    ------
    ConfigurationError
        There is no such contract.
    """
    if name not in CONTRACTS:
        raise ConfigurationError(f"there is no contract {name!r}; known are {', '.join(CONTRACTS)}")
    return CONTRACTS[name].with_positive(positive)
