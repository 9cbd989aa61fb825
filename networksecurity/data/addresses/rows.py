"""The check that rows hold an address and, to learn from, a label.

Accepted rows have the normalized address (`url`), its registrable domain (`domain`) and, with a target, the label: 1 is
phishing, 0 legitimate. Nothing is guessed: a label is one of the words below, or the value that the user says.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

from networksecurity.data.addresses.address import parse_addresses
from networksecurity.data.addresses.names import NAMES, TARGET, URL, canonical_name
from networksecurity.data.columns import normalized
from networksecurity.data.hashing import hashed
from networksecurity.data.labels import Recoding, label_text
from networksecurity.data.look_alikes import look_alike
from networksecurity.data.schema import CLASS_LABELS, MISSING_MARKERS, REASONS, is_row_number
from networksecurity.data.validated import Tally, ValidationReport, conforming
from networksecurity.exceptions import DataValidationError, listed

DOMAIN = "domain"

_PHISHING = {"phishing", "phish", "bad", "malicious", "spam", "defacement", "malware"}
_LEGITIMATE = {"legitimate", "legit", "good", "benign", "safe", "clean"}
_MEANINGS = dict.fromkeys(_PHISHING, 1) | dict.fromkeys(_LEGITIMATE, 0)
_UNREADABLE = "label: neither phishing nor legitimate"
_SAY_WHICH = ". Say which value of the label means phishing: --positive VALUE"


class AddressRows(pa.DataFrameModel):
    """Accepted rows: these columns in this order and no others."""

    url: str = pa.Field(str_startswith="http")
    domain: str = pa.Field(str_length={"min_value": 1})
    label: pd.Int8Dtype = pa.Field(isin=tuple(CLASS_LABELS))

    class Config(pa.DataFrameModel.Config):
        strict = True
        ordered = True


_SCHEMA = AddressRows.to_schema()
_SCHEMA_WITHOUT_TARGET = _SCHEMA.remove_columns([TARGET])


class AddressValidation:
    """The check of addresses that come in batches.

    Parameters
    ----------
    max_rejected : float, default=0.05
        Largest share of rejected rows, in [0, 1], that is not taken for a sign of a wrong file.
    with_target : bool, default=True
        Whether rows need a label.
    positive : str, optional
        The label's value that means phishing, in any case; each other value means legitimate, and there may be one.

    Examples
    --------
    >>> validation = AddressValidation(positive="1")
    >>> accepted, rejected = validation.add(pd.DataFrame({"link": ["hxxp://a[.]test", "b.test", "?"], "y": [1, 0, 0]}))
    Traceback (most recent call last):
    networksecurity.exceptions.DataValidationError: these are not addresses with a label: no column is called label, \
status, type, class, result, target, phishing or isphishing; there are link, y
    >>> accepted, rejected = validation.add(
    ...     pd.DataFrame({"link": ["hxxp://a[.]test", "b.test", "?"], "result": [1, 0, 0]})
    ... )
    >>> accepted["url"].tolist(), accepted["label"].tolist(), rejected["reasons"].tolist()
    (['http://a.test/', 'http://b.test/'], [1, 0], ['url: there is no host'])
    """

    def __init__(self, *, max_rejected: float = 0.05, with_target: bool = True, positive: str | None = None) -> None:
        self._with_target = with_target
        self._recoding = None if positive is None else Recoding(positive)
        self._tally = Tally(max_rejected)
        self._n_refanged = 0
        self._seen: dict[int, int] = {}
        """By the hash of an address, a bit for each of its labels."""
        self._n_duplicates = 0
        self._renamed: dict[str, str] = {}
        self._dropped: list[str] = []

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Judge a batch of raw rows.

        Returns
        -------
        accepted : DataFrame of shape (n_accepted, 3) or (n_accepted, 2)
            Conforms to `AddressRows`; the frame's index.
        rejected : DataFrame of shape (n_rejected, 3) or (n_rejected, 2)
            The original values as `url` and `label`, then `reasons`.

        Raises
        ------
        DataValidationError
            A column is missing or duplicated, or the labels have three values or more though one is said to be
            phishing.
        """
        columns = _resolve(frame, with_target=self._with_target)
        self._renamed = {given: name for name, given in columns.items() if given != name}
        self._dropped = [str(name) for name in frame if name not in columns.values()]
        parsed = parse_addresses(frame[columns[URL]])
        reasons = ("url: " + parsed.reason).astype("str")
        accepted = pd.DataFrame({URL: parsed.normalized, DOMAIN: parsed.registrable_domain})
        if self._with_target:
            labels, unreadable = self._read_labels(frame[columns[TARGET]])
            accepted[TARGET] = labels
            reasons = reasons.where(reasons.notna(), unreadable)
        bad = reasons.notna().to_numpy()
        rejected = (
            frame.loc[bad, list(columns.values())].set_axis(list(columns), axis=1).assign(**{REASONS: reasons[bad]})
        )
        accepted = conforming(accepted[~bad], _SCHEMA if self._with_target else _SCHEMA_WITHOUT_TARGET)
        self._count(len(frame), parsed.n_refanged, accepted, rejected)
        return accepted, rejected

    def _read_labels(self, raw: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Return the labels as Int8, and a reason for each that cannot be read."""
        texts = raw.map(label_text, na_action="ignore")
        missing = texts.isna() | texts.isin(MISSING_MARKERS)
        labels = self._recoding.read(raw) if self._recoding else texts.map(_MEANINGS).astype("Int8")
        unreadable = pd.Series(_UNREADABLE, raw.index, dtype="str")
        unreadable[missing] = "label: it is missing"
        return labels, unreadable.where(labels.isna())

    def _count(self, n_rows: int, n_refanged: int, accepted: pd.DataFrame, rejected: pd.DataFrame) -> None:
        labels = accepted[TARGET].to_numpy("int8") if self._with_target else None
        self._tally.add(n_rows, len(rejected), labels)
        reasons = rejected[REASONS].to_numpy(object)
        for name in rejected.columns.drop(REASONS):
            is_of = rejected[REASONS].str.startswith(f"{name}: ").to_numpy(bool)
            self._tally.reject(reasons[is_of], rejected[name][is_of])
        self._n_refanged += n_refanged
        if labels is not None:
            for code, label in zip(hashed(accepted[URL]).tolist(), labels.tolist(), strict=True):
                known = self._seen.get(code, 0)
                self._n_duplicates += known > 0
                self._seen[code] = known | 1 << label

    def finish(self) -> ValidationReport:
        """Judge all rows together and return what was found.

        Raises
        ------
        DataValidationError
            No rows; more rejected rows than `max_rejected`; only one class.
        """
        most_frequent = [reason for reason, _ in self._tally.rejections.most_common(1)]
        return self._tally.report(
            {value: f"label = {name}" for value, name in CLASS_LABELS.items()} if self._with_target else None,
            hint=_SAY_WHICH if most_frequent == [_UNREADABLE] else "",
            dropped_columns=self._dropped,
            renamed_columns=self._renamed,
            n_refanged=self._n_refanged,
            n_duplicates=self._n_duplicates,
            n_conflicts=sum(1 for labels in self._seen.values() if labels == 3),
        )


def _resolve(frame: pd.DataFrame, *, with_target: bool) -> dict[str, Any]:
    """Return, for `url` and `label`, what the column is called in the frame."""
    found: dict[str, Any] = {}
    for name in (URL, TARGET) if with_target else (URL,):
        fitting = [column for column in frame if canonical_name(column) == name and not is_row_number(column)]
        exact = [column for column in fitting if normalized(column) == name]
        if len(exact or fitting) > 1:
            raise DataValidationError(
                f"several columns could be the {name}: {listed(exact or fitting)}; keep one of them"
            )
        if not fitting:
            names, hint = NAMES[name], look_alike(frame, instead_of="addresses", with_target=with_target)
            raise DataValidationError(
                f"these are not addresses{' with a label' if with_target else ''}: no column is called "
                f"{', '.join(names[:-1])} or {names[-1]}; there are {listed(list(frame))}{hint}"
            )
        found[name] = (exact or fitting)[0]
    return found
