"""What a request may hold of a table's row: its JSON schema, from which the page makes a form, and an example."""

from typing import Any

from networksecurity.data.tables.file import Feature, TableFile


def row_schema(table: TableFile) -> dict[str, Any]:
    """Return the JSON schema of a row.

    Examples
    --------
    >>> from networksecurity.data.tables.file import parse_table
    >>> table = parse_table('''
    ... contract: shop
    ... target: status
    ... positive: bad
    ... schema:
    ...   columns:
    ...     length: {dtype: int64, description: characters, in_range: {min_value: 1, max_value: 99}}
    ...     tld: {dtype: str, nullable: true, isin: [com, test]}
    ...     status: {dtype: str, isin: [bad, good]}
    ... ''')
    >>> row_schema(table)["properties"]["tld"]
    {'description': 'tld', 'enum': ['com', 'test', None]}
    >>> example_row(table)
    {'length': 1, 'tld': 'com'}
    """
    features = table.features
    return {
        "type": "object",
        "description": f"The columns of {table.name}; all other fields come back as `keys`.",
        "properties": {name: _schema(of) for name, of in features.items()},
        "required": list(features),
        "not": {"required": ["rows"]},
    }


def _schema(feature: Feature) -> dict[str, Any]:
    missing = [None] if feature.nullable else []
    found: dict[str, Any] = {"description": feature.description or feature.column.name}
    if feature.allowed:
        return found | {"enum": [*feature.allowed, *missing]}
    kind = "string" if feature.column.kind == "category" else "integer" if feature.whole else "number"
    return found | {"type": [kind, "null"] if feature.nullable else kind}


def example_row(table: TableFile) -> dict[str, Any]:
    """Return a row that is valid, or nearly: a value that a check allows, 1 for any number and `text` for any text."""
    return {name: _example(of) for name, of in table.features.items()}


def _example(feature: Feature) -> Any:
    if feature.allowed:
        return feature.allowed[0]
    if feature.column.kind == "category":
        return "text"
    limits = [of for check, _ in feature.checks for of in (check.statistics or {}).values() if type(of) in (int, float)]
    return limits[0] if limits else 1
