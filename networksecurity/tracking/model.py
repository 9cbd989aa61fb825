"""The model as it is stored: an MLflow model in skops' format (no pickle), its signature, description and probe."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from networksecurity import __version__
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.data.schema import CLASS_LABELS, LABELS
from networksecurity.tracking.artifacts import log_folder, log_model_folder
from networksecurity.tracking.outcome import (
    CONTRACT_FILE,
    KEY_TAG,
    KNOWN_FILE,
    LEARNED_FILE,
    PROBE_FILE,
    REFERENCE_FILE,
    TESTED_FILE,
    TRAINING_TAG,
    Outcome,
    Training,
)
from networksecurity.tracking.provenance import COMPUTED_WITH, library_versions
from networksecurity.tracking.seal import seal
from networksecurity.training.calibration import method_of
from networksecurity.training.candidates import get_classifier
from networksecurity.training.domain import with_domain_check
from networksecurity.training.label_rule import rule_of
from networksecurity.training.masking import hide, known_sets

_SERVED_WITH = ("mlflow", *COMPUTED_WITH, "joblib")
_ARTIFACT_PATH = "model"
_N_PROBES_OF_A_SET = 5


def warm_up() -> None:
    """Load skops and MLflow's list of installed packages, which the first `save_model` of a process waits for."""
    model = DummyClassifier().fit([[0]], [0])
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        mlflow.sklearn.save_model(
            model,
            f"{folder}/{_ARTIFACT_PATH}",
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            pip_requirements=_requirements(model),
        )


def create_logged_model(client: MlflowClient, training: Training, outcome: Outcome) -> str:
    """Return the id of the training's MLflow 3 logged model, created unless an earlier attempt did."""
    run = client.get_run(training.train_run_id)
    if run.outputs and run.outputs.model_outputs:
        return run.outputs.model_outputs[0].model_id
    # An earlier attempt may have ended between the two calls.
    found = client.search_logged_models([training.experiment_id], f"source_run_id = '{training.train_run_id}'")
    logged = min(found, key=lambda model: (model.creation_timestamp, model.model_id), default=None)
    logged = logged or client.create_logged_model(
        training.experiment_id,
        name=training.name,
        source_run_id=training.train_run_id,
        tags={**outcome.tags, TRAINING_TAG: training.name, KEY_TAG: training.key},
        params={name: str(value) for name, value in outcome.params.items()},
        model_type="classifier",
    )
    client.log_outputs(training.train_run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def log_model(
    client: MlflowClient, training: Training, outcome: Outcome, model_id: str | None
) -> tuple[str, dict[str, str]]:
    """Upload the model's files, to its logged model or else to the train run; return their address and their seal."""
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        path = f"{folder}/{_ARTIFACT_PATH}"
        save_model(path, training, outcome, model_id)
        sealed = seal(Path(path))
        if model_id is None:
            log_folder(client, training.train_run_id, path, _ARTIFACT_PATH)
            return f"runs:/{training.train_run_id}/{_ARTIFACT_PATH}", sealed
        log_model_folder(client, model_id, path)
        client.finalize_logged_model(model_id, "READY")
        return f"models:/{model_id}", sealed


def save_model(path: str, training: Training, outcome: Outcome, model_id: str | None = None) -> None:
    """Write the winner as an MLflow model into the new folder `path`, with its description, probe and data profile."""
    estimator, rule, contract = get_classifier(outcome.model), rule_of(outcome.model), outcome.contract
    mlflow.sklearn.save_model(
        with_domain_check(outcome.model, contract) if contract.domains else outcome.model,
        path,
        mlflow_model=Model(run_id=training.train_run_id, model_id=model_id),
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        # Required columns of any type: MLflow names a column that a request lacks, and the pipeline checks the values.
        # As doubles, MLflow would refuse whole numbers; as longs, missing values. Without a signature, it would pass on
        # some JSON requests as a dict of arrays.
        signature=ModelSignature(
            inputs=Schema(
                [ColSpec(DataType.string if of in contract.text_columns else AnyType(), of) for of in contract.columns]
            ),
            outputs=Schema([ColSpec(DataType.long)]),
        ),
        input_example=outcome.input_example.head(5),
        pip_requirements=_requirements(outcome.model),  # else MLflow starts a process to find out
        metadata={
            **outcome.tags,
            "training": training.name,
            "class": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
            "feature_names": list(contract.columns),
            "class_labels": LABELS if rule.band else CLASS_LABELS,
            "decision_threshold": rule.threshold,
            "unsure_band": list(rule.band) if rule.band else None,
            "calibration": method_of(outcome.model),
            "versions": library_versions(),
        },
    )
    if outcome.reference:
        Path(path, REFERENCE_FILE).write_text(outcome.reference.model_dump_json(), encoding="utf-8")
    Path(path, CONTRACT_FILE).write_text(outcome.contract.document, encoding="utf-8")
    if outcome.known:
        Path(path, KNOWN_FILE).write_text(outcome.known.model_dump_json(), encoding="utf-8")
    np.save(Path(path, LEARNED_FILE), outcome.learned, allow_pickle=False)
    np.save(Path(path, TESTED_FILE), outcome.tested, allow_pickle=False)
    X, model = probe_rows(contract, outcome.input_example), outcome.model
    X.assign(y_pred=model.predict(X), y_score=model.predict_proba(X)[:, 1]).to_parquet(Path(path, PROBE_FILE))


def _requirements(model: BaseEstimator) -> list[str]:
    """Return the packages that a model needs where it is loaded: this one only if it has classes of ours."""
    packages = [f"{package}=={version(package)}" for package in _SERVED_WITH]
    is_ours = any(type(of).__module__.startswith("networksecurity.") for of in model.get_params().values())
    return [*packages, f"networksecurity=={__version__}"] if is_ours else packages


def probe_rows(contract: Contract = WEBSITES, examples: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what a model is given of made-up rows.

    Where features come in groups that go missing together, each feature is missing in at least one row, and so is each
    set of groups. A contract without a built-in sample makes its rows from `examples`.
    """
    X, groups = contract.make_probe(examples), contract.feature_groups
    if not groups:
        return X
    with_gaps = X.head(X.shape[1]).mask(np.eye(X.shape[1], dtype=bool))
    without_groups = [hide(X.head(_N_PROBES_OF_A_SET), groups, known) for known in known_sets(groups)]
    return pd.concat([X, with_gaps, *without_groups], ignore_index=True)
