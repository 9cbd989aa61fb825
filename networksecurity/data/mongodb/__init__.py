"""Rows in MongoDB: written once each, even after failures, and read fast, in full or only what is new.

`parse` returns a `Collection`, `open` connects to it:

```
with mongodb.open(collection) as opened:
    rows = opened.read(since=watermark)
```

Beside a collection `C` there are `C_quarantine` (rows that are not valid), `C_ingestions` (the bookkeeping, see
`ingestion`), `C_watches` (checkpoints of those who read only what is new) and `C_scores` (predictions).
"""

from networksecurity.data.mongodb.checkpoints import Checkpoint
from networksecurity.data.mongodb.collection import (
    Collection,
    OpenCollection,
    open,
    parse,
    parse_output,
    parse_target,
)
from networksecurity.data.mongodb.ingestion import Ingested
from networksecurity.data.mongodb.quarantine import ORIGIN
from networksecurity.data.mongodb.reading import parse_since
from networksecurity.data.mongodb.scores import with_keys

__all__ = [
    "ORIGIN",
    "Checkpoint",
    "Collection",
    "Ingested",
    "OpenCollection",
    "open",
    "parse",
    "parse_output",
    "parse_since",
    "parse_target",
    "with_keys",
]
