"""The first draft of a table's description, made from its rows, for a person to correct.

| a column is drafted as | if |
| --- | --- |
| a number | at least 95 % of its cells that are not missing are numbers |
| a category | it holds few words: up to 20, each twice on average, or up to 1,000, each 20 times on average |
| a key, not given to a model | it holds other text, one value only, none at all, or row numbers |

The target and the columns of the group are what they are said to be. The check that a column's cells pass, their range
or the list of them, stands behind it as a comment: new rows may well hold other values.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from networksecurity.data.addresses import parse_addresses
from networksecurity.data.columns import Column, normalized
from networksecurity.data.labels import label_text
from networksecurity.data.schema import is_row_number
from networksecurity.data.tables.file import TAKEN, Feature, parse_table
from networksecurity.data.tables.rows import as_text, read_numbers
from networksecurity.exceptions import ConfigurationError, listed, quoted, shortened

MIN_NUMBERS = 0.95
"""Share of numbers among the cells of a column of numbers; the rows of the others are rejected."""

_HOST = re.compile("domain|host|site|server")
_FEW_WORDS = (20, 2)
_MORE_WORDS = (1_000, 20)
_LONGEST_NAME = 40
_LONGEST_COMMENT = 80
_LONGEST_CHECK = 300
"""Characters of a list of words that is written out."""
_N_HOSTS = 200
"""Cells that are read to tell whether a column holds hosts."""
_N_LABELS = 2


@dataclass(frozen=True)
class Drafted:
    """What a column is taken for."""

    name: str
    kind: Literal["number", "category", "key"]
    comment: str
    """The check that its cells pass, or what it holds, or why it is a key."""
    nullable: bool = False
    marks_missing: bool = False
    """Whether -1 is its only negative number, as where -1 stands for a missing value."""


def draw_rows(batches: Iterable[pd.DataFrame], most: int = 100_000) -> tuple[pd.DataFrame, int]:
    """Return rows of a source that are drawn at random, the same ones each time, and how many rows there are.

    A file may be sorted by its label: its first rows would not do.

    Parameters
    ----------
    batches : iterable of DataFrame of shape (n_rows, n_columns)
    most : int, default=100_000
        Rows to draw; a smaller source is returned whole. No more than these and a batch are in memory at a time.

    Examples
    --------
    >>> rows, n_rows = draw_rows((pd.DataFrame({"a": [i, i + 1]}) for i in range(0, 10, 2)), most=3)
    >>> len(rows), n_rows
    (3, 10)
    """
    rng = np.random.default_rng(0)
    drawn, order, n_rows = pd.DataFrame(), np.empty(0), 0
    for batch in batches:
        drawn = pd.concat([drawn, batch]) if n_rows else batch
        order, n_rows = np.append(order, rng.random(len(batch))), n_rows + len(batch)
        if len(drawn) > most:
            kept = np.sort(np.argpartition(order, most)[:most])
            drawn, order = drawn.iloc[kept], order[kept]
    return drawn, n_rows


def draft_table(
    rows: pd.DataFrame, *, name: str, target: str, positive: str, group: Sequence[str] = (), n_rows: int | None = None
) -> str:
    """Return a YAML document that describes rows; `file.parse_table` reads it.

    Parameters
    ----------
    rows : DataFrame of shape (n_samples, n_columns)
        Raw rows, as a source returns them.
    name : str
        What to call the table; see `table_name`.
    target : str
        The column of the label. Here and in `group`, case, blanks and underscores do not count.
    positive : str
        The value of the label that means phishing.
    group : sequence of str, optional
        Columns: rows with the same values there never stand on both sides of a split.
    n_rows : int, optional
        How many rows these were drawn from.

    Raises
    ------
    ConfigurationError
        There are no rows; a column is not there, or its name is that of another one too; the label does not have two
        values, or `positive` is none of them; no column is left to learn from.

    Examples
    --------
    >>> rows = pd.DataFrame({"url": ["a", "b", "c", "d"], "length": [7, 9, None, 7], "bad": [1, 0, 1, 0]})
    >>> print(draft_table(rows, name="shop", target="bad", positive="1"))
    # A first draft, made from 4 rows. Please check every line.
    contract: shop
    target: bad
    positive: 1
    # group: [COLUMN]  # rows with the same value there never stand on both sides of a split
    keys:  # passed on, not given to a model
    - url  # text, 4 different in 4 rows
    schema:
      schema_type: dataframe
      columns:  # the check behind a column goes into its braces, where new rows have to pass it
        length: {dtype: float64, nullable: true}  # in_range: {min_value: 7, max_value: 9}; 1 missing
        bad: {dtype: int64, isin: [1, 0]}
    <BLANKLINE>
    """
    if rows.empty:
        raise ConfigurationError("there are no rows to draft a contract from")
    rows = rows.set_axis([str(column) for column in rows], axis=1)
    names = _by_normalized_name(rows)
    target = _found(target, names)
    groups = list(dict.fromkeys(_found(column, names) for column in group))
    if target in groups:
        raise ConfigurationError(f"the target {quoted(target)} is also the group: name another column")
    labels = _labels(rows[target], target, positive)
    is_part = n_rows is not None and n_rows > len(rows)
    of_columns = [
        _drafted(name, rows[name], is_part=is_part) for name in names.values() if name not in (target, *groups)
    ]
    if all(of.kind == "key" for of in of_columns):
        why = listed([f"{of.name} ({of.comment})" for of in of_columns]) or "there is no other"
        raise ConfigurationError(f"no column is left to learn from: {why}")
    drawn = f", drawn at random from {n_rows:,}" if is_part else ""
    hosts = [of.name for of in of_columns if of.kind != "number" and _holds_hosts(of.name, rows[of.name])]
    lines = [
        f"# A first draft, made from {len(rows):,} rows{drawn}. Please check every line.",
        f"contract: {name}",
        f"target: {_scalar(target)}",
        f"positive: {_scalar(labels[0])}",
        *_group(groups, hosts),
        *_keys(of for of in of_columns if of.kind == "key"),
        *_missing([of.name for of in of_columns if of.marks_missing]),
        *_schema([of for of in of_columns if of.kind != "key"], target, labels),
    ]
    text = "\n".join([*lines, ""])
    parse_table(text)
    return text


def table_name(stem: str) -> str:
    """Return the name of a table in a file that is called so.

    Examples
    --------
    >>> table_name("My Rows (2)"), table_name("2024"), table_name("phishing")
    ('my-rows-2', 'table-2024', 'table-phishing')
    """
    name = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-_")
    if not name[:1].isalpha() or name in TAKEN:
        name = f"table-{name}"
    return name[:_LONGEST_NAME].strip("-_")


def _by_normalized_name(rows: pd.DataFrame) -> dict[str, str]:
    names: dict[str, str] = {}
    for column in map(str, rows):
        if other := names.get(normalized(column)):
            both = f"{quoted(other)} and {quoted(column)}"
            raise ConfigurationError(f"the columns {both} have the same name: rename one of them")
        names[normalized(column)] = column
    return names


def _found(column: str, names: dict[str, str]) -> str:
    if (name := names.get(normalized(column))) is None:
        raise ConfigurationError(f"there is no column {quoted(column)}; there are {listed(names.values(), most=100)}")
    return name


def _labels(cells: pd.Series, target: str, positive: str) -> tuple[str | int, str | int]:
    """Return the target's values in their most frequent spelling, the positive one first."""
    spellings: dict[str, str] = {}
    for text in as_text(cells, frozenset()).value_counts().index:
        spellings.setdefault(label_text(text), str(text))
    if len(spellings) != _N_LABELS:
        seen = f"{len(spellings):,} ({listed(spellings.values(), most=100)})" if spellings else "none"
        raise ConfigurationError(f"the target {shortened(target, 100)} needs two values: there are {seen}")
    if (wanted := label_text(positive)) not in spellings:
        raise ConfigurationError(
            f"no row has {shortened(target, 60)} = {shortened(positive, 100)}: its values are "
            f"{listed(spellings.values(), most=100)}"
        )
    other = next(label for label in spellings if label != wanted)
    if all(re.fullmatch(r"-?\d{1,9}", label) for label in spellings):
        return int(wanted), int(other)
    return spellings[wanted], spellings[other]


def _drafted(name: str, cells: pd.Series, *, is_part: bool) -> Drafted:
    any_number = Feature(Column(name, "number"), whole=False, nullable=True, checks=(), description="")
    numbers, why = read_numbers(cells, any_number, frozenset())
    odd = why != ""
    known = odd | ~np.isnan(numbers)
    n_known = int(known.sum())
    if not n_known:
        return Drafted(name, "key", "no row has a value")
    missing = f"; {len(known) - n_known:,} missing" if n_known < len(known) else ""
    if odd.sum() <= (1 - MIN_NUMBERS) * n_known:
        return _drafted_number(name, numbers[known & ~odd], cells[odd], missing, is_part=is_part)
    words = as_text(cells, frozenset()).value_counts()
    if len(words) == 1 and not missing:
        return Drafted(name, "key", f"{_quoted(words.index)} in every row")
    if any(len(words) <= most and len(words) * times <= n_known for most, times in (_FEW_WORDS, _MORE_WORDS)):
        check = f"isin: [{', '.join(map(_scalar, words.index))}]"
        said = (
            check if len(check) <= _LONGEST_CHECK and check.isprintable() else f"{len(words):,}: {_quoted(words.index)}"
        )
        return Drafted(name, "category", f"{said}{missing}", bool(missing))
    return Drafted(name, "key", f"text, {len(words):,} different in {n_known:,} rows")


def _drafted_number(name: str, numbers: np.ndarray, odd: pd.Series, missing: str, *, is_part: bool) -> Drafted:
    distinct = np.unique(numbers)
    lowest, highest = distinct[0], distinct[-1]
    if len(distinct) == 1:
        return Drafted(name, "key", f"{lowest:.6g} in every row{missing}")
    whole = bool((distinct == np.trunc(distinct)).all())
    counts_on = is_part or len(distinct) == highest - lowest + 1 or is_row_number(name)
    if whole and counts_on and len(distinct) == len(numbers) and not missing:
        return Drafted(name, "key", "a row number: a whole number of its own in every row")
    not_numbers = f"; {len(odd):,} rejected, no numbers: {_quoted(odd.unique())}" if len(odd) else ""
    marks = whole and lowest == -1 and bool(distinct[1] >= 0) and highest > 1
    least, most = (_scalar(int(of) if whole else float(of)) for of in (lowest, highest))
    check = f"in_range: {{min_value: {least}, max_value: {most}}}"
    # Nullable where -1 may turn out to stand for a missing value.
    return Drafted(name, "number", f"{check}{missing}{not_numbers}", bool(missing) or marks, marks_missing=marks)


def _holds_hosts(name: str, cells: pd.Series) -> bool:
    """Return whether a column that is called after hosts or domains holds them."""
    if not _HOST.search(normalized(name)):
        return False
    texts = as_text(cells, frozenset()).dropna().drop_duplicates().head(_N_HOSTS)
    read = parse_addresses(texts)
    return bool(len(texts)) and bool((read.reason.isna() & ~texts.str.contains("/")).mean() >= MIN_NUMBERS)


def _group(groups: list[str], hosts: list[str]) -> list[str]:
    if groups:
        return [f"group: [{', '.join(map(_scalar, groups))}]"]
    said = "rows with the same value there never stand on both sides of a split"
    if hosts:
        return [f"# group: [{_scalar(hosts[0])}]  # advised, for it holds hosts: {said}"]
    return [f"# group: [COLUMN]  # {said}"]


def _keys(keys: Iterable[Drafted]) -> list[str]:
    lines = [f"- {_scalar(of.name)}  # {of.comment}" for of in keys]
    return ["keys:  # passed on, not given to a model", *lines] if lines else []


def _missing(columns: list[str]) -> list[str]:
    if not columns:
        return []
    return [f"# missing: [-1]  # the only negative number of {_quoted(columns)}: does it stand for a missing value?"]


def _schema(features: list[Drafted], target: str, labels: tuple[str | int, str | int]) -> list[str]:
    dtype = "int64" if isinstance(labels[0], int) else "str"
    return [
        "schema:",
        "  schema_type: dataframe",
        "  columns:  # the check behind a column goes into its braces, where new rows have to pass it",
        *(f"    {_column(of)}" for of in features),
        f"    {_scalar(target)}: {{dtype: {dtype}, isin: [{', '.join(map(_scalar, labels))}]}}",
    ]


def _column(of: Drafted) -> str:
    dtype = "float64" if of.kind == "number" else "str"
    return f"{_scalar(of.name)}: {{dtype: {dtype}{', nullable: true' if of.nullable else ''}}}  # {of.comment}"


def _scalar(value: str | float) -> str:
    """Return a value as it stands in a YAML document, quoted if need be."""
    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10_000).strip()[1:-1]


def _quoted(words: Iterable[object]) -> str:
    """Return words for a comment: on one line, and nothing in them that YAML refuses."""
    return "".join(
        letter if letter.isprintable() else "�" for letter in listed([*words], count=5, most=_LONGEST_COMMENT)
    )
