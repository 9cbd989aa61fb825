"""What a training left in MLflow that it takes to repeat it."""

import json
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from networksecurity.data.contracts import CONTRACTS
from networksecurity.exceptions import TrackingError
from networksecurity.tracking.outcome import CONTRACT_FILE, CONTRACT_TAG, PARAMETERS_TAG, SIDE_TAG, TRAINING_TAG
from networksecurity.tracking.server import TrackingServer


@dataclass(frozen=True)
class Recorded:
    """A training as it was recorded."""

    name: str
    code_version: str
    """Hash of the code and the libraries, as `provenance.code_version`."""
    commit: str | None
    """Of the checkout, with `-dirty` at its end if files were changed."""
    parameters: dict[str, Any]
    """Of the flow, by their names."""
    contract: str
    """The document of a table's contract; empty for a built-in one."""
    data_sha256: str
    """Of the accepted rows."""
    winner: dict[str, str]
    """The model and its parameters."""
    figures: dict[str, dict[str, float]]
    """The metrics of `train` and of `test`."""


def read_recorded(server: TrackingServer, experiment_name: str, wanted: str) -> Recorded:
    """Return a training by its name, the name of one of its two runs, or the id of a run.

    Raises
    ------
    TrackingError
        There is none, it did not finish, or it was made by a version that did not record its parameters.
    """
    with server.client() as client:
        name, experiment_id = _find(client, experiment_name, wanted, server.address)
        found = client.search_runs([experiment_id], f"tags.`{TRAINING_TAG}` = '{name}'", max_results=1_000)
        sides = {run.data.tags[SIDE_TAG]: run for run in found}
        train, test = sides.get("train"), sides.get("test")
        if train is None or test is None or train.info.status != "FINISHED":
            raise TrackingError(f"the training {name} has not finished: there is nothing to compare with")
        tags = train.data.tags
        if PARAMETERS_TAG not in tags:
            raise TrackingError(
                f"the training {name} was made by a version that did not record its parameters: name a later one"
            )
        named = tags.get(CONTRACT_TAG, "websites") in CONTRACTS
        return Recorded(
            name=name,
            code_version=tags["networksecurity.code_version"],
            commit=tags.get("mlflow.source.git.commit"),
            parameters=json.loads(tags[PARAMETERS_TAG]),
            contract="" if named else _text(client, train, CONTRACT_FILE),
            data_sha256=tags["data.sha256"],
            winner=dict(train.data.params),
            figures={"train": dict(train.data.metrics), "test": dict(test.data.metrics)},
        )


def _find(client: MlflowClient, experiment_name: str, wanted: str, address: str) -> tuple[str, str]:
    """Return the name of a training and the experiment that it is in."""
    experiment = client.get_experiment_by_name(experiment_name)
    for name in (wanted, wanted.removeprefix("train-"), wanted.removeprefix("test-")):
        quoted = name.replace("'", "")
        if experiment and client.search_runs([experiment.experiment_id], f"tags.`{TRAINING_TAG}` = '{quoted}'"):
            return name, experiment.experiment_id
    try:
        run = client.get_run(wanted)
    except MlflowException as exc:
        raise TrackingError(
            f"there is no training or run {wanted} at {address}: name a training, such as wonderful-bandicoot-39, or "
            "the id at the end of a run's address"
        ) from exc
    if TRAINING_TAG not in run.data.tags:
        raise TrackingError(f"the run {wanted} is of no training")
    return run.data.tags[TRAINING_TAG], run.info.experiment_id


def _text(client: MlflowClient, run: Run, file: str) -> str:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="networksecurity-") as folder:
        return Path(client.download_artifacts(run.info.run_id, file, folder)).read_text(encoding="utf-8")
