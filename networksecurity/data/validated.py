"""The outcome of a check of raw rows: the accepted ones, the rejected ones, and what was found."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandera.errors import SchemaError
from pandera.pandas import DataFrameSchema

from networksecurity.exceptions import MOST_QUOTED, DataValidationError, counted, listed, one_line, shortened

_N_EXAMPLES = 3
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class ValidationReport:
    """What `validate` found, in plain values."""

    n_rows: int
    n_accepted: int
    n_rejected: int
    phishing_share: float | None
    """Of the accepted rows; None where they have no target."""
    n_missing: dict[str, int] = field(default_factory=dict)
    """Missing cells of accepted rows, by column; columns without any are left out."""
    rejections: dict[str, int] = field(default_factory=dict)
    """Rejected cells by reason; a row may have several."""
    dropped_columns: list[str] = field(default_factory=list)
    """Row numbers, keys and earlier predictions, dropped by name; without a target, all that are no features."""
    notes: list[str] = field(default_factory=list)
    """What people should know of how the rows were read, a sentence each."""
    renamed_columns: dict[str, str] = field(default_factory=dict)
    """Known other spellings, to the schema's names."""
    n_refanged: int = 0
    """Addresses that were written to keep people from following them, such as `hxxp://evil[.]example`."""
    n_duplicates: int = 0
    """Rows whose address stands in an earlier row; only of addresses."""
    n_conflicts: int = 0
    """Addresses with both labels."""

    def remarks(self) -> list[str]:
        """Return a sentence for each thing worth saying of accepted rows.

        Examples
        --------
        >>> ValidationReport(9, 9, 0, 0.5, n_duplicates=2, n_conflicts=1).remarks()
        ['2 rows repeat the address of an earlier row', '1 address has both labels']
        """
        said = (
            (self.n_refanged, "address was", "addresses were", "refanged (hxxp read as http, [.] as a dot)"),
            (self.n_duplicates, "row repeats", "rows repeat", "the address of an earlier row"),
            (self.n_conflicts, "address has", "addresses have", "both labels"),
        )
        return [
            *self.notes,
            *(f"{counted(count, one, many)} {what}" for count, one, many, what in said if count),
        ]

    def to_dict(self) -> dict:
        """Return the report as plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Validated:
    """The outcome of `validate`: every row of the input is in exactly one of the two frames."""

    accepted: pd.DataFrame
    """Of shape (n_accepted, 31), or (n_accepted, 30) without a target; conforms to `schema.PHISHING_WEBSITES`. The
    input's index is kept."""
    rejected: pd.DataFrame
    """Of shape (n_rejected, 32) or (n_rejected, 31): the original values under the schema's column names, then
    `reasons`, a str. The input's index is kept."""
    report: ValidationReport


def conforming(accepted: pd.DataFrame, schema: DataFrameSchema) -> pd.DataFrame:
    """Return accepted rows; raise DataValidationError if they do not conform to their schema."""
    try:
        return schema.validate(accepted)
    except SchemaError as exc:
        raise DataValidationError(f"accepted rows do not conform to the schema: {one_line(exc)}") from exc


@dataclass
class Tally:
    """What was found in batches of rows so far, to judge them together.

    Examples
    --------
    >>> tally = Tally(max_rejected=0.5)
    >>> tally.add(n_rows=3, n_rejected=1, y=np.array([1, 0], "int8"))
    >>> tally.reject(np.array(["url: there is none"]), pd.Series([""]))
    >>> tally.report({0: "label = good", 1: "label = bad"}).phishing_share
    0.5
    """

    max_rejected: float
    """Largest share of rejected rows, in [0, 1], that is not taken for a sign of a wrong file."""
    n_rows: int = 0
    n_rejected: int = 0
    n_labels: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))
    """Accepted rows that are legitimate, and that are phishing."""
    rejections: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some cells, by the reason to reject them."""

    def add(self, n_rows: int, n_rejected: int, y: np.ndarray | None) -> None:
        """Count the rows of a batch; `y` is the label of the accepted ones, None where rows have none."""
        self.n_rows += n_rows
        self.n_rejected += n_rejected
        if y is not None:
            self.n_labels += np.bincount(y, minlength=2)

    def reject(self, reasons: np.ndarray, cells: pd.Series) -> None:
        """Count cells that are not valid, with the reason of each."""
        self.rejections.update(reasons.tolist())
        for reason in dict.fromkeys(reasons.tolist()):
            shown = [repr(shortened(cell, _LONGEST_SHOWN)) for cell in cells[reasons == reason].head(_N_EXAMPLES)]
            self.examples[reason] = list(dict.fromkeys([*self.examples.get(reason, []), *shown]))[:_N_EXAMPLES]

    def report(self, labels: dict[int, str] | None, *, hint: str = "", **found: Any) -> ValidationReport:
        """Judge all rows together.

        Parameters
        ----------
        labels : dict or None
            What each label is called; None where rows have none.
        hint : str, default=''
            What to do about too many rejected rows.
        found
            Other fields of the report.

        Raises
        ------
        DataValidationError
            No rows; more rejected rows than `max_rejected`; only one class.
        """
        self.check_rejected(lambda: self._most_frequent() + hint)
        n_accepted = self.n_rows - self.n_rejected
        if labels is not None and not self.n_labels.all():
            only = (
                f"all {n_accepted} rows have {labels[int(self.n_labels.argmax())]}" if n_accepted else "no row is left"
            )
            raise DataValidationError(f"both classes are needed to learn from: {only}")
        return self.summed_up(has_labels=labels is not None, **found)

    def check_rejected(self, found: Callable[[], str]) -> None:
        """Refuse a source that is empty or, with what was `found`, of which too large a share is rejected.

        Raises
        ------
        DataValidationError
            No rows, or more rejected rows than `max_rejected`.
        """
        if not self.n_rows:
            raise DataValidationError("there are no rows: the source has the right columns, but they are empty")
        if self.n_rejected > self.max_rejected * self.n_rows:
            raise DataValidationError(
                f"{self.n_rejected} of {self.n_rows} rows ({self.n_rejected / self.n_rows:.1%}) are not valid, more "
                f"than the tolerated {self.max_rejected:.1%} (max_rejected): {found()}"
            )

    def summed_up(self, *, has_labels: bool, **found: Any) -> ValidationReport:
        """Return the report, without a judgement."""
        n_accepted = self.n_rows - self.n_rejected
        return ValidationReport(
            n_rows=self.n_rows,
            n_accepted=n_accepted,
            n_rejected=self.n_rejected,
            phishing_share=float(self.n_labels[1] / n_accepted) if has_labels else None,
            rejections=dict(self.rejections),
            **found,
        )

    def _most_frequent(self) -> str:
        most = self.rejections.most_common(_N_EXAMPLES)
        quoted = MOST_QUOTED // max(len(most), 1)
        return "; ".join(
            f"{n} times {reason}, such as {listed(self.examples[reason], most=quoted)}" for reason, n in most
        )
