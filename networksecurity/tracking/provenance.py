"""What computed a result: the code, its commit and the libraries."""

import functools
import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from networksecurity.settings import PROJECT_FOLDER, without_secrets

COMPUTED_WITH = ("idna", "numpy", "pandas", "publicsuffixlist", "scikit-learn", "scipy", "skops")
"""The libraries that a figure or a model file depends on."""


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in COMPUTED_WITH}}


@functools.cache
def code_version() -> str:
    """Return a hash of what a result depends on besides its inputs: the core's code and the computing libraries."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("*")):
        if file.suffix in {".py", ".json"}:
            digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    digest.update(json.dumps(library_versions()).encode())
    return digest.hexdigest()


@functools.cache
def git_commit() -> str | None:
    """Return the checkout's commit, with `-dirty` appended if tracked files were changed; None without a checkout."""
    try:
        described = subprocess.run(  # noqa: S603 (a fixed command)
            ["git", "-C", PROJECT_FOLDER, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 (whichever git there is)
            env=without_secrets(os.environ),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
