"""A check of the models in use: of each contract, whether there is a champion, and whether it answers as evaluated."""

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.champion.verification import verify
from networksecurity.data.contracts import CONTRACTS, option_of
from networksecurity.exceptions import NetworkSecurityException, TransientError
from networksecurity.finding import Finding, failure_of
from networksecurity.settings import Settings
from networksecurity.tracking.server import look


def check_champions(settings: Settings, seconds: float) -> list[Finding]:
    """Load the champion of each contract, and compare its answers to its probe rows with those it gave before.

    Parameters
    ----------
    seconds : float
        Time that one may take to answer.
    """
    try:
        server = look(settings)
    except NetworkSecurityException:
        found = "not checked: MLflow cannot be used"
        return [Finding(subject="champion", state="note", found=found)]
    if server is None:
        return [_none_yet("champion", "")]
    registries = [Registry.of(settings, of, server) for of in CONTRACTS.values()]
    return [_check(registry, option_of(registry.contract), seconds) for registry in registries]


def _none_yet(subject: str, option: str) -> Finding:
    fix = f"train one: networksecurity train{option}"
    return Finding(subject=subject, state="note", found="there is none yet", fix=fix)


def _check(registry: Registry, option: str, seconds: float) -> Finding:
    subject = registry.name
    try:
        version = registry.find(CHAMPION)
        if version is None:
            return _none_yet(subject, option)
        verify(registry, version, seconds=seconds)
    except TransientError as exc:
        return failure_of(subject, exc)
    except NetworkSecurityException as exc:
        fix = f"use the version before: networksecurity champion rollback{option}; or train again"
        return failure_of(subject, exc, fix)
    return Finding(subject=subject, state="ok", found=f"version {version.version} loads, and answers as evaluated")
