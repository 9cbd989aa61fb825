"""Where the flows are: in `networksecurity.flows` when installed, in the checkout's `flows` otherwise."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def find_in_flows(place: str) -> Any:
    """Return what a module of the flows holds; `place` is `module:name`."""
    module, _, name = place.partition(":")
    package = "networksecurity.flows" if find_spec("networksecurity.flows") else "flows"
    return getattr(import_module(f"{package}.{module}"), name)
