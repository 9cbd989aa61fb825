"""The contract of a table of the user's own, which a file describes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pandera.pandas as pa
import yaml

from networksecurity.data.columns import Column, normalized
from networksecurity.data.contracts.contract import Contract, RowValidation
from networksecurity.data.hashing import row_codes
from networksecurity.data.tables.file import TableFile, parse_table, read_table
from networksecurity.data.tables.form import example_row, row_schema
from networksecurity.data.tables.rows import TableValidation, accepted_schema
from networksecurity.exceptions import ConfigurationError


@dataclass(frozen=True)
class Table(Contract):
    """A table that a file describes: see `tables.file`. Groups are what the file says, or equal rows.

    Examples
    --------
    >>> contract = Table.parse('''
    ... contract: shop
    ... target: status
    ... positive: phishing
    ... schema:
    ...   schema_type: dataframe
    ...   columns:
    ...     length: {dtype: float64, nullable: true}
    ...     tld: {dtype: str}
    ...     status: {dtype: str, isin: [phishing, legitimate]}
    ... ''')
    >>> labels = ["phishing", "legitimate", "phishing"]
    >>> rows = pd.DataFrame({"Length": ["7", "?", "x"], "tld": ["test"] * 3, "status": labels})
    >>> validated = contract.validate(rows, max_rejected=0.5)
    >>> contract.to_X(validated.accepted)
       length   tld
    0     7.0  test
    1     NaN  test
    >>> validated.rejected["reasons"].tolist()
    ['length is not a number']
    """

    text: str
    """The file's document, without comments."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the contract of a document; see `tables.file.parse_table`."""
        table = parse_table(text)
        return cls(table.name, table.text)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the contract in a file; see `tables.file.read_table`."""
        table = read_table(path)
        return cls(table.name, table.text)

    @property
    def table(self) -> TableFile:
        """What the document says."""
        return parse_table(self.text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the schema, but for the target."""
        return tuple(self.table.features)

    @property
    def target(self) -> str:
        """The column of the label."""
        return self.table.target

    @property
    def schema(self) -> pa.DataFrameSchema:
        """Numbers as float64, categories as text, groups, and the label."""
        return accepted_schema(self.table)

    @property
    def candidates(self) -> str:
        """Those that read numbers, or numbers and categories."""
        return "categories" if self.text_columns else "numbers"

    @property
    def text_columns(self) -> frozenset[str]:
        """The categories."""
        return frozenset(name for name, of in self.table.features.items() if of.column.kind == "category")

    def is_text(self, column: object) -> bool:
        """Return whether a column is a category or one by which rows are grouped, by any of its names."""
        table = self.table
        return table.names.get(normalized(column)) in self.text_columns | {*table.group}

    @property
    def subject(self) -> str:
        """Its columns."""
        return f"{len(self.columns)} columns of the table {self.name}"

    @property
    def group(self) -> str:
        """The columns of its groups, or the feature vector."""
        return " and ".join(self.table.group) or "feature vector"

    @property
    def row_schema(self) -> dict[str, Any]:
        """What the file says of the columns."""
        return row_schema(self.table)

    @property
    def example_row(self) -> dict[str, Any]:
        """Values that the file's checks allow."""
        return example_row(self.table)

    @property
    def descriptions(self) -> dict[str, str]:
        """What the file says of its columns."""
        return {name: of.description for name, of in self.table.features.items() if of.description}

    @property
    def limits(self) -> tuple[str, ...]:
        """What is known of a table that others describe."""
        return (
            f"What the columns of {self.name} mean, and how they are computed, is known to those who made the table.",
            "A category that was not among the training rows counts as unknown.",
        )

    @property
    def document(self) -> str:
        """The file's document."""
        return self.text

    @property
    def sha256(self) -> str:
        """Fingerprint of the document, but for what a model does not depend on: descriptions and other names."""
        content = yaml.safe_load(self.text)
        content.pop("aliases", None)
        for column in content["schema"]["columns"].values():
            for key in ("title", "description"):
                column.pop(key, None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def with_positive(self, positive: str | None) -> Self:
        """Return the contract; refuse another meaning of its labels than the file's."""
        if positive is not None:
            raise ConfigurationError(
                f"--positive: the file of {self.name} says that {self.target} = {self.table.positive} is phishing"
            )
        return self

    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what checks raw rows against the file."""
        return TableValidation(self.table, max_rejected=max_rejected, with_target=with_target)

    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' values of the group's columns as numbers, or those of all features."""
        return row_codes(accepted[list(self.table.group)]) if self.table.group else self.distinct(accepted)

    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the rows' features as numbers."""
        return row_codes(accepted[list(self.columns)])

    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:  # noqa: ARG002 (there is none)
        """Refuse: a table has no built-in sample."""
        raise ConfigurationError(f"{self.name} has no built-in sample: give its rows, --source FILE")

    def make_probe(self, examples: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return rows put together from cells of different examples, each column missing once where it may be."""
        if examples is None:
            raise ConfigurationError(f"{self.name} has no built-in sample to make rows from: give examples")
        rng = np.random.default_rng(0)
        made = examples.apply(lambda column: column.to_numpy()[rng.permutation(len(column))]).reset_index(drop=True)
        for row, (name, of) in enumerate(self.table.features.items()):
            if of.nullable:
                made.loc[row % len(made), name] = np.nan
        return made

    def is_own(self, column: object) -> bool:
        """Return whether a column is one of the features, by any of its names."""
        return self.canonical_name(column) in self.table.features

    @property
    def stored(self) -> tuple[Column, ...]:
        """The features, the columns of the group, and the target."""
        features = [of.column for of in self.table.features.values()]
        groups = [Column(name, "text") for name in self.table.group if name not in self.table.features]
        return (*features, *groups, Column(self.target, "category"))

    @property
    def watched(self) -> tuple[Column, ...]:
        """The features and the target."""
        return (*(of.column for of in self.table.features.values()), Column(self.target, "code"))

    @property
    def alike(self) -> bool:
        """Whether the file says what rows of a group have in common."""
        return bool(self.table.group)

    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the target's own values."""
        values = {0: self.table.negative, 1: self.table.positive}
        return accepted.assign(**{self.target: accepted[self.target].map(values)})

    def to_label(self, *, phishing: bool) -> str:
        """Return the target's value."""
        return self.table.positive if phishing else self.table.negative

    def canonical_name(self, column: object) -> str | None:
        """Return the table's name of a column."""
        name = self.table.names.get(normalized(column))
        return None if name in self.table.keys else name
