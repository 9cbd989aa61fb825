"""Files that go to MLflow, and the proof that they have arrived."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mlflow import MlflowClient
from mlflow.artifacts import list_artifacts
from mlflow.entities import FileInfo

from networksecurity.exceptions import TrackingUnavailableError


def log_folder(client: MlflowClient, run_id: str, folder: str, path: str | None = None) -> None:
    """Upload the files of a flat folder to a run, below `path`.

    Raises
    ------
    TrackingUnavailableError
        Some have not arrived, though the server said nothing of it: MLflow takes any answer with 200 as its own.
    """
    client.log_artifacts(run_id, folder, path)
    # By address: by run, MLflow 3 would look for logged models, which an older server does not know.
    root = client.get_run(run_id).info.artifact_uri
    address = f"{root}/{path}" if path else root
    _check(folder, list_artifacts(artifact_uri=address, tracking_uri=client.tracking_uri))


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, str | bytes], path: str | None = None) -> None:
    """Upload files by their names to a run, below `path`; see `log_folder`."""
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content.encode() if isinstance(content, str) else content)
        log_folder(client, run_id, folder, path)


def log_model_folder(client: MlflowClient, model_id: str, folder: str) -> None:
    """Upload the files of a flat folder to a logged model; see `log_folder`."""
    client.log_model_artifacts(model_id, folder)
    _check(folder, client.list_logged_model_artifacts(model_id))


def _check(folder: str, arrived: Iterable[FileInfo]) -> None:
    sizes = {PurePosixPath(file.path).name: file.file_size for file in arrived}
    lost = [file.name for file in Path(folder).iterdir() if sizes.get(file.name) != file.stat().st_size]
    if lost:
        raise TrackingUnavailableError(f"MLflow has not stored {', '.join(sorted(lost))}: the same again stores it")
