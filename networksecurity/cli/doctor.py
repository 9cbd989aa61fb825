"""`networksecurity doctor`: what of this installation works, and how to mend the rest."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from networksecurity.cli.flows import find_in_flows
from networksecurity.cli.options import Json
from networksecurity.exceptions import ConfigurationError
from networksecurity.finding import Check, Finding, run_check
from networksecurity.settings import Settings, settings
from networksecurity.surroundings import bypass_proxies

_MARKS = {"ok": "ok", "note": "-", "warning": "!", "failure": "FAILS"}


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
    from networksecurity.installation import check_packages, check_proxies, check_python, check_settings

    first: dict[str, Check] = {
        "Python": check_python,
        "packages": check_packages,
        "settings": check_settings,
        "proxies": check_proxies,
    }
    for subject, check in first.items():
        yield from run_check(subject, check, seconds)
    bypass_proxies(os.environ)  # as every other command does
    try:
        read = settings()
    except ConfigurationError:
        yield Finding(subject="the rest", state="note", found="not checked: the settings cannot be read")
        return
    for subject, check in _checks_with(read, seconds).items():
        yield from run_check(subject, check, seconds)


def _checks_with(read: Settings, seconds: float) -> dict[str, Check]:
    def storage() -> list[Finding]:
        from networksecurity.data.health import check_storage

        return check_storage(read)

    def cores() -> list[Finding]:
        from networksecurity.training.health import check_cores

        return check_cores(read)

    def mongodb() -> list[Finding]:
        from networksecurity.data.mongodb.health import check_mongodb

        return check_mongodb(read)

    def tracking() -> list[Finding]:
        from networksecurity.tracking.health import check_tracking

        return check_tracking(read)

    def champions() -> list[Finding]:
        from networksecurity.champion.health import check_champions

        return check_champions(read, seconds / 2)

    def prefect() -> list[Finding]:
        check: Callable[[], list[Finding]] = find_in_flows("health:check_prefect")
        return check()

    return {
        "storage": storage,
        "cores": cores,
        "MongoDB": mongodb,
        "tracking": tracking,
        "champion": champions,
        "Prefect": prefect,
    }


def _print(finding: Finding) -> None:
    print(f"{_MARKS[finding.state]:>5}  {finding.subject}: {finding.found}", flush=True)
    if finding.fix:
        print(f"       -> {finding.fix}", flush=True)
