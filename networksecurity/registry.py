"""The registered model: its versions, the aliases that point to them, and a model by its name.

An alias is a pointer that moves: `candidate` is the newest version. Servers without alias endpoints hold the pointer in
a tag of the registered model instead; the functions here take and give the same either way.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from pydantic import BaseModel, ValidationError
from sklearn.pipeline import Pipeline

from networksecurity.drift import ReferenceProfile
from networksecurity.exceptions import TrackingError
from networksecurity.storage import load_model as load_skops
from networksecurity.tracking import REFERENCE_FILE
from networksecurity.tracking_server import TrackingServer

CANDIDATE = "candidate"
"""The alias of the newest version."""
CHAMPION = "champion"
"""The alias of the version that is in use."""

WATERMARK_TAG = "data.watermark"
"""The tag, on a version trained on a collection that grows, that says how far it had grown: see `mongodb`."""

_ALIAS_TAG = "networksecurity.alias."


class RegisteredVersion(BaseModel, frozen=True):
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    source: str
    """Where its files are, as MLflow writes it."""
    tags: dict[str, str]


def register(
    server: TrackingServer,
    name: str,
    model_uri: str,
    run_id: str,
    *,
    tags: Mapping[str, str],
    description: str,
    alias: str = CANDIDATE,
) -> RegisteredVersion:
    """Register a logged model as a new version of `name`, and let `alias` point to it.

    Done again for the same run it returns the version there is.

    Raises
    ------
    TrackingUnavailableError
        The server or database cannot be reached.
    TrackingError
        It answered and refused.
    """
    with server.errors():
        client = server.client()
        try:
            client.create_registered_model(name)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        there = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        version = there[0] if there else _create_version(server, name, model_uri, run_id, tags, description)
        set_alias(server, name, alias, version.version)
        return _as_value(version)


def set_alias(server: TrackingServer, name: str, alias: str, version: str) -> None:
    """Let `alias` point to a version, wherever it pointed before."""
    with server.errors():
        if server.aliases:
            server.client().set_registered_model_alias(name, alias, version)
        else:
            server.client().set_registered_model_tag(name, f"{_ALIAS_TAG}{alias}", version)


def find_version(server: TrackingServer, name: str, *aliases: str) -> RegisteredVersion | None:
    """Return the version that the first of `aliases` points to which there is, or None.

    The version in use is `find_version(server, name, CHAMPION, CANDIDATE)`: the champion, or the newest where none was
    ever promoted.
    """
    with server.errors():
        client = server.client()
        for alias in aliases:
            try:
                if server.aliases:
                    return _as_value(client.get_model_version_by_alias(name, alias))
                if number := client.get_registered_model(name).tags.get(f"{_ALIAS_TAG}{alias}"):
                    return _as_value(client.get_model_version(name, number))
            except MlflowException as exc:
                if exc.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
    return None


def get_version(server: TrackingServer, name: str, *aliases: str) -> RegisteredVersion:
    """Return what `find_version` returns.

    Raises
    ------
    TrackingError
        There is no such model, or none of the aliases.
    """
    version = find_version(server, name, *aliases)
    if version is None:
        raise TrackingError(
            f"no version of {name} has the alias {' or '.join(aliases)} at {server.address}: train first, or point "
            "MLFLOW_TRACKING_URI at the server that was trained to"
        )
    return version


def load_model(server: TrackingServer, version: RegisteredVersion) -> Pipeline:
    """Return the pipeline of a version.

    Its skops file is read with this package's own list of types, whatever the model's description would allow, so it
    is safe where `MLFLOW_ALLOW_PICKLE_DESERIALIZATION` is `false` and MLflow loads no scikit-learn model at all.

    Raises
    ------
    TrackingError
        The files are gone, or are not a model that this package stored.
    """
    with _downloaded(server, version) as folder:
        flavor = Model.load(str(folder)).flavors.get("sklearn", {})
        if flavor.get("serialization_format") != "skops":
            raise TrackingError(
                f"version {version.version} of {version.name} was not stored by skops: it is not loaded"
            )
        return load_skops((folder / flavor["pickled_model"]).read_bytes())


def load_reference(server: TrackingServer, version: RegisteredVersion) -> ReferenceProfile:
    """Return the reference profile of the rows behind a version.

    Raises
    ------
    TrackingError
        There is none with it, or it is damaged.
    """
    with _downloaded(server, version) as folder:
        try:
            return ReferenceProfile.model_validate_json((folder / REFERENCE_FILE).read_bytes())
        except (FileNotFoundError, ValidationError) as exc:
            raise TrackingError(
                f"version {version.version} of {version.name} has no reference profile that can be read: train again "
                f"({type(exc).__name__})"
            ) from exc


@contextmanager
def _downloaded(server: TrackingServer, version: RegisteredVersion) -> Iterator[Path]:
    with server.errors(), tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        yield Path(mlflow.artifacts.download_artifacts(version.source, dst_path=folder, tracking_uri=server.uri))


def _create_version(
    server: TrackingServer, name: str, model_uri: str, run_id: str, tags: Mapping[str, str], description: str
) -> ModelVersion:
    model_id = model_uri.removeprefix("models:/") if server.logged_models else None
    client = server.client()
    # An old server takes no runs:/ address.
    source = model_uri if model_id else f"{client.get_run(run_id).info.artifact_uri}/{model_uri.rpartition('/')[2]}"
    return client.create_model_version(
        name, source, run_id, tags=dict(tags), description=description, await_creation_for=0, model_id=model_id
    )


def _as_value(version: ModelVersion) -> RegisteredVersion:
    return RegisteredVersion(
        name=version.name,
        version=str(version.version),
        run_id=version.run_id or "",
        source=version.source or "",
        tags=dict(version.tags),
    )
