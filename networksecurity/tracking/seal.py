"""The seal of a stored model: the SHA-256 of its files, in a tag of its version, and a signature of that tag.

The digests tell damage, and files that were replaced. Whoever can write to the registry can replace them too; only a
signature, with a key that the registry does not know, tells that.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from networksecurity.exceptions import StoredModelError
from networksecurity.tracking.mlmodel import DESCRIPTION_FILE, MODEL_FILE
from networksecurity.tracking.outcome import (
    CONTRACT_FILE,
    KNOWN_FILE,
    LEARNED_FILE,
    PROBE_FILE,
    REFERENCE_FILE,
    TESTED_FILE,
)

DIGESTS_TAG = "networksecurity.sha256"
"""The tag, on a version, that holds the SHA-256 of each of its files, as JSON; older versions have none."""
SIGNATURE_TAG = "networksecurity.signature"
"""The tag, beside it, that holds the HMAC-SHA-256 of that text."""

_SEALED = (
    DESCRIPTION_FILE,
    MODEL_FILE,
    PROBE_FILE,
    REFERENCE_FILE,
    CONTRACT_FILE,
    KNOWN_FILE,
    LEARNED_FILE,
    TESTED_FILE,
)
"""All files that are read of a stored model."""


def seal(folder: Path) -> dict[str, str]:
    """Return the tag with the digests of a stored model."""
    return {DIGESTS_TAG: json.dumps(_digests(folder), sort_keys=True)}


def signed(tags: Mapping[str, str], key: SecretStr | None) -> dict[str, str]:
    """Return the tags of a version, with the signature of its digests if there are both a key and digests."""
    if key is None or DIGESTS_TAG not in tags:
        return dict(tags)
    return {**tags, SIGNATURE_TAG: _signature(tags[DIGESTS_TAG], key)}


def check(folder: Path, tags: Mapping[str, str], key: SecretStr | None = None) -> None:
    """Raise StoredModelError if the files in a folder are not those that a version was registered with.

    Parameters
    ----------
    tags : mapping of str to str
        Of the version. One without digests is an older one: it passes unless there is a key.
    key : SecretStr, optional
        That its signature must have been made with.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "contract.yaml").write_text("name: websites")
    >>> tags = seal(folder)
    >>> check(folder, tags)
    >>> check(folder, tags, SecretStr("a key of the team"))
    Traceback (most recent call last):
    ...
    networksecurity.exceptions.StoredModelError: it is not signed with NETWORKSECURITY_SIGNING_KEY: train again with it
    >>> _ = (folder / "contract.yaml").write_text("name: addresses")
    >>> check(folder, tags)
    Traceback (most recent call last):
    ...
    networksecurity.exceptions.StoredModelError: its file contract.yaml is not the one that was registered
    """
    text = tags.get(DIGESTS_TAG)
    if key is not None:
        if text is None or SIGNATURE_TAG not in tags:
            raise StoredModelError("it is not signed with NETWORKSECURITY_SIGNING_KEY: train again with it")
        if not hmac.compare_digest(tags[SIGNATURE_TAG].encode(), _signature(text, key).encode()):
            raise StoredModelError("its signature was not made with NETWORKSECURITY_SIGNING_KEY")
    if text is None:
        return
    try:
        registered = dict(json.loads(text))
    except (ValueError, TypeError):
        raise StoredModelError(f"its tag {DIGESTS_TAG} is damaged") from None
    found = _digests(folder)
    for name in _SEALED:
        if found.get(name) != registered.get(name):
            problem = "missing" if name not in found else "not the one that was registered"
            raise StoredModelError(f"its file {name} is {problem}")


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for name in _SEALED:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _signature(text: str, key: SecretStr) -> str:
    return hmac.digest(key.get_secret_value().encode(), text.encode(), "sha256").hex()
