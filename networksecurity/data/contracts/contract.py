"""What every contract says of its rows."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import pandera.pandas as pa
import yaml

from networksecurity.data.columns import Column
from networksecurity.data.validated import Validated, ValidationReport

_N_PROBES = 200


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

    The fields of a contract are all that it is made from, in plain values: steps pass it on, and cache keys hold it.
    """

    name: str
    """As in `--contract`; of a table, as its file says."""

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
    def schema(self) -> pa.DataFrameSchema:
        """The schema of accepted rows, the target among them."""

    @property
    @abstractmethod
    def candidates(self) -> str:
        """Which models compete: a key of `candidates.BY_CONTRACT`."""

    @property
    def text_columns(self) -> frozenset[str]:
        """The columns of `X` that hold text, none by default; the others hold numbers."""
        return frozenset()

    def is_text(self, column: object) -> bool:  # noqa: ARG002 (others have none)
        """Return whether a column of a source is read as it is written: `007` is another category than `7`."""
        return False

    @property
    @abstractmethod
    def subject(self) -> str:
        """What a model of this contract judges by, for people."""

    @property
    @abstractmethod
    def group(self) -> str:
        """What rows of a group have in common, for people."""

    @property
    @abstractmethod
    def limits(self) -> tuple[str, ...]:
        """What a model of this contract cannot know or do, a sentence each."""

    @property
    def feature_groups(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of `X` that come from the same place and go missing together, by the place; none by default."""
        return {}

    @property
    def domains(self) -> Mapping[str, tuple[int, ...]]:
        """The values that each column of `X` may take, where all columns have few of them; none by default."""
        return {}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """What each feature is about, for people: a column of `X`, or what is computed from it; none by default."""
        return {}

    @property
    @abstractmethod
    def row_schema(self) -> dict[str, Any]:
        """The JSON schema of a row to judge."""

    @property
    @abstractmethod
    def example_row(self) -> dict[str, Any]:
        """A made-up row to judge, valid or nearly so."""

    def read_cells(self, cells: Sequence[Any]) -> list[Any] | None:  # noqa: ARG002 (most contracts have no short cut)
        """Return what a model is given of one raw row, without the time that a DataFrame takes; None if undecided.

        Parameters
        ----------
        cells : sequence of shape (n_columns,)
            In the order of `columns`. `validation` judges the rows that are left undecided.
        """
        return None

    @abstractmethod
    def validation(self, *, max_rejected: float = 0.05, with_target: bool = True) -> RowValidation:
        """Return what checks raw rows; see `validation.Validation` for the parameters."""

    def groups(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return one number per row, equal where rows are of the same group, and the same in every process.

        Rows that are equal to a model are a group by default.

        Returns
        -------
        groups : ndarray of shape (n_samples,), uint64
        """
        return self.distinct(accepted)

    @abstractmethod
    def distinct(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return one number per row, equal where a model is given the same.

        Returns
        -------
        codes : ndarray of shape (n_samples,), int64 or uint64
        """

    @abstractmethod
    def make_sample(self, n_samples: int, *, random_state: int = 0) -> pd.DataFrame:
        """Make synthetic raw rows, of both classes.

        Raises
        ------
        ConfigurationError
            The contract has no built-in sample.
        """

    def make_probe(self, examples: pd.DataFrame | None = None) -> pd.DataFrame:  # noqa: ARG002 (a table needs them)
        """Return made-up rows to probe a model with, as `X`.

        Parameters
        ----------
        examples : DataFrame of shape (n_samples, n_columns), optional
            Rows of `X` behind the model; a contract with a built-in sample does without.
        """
        accepted, _ = self.validation(with_target=False).add(self.make_sample(_N_PROBES))
        return self.to_X(accepted)

    def to_X(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return what a model is given of accepted rows, of shape (n_samples, n_columns)."""
        return accepted[list(self.columns)]

    def to_y(self, accepted: pd.DataFrame) -> np.ndarray:
        """Return the label of accepted rows, int8 of shape (n_samples,): 1 is phishing."""
        return accepted[self.target].to_numpy("int8")

    @abstractmethod
    def is_own(self, column: object) -> bool:
        """Return whether a column of raw rows is read, rather than passed on, when rows are scored."""

    @property
    @abstractmethod
    def stored(self) -> tuple[Column, ...]:
        """The columns of a row in a collection, the target last."""

    def to_raw(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return accepted rows as a collection stores them, under the names of `stored`: valid again when read."""
        return accepted

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

    @property
    @abstractmethod
    def watched(self) -> tuple[Column, ...]:
        """The columns that drift compares: codes, numbers and categories; the target last."""

    def to_watched(self, accepted: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of `watched` of accepted rows, and the target only of rows that have one."""
        return accepted[[of.name for of in self.watched if of.name in accepted]]

    @property
    def alike(self) -> bool:
        """Whether rows of a group are alike rather than equal: drift allows for that column by column."""
        return False

    def examples(self, accepted: pd.DataFrame) -> tuple[str, ...]:  # noqa: ARG002 (most contracts need none)
        """Return some rows to compare a prediction's row with, where no counts of columns can do that."""
        return ()

    @property
    def document(self) -> str:
        """The contract as a YAML document, for people and for what is stored with a model."""
        about = {"contract": self.name, "target": self.target, "group": self.group}
        return yaml.safe_dump({**about, "schema": yaml.safe_load(self.schema.to_yaml() or "")}, sort_keys=False)

    @property
    def sha256(self) -> str:
        """Fingerprint of what the contract says, in hex: models of two with the same name may not be mixed up."""
        return hashlib.sha256(json.dumps([self.name, *self.columns, self.target]).encode()).hexdigest()

    def with_positive(self, positive: str | None) -> Self:
        """Return the contract with another `positive`, the label's value that means phishing; None changes nothing."""
        return self if positive is None else replace(self, positive=positive)

    def validate(self, frame: pd.DataFrame, *, max_rejected: float = 0.05) -> Validated:
        """Sort raw rows into those fit to learn from and those that are not; see `validation.validate`."""
        validation = self.validation(max_rejected=max_rejected)
        accepted, rejected = validation.add(frame)
        return Validated(accepted, rejected, validation.finish())

    def to_X_y(self, accepted: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """Return accepted rows, with their target, as scikit-learn takes them."""
        return self.to_X(accepted), self.to_y(accepted)
