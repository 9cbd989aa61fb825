"""The contract of websites: 30 features, each -1, 0 or 1."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from networksecurity.data import schema
from networksecurity.data.columns import Column
from networksecurity.data.contracts.contract import Contract, RowValidation
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.validation import Validation
from networksecurity.data.vectors import vector_codes

_USUAL_VALUES: list[dict[Any, float]] = [
    {None: math.nan, "": math.nan} | {written: float(value) for value in domain for written in (value, str(value))}
    for domain in schema.FEATURES.values()
]
"""By feature, the cells that clients write nearly always, and what they mean."""


@dataclass(frozen=True)
class Websites(Contract):
    """The 30 features of UCI "Phishing Websites": see `schema`. Groups are equal feature vectors."""

    name: str = "websites"
    positive: str | None = None
    """The value of the target that means phishing, where it is not -1."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The 30 features."""
        return tuple(schema.FEATURES)

    @property
    def target(self) -> str:
        """The column `Result`."""
        return schema.TARGET

    @property
    def schema(self) -> pa.DataFrameSchema:
        """The features and the target, int8."""
        return schema.PHISHING_WEBSITES

    @property
    def candidates(self) -> str:
        """Those whose pipeline starts with an imputer."""
        return "websites"

    @property
    def subject(self) -> str:
        """The features."""
        return "30 features of a website's address, page and domain"

    @property
    def group(self) -> str:
        """The feature vector."""
        return "feature vector"

    @property
    def feature_groups(self) -> Mapping[str, tuple[str, ...]]:
        """What an address says, its page, its certificate, its registration, and services that have ended."""
        return schema.FEATURE_GROUPS

    @property
    def domains(self) -> Mapping[str, tuple[int, ...]]:
        """-1, 0 and 1, or two of them."""
        return schema.FEATURES

    @property
    def descriptions(self) -> Mapping[str, str]:
        """What each feature is a judgement on."""
        return schema.FEATURE_DESCRIPTIONS

    @property
    def row_schema(self) -> dict[str, Any]:
        """The features with what each value stands for."""
        return {
            "type": "object",
            "description": "The 30 features: -1 speaks for phishing, 1 for a legitimate site, 0 is in between "
            "(`Redirect` is 0 or 1), null is not known; all other fields come back as `keys`.",
            "properties": {
                name: {
                    "description": schema.FEATURE_DESCRIPTIONS[name],
                    "enum": [*domain, None],
                    "x-enum-descriptions": {
                        str(value): text for value, text in schema.VALUE_DESCRIPTIONS[name].items()
                    },
                }
                for name, domain in schema.FEATURES.items()
            },
            "required": list(schema.FEATURES),
            "not": {"required": ["rows"]},
        }

    @property
    def example_row(self) -> dict[str, Any]:
        """Features of a legitimate site, nearly, one of them not known."""
        values = {name: (min if i % 4 == 0 else max)(of) for i, (name, of) in enumerate(schema.FEATURES.items())}
        return {**values, "Page_Rank": None}

    def read_cells(self, cells: Sequence[Any]) -> list[Any] | None:
        """Return the values if each cell is one of those that clients write nearly always."""
        if bool in map(type, cells):  # True is equal to 1, and is not a whole number
            return None
        try:
            return list(map(dict.__getitem__, _USUAL_VALUES, cells))
        except (KeyError, TypeError):  # TypeError: a list has no hash
            return None

    @property
    def limits(self) -> tuple[str, ...]:
        """What the features can take."""
        rules = "Features are -1, 0 or 1, computed from a website by rules of the data set's authors"
        return (f"{rules}; missing values are allowed, other values are not.",)

    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what checks raw rows against the domains of the features."""
        return Validation(max_rejected=max_rejected, with_target=with_target, positive=self.positive)

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

    def to_label(self, *, phishing: bool) -> int:
        """Return -1 for phishing, otherwise 1."""
        return -1 if phishing else 1

    def canonical_name(self, column: object) -> str | None:
        """Return the schema's name of a column."""
        return schema.canonical_name(column)

    @property
    def watched(self) -> tuple[Column, ...]:
        """The 31 columns."""
        return self.stored

    def to_watched(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the rows: all their columns are watched."""
        return accepted


WEBSITES = Websites()
