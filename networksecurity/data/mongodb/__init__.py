"""Rows in MongoDB: written once each, even after failures, and read fast, in full or only what is new.

`parse` returns a `Collection`, `open` connects to it:

```
with mongodb.open(collection) as opened:
    rows = opened.read(since=watermark)
```

Beside a collection `C` there are `C_quarantine` (rows that are not valid), `C_ingestions` (the bookkeeping, see
`ingestion`), `C_watches` (checkpoints of those who read only what is new), `C_scores` (predictions),
`C_feedback` (reports of errors) and `C_overrides` (verdicts set by hand).
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
from networksecurity.data.mongodb.feedback import Feedback, Label, Status
from networksecurity.data.mongodb.ingestion import Ingested
from networksecurity.data.mongodb.quarantine import ORIGIN
from networksecurity.data.mongodb.reading import parse_since
from networksecurity.data.mongodb.scores import with_keys

__all__ = [
    "ORIGIN",
    "Checkpoint",
    "Collection",
    "Feedback",
    "Ingested",
    "Label",
    "OpenCollection",
    "Status",
    "open",
    "parse",
    "parse_output",
    "parse_since",
    "parse_target",
    "with_keys",
]
