"""Overrides for tests, and the places that hold them."""

from datetime import UTC, datetime, timedelta

from networksecurity.data.overrides.override import Override

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def override(value, label="legitimate", *, contract="addresses", covers="domain", **changes):
    about = {"reason": "our own", "by": "jane", "at": NOW, "until": NOW + timedelta(days=90), **changes}
    return Override(contract=contract, covers=covers, value=value, label=label, **about)
