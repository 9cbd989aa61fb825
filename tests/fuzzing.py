"""How many inputs a test with made-up ones tries: few in `make test`, `FUZZ` times as many in `make faults`."""

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("FUZZ", "1"))


def fuzzed(max_examples=60):
    """Decorate a test with hypothesis."""
    return settings(
        max_examples=max_examples * FACTOR,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
