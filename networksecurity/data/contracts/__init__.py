"""What the rows are, a contract for each kind: the 30 features of a website, its address, or a table of the user's own.

A contract is the only thing that knows the columns, what a model is given of them, the target, and the *groups*: the
rows that must never stand on both sides of a split. What trains, tracks, promotes and serves models takes a contract
and knows no column.
"""

from pathlib import Path

from networksecurity.data.contracts.addresses import Addresses
from networksecurity.data.contracts.contract import Contract, RowValidation
from networksecurity.data.contracts.tables import Table
from networksecurity.data.contracts.websites import WEBSITES, Websites
from networksecurity.data.tables.file import KINDS
from networksecurity.exceptions import ConfigurationError, quoted

__all__ = [
    "CONTRACTS",
    "WEBSITES",
    "Addresses",
    "Contract",
    "RowValidation",
    "Table",
    "Websites",
    "file_of",
    "get_contract",
    "option_of",
]

CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in (WEBSITES, Addresses())}
"""Those that need no file, by the name in `--contract`."""


def file_of(contract: Contract) -> str:
    """Return what `--contract` takes for a contract: its name, or of a table the file that it may be in."""
    return contract.name if contract.name in CONTRACTS else f"{contract.name}{KINDS[0]}"


def option_of(contract: Contract) -> str:
    """Return what a command needs to be about a contract: nothing for that of the websites, a file for a table."""
    return "" if contract.name == WEBSITES.name else f" --contract {file_of(contract)}"


def get_contract(name: str, positive: str | None = None) -> Contract:
    """Return the contract that `--contract` names.

    Parameters
    ----------
    name : str
        That of one that needs no file, or the path of a file that describes a table.
    positive : str, optional
        The value of the label that means phishing, where the contract does not know it.

    Raises
    ------
    ConfigurationError
        There is no such contract, its file contradicts itself, or its labels are not open to interpretation.
    """
    if name.lower().endswith(KINDS):
        return Table.at(Path(name)).with_positive(positive)
    if name not in CONTRACTS:
        raise ConfigurationError(
            f"there is no contract {quoted(name)}; known are {', '.join(CONTRACTS)}, and files that end in "
            f"{' or '.join(KINDS)} and describe a table"
        )
    return CONTRACTS[name].with_positive(positive)
