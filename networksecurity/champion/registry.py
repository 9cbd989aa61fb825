"""The registered model: its versions, the aliases that point to them, and the files of a version.

An alias is a pointer that moves: `candidate` is the newest version, `champion` the one in use, `previous` the one that
was in use before. Servers without alias endpoints hold the pointer in a tag of the registered model instead; a
`Registry` behaves the same either way.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, Field, SecretStr, SerializeAsAny
from sklearn.pipeline import Pipeline

from networksecurity.champion.stored_model import Parts, Reference, read_beside, read_model, read_vectors
from networksecurity.data.contracts import WEBSITES, Contract, file_of, option_of
from networksecurity.data.sample import is_synthetic
from networksecurity.exceptions import StoredModelError, TrackingError, shortened
from networksecurity.monitoring.profile import ReferenceProfile
from networksecurity.settings import Settings
from networksecurity.tracking.outcome import (
    CARD_FILE,
    CONTRACT_FILE,
    CONTRACT_SHA256_TAG,
    CONTRACT_TAG,
    KNOWN_FILE,
    LEARNED_FILE,
    PROBE_FILE,
    REFERENCE_FILE,
    TESTED_FILE,
)
from networksecurity.tracking.seal import DIGESTS_TAG, SIGNATURE_TAG, check, signed
from networksecurity.tracking.server import TrackingServer, connect
from networksecurity.training.evaluation import BOUNDS, FIGURES
from networksecurity.training.known_features import KnownFeatures

CANDIDATE = "candidate"
"""The alias of the newest version."""
CHAMPION = "champion"
"""The alias of the version in use."""
PREVIOUS = "previous"
"""The alias of the version that was in use before."""

WATERMARK_TAG = "data.watermark"
"""The tag, on a version trained on a growing collection, that says how far it had grown: see `mongodb`."""

TEST_SIZE_TAG, RANDOM_STATE_TAG = "data.test_size", "data.random_state"
"""The tags, on a version, that say which rows were kept from it: see `splitting`."""

_ALIAS_TAG = "networksecurity.alias."


class RegisteredVersion(BaseModel, frozen=True):
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    source: str
    """Where its files are, as MLflow writes it."""
    tags: dict[str, str]
    contract: SerializeAsAny[Contract] = Field(default=WEBSITES, exclude=True, repr=False)
    """What the rows are that it takes, as the registry was asked; `Registry.choose` refuses another."""

    @property
    def is_synthetic(self) -> bool:
        """Whether it has learned from the built-in sample."""
        return is_synthetic(self.tags.get("data.source", ""))

    @property
    def test_figures(self) -> dict[str, float]:
        """Its figures on its own test rows, by the names of `evaluate_model`; older versions lack some."""
        return {name: float(self.tags[name]) for name in (*FIGURES, *BOUNDS) if name in self.tags}

    @property
    def split(self) -> tuple[float, int] | None:
        """`test_size` and `random_state` of its training, which say which rows were kept from it; None if unknown."""
        if TEST_SIZE_TAG not in self.tags or RANDOM_STATE_TAG not in self.tags:
            return None
        return float(self.tags[TEST_SIZE_TAG]), int(self.tags[RANDOM_STATE_TAG])


@dataclass(frozen=True)
class Registry:
    """The registered model `name` at a server, whose rows are of one contract.

    Every method raises `TrackingUnavailableError` if the server cannot be reached, and `TrackingError` if it answers
    and refuses.
    """

    server: TrackingServer
    name: str
    contract: Contract = WEBSITES
    signing_key: SecretStr | None = None

    @classmethod
    def of(cls, settings: Settings, contract: Contract = WEBSITES, server: TrackingServer | None = None) -> "Registry":
        """Return the registered model of a contract, as the settings name it, at their server or a given one."""
        name = settings.registered_model(contract.name)
        return cls(server or connect(settings), name, contract, settings.signing_key)

    def register(
        self, model_uri: str, run_id: str, *, tags: Mapping[str, str], description: str, alias: str = CANDIDATE
    ) -> RegisteredVersion:
        """Register a logged model as a new version, and point `alias` to it.

        Repeated for the same run, it returns the version that already exists, sealed anew: its files may have been
        uploaded again. An alias that points to a later version by now stays there.
        """
        tags = signed(tags, self.signing_key)
        with self.server.client() as client:
            try:
                client.create_registered_model(self.name, description=self._description())
            except MlflowException as exc:
                if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.search_model_versions(f"name = '{self.name}' and run_id = '{run_id}'")
            version = found[0] if found else self._create(client, model_uri, run_id, tags, description)
            for key in (DIGESTS_TAG, SIGNATURE_TAG):
                if key in tags and version.tags.get(key) != tags[key]:
                    client.set_model_version_tag(self.name, version.version, key, tags[key])
                    version = client.get_model_version(self.name, version.version)
            later = self.find(alias) if found else None
            number = _number(version.version)
            if later is None or _number(later.version) < number:
                self._move_up(client, alias, number)
            return self._as_value(version)

    def _description(self) -> str:
        return (
            f"Tells phishing from legitimate; its rows are those of the contract `{self.contract.name}`. The alias "
            f"`{CHAMPION}` points to the version in use, `{CANDIDATE}` to the newest, `{PREVIOUS}` to the one that was "
            "in use before. Each version carries its figures on its test rows."
        )

    def _create(
        self, client: MlflowClient, model_uri: str, run_id: str, tags: Mapping[str, str], description: str
    ) -> ModelVersion:
        model_id = model_uri.removeprefix("models:/") if self.server.logged_models else None
        # An old server takes no runs:/ address.
        source = model_uri if model_id else f"{client.get_run(run_id).info.artifact_uri}/{model_uri.rpartition('/')[2]}"
        return client.create_model_version(
            self.name,
            source,
            run_id,
            tags=dict(tags),
            description=description,
            await_creation_for=0,
            model_id=model_id,
        )

    def _move_up(self, client: MlflowClient, alias: str, number: int) -> None:
        """Point `alias` to a version, or to a newer one that was registered meanwhile and may have had it already."""
        pointed = 0
        while pointed < number:
            self._set_alias(client, alias, str(number))
            pointed = number
            newest = client.search_model_versions(f"name = '{self.name}'", 1, ["version_number DESC"])
            number = max(number, *(_number(of.version) for of in newest), 0)

    def set_alias(self, alias: str, version: str) -> None:
        """Point `alias` to a version, in place of the one it pointed to."""
        with self.server.client() as client:
            self._set_alias(client, alias, version)

    def _set_alias(self, client: MlflowClient, alias: str, version: str) -> None:
        if self.server.aliases:
            client.set_registered_model_alias(self.name, alias, version)
        else:
            client.set_registered_model_tag(self.name, f"{_ALIAS_TAG}{alias}", version)

    def find(self, *aliases: str) -> RegisteredVersion | None:
        """Return the version behind the first of `aliases` that exists, or None.

        The version in use is `find(CHAMPION, CANDIDATE)`: the champion, or the newest if none was ever promoted.
        """
        with self.server.client() as client:
            for alias in aliases:
                try:
                    if self.server.aliases:
                        return self._as_value(client.get_model_version_by_alias(self.name, alias))
                    if number := client.get_registered_model(self.name).tags.get(f"{_ALIAS_TAG}{alias}"):
                        return self._as_value(client.get_model_version(self.name, number))
                except MlflowException as exc:
                    if exc.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                        raise
        return None

    def get(self, *aliases: str) -> RegisteredVersion:
        """Return what `find` finds; raise TrackingError if that is nothing."""
        version = self.find(*aliases)
        if version is None:
            promote = f"networksecurity champion promote VERSION{option_of(self.contract)}"
            raise TrackingError(
                f"no version of {self.name} has the alias {' or '.join(aliases)} at {self.server.address}: train "
                f"first, put a version in use (`{promote}`), or point MLFLOW_TRACKING_URI at the server that holds "
                "your trainings"
            )
        return version

    def choose(self, wanted: str = CHAMPION) -> RegisteredVersion:
        """Return a version by its number or by an alias, to ask it about rows of the contract.

        Raises
        ------
        TrackingError
            There is none, or it takes the rows of another contract.
        """
        version = self.version(wanted) if wanted.isdecimal() else self.get(wanted)
        self.check_contract(version)
        return version

    def check_contract(self, version: RegisteredVersion) -> None:
        """Raise TrackingError if a version takes the rows of another contract; older versions do not say."""
        tags, asked = version.tags, self.contract
        name, sha256 = tags.get(CONTRACT_TAG, asked.name), tags.get(CONTRACT_SHA256_TAG, asked.sha256)
        if name != asked.name:
            raise TrackingError(f"version {version.version} of {self.name} takes rows of {name}, not of {asked.name}")
        if sha256 != asked.sha256:
            raise TrackingError(
                f"version {version.version} of {self.name} was trained under another contract {name} (SHA-256 "
                f"{sha256[:12]}…) than the given one ({asked.sha256[:12]}…): train again, or give its own, "
                f"`networksecurity contract show {file_of(asked)} --version {version.version}`"
            )

    def version(self, number: str) -> RegisteredVersion:
        """Return a version by its number; raise TrackingError if it does not exist."""
        with self.server.client() as client:
            try:
                return self._as_value(client.get_model_version(self.name, number))
            except MlflowException as exc:
                if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise TrackingError(
                    f"there is no version {number} of {self.name} at {self.server.address}: `networksecurity champion "
                    f"show{option_of(self.contract)}` shows the version in use and the newest one"
                ) from exc

    def versions(self) -> list[RegisteredVersion]:
        """Return all versions."""
        found: list[RegisteredVersion] = []
        with self.server.client() as client:
            page = None
            while page is None or page.token:
                page = client.search_model_versions(f"name = '{self.name}'", page_token=page.token if page else None)
                found += map(self._as_value, page)
        return found

    def tags(self) -> dict[str, str]:
        """Return the tags of the registered model itself."""
        with self.server.client() as client:
            return dict(client.get_registered_model(self.name).tags)

    def set_tag(self, key: str, value: str, version: str | None = None) -> None:
        """Set a tag of a version, or of the registered model itself."""
        with self.server.client() as client:
            if version is None:
                client.set_registered_model_tag(self.name, key, value)
            else:
                client.set_model_version_tag(self.name, version, key, value)

    def _as_value(self, version: ModelVersion) -> RegisteredVersion:
        return RegisteredVersion(
            name=version.name,
            version=str(version.version),
            run_id=version.run_id or "",
            source=version.source or "",
            tags=dict(version.tags),
            contract=self.contract,
        )

    @contextmanager
    def files(self, version: RegisteredVersion) -> Iterator[Path]:
        """Download the files of a version into a folder that lasts as long as the context.

        Raises
        ------
        StoredModelError
            They are not those that were registered, or not signed with `signing_key` if there is one.
        """
        with self.server.client(), tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            found = Path(
                mlflow.artifacts.download_artifacts(version.source, dst_path=folder, tracking_uri=self.server.uri)
            )
            with _about(version):
                check(found, version.tags, self.signing_key)
            yield found

    def document(self, number: str) -> str:
        """Return the contract that a version was trained under, as a YAML document.

        Raises
        ------
        TrackingError
            There is no such version, or no contract was stored with it.
        """
        with self.files(self.version(number)) as folder:
            try:
                return (folder / CONTRACT_FILE).read_text(encoding="utf-8")
            except FileNotFoundError as exc:
                raise TrackingError(f"no contract is stored with version {number} of {self.name}") from exc

    def load_model(self, version: RegisteredVersion) -> Pipeline:
        """Return the pipeline of a version, for rows that were validated.

        Its skops file is read with this package's own list of trusted types, even if the model's description allows
        more. It therefore also loads under `MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`, with which MLflow loads no
        scikit-learn model at all.

        Raises
        ------
        TrackingError
            The files are gone.
        StoredModelError
            They are not those that were registered, or not in skops' format.
        DataSourceError
            The skops file is damaged, or holds a type that is not trusted.
        """
        with self.files(version) as folder, _about(version):
            return read_model(folder)

    def load_parts(self, version: RegisteredVersion) -> Parts:
        """Return what answers with a version.

        Raises
        ------
        TrackingError, DataSourceError
            As from `load_model`.
        """
        with self.files(version) as folder:
            with _about(version):
                model = read_model(folder)
            return Parts(
                model,
                read_beside(ReferenceProfile, folder / REFERENCE_FILE),
                read_beside(KnownFeatures, folder / KNOWN_FILE),
            )

    def load_probe(self, version: RegisteredVersion) -> pd.DataFrame:
        """Return the made-up rows that were stored with a version, as its model takes them.

        Raises
        ------
        TrackingError
            They are missing or damaged.
        """
        with self.files(version) as folder, _reading("rows to probe it with", version):
            return pd.read_parquet(folder / PROBE_FILE)[list(self.contract.columns)]

    def load_card(self, version: RegisteredVersion) -> str | None:
        """Return the model card of a version, in Markdown; None if its run has none."""
        try:
            with self.server.client() as client, tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
                card = client.download_artifacts(version.run_id, CARD_FILE, folder)
                return Path(card).read_text(encoding="utf-8")
        except TrackingError:
            return None

    def load_learned(self, version: RegisteredVersion) -> np.ndarray | None:
        """Return the groups of the rows that a version was fitted on; None for older versions.

        Raises
        ------
        TrackingError
            The file is damaged.
        """
        with self.files(version) as folder, _reading("record of what it has learned from", version):
            return read_vectors(folder / LEARNED_FILE)

    def load_reference(self, version: RegisteredVersion) -> Reference:
        """Return what is stored about the rows behind a version.

        Raises
        ------
        TrackingError
            The profile is missing, or a file is damaged.
        """
        with self.files(version) as folder, _reading("reference profile", version):
            profile = ReferenceProfile.model_validate_json((folder / REFERENCE_FILE).read_bytes())
            return Reference(profile, read_vectors(folder / LEARNED_FILE), read_vectors(folder / TESTED_FILE))


@contextmanager
def _about(version: RegisteredVersion) -> Iterator[None]:
    """Name the version in what is said about its files."""
    try:
        yield
    except StoredModelError as exc:
        raise StoredModelError(f"version {version.version} of {version.name} is not used: {exc}") from exc


@contextmanager
def _reading(what: str, version: RegisteredVersion) -> Iterator[None]:
    """Name the version and what of it is missing or damaged."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError) as exc:
        raise TrackingError(
            f"version {version.version} of {version.name} has no {what} that can be read: train again "
            f"({type(exc).__name__})"
        ) from exc


def _number(version: str) -> int:
    if not str(version).isdecimal():
        raise TrackingError(
            f"the registry answered with a version that is no number ({shortened(version) or 'nothing'}): correct "
            "MLFLOW_TRACKING_URI"
        )
    return int(version)
