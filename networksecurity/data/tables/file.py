"""The description of a table: a YAML document of Pandera's schema, and the little that a schema does not say.

```yaml
contract: shop            # the name: of the registered model, networksecurity-shop, and of the collection
target: status            # the column of the label, with two values
positive: phishing        # the one that means phishing
group: [domain]           # optional: rows with the same values here never stand on both sides of a split
keys: [url]               # optional: passed on, not given to a model
missing: [-1]             # optional: what stands for a missing value, besides the empty cell, `na`, `null` …
aliases:                  # optional: other names of a column
  length: [url_length]
schema:                   # as `pandera.DataFrameSchema.to_yaml` writes it
  schema_type: dataframe
  columns:
    length: {dtype: float64, nullable: true, description: characters of the address}
    status: {dtype: str, isin: [phishing, legitimate]}
```
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import yaml
from pandera.errors import SchemaDefinitionError, SchemaInitError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from networksecurity.data.columns import Column, normalized
from networksecurity.data.labels import label_text as as_label
from networksecurity.exceptions import ConfigurationError, listed, one_line, quoted, shortened

KINDS = (".yaml", ".yml")
"""What the name of such a file ends in."""

TAKEN = ("websites", "addresses", "phishing")
"""Names that no table may have."""

_MAX_BYTES = 1_000_000
_MAX_COLUMNS = 5_000
_MAX_NAME = 200
_LARGEST = 1e300
_SCHEMA_KEYS = {"schema_type", "version", "api", "columns", "name", "title", "description", "strict", "ordered"}
_COLUMN_KEYS = {"dtype", "nullable", "title", "description", "checks", "coerce", "required"}
_NUMBER = re.compile(r"(u?int|float)\d*", re.IGNORECASE)
_TEXT = re.compile(r"(str|string|object|category|bool)\b.*", re.IGNORECASE)

_VALUES_OF_ANOTHER_KIND = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What YAML and Pandera raise for `!!int x`, a day 2026-99-99, or a check without its values."""

_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "isin": lambda of: f"one of {listed(of['allowed_values'])}",
    "notin": lambda of: f"other than {listed(of['forbidden_values'])}",
    "in_range": lambda of: f"from {of['min_value']} to {of['max_value']}",
    "greater_than": lambda of: f"greater than {of['min_value']}",
    "greater_than_or_equal_to": lambda of: f"{of['min_value']} or more",
    "less_than": lambda of: f"less than {of['max_value']}",
    "less_than_or_equal_to": lambda of: f"{of['max_value']} or less",
    "str_length": lambda of: f"of {of['min_value'] or 0} to {of['max_value'] or 'any number of'} characters",
}
"""The checks that a column may have: by Pandera's name, what a value is that passes, from the check's parameters."""


Name = Annotated[str, StringConstraints(min_length=1, max_length=_MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]
Names = Annotated[tuple[Name, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
Value = str | int | float | bool


class Document(BaseModel):
    """What a file holds, as it is written; `parse_table` says what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    contract: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    target: Name
    positive: Value
    group: Names = ()
    keys: Names = ()
    missing: tuple[Value, ...] = ()
    aliases: dict[Name, Names] = {}
    columns: dict[str, Any] = Field(alias="schema")


@dataclass(frozen=True)
class Feature:
    """A column that a model is given."""

    column: Column
    """Its kind is `number` or `category`."""
    whole: bool
    """Whether a number has to be whole."""
    nullable: bool
    """Whether a value may be missing."""
    checks: tuple[tuple[pa.Check, str], ...]
    """Each with what a value is that passes it."""
    description: str
    """For people; may be empty."""

    @property
    def allowed(self) -> tuple[Any, ...]:
        """The values that it may take, if the file lists them."""
        of = next((check.statistics for check, _ in self.checks if check.name == "isin"), None)
        return tuple(of["allowed_values"]) if of else ()


@dataclass(frozen=True)
class TableFile:
    """What a file says of a table."""

    name: str
    target: str
    positive: str
    """The target's value that means phishing, as it is written."""
    negative: str
    """The other one."""
    group: tuple[str, ...]
    """Columns; empty where equal rows are a group."""
    keys: tuple[str, ...]
    missing: frozenset[str]
    """What stands for a missing value, as `as_label` returns it."""
    names: dict[str, str]
    """By each normalized name of a column, its name."""
    features: dict[str, Feature]
    text: str
    """The whole document, without comments."""

    def __hash__(self) -> int:
        """Return the hash of the document."""
        return hash(self.text)


def read_table(path: Path) -> TableFile:
    """Read the description of a table.

    Raises
    ------
    ConfigurationError
        There is no such file, it is too large, no YAML, or contradicts itself; the message is one line.
    """
    try:
        if path.is_fifo():
            raise ConfigurationError(f"{path} is a pipe, whose reading may never end: give a file")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigurationError(
                f"{path} is larger than {_MAX_BYTES:,} bytes: name the file that describes the table"
            )
        text = content.decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no file {path}") from exc
    except (OSError, UnicodeError) as exc:
        raise ConfigurationError(f"{path} cannot be read: {one_line(exc)}") from exc
    try:
        return parse_table(text)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc.__cause__


@lru_cache(maxsize=32)
def parse_table(text: str) -> TableFile:
    """Return what a document says of a table.

    Raises
    ------
    ConfigurationError
        It is no YAML, has unknown or missing keys, or contradicts itself.
    """
    content = _load(text)
    try:
        document = Document.model_validate(content)
    except ValidationError as exc:
        raise ConfigurationError("; ".join(_problem(error) for error in exc.errors())) from None
    if document.contract in TAKEN:
        raise ConfigurationError(f"a table cannot be called {document.contract}: choose another name (contract)")
    columns = _columns(document.columns)
    if document.target not in columns:
        raise ConfigurationError(f"the target {document.target!r} is not among the columns of the schema")
    positive, negative = _labels(document, columns[document.target])
    features = {name: _feature(name, column) for name, column in columns.items() if name != document.target}
    for feature in features.values():
        _refuse_contradiction(feature)
    if not features:
        raise ConfigurationError("the schema has no column besides the target: add those to learn from")
    for what, names in (("group", document.group), ("keys", document.keys)):
        if document.target in names:
            raise ConfigurationError(f"the target {document.target!r} is also among the {what}: leave it out there")
    if both := [name for name in document.keys if name in features]:
        raise ConfigurationError(f"{listed(both)}: a key is not given to a model, so it cannot be in the schema too")
    return TableFile(
        name=document.contract,
        target=document.target,
        positive=positive,
        negative=negative,
        group=document.group,
        keys=tuple(name for name in document.keys if name not in document.group),  # a group is read, too
        missing=frozenset(map(as_label, document.missing)),
        names=_names(document, [*features, document.target]),
        features=features,
        text=yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120),
    )


def _load(text: str) -> dict[str, Any]:
    try:
        # Repeated by reference, a small document could be a huge one.
        if any(isinstance(token, yaml.AliasToken | yaml.AnchorToken) for token in yaml.scan(text)):
            raise ConfigurationError("anchors and references (& and *) are not supported: write the values out")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, *_VALUES_OF_ANOTHER_KIND, RecursionError) as exc:
        raise ConfigurationError(f"it is not YAML: {one_line(exc)}") from exc
    if not isinstance(content, dict) or "contract" not in content:
        raise ConfigurationError("it does not describe a table: it needs contract, target, positive and schema")
    return content


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        known = ", ".join(field.alias or name for name, field in Document.model_fields.items())
        return f"{shortened(place, 100)} is no key of a contract; known are {known}"
    if error["type"] == "missing":
        return f"{place} is missing"
    if place == "contract":
        return "contract, the name, must be up to 40 lower-case letters, digits, - and _, and begin with a letter"
    return f"{shortened(place, 100)}: {shortened(error['msg'])}"


def _columns(schema: dict[str, Any]) -> dict[str, pa.Column]:
    """Return the columns of Pandera's schema, after a check that nothing in it would be ignored."""
    if unknown := [key for key in schema if key not in _SCHEMA_KEYS]:
        raise ConfigurationError(f"schema: {listed(unknown)} is not supported; known are {', '.join(_SCHEMA_KEYS)}")
    columns = schema.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise ConfigurationError("schema.columns is missing: give a line for each column")
    if len(columns) > _MAX_COLUMNS:
        raise ConfigurationError(f"schema.columns has {len(columns):,} columns: name at most {_MAX_COLUMNS:,}")
    for name, column in columns.items():
        if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
            raise ConfigurationError(
                f"schema.columns: {str(name)[:40]!r} is not the name of a column: put it in quotes"
            )
        if not isinstance(column, dict) or "dtype" not in column:
            raise ConfigurationError(f"column {name}: a dtype is needed, such as float64 or str")
        checks = column.get("checks") or {}
        used = [*column, *(checks if isinstance(checks, dict) else ["checks as a list"])]
        if unknown := [key for key in used if key not in _COLUMN_KEYS | _SENTENCES.keys()]:
            raise ConfigurationError(
                f"column {name}: {listed(unknown)} is not supported; checks are {', '.join(_SENTENCES)}"
            )
    try:
        return pa.DataFrameSchema.from_yaml(yaml.safe_dump(schema, sort_keys=False)).columns
    except (*_VALUES_OF_ANOTHER_KIND, SchemaInitError, SchemaDefinitionError) as exc:
        raise ConfigurationError(f"Pandera cannot read the schema: {one_line(exc)}") from exc


def _feature(name: str, column: pa.Column) -> Feature:
    dtype = str(column.dtype)
    if not (_NUMBER.fullmatch(dtype) or _TEXT.fullmatch(dtype)):
        raise ConfigurationError(f"column {name}: {dtype} is neither a number nor text: use float64, int64 or str")
    checks = []
    for check in column.checks:
        if check.name not in _SENTENCES:
            raise ConfigurationError(
                f"column {name}: the check {check.name} is not supported; checks are {', '.join(_SENTENCES)}"
            )
        try:
            checks.append((check, _SENTENCES[check.name](check.statistics)))
        except _VALUES_OF_ANOTHER_KIND as exc:
            raise ConfigurationError(f"column {name}: the check {check.name} needs other values") from exc
    return Feature(
        column=Column(name, "number" if _NUMBER.fullmatch(dtype) else "category"),
        whole="int" in dtype.lower(),
        nullable=bool(column.nullable),
        checks=tuple(checks),
        description=column.description or column.title or "",
    )


def _refuse_contradiction(feature: Feature) -> None:
    """Raise ConfigurationError if a check does not go with the column's kind, or no number passes all of them."""
    name, is_number, allowed = feature.column.name, feature.column.kind == "number", feature.allowed
    limits: list[Any] = []
    for check, passes in feature.checks:
        if check.name not in ("isin", "notin") and (check.name == "str_length") == is_number:
            kind = "numbers" if is_number else "text"
            raise ConfigurationError(f"column {name}: {check.name} is no check of {kind}: leave it out")
        if check.name == "str_length":
            continue
        values = [value for key, value in check.statistics.items() if key.endswith(("_value", "_values"))]
        values = list(values[0]) if check.name in ("isin", "notin") else values
        if not values or any(_is_number(value) != is_number for value in values):
            raise ConfigurationError(f"column {name}: {'numbers' if is_number else 'words'} are needed in {passes!r}")
        limits += values
    if is_number and limits:
        around = {end for limit in limits for end in (limit, limit - 1, limit + 1, floor(limit), ceil(limit))}
        tried = pd.Series(list(allowed) or [*around, fmean(limits)], dtype="float64")
        tried = tried[tried % 1 == 0] if feature.whole else tried
        passed = [np.asarray(check(tried).check_output, dtype=bool) for check, _ in feature.checks if len(tried)]
        if not passed or not np.logical_and.reduce(passed).any():
            raise ConfigurationError(f"column {name}: no number is {' and '.join(of for _, of in feature.checks)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _labels(document: Document, column: pa.Column) -> tuple[str, str]:
    """Return the target's values as they are written, the positive one first."""
    target, values = document.target, _feature(document.target, column).allowed
    if len({as_label(value) for value in values}) != 2 or len(values) != 2:
        found = f"{len(values)} ({listed(values)})" if values else "none"
        raise ConfigurationError(f"the target {target} needs two values (isin): there are {found}")
    others = [value for value in values if as_label(value) != as_label(document.positive)]
    if len(others) != 1:
        raise ConfigurationError(
            f"positive is {quoted(str(document.positive))}, and the target {target} is {listed(values, most=100)}"
        )
    return next(str(value) for value in values if value not in others), str(others[0])


def _names(document: Document, columns: list[str]) -> dict[str, str]:
    """Return the column's name by each of its normalized names."""
    own = [*columns, *(name for name in (*document.group, *document.keys) if name not in columns)]
    if unknown := [name for name in document.aliases if name not in own]:
        raise ConfigurationError(f"aliases: {listed(unknown)} is no column of the table")
    names: dict[str, str] = {}
    for name, spelling in [(name, name) for name in own] + [
        (name, alias) for name, aliases in document.aliases.items() for alias in aliases
    ]:
        if names.setdefault(normalized(spelling), name) != name:
            raise ConfigurationError(f"{spelling!r} is the name of two columns: {names[normalized(spelling)]}, {name}")
    return names
