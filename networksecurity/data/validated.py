"""The outcome of a check of raw rows: the accepted ones, the rejected ones, and what was found."""

from dataclasses import asdict, dataclass, field

import pandas as pd


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
    """Addresses that were written so that nobody follows them, such as `hxxp://evil[.]example`."""
    n_duplicates: int = 0
    """Rows whose address stands in an earlier row; only of addresses."""
    n_conflicts: int = 0
    """Addresses with both labels."""

    def remarks(self) -> list[str]:
        """Return a sentence for each thing worth saying of accepted rows.

        Examples
        --------
        >>> ValidationReport(9, 9, 0, 0.5, n_duplicates=2, n_conflicts=1).remarks()
        ['2 rows repeat the address of an earlier row', '1 addresses have both labels']
        """
        said = {
            "addresses were written so that nobody follows them, as hxxp or [.], and were refanged": self.n_refanged,
            "rows repeat the address of an earlier row": self.n_duplicates,
            "addresses have both labels": self.n_conflicts,
        }
        return [*self.notes, *(f"{count:,} {what}" for what, count in said.items() if count)]

    def to_dict(self) -> dict:
        """Return the report as plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Validated:
    """The outcome of `validate`: every row of the input is in exactly one of the two frames.

    Attributes
    ----------
    accepted : DataFrame of shape (n_accepted, 31), or (n_accepted, 30) without a target
        Conforms to `PhishingWebsites`; the input's index is kept.
    rejected : DataFrame of shape (n_rejected, 32) or (n_rejected, 31)
        The original values under the schema's column names, then `reasons`, a str; the input's index is kept.
    report : ValidationReport
    """

    accepted: pd.DataFrame
    rejected: pd.DataFrame
    report: ValidationReport
