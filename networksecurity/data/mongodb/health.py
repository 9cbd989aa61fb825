"""A check of MongoDB: reachable, and what is in the collections. Nothing is written."""

from dataclasses import replace

from networksecurity.data.mongodb.server import connected, resolve
from networksecurity.finding import Finding
from networksecurity.settings import Settings

_SECONDS = 5.0
"""Longest wait for the server, even if the settings allow more."""


def check_mongodb(settings: Settings) -> list[Finding]:
    """Check the server of MONGODB_URI, and count the rows of the collection and of those beside it.

    Raises
    ------
    ConfigurationError, SourceUnavailableError, DataSourceError
        It is not a connection string, or the server cannot be reached or refuses.
    """
    if settings.mongodb_uri is None:
        found = "MONGODB_URI is not set; only the source `mongodb`, feedback and overrides need it"
        return [Finding(subject="MongoDB", state="note", found=found)]
    address = resolve("mongodb", settings)
    assert address is not None
    with connected(replace(address, timeout=min(_SECONDS, address.timeout))) as client:
        version = client.server_info()["version"]
        database = client[address.database]
        beside = sorted(name for name in database.list_collection_names() if name.startswith(f"{address.name}_"))
        n_rows = database[address.name].estimated_document_count()
        counts = [f"{name.removeprefix(address.name)} {database[name].estimated_document_count():,}" for name in beside]
    findings = [Finding(subject="MongoDB", state="ok", found=f"{address.server}, version {version}")]
    if not n_rows:
        fix = "write rows: networksecurity ingest --source FILE"
        empty = Finding(subject="MongoDB", state="note", found=f"{address.shown} has no rows yet", fix=fix)
        return [*findings, empty]
    found = ", ".join([f"{address.shown} {n_rows:,}", *counts])
    return [*findings, Finding(subject="MongoDB", state="ok", found=f"rows: {found}")]
