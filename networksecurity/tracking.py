"""Where runs go and what is in them: MLflow, local or on a server. The only module that meets it."""

import os
import platform
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import coolname
import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.pipeline import Pipeline

from networksecurity.exceptions import TrackingError, TrackingUnavailableError
from networksecurity.schema import CLASS_LABELS, FEATURES
from networksecurity.settings import PROJECT_FOLDER, Settings, without_credentials
from networksecurity.storage import TRUSTED_TYPES

TRAINING_TAG = "networksecurity.training"
"""The tag, on both runs of a training, that holds its name."""
SIDE_TAG = "networksecurity.side"
"""The tag that tells the two runs of a training apart: `train` or `test`."""

_LOCAL_DATABASE = f"sqlite:///{PROJECT_FOLDER / 'mlflow.db'}"
_SERVED_WITH = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "joblib")

_UNFIT_WORDS = set("beaver booby chubby curvy demonic fat funky gay godlike heretic juicy kickass nippy sexy".split())


@dataclass(frozen=True)
class Training:
    """What a training leaves to be remembered.

    Attributes
    ----------
    model : sklearn.pipeline.Pipeline
        The fitted winner.
    params : mapping of str to object
        What was asked for, and the winner's best parameters.
    train_metrics, test_metrics : mapping of str to float
        The same names on both sides.
    tags : mapping of str to str
    input_example : DataFrame of shape (n, 30)
    """

    model: Pipeline
    params: Mapping[str, Any]
    train_metrics: Mapping[str, float]
    test_metrics: Mapping[str, float]
    tags: Mapping[str, str]
    input_example: pd.DataFrame


@dataclass(frozen=True)
class Logged:
    """Where a training was logged."""

    name: str
    tracking_uri: str
    """Without credentials."""
    experiment_id: str
    train_run_id: str
    test_run_id: str
    model_uri: str


def training_name() -> str:
    """Return a new name that people can remember and read out loud in a meeting, as `auspicious-ray-40`."""
    while _UNFIT_WORDS & set(words := coolname.generate(2)):
        pass
    return f"{'-'.join(words)}-{secrets.randbelow(100)}"


def log_training(training: Training, settings: Settings, name: str | None = None) -> Logged:
    """Log a training as two finished runs, `train` (with the model) and `test`.

    Raises
    ------
    TrackingUnavailableError
        The server or database cannot be reached.
    TrackingError
        It answered and refused.
    """
    name = name or training_name()
    uri = settings.mlflow_tracking_uri.get_secret_value() if settings.mlflow_tracking_uri else _LOCAL_DATABASE
    with _translated(uri, settings):
        mlflow.set_tracking_uri(uri)
        client = MlflowClient(uri)
        experiment_id = _experiment(client, settings.mlflow_experiment_name, uri)
        train_run_id = _log_run(
            client, experiment_id, name, "train", training.params, training.train_metrics, training.tags
        )
        model_uri = _log_model(train_run_id, training)
        test_run_id = _log_run(
            client, experiment_id, name, "test", training.params, training.test_metrics, training.tags
        )
        for run_id in (train_run_id, test_run_id):
            client.set_terminated(run_id)
        return Logged(
            name=name,
            tracking_uri=without_credentials(uri),
            experiment_id=experiment_id,
            train_run_id=train_run_id,
            test_run_id=test_run_id,
            model_uri=model_uri,
        )


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=_artifacts_beside(uri))
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another training in the same moment
            assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _artifacts_beside(uri: str) -> str | None:
    """Return `mlartifacts` in the folder of an SQLite database; MLflow's own choice is the current folder."""
    path = uri.removeprefix("sqlite:///")
    return (Path(path).resolve().parent / "mlartifacts").as_uri() if path != uri else None


def _log_run(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    side: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    run = client.create_run(experiment_id, run_name=f"{side}-{name}", tags={**tags, TRAINING_TAG: name, SIDE_TAG: side})
    started = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(key, value, started, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(f"label.{value}", label) for value, label in CLASS_LABELS.items()],
    )
    return run.info.run_id


def _log_model(run_id: str, training: Training) -> str:
    options: dict[str, Any] = {
        "serialization_format": mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        "skops_trusted_types": TRUSTED_TYPES,
        # Required doubles: they take missing values (NaN), and a request without a column is refused by name.
        "signature": ModelSignature(
            inputs=Schema([ColSpec(DataType.double, name) for name in FEATURES]),
            outputs=Schema([ColSpec(DataType.long)]),
        ),
        "input_example": training.input_example,
        # Given, so that MLflow does not start a process to find out.
        "pip_requirements": [f"{package}=={version(package)}" for package in _SERVED_WITH],
        "metadata": {"python_version": platform.python_version(), "class_labels": CLASS_LABELS},
    }
    mlflow.start_run(run_id)
    try:
        return mlflow.sklearn.log_model(training.model, name="model", **options).model_uri
    finally:
        mlflow.end_run()


@contextmanager
def _translated(uri: str, settings: Settings) -> Iterator[None]:
    """Raise MLflow's errors as this package's, with the server's address and without its credentials."""
    # MLflow's own limits, 7 tries of 120 s each, would hold a training for minutes; the flow's retries come on top.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(settings.mlflow_timeout))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    shown = without_credentials(uri)
    try:
        yield
    except MlflowException as exc:
        message = str(exc).replace(uri, shown)
        if exc.error_code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}:
            raise TrackingUnavailableError(
                f"the MLflow server {shown} did not take the training ({message}). Start it, or set "
                "MLFLOW_TRACKING_URI; what was computed is kept, and the same command goes on from there"
            ) from None
        raise TrackingError(f"MLflow at {shown} refused: {message}") from None
