"""Checks of what a process runs with: Python, packages, settings, proxies. Nothing is changed."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass

from dotenv import dotenv_values
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import SecretStr

from networksecurity.exceptions import ConfigurationError
from networksecurity.finding import Finding
from networksecurity.settings import PROJECT_FOLDER, Settings, settings, variable_of, without_credentials

_OLDEST, _NEWEST = (3, 11), (3, 13)
"""The versions of Python that are tested."""
_MLFLOW_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_OUR_PREFIXES = ("NETWORKSECURITY_", "MONGODB_", "DAGSHUB_", "DASK_ADDR")
_LOOPBACK = ("127.0.0.1", "localhost")


def check_python() -> list[Finding]:
    """Check that this Python is one of those that are tested."""
    found = f"{platform.python_version()} at {sys.executable}"
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        fix = f"make a new environment with Python {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}"
        return [Finding(subject="Python", state="warning", found=f"{found} is not tested", fix=fix)]
    return [Finding(subject="Python", state="ok", found=found)]


# --- Packages ---------------------------------------------------------------------------------------------------------


def check_packages(folder: Path = PROJECT_FOLDER) -> list[Finding]:
    """Compare the installed packages with what is required, and with the versions that are tested.

    Parameters
    ----------
    folder : Path
        Where requirements.txt and constraints.txt are; without them, what the installed package says counts.
    """
    installed = _installed()
    findings = []
    needed = [Requirement(line) for line in _requirements(folder)]
    needed = [of for of in needed if of.marker is None or of.marker.evaluate({"extra": ""})]
    for requirement in needed:
        version = installed.get(canonicalize_name(requirement.name))
        if version is None:
            found = f"{requirement.name} is not installed"
        elif not requirement.specifier.contains(version, prereleases=True):
            found = f"{requirement.name} is {version}, needed is {requirement.specifier}"
        else:
            continue
        fix = f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'"
        findings.append(Finding(subject="packages", state="failure", found=found, fix=fix))
    if not findings:
        findings.append(Finding(subject="packages", state="ok", found=f"all {len(needed)} that are needed are here"))
    return findings + _compared_with_tested(installed, folder / "constraints.txt")


def _installed() -> dict[str, str]:
    """Return the version of each package; of one that is there twice, the one that is imported."""
    found: dict[str, str] = {}
    for of in distributions():
        if name := of.metadata["Name"]:  # None of a package that was removed by halves
            found.setdefault(canonicalize_name(name), of.version)
    return found


def _requirements(folder: Path) -> list[str]:
    file = folder / "requirements.txt"
    if file.is_file():
        lines = [line.partition(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    try:
        return requires("networksecurity") or []
    except PackageNotFoundError:
        return []


def _compared_with_tested(installed: Mapping[str, str], constraints: Path) -> list[Finding]:
    if not constraints.is_file():
        return []
    others, tested = [], 0
    for line in constraints.read_text(encoding="utf-8").splitlines():
        try:
            pinned = Requirement(line)
        except InvalidRequirement:
            continue  # a comment
        version = installed.get(canonicalize_name(pinned.name))
        if version is None or (pinned.marker and not pinned.marker.evaluate()):
            continue
        tested += 1
        if Version(version) not in pinned.specifier:
            others.append(f"{pinned.name} {version} (tested: {str(pinned.specifier).removeprefix('==')})")
    if others:
        found = f"{len(others)} of {tested} differ from the tested versions: {', '.join(others[:5])}"
        return [Finding(subject="packages", state="warning", found=found, fix="make install")]
    return [Finding(subject="packages", state="ok", found=f"{tested} have the versions of {constraints.name}")]


# --- Settings ---------------------------------------------------------------------------------------------------------


def check_settings() -> list[Finding]:
    """Show each setting and where it comes from, secrets masked; find names that nothing reads."""
    try:
        read = settings()
    except ConfigurationError as exc:
        fix = "correct it where it is set; .env.example says what each setting takes"
        return [Finding(subject="settings", state="failure", found=str(exc), fix=fix)]
    in_file = _in_file()
    names = {variable_of(field): field for field in Settings.model_fields}
    findings = [
        Finding(
            subject=name, state="ok", found=f"{_shown(getattr(read, field))} ({_origin(name, field, read, in_file)})"
        )
        for name, field in names.items()
    ]
    given = {name.upper(): value for name, value in os.environ.items()}
    return findings + _unread(given, "the environment", names) + _unread(in_file, ".env", names)


def _in_file() -> dict[str, str]:
    path = Settings.model_config.get("env_file")
    read = dotenv_values(path, encoding="utf-8-sig") if isinstance(path, Path) else {}
    return {name.upper(): value or "" for name, value in read.items()}


def _origin(name: str, field: str, read: Settings, in_file: Mapping[str, str]) -> str:
    if field not in read.model_fields_set:
        return "default"
    return "environment" if os.environ.get(name) or name not in in_file else ".env"


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    if not isinstance(value, SecretStr):
        return without_credentials(str(value))
    secret = value.get_secret_value()
    return without_credentials(secret) if "://" in secret else "…"


def _unread(given: Mapping[str, str], place: str, names: Mapping[str, str]) -> list[Finding]:
    findings = []
    for name in sorted(set(given) - set(names)):
        meant = get_close_matches(name, names, n=1, cutoff=0.85)
        if name.startswith(_OUR_PREFIXES) or meant:
            fix = f"call it {meant[0]}" if meant else f"remove it from {place}; .env.example lists the settings"
            findings.append(
                Finding(subject=name, state="warning", found=f"no setting has this name, in {place}", fix=fix)
            )
        elif place == ".env" and name in _MLFLOW_LOGIN:
            found = "MLflow does not read .env: this has no effect"
            findings.append(Finding(subject=name, state="warning", found=found, fix=f"export {name} instead"))
    return findings


# --- Proxies ----------------------------------------------------------------------------------------------------------


def check_proxies() -> list[Finding]:
    """Check that requests to this machine do not go through a proxy."""
    proxies = getproxies_environment()
    used = {kind: without_credentials(address) for kind, address in proxies.items() if kind != "no"}
    if not used:
        return [Finding(subject="proxies", state="ok", found="none")]
    found = ", ".join(f"{kind}: {address}" for kind, address in sorted(used.items()))
    caught = [host for host in _LOOPBACK if not proxy_bypass(host)]
    if caught and {"http", "all"} & set(used):
        hosts = " and ".join(caught)
        found = f"requests to {hosts} go to a proxy ({found}): `prefect` and `mlflow` do not reach servers here"
        kept = re.sub(r"\s", "", proxies.get("no", ""))
        fix = f"export NO_PROXY={','.join(filter(None, (kept, *caught)))}"
        return [Finding(subject="proxies", state="failure", found=found, fix=fix)]
    return [Finding(subject="proxies", state="ok", found=found)]
