"""`networksecurity doctor`: what of this installation works, and how to mend the rest."""

import json
import os
from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from typing import Annotated

import typer

from networksecurity.cli.flows import find_in_flows
from networksecurity.cli.options import Json
from networksecurity.exceptions import ConfigurationError
from networksecurity.finding import Finding, run_check
from networksecurity.settings import settings
from networksecurity.surroundings import bypass_proxies

_MARKS = {"ok": "ok", "note": "-", "warning": "!", "failure": "FAILS"}
_FIRST = {
    "Python": "networksecurity.installation:check_python",
    "packages": "networksecurity.installation:check_packages",
    "settings": "networksecurity.installation:check_settings",
    "proxies": "networksecurity.installation:check_proxies",
}
"""By subject, where each check is; one that cannot be imported is a finding too."""
_WITH_SETTINGS = {
    "storage": "networksecurity.data.health:check_storage",
    "cores": "networksecurity.training.health:check_cores",
    "MongoDB": "networksecurity.data.mongodb.health:check_mongodb",
    "tracking": "networksecurity.tracking.health:check_tracking",
}
_OF_MODELS = {"champion": "networksecurity.champion.health:check_champions"}


def doctor(
    seconds: Annotated[float, typer.Option(metavar="N", help="Longest time for one check.", min=1)] = 60,
    as_json: Json = False,
) -> None:
    """Check this installation, change nothing, and say how to mend what is broken.

    The exit code is 1 if anything fails; warnings and notes do not count.
    """
    findings = []
    for finding in _examine(seconds):
        findings.append(finding)
        if not as_json:
            _print(finding)
    count = {state: sum(of.state == state for of in findings) for state in _MARKS}
    if as_json:
        found = {"ok": not count["failure"], "count": count, "findings": [of.model_dump() for of in findings]}
        print(json.dumps(found, indent=2))
    else:
        print(f"\nfailures: {count['failure']}, warnings: {count['warning']}")
    raise typer.Exit(1 if count["failure"] else 0)


def _examine(seconds: float) -> Iterator[Finding]:
    yield from _run(_FIRST, seconds)
    bypass_proxies(os.environ)  # as every other command does
    try:
        read = settings()
    except ConfigurationError:
        yield Finding(subject="the rest", state="note", found="not checked: the settings cannot be read")
        return
    yield from _run(_WITH_SETTINGS, seconds, read)
    yield from _run(_OF_MODELS, seconds, read, seconds / 2)
    yield from run_check("Prefect", _check_prefect, seconds)


def _run(checks: Mapping[str, str], seconds: float, *arguments: object) -> Iterator[Finding]:
    for subject, place in checks.items():
        yield from run_check(subject, lambda place=place: resolve_name(place)(*arguments), seconds)


def _check_prefect() -> list[Finding]:
    return find_in_flows("health:check_prefect")()


def _print(finding: Finding) -> None:
    print(f"{_MARKS[finding.state]:>5}  {finding.subject}: {finding.found}", flush=True)
    if finding.fix:
        print(f"       -> {finding.fix}", flush=True)
