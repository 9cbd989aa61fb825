"""The check that rows are those of a table that a file describes.

Accepted rows have the table's columns, numbers as float64 and categories as text, then the columns of its groups and,
with a target, the label: 1 is phishing, 0 legitimate. A cell is never repaired: it is valid, missing where that is
allowed, or its row is rejected with a reason.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from networksecurity.data.columns import normalized
from networksecurity.data.labels import label_text as as_label
from networksecurity.data.look_alikes import look_alike
from networksecurity.data.raw import CONFLICT
from networksecurity.data.schema import CLASS_LABELS, MISSING_MARKERS, REASONS
from networksecurity.data.tables.file import Feature, TableFile
from networksecurity.data.validated import Tally, ValidationReport, conforming
from networksecurity.exceptions import DataValidationError, listed, shortened


class TableValidation:
    """The check of rows that come in batches.

    Parameters
    ----------
    max_rejected : float, default=0.05
        Largest share of rejected rows, in [0, 1], that is not taken for a sign of a wrong file.
    with_target : bool, default=True
        Whether rows need a label, and the columns of their group.
    """

    def __init__(self, table: TableFile, *, max_rejected: float = 0.05, with_target: bool = True) -> None:
        self._table = table
        self._with_target = with_target
        self._schema = accepted_schema(table, with_target=with_target)
        self._wanted = [*self._schema.columns]
        self._tally = Tally(max_rejected)
        self._n_missing: Counter[str] = Counter()
        self._renamed: dict[str, str] = {}
        self._dropped: list[str] = []

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Judge a batch of raw rows.

        Returns
        -------
        accepted : DataFrame of shape (n_accepted, n_columns)
            Conforms to `accepted_schema`; the frame's index.
        rejected : DataFrame of shape (n_rejected, n_columns + 1)
            The original values under the table's names, then `reasons`.

        Raises
        ------
        DataValidationError
            A column is missing, or stands there twice.
        """
        given = self._resolve(frame)
        found: dict[str, Any] = {}
        reasons: dict[str, np.ndarray] = {}
        for name in self._wanted:
            found[name], why = self._read(name, frame[given[name]])
            if (bad := why != "").any():
                reasons[name] = why
                self._tally.reject(why[bad], frame[given[name]][bad])
        rejected_rows = np.zeros(len(frame), dtype=bool)
        for why in reasons.values():
            rejected_rows |= why != ""
        accepted = conforming(pd.DataFrame(found, index=frame.index)[~rejected_rows], self._schema)
        joined = [
            "; ".join(filter(None, cells))
            for cells in zip(*(why[rejected_rows] for why in reasons.values()), strict=True)
        ]
        rejected = pd.DataFrame(frame.loc[rejected_rows, list(given.values())]).set_axis(list(given), axis=1).copy()
        rejected[REASONS] = pd.Series(joined, rejected.index, dtype="str")
        self._count(accepted, rejected)
        return accepted, rejected

    def _resolve(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Return, by name, what each wanted column is called in the frame."""
        given: dict[str, Any] = {}
        for column in frame:
            name = self._table.names.get(normalized(column))
            if name is None or name not in self._wanted:
                continue
            if name in given and column != name and given[name] != name:
                first, second, meant = (shortened(each, 60) for each in (given[name], column, name))
                raise DataValidationError(f"{first} and {second} are both {meant}: keep one of them")
            if column == name or name not in given:
                given[name] = column
        if missing := [name for name in self._wanted if name not in given]:
            hint = ""
            if len(missing) > len(self._wanted) / 2:
                hint = look_alike(frame, instead_of=self._table.name, with_target=self._with_target)
            raise DataValidationError(
                f"these are not rows of {self._table.name}: {len(missing)} of its {len(self._wanted)} columns "
                f"{'is' if len(missing) == 1 else 'are'} missing ({listed(missing, most=100)}); there are "
                f"{listed(frame, most=100)}{hint}"
            )
        self._renamed = {str(column): name for name, column in given.items() if column != name}
        self._dropped = [str(column) for column in frame if column not in given.values()]
        return {name: given[name] for name in self._wanted}

    def _read(self, name: str, raw: pd.Series) -> tuple[Any, np.ndarray]:
        """Return a column's values, and for each why it is not valid, or an empty text."""
        if feature := self._table.features.get(name):
            if feature.column.kind == "number":
                return read_numbers(raw, feature, self._table.missing)
            return read_categories(raw, feature, self._table.missing)
        if name == self._table.target:
            return self._read_labels(raw)
        texts = as_text(raw, self._table.missing)
        return texts, np.where(texts.isna(), f"{name} is missing", "").astype(object)

    def _read_labels(self, raw: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        table = self._table
        of_row, distinct = pd.factorize(raw.map(as_label, na_action="ignore"))
        codes = {as_label(table.positive): 1, as_label(table.negative): 0}
        labels = np.array([*(codes.get(text, -1) for text in distinct), -1], dtype="int8")[of_row]
        wrong = f"{table.target} is not one of {table.positive}, {table.negative}"
        missing = np.array([*(text in MISSING_MARKERS for text in distinct), True])[of_row]
        return labels, np.where(
            labels >= 0, "", np.where(missing & (labels < 0), f"{table.target} is missing", wrong)
        ).astype(object)

    def _count(self, accepted: pd.DataFrame, rejected: pd.DataFrame) -> None:
        labels = accepted[self._table.target].to_numpy() if self._with_target else None
        self._tally.add(len(accepted) + len(rejected), len(rejected), labels)
        self._n_missing.update({str(name): int(n) for name, n in accepted.isna().sum().items() if n})

    def finish(self) -> ValidationReport:
        """Judge all rows together and return what was found.

        Raises
        ------
        DataValidationError
            No rows; more rejected rows than `max_rejected`; only one class.
        """
        labels = {
            0: f"{self._table.target} = {self._table.negative}",
            1: f"{self._table.target} = {self._table.positive}",
        }
        return self._tally.report(
            labels if self._with_target else None,
            n_missing={name: self._n_missing[name] for name in self._wanted if self._n_missing[name]},
            dropped_columns=self._dropped,
            renamed_columns=self._renamed,
        )


def accepted_schema(table: TableFile, *, with_target: bool = True) -> pa.DataFrameSchema:
    """Return the schema of accepted rows."""
    columns = {
        name: pa.Column(
            "float64" if of.column.kind == "number" else "str",
            [check for check, _ in of.checks],
            nullable=of.nullable,
            description=of.description or None,
        )
        for name, of in table.features.items()
    }
    if with_target:
        columns |= {name: pa.Column("str") for name in table.group if name not in columns}
        columns[table.target] = pa.Column("int8", pa.Check.isin(list(CLASS_LABELS)))
    return pa.DataFrameSchema(columns, strict=True, ordered=True)


def read_numbers(raw: pd.Series, feature: Feature, missing: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as float64, NaN where a value is missing, and why a cell is not valid, or an empty text."""
    name = feature.column.name
    why = np.full(len(raw), "", dtype=object)
    if pd.api.types.is_numeric_dtype(raw.dtype) and not pd.api.types.is_bool_dtype(raw.dtype):
        values = raw.to_numpy("float64", na_value=np.nan)
    else:
        of_row, distinct = pd.factorize(raw.map(str, na_action="ignore"))
        text = pd.Series(distinct, dtype="str").str.strip()
        absent = text.str.casefold().isin(MISSING_MARKERS)
        numbers = pd.to_numeric(text.mask(absent), errors="coerce").to_numpy("float64")
        odd = np.isnan(numbers) & ~absent.to_numpy(bool)
        values = np.append(numbers, np.nan)[of_row]
        why[np.append(odd, False)[of_row]] = f"{name} is not a number"
        two = text.str.startswith(CONFLICT).to_numpy(bool)
        why[np.append(two, False)[of_row]] = f"{name} is spelled in two ways that differ"
    markers = pd.to_numeric(pd.Series([*missing], dtype="str"), errors="coerce").to_numpy("float64")
    values = np.where(np.isin(values, markers), np.nan, values)
    absent = np.isnan(values)
    why[np.isinf(values)] = f"{name} is not a number"
    if feature.whole:
        why[~absent & (why == "") & (values != np.trunc(values))] = f"{name} is not a whole number"
    return values, _checked(pd.Series(values, raw.index), absent, why, feature)


def read_categories(raw: pd.Series, feature: Feature, missing: frozenset[str]) -> tuple[pd.Series, np.ndarray]:
    """Return a column as text, and why a cell is not valid, or an empty text."""
    texts = as_text(raw, missing, keep=frozenset(map(str, feature.allowed)))
    why = np.full(len(raw), "", dtype=object)
    if feature.allowed:  # as they are written: `1` and `1.0` are the same category
        spelling = {as_label(value): str(value) for value in feature.allowed}
        texts = texts.map(lambda text: text if text in feature.allowed else spelling.get(as_label(text), text)).astype(
            "str"
        )
    why[texts.str.startswith(CONFLICT).eq(True).to_numpy()] = (
        f"{feature.column.name} is spelled in two ways that differ"
    )
    return texts, _checked(texts, texts.isna().to_numpy(), why, feature)


def as_text(raw: pd.Series, missing: frozenset[str], keep: frozenset[str] = frozenset()) -> pd.Series:
    """Return cells as text without blanks around it, whole numbers as such; missing ones are None, but for `keep`."""
    of_row, distinct = pd.factorize(raw)
    texts = [
        str(int(cell)) if isinstance(cell, float | np.floating) and cell.is_integer() else str(cell).strip()
        for cell in distinct
    ]
    cells = [
        None if text not in keep and (text.casefold() in MISSING_MARKERS or as_label(text) in missing) else text
        for text in texts
    ]
    return pd.Series(np.array([*cells, None], dtype=object)[of_row], raw.index, dtype="str")


def _checked(values: pd.Series, absent: np.ndarray, why: np.ndarray, feature: Feature) -> np.ndarray:
    """Return the reasons, with those of missing values and of the checks that a value fails."""
    name = feature.column.name
    if not feature.nullable:
        why[absent & (why == "")] = f"{name} is missing"
    for check, passes in feature.checks:
        known = ~absent & (why == "")
        passed = np.ones(len(values), dtype=bool)
        if known.any():
            passed[known] = np.asarray(check(values[known]).check_output, dtype=bool)
        why[known & ~passed] = f"{name} is not {passes}"
    return why
