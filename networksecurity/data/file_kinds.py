"""What the name of a file says of its content."""

DELIMITED = "delimited text"
JSON = "JSON"
PARQUET = "Parquet"
ARFF = "ARFF"
EXCEL = "Excel"
ARCHIVE = "zip archive"

FORMATS = {
    ".csv": DELIMITED,
    ".tsv": DELIMITED,
    ".txt": DELIMITED,
    ".data": DELIMITED,
    ".parquet": PARQUET,
    ".arff": ARFF,
    ".json": JSON,
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".xlsx": EXCEL,
    ".zip": ARCHIVE,
}
"""What the name of a file may end in."""
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
"""What may stand behind the ending of a text."""
_TEXTS = (DELIMITED, ARFF, JSON)

ENDINGS = f"{', '.join(FORMATS)} (text also with {', '.join(COMPRESSIONS)})"
"""All endings, for a message."""


def kind_of(name: str) -> str | None:
    """Return the known ending of a name, in lower case; None if it is unknown.

    Examples
    --------
    >>> kind_of("Phishing.CSV.gz"), kind_of("rows.parquet"), kind_of("rows.pdf")
    ('.csv.gz', '.parquet', None)
    """
    name = name.lower()
    compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    stem = name.removesuffix(compression)
    ending = next((ending for ending in FORMATS if stem.endswith(ending)), None)
    if ending is None or (compression and FORMATS[ending] not in _TEXTS):
        return None
    return ending + compression


def format_of(kind: str) -> str:
    """Return the format of an ending that `kind_of` knows."""
    return FORMATS["." + kind.split(".")[1]]
