"""The check that rows conform to the schema.

Raw rows exist only between a source and `validate`. It never repairs a value: a cell is a member of its column's
domain, or missing (legal in a feature), or the row is rejected with a reason.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from networksecurity.data.labels import Recoding
from networksecurity.data.look_alikes import look_alike
from networksecurity.data.raw import CONFLICT
from networksecurity.data.schema import (
    DOMAINS,
    FEATURES,
    FEATURES_ONLY,
    MISSING,
    MISSING_MARKERS,
    PHISHING_WEBSITES,
    TARGET,
    canonical_name,
    encode_target,
    left_out,
)
from networksecurity.data.validated import Tally, Validated, ValidationReport, conforming
from networksecurity.exceptions import MOST_QUOTED, DataValidationError, listed, shortened

_KNOWN_CORRELATIONS = {"SSLfinal_State": 0.715, "URL_of_Anchor": 0.693}
"""Of the features with the target, in the data set itself: what tells inverted labels from weak ones."""
_MIN_ROWS_FOR_CORRELATIONS = 30
_LABELS = (-1, 1)
_MOST_EXAMPLES = 5
"""Columns of which a message shows values."""
_LONGEST_HINT = 20
"""Characters of a label in an advice."""


_OK, _NOT_A_WHOLE_NUMBER, _OUTSIDE_DOMAIN, _MISSING_TARGET, _CONFLICT = range(5)


def validate(frame: pd.DataFrame, *, max_rejected: float = 0.05) -> Validated:
    """Sort raw rows into those fit to learn from and those that are not.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Raw rows: any of the known spellings of the 31 columns, in any order; numbers, text or both.
    max_rejected : float, default=0.05
        Largest tolerated share of rejected rows, in [0, 1]; more are a sign of a wrong file.

    Raises
    ------
    DataValidationError
        No rows; a column missing, unknown or duplicated; more rejected rows than `max_rejected`;
        only one class; labels that seem inverted. The message names columns, counts and example values.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> rows = make_phishing_websites(100).rename(columns={"port": "port_no"}).astype(object)
    >>> rows.loc[7, "SFH"] = "abc"
    >>> validated = validate(rows)
    >>> validated.report.n_accepted, validated.report.rejections
    (99, {'SFH is not a whole number': 1})
    >>> validated.rejected[["SFH", "reasons"]]
       SFH                    reasons
    7  abc  SFH is not a whole number
    """
    validation = Validation(max_rejected=max_rejected)
    accepted, rejected = validation.add(frame)
    return Validated(accepted, rejected, validation.finish())


class Validation:
    """The check of rows that come in batches, for data that is not held in memory as a whole.

    Column names and cells are judged batch by batch. What only all rows can tell is judged by `finish`: the share of
    rejected rows, whether both classes exist, whether the labels seem inverted. `validate` does it all for one batch.

    Parameters
    ----------
    max_rejected : float, default=0.05
        Largest tolerated share of rejected rows, in [0, 1]; more are a sign of a wrong file.
    with_target : bool, default=True
        Rows to learn from have a target. Rows to predict need none: all columns but the features are left out of the
        check and of both frames, the target too.
    positive : str, optional
        The value of the target that means phishing, where it is not -1; there may be one other.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> rows = make_phishing_websites(100)
    >>> rows["Result"] = rows["Result"].map({-1: "bad", 1: "good"})
    >>> accepted, rejected = Validation(positive="bad").add(rows)
    >>> accepted["Result"].head(3).tolist(), rows["Result"].head(3).tolist()
    ([1, -1, -1], ['good', 'bad', 'bad'])
    """

    def __init__(self, *, max_rejected: float = 0.05, with_target: bool = True, positive: str | None = None) -> None:
        self._recoding = None if positive is None else Recoding(positive)
        self._tally = Tally(max_rejected)
        self._domains = DOMAINS if with_target else FEATURES
        self._n_missing: Counter[str] = Counter()
        self._bad: dict[str, _BadCells] = {}
        self._columns: dict[object, str] = {}
        self._dropped: list[str] = []
        # Accepted rows by known feature's value and label.
        self._tables = {name: np.zeros((len(DOMAINS[name]), len(_LABELS)), np.int64) for name in _KNOWN_CORRELATIONS}

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Judge a batch of raw rows.

        Returns
        -------
        accepted : DataFrame of shape (n_accepted, 31) or (n_accepted, 30)
        rejected : DataFrame of shape (n_rejected, 32) or (n_rejected, 31)
            As in `Validated`.

        Raises
        ------
        DataValidationError
            A column is missing, unknown or duplicated.
        """
        self._columns, self._dropped = _resolve_columns(frame, self._domains)
        frame = frame.rename(columns=self._columns)  # shares the values: a copy of the whole frame is made nowhere

        codes: dict[str, np.ndarray] = {}
        verdicts: dict[str, np.ndarray] = {}
        rejected_rows = np.zeros(len(frame), dtype=bool)
        for name, domain in self._domains.items():
            codes[name], verdict = _read_column(self._recoded(frame[name]), domain)
            if name == TARGET:
                verdict[(codes[name] == MISSING) & (verdict == _OK)] = _MISSING_TARGET
            if verdict.any():
                verdicts[name] = verdict
                rejected_rows |= verdict != _OK
                self._bad.setdefault(name, _BadCells()).add(frame[name][verdict != _OK])

        accepted = _to_accepted(codes, ~rejected_rows, frame.index)
        rejected = pd.DataFrame(frame.loc[rejected_rows, list(self._domains)])
        reasons, rejections = _explain(verdicts, rejected_rows)
        rejected["reasons"] = reasons.set_axis(rejected.index)

        self._tally.add(len(frame), len(rejected), encode_target(accepted[TARGET]) if TARGET in accepted else None)
        self._tally.rejections.update(rejections)
        self._n_missing.update({str(name): int(count) for name, count in accepted.isna().sum().items() if count})
        if TARGET in accepted:
            self._count_labels(accepted)
        return accepted, rejected

    def _recoded(self, raw: pd.Series) -> pd.Series:
        """Return a target as the schema writes it, and any other column as it is."""
        if self._recoding is None or raw.name != TARGET:
            return raw
        is_conflict = raw.map(lambda cell: str(cell).startswith(CONFLICT))
        labels = self._recoding.read(raw.mask(is_conflict))
        return (1 - 2 * labels).astype(object).mask(is_conflict, raw)

    def _count_labels(self, accepted: pd.DataFrame) -> None:
        labels = accepted[TARGET].to_numpy("int8")
        for name, table in self._tables.items():
            values = accepted[name].to_numpy("int8", na_value=MISSING)
            table += [
                [np.count_nonzero((values == value) & (labels == label)) for label in _LABELS]
                for value in DOMAINS[name]
            ]

    def _hint(self) -> str:
        """Return how to read a target that is written in another way, if this one is."""
        if TARGET not in self._bad or self._recoding is not None:
            return ""
        value = shortened(self._bad[TARGET].examples[0].strip("'"), _LONGEST_HINT)
        return f". If {TARGET} is written in another way, say which value means phishing, such as --positive {value}"

    def finish(self) -> ValidationReport:
        """Judge all rows together and return what was found.

        Raises
        ------
        DataValidationError
            No rows; more rejected rows than `max_rejected`; only one class; labels that seem inverted.
        """
        self._tally.check_rejected(lambda: _examples(self._bad) + self._hint())
        if has_target := TARGET in self._domains:
            _check_target(self._tally.n_labels, self._tables, self._hint())
        return self._tally.summed_up(
            has_labels=has_target,
            n_missing={name: self._n_missing[name] for name in self._domains if self._n_missing[name]},
            dropped_columns=self._dropped,
            notes=_notes(self._dropped) if has_target else [],
            renamed_columns={str(column): name for column, name in self._columns.items() if column != name},
        )


@dataclass
class _BadCells:
    """How many cells of a column are not valid, and what some of them hold."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, cells: pd.Series, most: int = 3) -> None:
        self.count += len(cells)
        if len(self.examples) < most:  # of a batch full of them, the first thousand will do
            shown = (shortened(repr(cell)) for cell in cells.head(1000).tolist())
            found = dict.fromkeys([*self.examples, *shown])
            self.examples = list(found)[:most]


def _resolve_columns(frame: pd.DataFrame, domains: dict[str, Any]) -> tuple[dict[object, str], list[str]]:
    columns: dict[object, str] = {}
    dropped, unknown, twice = [], [], []
    no_features = left_out(frame.columns)
    for column in frame.columns:
        name = canonical_name(column)
        if name not in domains:
            # What comes along with rows to predict is theirs: an address, a key, a label.
            (dropped if str(column) in no_features or TARGET not in domains else unknown).append(str(column))
        elif name in columns.values() or column in columns:
            twice.append(f"{column} ({name})" if column != name else name)
        else:
            columns[column] = name
    missing = [name for name in domains if name not in columns.values()]
    problems = [
        f"{len(names)} {problem}: {listed(names, most=most)}"
        for names, problem, most in (
            (missing, "missing", MOST_QUOTED),
            (unknown, "unknown", 100),
            (twice, "duplicated", 100),
        )
        if names
    ]
    if problems:
        wanted = f"{len(FEATURES)} features" + (f" and {TARGET}" if TARGET in domains else "")
        hint = ""
        if len(missing) > len(domains) / 2:
            hint = look_alike(frame, instead_of="websites", with_target=TARGET in domains)
        raise DataValidationError(
            f"these are not the columns of the phishing websites data ({wanted}); {'; '.join(problems)}{hint}"
        )
    return columns, dropped


def _notes(dropped: list[str]) -> list[str]:
    named = [f"{shortened(column, 40)} ({why})" for column, why in left_out(dropped).items()]
    return [f"columns that are no features were left out: {listed(named)}"] if named else []


def _read_column(raw: pd.Series, domain: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the column's values as int8, `MISSING` for those without one, and a verdict per row, int8."""
    if pd.api.types.is_bool_dtype(raw.dtype):
        return np.full(len(raw), MISSING, "int8"), np.full(len(raw), _NOT_A_WHOLE_NUMBER, "int8")
    if pd.api.types.is_integer_dtype(raw.dtype) or pd.api.types.is_float_dtype(raw.dtype):
        return _read_numbers(raw, domain)
    # Text: a column has few distinct values, so each is read once.
    labels, distinct = pd.factorize(_as_text(raw), use_na_sentinel=True)
    codes, verdicts = _read_text(pd.Series(distinct, dtype="str"), domain)
    # The sentinel -1 picks the last entry: a missing value.
    return np.append(codes, np.int8(MISSING))[labels], np.append(verdicts, np.int8(_OK))[labels]


def _as_text(raw: pd.Series) -> pd.Series:
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(raw.cat.categories.dtype)
    if raw.dtype != object:
        return raw.astype("str")
    if set(map(type, raw.tolist())) <= {int, float, str, type(None)}:
        return raw
    # Left as they are, True and 1 would be equal, and a dict has no hash.
    return raw.map(str, na_action="ignore")


def _read_numbers(raw: pd.Series, domain: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    missing = raw.isna().to_numpy()
    values = raw.to_numpy("float64", na_value=0.0) if missing.any() else raw.to_numpy()
    known = np.zeros(len(raw), dtype=bool)
    for value in domain:
        known |= values == value
    bad = ~(known | missing)
    codes = np.full(len(raw), MISSING, "int8")
    np.copyto(codes, values, where=known & ~missing, casting="unsafe")
    verdicts = np.zeros(len(raw), dtype="int8")
    if bad.any():
        verdicts[bad] = np.where(values[bad] == np.trunc(values[bad]), _OUTSIDE_DOMAIN, _NOT_A_WHOLE_NUMBER)
    return codes, verdicts


def _read_text(distinct: pd.Series, domain: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    text = distinct.str.strip()
    missing = text.str.casefold().isin(MISSING_MARKERS)
    codes, verdicts = _read_numbers(pd.to_numeric(text.mask(missing), errors="coerce"), domain)
    verdicts[(codes == MISSING) & (verdicts == _OK) & ~missing] = _NOT_A_WHOLE_NUMBER
    verdicts[text.str.startswith(CONFLICT).to_numpy(bool)] = _CONFLICT
    return codes, verdicts


def _to_accepted(codes: dict[str, np.ndarray], rows: np.ndarray, index: pd.Index) -> pd.DataFrame:
    everything = bool(rows.all())
    columns = {}
    for name, column in codes.items():
        values = column if everything else column[rows]
        columns[name] = pd.arrays.IntegerArray(values, values == MISSING)
    accepted = pd.DataFrame(columns, index=index if everything else index[rows], copy=False)
    return conforming(accepted, PHISHING_WEBSITES if TARGET in codes else FEATURES_ONLY)


def _check_target(labels: np.ndarray, tables: dict[str, np.ndarray], hint: str) -> None:
    """Refuse a target that cannot be learnt from, by the rows of each class, and those per known feature and label."""
    if np.count_nonzero(labels) < len(_LABELS):
        only = f"all {labels.sum()} rows have {TARGET} = {'-1' if labels[1] else '1'}"
        found = only if labels.any() else "no row is left"
        raise DataValidationError(
            f"both classes are needed to learn from, -1 (phishing) and 1 (legitimate): {found}{hint}"
        )
    if labels.sum() < _MIN_ROWS_FOR_CORRELATIONS:
        return
    correlations = {name: _correlation(DOMAINS[name], table) for name, table in tables.items()}
    if all(correlation <= -_KNOWN_CORRELATIONS[name] / 2 for name, correlation in correlations.items()):
        found = ", ".join(f"{name} {value:+.2f}" for name, value in correlations.items())
        known = ", ".join(f"{name} {value:+.2f}" for name, value in _KNOWN_CORRELATIONS.items())
        raise DataValidationError(
            f"the labels seem inverted: their correlations with {TARGET} are {found}; known are {known}. "
            f"{TARGET} must be -1 for phishing and 1 for legitimate"
        )


def _correlation(values: tuple[int, ...], table: np.ndarray) -> float:
    """Return Pearson's correlation of a feature with the target from their contingency table, 0 if it has none."""
    x, y = np.repeat(values, len(_LABELS)), np.tile(_LABELS, len(values))
    if table.sum() < 2:
        return 0.0
    (xx, xy), (_, yy) = np.cov(x, y, fweights=table.ravel())
    return float(xy / np.sqrt(xx * yy)) if xx * yy > 0 else 0.0


def _reason(name: str, verdict: int) -> str:
    if verdict == _NOT_A_WHOLE_NUMBER:
        return f"{name} is not a whole number"
    if verdict == _OUTSIDE_DOMAIN:
        return f"{name} is not one of {', '.join(map(str, DOMAINS[name]))}"
    if verdict == _CONFLICT:
        return f"{name} is spelled in two ways that differ"
    return f"{name} is missing"


def _examples(bad: dict[str, _BadCells]) -> str:
    """Return, for an error message, the columns with the most bad cells, their counts and some of their values."""
    worst = sorted(bad, key=lambda name: -bad[name].count)
    most = (MOST_QUOTED - _LONGEST_HINT) // min(len(worst), _MOST_EXAMPLES)
    found = [
        f"{name} has {bad[name].count} (such as {listed(bad[name].examples, most=most)}; "
        f"allowed: {', '.join(map(str, DOMAINS[name]))})"
        for name in worst[:_MOST_EXAMPLES]
    ]
    rest = len(worst) - len(found)
    return ", ".join(found) + (f" and {rest} more" if rest else "")


def _explain(verdicts: dict[str, np.ndarray], rejected_rows: np.ndarray) -> tuple[pd.Series, dict[str, int]]:
    """Return the reasons of each rejected row, joined, and how often each reason was given."""
    kinds = (_NOT_A_WHOLE_NUMBER, _OUTSIDE_DOMAIN, _MISSING_TARGET, _CONFLICT)
    reasons = [_reason(name, kind) for name in verdicts for kind in kinds]
    none = np.array([], dtype=np.intp)
    rows = np.concatenate([none, *(np.flatnonzero(verdict) for verdict in verdicts.values())])
    # A bad cell's reason, as a position in `reasons`.
    given = np.concatenate(
        [none, *(len(kinds) * i + verdict[verdict != _OK] - 1 for i, verdict in enumerate(verdicts.values()))]
    )
    counts = np.bincount(given, minlength=len(reasons))
    order = np.argsort(rows, kind="stable")
    n_reasons = np.bincount(rows, minlength=len(rejected_rows))[rejected_rows]
    lists = pyarrow.ListArray.from_arrays(
        pyarrow.array(np.append(0, np.cumsum(n_reasons)), pyarrow.int32()),
        pyarrow.array(reasons, pyarrow.string()).take(pyarrow.array(given[order])),
    )
    joined = pyarrow.compute.binary_join(lists, "; ")
    return (
        pd.Series(joined.to_pandas(), dtype="str"),
        {reason: int(count) for reason, count in zip(reasons, counts, strict=True) if count},
    )
