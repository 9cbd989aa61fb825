"""What the names of documents' fields mean: documents of one collection may spell a column in several ways."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.raw import conflict
from networksecurity.data.schema import MISSING_MARKERS, is_row_number

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

_MOST_REMEMBERED = 1000
"""Lists of names whose meaning is remembered, of documents that have all kinds of names."""
_NOWHERE: list[str] = []


@dataclass(frozen=True)
class Meaning:
    """What the names of a document's fields mean."""

    columns: dict[str, list[str]]
    """Column to its spellings in the document, nearly always one."""
    unknown: list[str]
    """Names that might be unknown spellings: there are none in a document that has all that a model is given."""


@dataclass
class Spellings:
    """How the documents of one collection spell their columns.

    A column is returned under the spelling that was met first. A cell whose document holds it under two spellings that
    differ becomes the text `raw.conflict`, for which the validation rejects the row.
    """

    codec_options: "CodecOptions"
    spellings: dict[str, str] = field(default_factory=dict)
    """Column to the spelling that was met first."""
    unknown: Counter[str] = field(default_factory=Counter)
    """In how many documents, of those that lack a column of `X`, a name stands that is no column's."""
    contract: Contract = WEBSITES
    _remembered: dict[tuple[str, ...], Meaning] = field(default_factory=dict)

    def understand(self, names: Iterable[str]) -> Meaning:
        """Return what the names of a document's fields mean."""
        names = tuple(names)
        if names not in self._remembered:
            columns = self.contract.spellings(names)
            for column, spellings in columns.items():
                self.spellings.setdefault(column, spellings[0])
            others = [name for name in names if not self.contract.canonical_name(name) and not is_row_number(name)]
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            lacks_none = columns.keys() >= set(self.contract.columns)
            self._remembered[names] = Meaning(columns, [] if lacks_none else others)
        return self._remembered[names]

    def cells(self, document: dict[str, Any], columns: list[str]) -> list[Any]:
        """Return what a document holds of some columns, None where it holds nothing."""
        names = self.understand(document)
        self.unknown.update(names.unknown)
        return [
            document[spellings[0]] if len(spellings) == 1 else _merged({name: document[name] for name in spellings})
            for spellings in (names.columns.get(column, _NOWHERE) for column in columns)
        ]

    def in_order(self, columns: list[str]) -> list[int]:
        """Return the positions of the columns that were met, in the order in which they were."""
        met = list(self.spellings)
        found = [position for position, column in enumerate(columns) if column in self.spellings]
        return sorted(found, key=lambda position: met.index(columns[position]))


def _merged(cells: dict[str, Any]) -> Any:
    """Return the one value that the spellings of a column have, or the text of a conflict."""
    known = {name: cell for name, cell in cells.items() if str(cell).strip().casefold() not in MISSING_MARKERS}
    distinct = {str(cell).strip().removesuffix(".0") for cell in known.values()}
    return conflict(known) if len(distinct) > 1 else next(iter(known.values()), None)
