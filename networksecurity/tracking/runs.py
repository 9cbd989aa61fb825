"""What a training leaves in MLflow, so that it can be compared, explained, reproduced and deployed.

- `train-<name>`: the winner's parameters, its figures on the training rows, every model's way through its grid as step
  metrics, `cv_results` as Parquet and CSV, how a decision threshold was chosen, the model card, the model;
- `test-<name>`: the same parameters and the same names of figures on the test rows, `generalisation_gap_f1_score`, the
  leakage ledger, pictures and their numbers;
- children of `train-<name>`, one for each grid point: `model`, its parameters, mean, deviation and folds of its score,
  fit time.

All carry the tag `networksecurity.training` with the training's name. Nothing here uses MLflow's active run, which
belongs to a thread: each call names its run. A step that is tried again finds what its first try left and goes on.
"""

import json
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import coolname
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils import mlflow_tags
from pydantic import BaseModel
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import CLASS_LABELS, FEATURES, TARGET, to_X_y
from networksecurity.data.storage import TRUSTED_TYPES, DataRef
from networksecurity.monitoring.drift import DriftReport, ReferenceProfile
from networksecurity.tracking import model_card
from networksecurity.tracking.figures import draw_drift
from networksecurity.tracking.provenance import COMPUTED_WITH, library_versions
from networksecurity.tracking.server import TrackingServer
from networksecurity.training.candidates import CandidateRuns, decision_threshold, get_classifier
from networksecurity.training.explanation import Explanation
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.search import GridPoint, SearchResult, cv_results
from networksecurity.training.threshold import ThresholdChoice

TRAINING_TAG = "networksecurity.training"
"""The tag, on all runs of a training, that holds its name."""
SIDE_TAG = "networksecurity.side"
"""The tag that tells the runs of a training apart: `train`, `test` or `grid point`."""
GRID_POINT_TAG = "networksecurity.grid_point"
"""The tag, on the run of a grid point, that holds its model and its place in the model's grid."""
PROCESS_TAG = "networksecurity.process"
"""The tag, on an unfinished run, that names the machine and process that write it."""
REASON_TAG = "networksecurity.reason"
"""The tag that says why a run failed or was closed."""

CARD_FILE = "model_card.md"
"""The file, on the train run, that says what a person who meets the model has to know of it."""
REFERENCE_FILE = "reference_profile.json"
"""The file, beside the model's own, that holds what the rows behind it looked like."""
PROBE_FILE = "probe.parquet"
"""The file, beside the model's own, that holds made-up rows with the answers of the model that was evaluated: `y_pred`
and `y_score`, the probability of phishing."""

_SERVED_WITH = ("mlflow", *COMPUTED_WITH, "joblib")
_ARTIFACT_PATH = "model"
_N_PROBES = 200
_METRICS_PER_BATCH = 1_000  # MLflow's own limit
_RUNS_PER_PAGE = 50_000  # likewise
_UNFIT_WORDS = set("beaver booby chubby curvy demonic fat funky gay godlike heretic juicy kickass nippy sexy".split())


class Training(BaseModel, frozen=True):
    """A training that is being logged: what its steps need to find its runs."""

    name: str
    experiment_id: str
    train_run_id: str


@dataclass(frozen=True)
class Side:
    """One side of a training: its rows, and the winner's figures on them."""

    rows: DataRef
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a training found.

    Attributes
    ----------
    model : sklearn.pipeline.Pipeline
        The fitted winner.
    params : mapping of str to object
        What was asked for, and the winner's best parameters.
    searches : sequence of SearchResult
        Best first.
    train, test : Side
        Their metrics have the same names.
    tags : mapping of str to str
        Put on both runs and on the model; `data.source` among them, where the rows came from, without credentials.
    input_example : DataFrame of shape (n, 30)
    pictures : mapping of str to bytes
        Files of the explanation's pictures, by name.
    threshold : ThresholdChoice, optional
        How the model's decision threshold was chosen; None where it is the usual one.
    """

    model: Pipeline
    params: Mapping[str, Any]
    searches: Sequence[SearchResult]
    train: Side
    test: Side
    explanation: Explanation
    pictures: Mapping[str, bytes]
    leakage: LeakageLedger
    reference: ReferenceProfile
    tags: Mapping[str, str]
    input_example: pd.DataFrame
    threshold: ThresholdChoice | None = None


class Logged(BaseModel, frozen=True):
    """Where a training was logged."""

    test_run_id: str
    model_uri: str
    """Where the model's files are, as `models:/m-…`, or `runs:/…` on a server without logged models."""


class Look(BaseModel, frozen=True):
    """Where a look of the monitor was logged."""

    experiment_id: str
    run_id: str
    step: int


def training_name() -> str:
    """Return a new name that people can remember and read out loud in a meeting, as `auspicious-ray-40`."""
    while _UNFIT_WORDS & set(words := coolname.generate(2)):
        pass
    return f"{'-'.join(words)}-{secrets.randbelow(100)}"


def warm_up() -> None:
    """Load what `log_outcome` loads when it is first called in a process, for a moment with nothing else to do.

    That is skops and MLflow's list of what is installed. It changes nothing but the time that it takes.
    """
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        mlflow.sklearn.save_model(
            DummyClassifier().fit([[0]], [0]),
            f"{folder}/{_ARTIFACT_PATH}",
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            pip_requirements=_requirements(),
        )


# --- the course of a training -----------------------------------------------------------------------------------------


def start_training(
    server: TrackingServer, experiment_name: str, tags: Mapping[str, str], *, stale_after: float = 24.0
) -> Training:
    """Open the train run of a new training, and close what killed trainings left open.

    Parameters
    ----------
    server : TrackingServer
    experiment_name : str
        Is created where there is none, and restored where it was deleted.
    tags : mapping of str to str
    stale_after : float, default=24.0
        Hours after which a run that is still open counts as left by a killed process; one whose process is known to
        have ended, because it was on this machine, is closed at once. Runs without this package's tag are let alone.

    Raises
    ------
    TrackingUnavailableError
        The server or database cannot be reached.
    TrackingError
        It answered and refused.
    """
    with server.errors():
        client = server.client()
        experiment_id = _experiment(client, experiment_name, server.uri)
        _close_abandoned(client, experiment_id, stale_after)
        name = training_name()
        run = _create_run(client, experiment_id, f"train-{name}", {**tags, TRAINING_TAG: name, SIDE_TAG: "train"})
        return Training(name=name, experiment_id=experiment_id, train_run_id=run.info.run_id)


def log_search(server: TrackingServer, training: Training, result: SearchResult, runs: CandidateRuns = "all") -> None:
    """Log a search: step metrics on the train run, and one child run for each grid point, for the best, or none.

    The step metrics are `best_score_so_far/<model>` (step: how many grid points were seen, in their order) and
    `score_by_n_estimators/<model>` (step: `n_estimators`; the best score of that size).
    """
    chosen = {
        "all": list(enumerate(result.grid)),
        "best": [(result.grid.index(result.best), result.best)],
        "none": [],
    }[runs]
    with server.errors():
        client = server.client()
        children = _runs(client, training.experiment_id, f"{_of(training)} and tags.`{SIDE_TAG}` = 'grid point'")
        there = {run.data.tags[GRID_POINT_TAG]: run for run in children}
        new = []
        for index, point in chosen:
            run = there.get(f"{result.candidate}/{index}")
            if run is None and server.uri.startswith("sqlite:"):
                new.append((index, point))
            elif run is None or run.info.status != "FINISHED":
                _log_grid_point(client, training, result.candidate, index, point, run)
        if new:
            _insert_grid_points(client, training, result.candidate, new)
        _log_metrics(client, client.get_run(training.train_run_id), _path_through_grid(result))


def log_outcome(server: TrackingServer, training: Training, outcome: Outcome) -> Logged:
    """Log what a training found: the train run's content and model, and the whole test run. Both runs stay open."""
    with server.errors():
        client = server.client()
        train_run = client.get_run(training.train_run_id)
        test_run = _find_or_create_test_run(client, training, outcome.tags)
        model_id = _create_logged_model(client, training, outcome) if server.logged_models else None

        gap = outcome.train.metrics["f1_score"] - outcome.test.metrics["f1_score"]
        best = outcome.searches[0]
        leakage = {
            f"leakage/{name}": value for name, value in _ledger(outcome).items() if isinstance(value, int | float)
        }
        for run, side, context, of_side in (
            (train_run, outcome.train, "train", {f"cv_{best.scoring}": best.best.mean_test_score}),
            (test_run, outcome.test, "test", {"generalisation_gap_f1_score": gap, **leakage}),
        ):
            dataset = _dataset(outcome.tags["data.source"], context, side.rows)
            client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])
            client.log_batch(
                run.info.run_id,
                metrics=_metrics(run, {**side.metrics, **of_side}, model_id=model_id, dataset=dataset),
                params=_params(outcome.params),
                tags=[RunTag(key, value) for key, value in outcome.tags.items()],
            )
        card = model_card.render(training.name, outcome)
        client.set_tag(training.train_run_id, mlflow_tags.MLFLOW_RUN_NOTE, card)

        with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            _write_train_artifacts(Path(folder), outcome, card)
            client.log_artifacts(training.train_run_id, folder)
        with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            _write_test_artifacts(Path(folder), outcome)
            client.log_artifacts(test_run.info.run_id, folder)
        model_uri = _log_model(client, training, outcome, model_id)
        return Logged(test_run_id=test_run.info.run_id, model_uri=model_uri)


def end_training(
    server: TrackingServer,
    training: Training,
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED",
    reason: str | None = None,
) -> None:
    """Close every run of a training that is still open, with the reason as a tag where one is given."""
    with server.errors():
        client = server.client()
        for run in _runs(client, training.experiment_id, f"{_of(training)} and attributes.status = 'RUNNING'"):
            _close(client, run, status, reason)


def discard_training(server: TrackingServer, training: Training) -> None:
    """Delete the runs of a training that did not take place."""
    with server.errors():
        client = server.client()
        for run in _runs(client, training.experiment_id, _of(training)):
            client.delete_run(run.info.run_id)


# --- the course of a model's watch -----------------------------------------------------------------------------------


def log_look(
    server: TrackingServer,
    experiment_name: str,
    monitored: str,
    report: DriftReport,
    *,
    step: int | None,
    tags: Mapping[str, str],
) -> Look:
    """Log a look of the monitor as a step of the one run in which all looks at a model's data are.

    The metrics are `n_rows`, `n_drifted`, `psi/<column>` and `missing/<column>`; the report and its picture lie in the
    folder `look-<step>`. A step that is there already is left as it is.

    Parameters
    ----------
    server : TrackingServer
    experiment_name : str
    monitored : str
        The model and its version: the run is called `monitor-<monitored>`.
    report : DriftReport
    step : int or None
        The look's number, from 1; None for the next.
    tags : mapping of str to str
    """
    with server.errors():
        client = server.client()
        experiment_id = _experiment(client, experiment_name, server.uri)
        run = _find_or_create_monitor_run(client, experiment_id, f"monitor-{monitored}", tags)
        run_id = run.info.run_id
        steps = {look.step for look in client.get_metric_history(run_id, "n_rows")}
        step = 1 + max(steps, default=0) if step is None else step
        look = Look(experiment_id=experiment_id, run_id=run_id, step=step)
        if step in steps:
            return look
        now = round(time.time() * 1_000)
        figures: dict[str, float] = {"n_rows": report.n_rows, "n_drifted": len(report.drifted)}
        for column in report.columns:
            if column.psi is not None:
                figures[f"psi/{column.name}"] = column.psi
                figures[f"missing/{column.name}"] = column.missing_new
        with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            Path(folder, "drift_report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
            if report.columns:
                Path(folder, "drift.png").write_bytes(draw_drift(report, f"{monitored}, look {step}"))
                report.to_frame().to_csv(Path(folder, "drift.csv"))
            client.log_artifacts(run_id, folder, f"look-{step:04}")
        # Last, because the step is what says that a look is complete.
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in figures.items()])
        client.set_terminated(run_id)
        return look


# --- runs -------------------------------------------------------------------------------------------------------------


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


def _of(training: Training) -> str:
    return f"tags.`{TRAINING_TAG}` = '{training.name}'"


def _runs(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    return list(client.search_runs([experiment_id], filter_string, max_results=_RUNS_PER_PAGE))


def _create_run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    return client.create_run(experiment_id, run_name=name, tags={**tags, PROCESS_TAG: _this_process()})


def _this_process() -> str:
    return f"{platform.node()}:{os.getpid()}"


def _find_or_create_test_run(client: MlflowClient, training: Training, tags: Mapping[str, str]) -> Run:
    there = _runs(client, training.experiment_id, f"{_of(training)} and tags.`{SIDE_TAG}` = 'test'")
    return (
        there[0]
        if there
        else _create_run(
            client,
            training.experiment_id,
            f"test-{training.name}",
            {**tags, TRAINING_TAG: training.name, SIDE_TAG: "test"},
        )
    )


def _find_or_create_monitor_run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    def oldest() -> Run | None:
        there = _runs(client, experiment_id, f"tags.`{SIDE_TAG}` = 'monitor' and attributes.run_name = '{name}'")
        return min(there, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

    if run := oldest():
        return run
    mine = _create_run(client, experiment_id, name, {**tags, SIDE_TAG: "monitor"})
    run = oldest() or mine
    if run.info.run_id != mine.info.run_id:  # another monitor made one in the same moment
        client.delete_run(mine.info.run_id)
    return run


def _close(client: MlflowClient, run: Run, status: str, reason: str | None) -> None:
    if reason:
        client.set_tag(run.info.run_id, REASON_TAG, reason)
    client.set_terminated(run.info.run_id, status)


def _close_abandoned(client: MlflowClient, experiment_id: str, stale_after: float) -> None:
    for run in _runs(client, experiment_id, f"attributes.status = 'RUNNING' and tags.`{TRAINING_TAG}` LIKE '%'"):
        hours = (time.time() * 1_000 - run.info.start_time) / 3_600_000
        process = run.data.tags.get(PROCESS_TAG, "")
        if _has_ended(process):
            _close(client, run, "KILLED", f"its process ({process}) ended without closing it")
        elif hours >= stale_after:
            _close(client, run, "KILLED", f"still open after {hours:.1f} hours")


def _has_ended(process: str) -> bool:
    """Return whether a process, as `machine:number`, was on this machine and is not there any more."""
    machine, _, number = process.rpartition(":")
    if machine != platform.node() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)  # signal 0 asks, and does nothing
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


# --- what is in them --------------------------------------------------------------------------------------------------


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(name, str(value)) for name, value in params.items()]


def _metrics(
    run: Run, metrics: Mapping[str, float], *, model_id: str | None = None, dataset: Dataset | None = None
) -> list[Metric]:
    # With the time the run began, so that logging the same again changes nothing.
    return [
        Metric(
            name,
            value,
            run.info.start_time,
            0,
            model_id=model_id,
            dataset_name=dataset.name if dataset else None,
            dataset_digest=dataset.digest if dataset else None,
        )
        for name, value in metrics.items()
    ]


def _log_metrics(client: MlflowClient, run: Run, steps: Sequence[tuple[str, int, float]]) -> None:
    metrics = [Metric(name, value, run.info.start_time, step) for name, step, value in steps]
    for first in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[first : first + _METRICS_PER_BATCH])


def _describe_grid_point(
    training: Training, candidate: str, index: int, point: GridPoint
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return name, tags and parameters of a grid point's run."""
    settings = ", ".join(f"{name}={value}" for name, value in point.params.items())
    tags = {
        TRAINING_TAG: training.name,
        SIDE_TAG: "grid point",
        GRID_POINT_TAG: f"{candidate}/{index}",
        mlflow_tags.MLFLOW_PARENT_RUN_ID: training.train_run_id,
    }
    return f"{candidate} {settings}".strip(), tags, {"model": candidate, **point.params}


def _log_grid_point(
    client: MlflowClient, training: Training, candidate: str, index: int, point: GridPoint, run: Run | None
) -> None:
    name, tags, params = _describe_grid_point(training, candidate, index, point)
    run = run or _create_run(client, training.experiment_id, name, tags)
    client.log_batch(run.info.run_id, metrics=_metrics(run, point.scores()), params=_params(params))
    client.set_terminated(run.info.run_id)


def _insert_grid_points(
    client: MlflowClient, training: Training, candidate: str, points: Sequence[tuple[int, GridPoint]]
) -> None:
    """Write the runs of grid points into a local database as `_log_grid_point` does, but in one transaction of all.

    MLflow's client takes 13 transactions for each, in all ten times as long. What it writes is written here by its own
    table classes; `tests/tracking/test_runs.py` compares the two.
    """
    location = client.get_experiment(training.experiment_id).artifact_location
    now = int(time.time() * 1_000)
    runs = []
    for index, point in points:
        name, tags, params = _describe_grid_point(training, candidate, index, point)
        tags |= {PROCESS_TAG: _this_process(), mlflow_tags.MLFLOW_RUN_NAME: name}
        run_id = secrets.token_hex(16)
        figures = [
            {"key": key, "value": value, "timestamp": now, "step": 0, "is_nan": False}
            for key, value in point.scores().items()
        ]
        runs.append(
            SqlRun(
                run_uuid=run_id,
                name=name,
                source_type="UNKNOWN",
                source_name="",
                entry_point_name="",
                source_version="",
                user_id="unknown",
                status="FINISHED",
                start_time=now,
                end_time=now,
                lifecycle_stage="active",
                artifact_uri=f"{location}/{run_id}/artifacts",
                experiment_id=int(training.experiment_id),
                tags=[SqlTag(key=key, value=value) for key, value in tags.items()],
                params=[SqlParam(key=key, value=str(value)) for key, value in params.items()],
                metrics=[SqlMetric(**figure) for figure in figures],
                latest_metrics=[SqlLatestMetric(**figure) for figure in figures],
            )
        )
    with client._tracking_client.store.ManagedSessionMaker(read_only=False) as session:
        session.add_all(runs)


def _path_through_grid(result: SearchResult) -> list[tuple[str, int, float]]:
    """Return the step metrics of a search, as name, step and value."""
    best_so_far = accumulate((point.mean_test_score for point in result.grid), max)
    best_of_size: dict[int, float] = {}
    for point in result.grid:
        if isinstance(size := point.params.get("n_estimators"), int):
            best_of_size[size] = max(point.mean_test_score, best_of_size.get(size, point.mean_test_score))
    return [
        *((f"best_score_so_far/{result.candidate}", step, score) for step, score in enumerate(best_so_far, start=1)),
        *((f"score_by_n_estimators/{result.candidate}", size, score) for size, score in best_of_size.items()),
    ]


def _dataset(source: str, side: str, rows: DataRef) -> Dataset:
    """Return the record of one side's rows; its digest is the beginning of the SHA-256 in its profile."""
    features = Schema([ColSpec(DataType.long, name, required=False) for name in FEATURES]).to_dict()
    target = Schema([ColSpec(DataType.long, TARGET)]).to_dict()
    return Dataset(
        name=f"{source.rstrip('/').rpartition('/')[2]} · {side}",
        digest=rows.sha256[:16],
        source_type="http" if source.startswith("http") else source.partition(":")[0] if "://" in source else "local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": features + target}),
        profile=json.dumps({"num_rows": rows.n_rows, "sha256": rows.sha256}),
    )


def _write_train_artifacts(folder: Path, outcome: Outcome, card: str) -> None:
    table = cv_results(outcome.searches)
    table.to_parquet(folder / "cv_results.parquet", index=False)
    table.to_csv(folder / "cv_results.csv", index=False)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    if outcome.threshold:
        (folder / "threshold.json").write_text(outcome.threshold.model_dump_json(indent=2), encoding="utf-8")


def _ledger(outcome: Outcome) -> dict[str, Any]:
    """Return the leakage ledger, the model's own F1 first."""
    return {"grouped_f1_score": outcome.test.metrics["f1_score"], **outcome.leakage.model_dump(mode="json")}


def _write_test_artifacts(folder: Path, outcome: Outcome) -> None:
    for name, picture in outcome.pictures.items():
        (folder / name).write_bytes(picture)
    parts = {**outcome.explanation.model_dump(mode="json"), "leakage_ledger": _ledger(outcome)}
    for part, numbers in parts.items():
        (folder / f"{part}.json").write_text(json.dumps(numbers, indent=2), encoding="utf-8")


# --- the model --------------------------------------------------------------------------------------------------------


def _create_logged_model(client: MlflowClient, training: Training, outcome: Outcome) -> str:
    run = client.get_run(training.train_run_id)
    if run.outputs and run.outputs.model_outputs:  # an earlier try of the same step made it
        return run.outputs.model_outputs[0].model_id
    logged = client.create_logged_model(
        training.experiment_id,
        name=training.name,
        source_run_id=training.train_run_id,
        tags={**outcome.tags, TRAINING_TAG: training.name},
        params={name: str(value) for name, value in outcome.params.items()},
        model_type="classifier",
    )
    client.log_outputs(training.train_run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def _log_model(client: MlflowClient, training: Training, outcome: Outcome, model_id: str | None) -> str:
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        path = f"{folder}/{_ARTIFACT_PATH}"
        save_model(path, training, outcome, model_id)
        if model_id is None:
            client.log_artifacts(training.train_run_id, path, _ARTIFACT_PATH)
            return f"runs:/{training.train_run_id}/{_ARTIFACT_PATH}"
        client.log_model_artifacts(model_id, path)
        client.finalize_logged_model(model_id, "READY")
        return f"models:/{model_id}"


def save_model(path: str, training: Training, outcome: Outcome, model_id: str | None = None) -> None:
    """Write the winner as an MLflow model (skops, no pickle), described, with the reference profile of its data."""
    estimator = get_classifier(outcome.model)
    mlflow.sklearn.save_model(
        outcome.model,
        path,
        mlflow_model=Model(run_id=training.train_run_id, model_id=model_id),
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        # Required doubles: they take missing values (NaN), and a request without a column is refused by name.
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.double, name) for name in FEATURES]),
            outputs=Schema([ColSpec(DataType.long)]),
        ),
        input_example=outcome.input_example,
        # Given, so that MLflow does not start a process to find out.
        pip_requirements=_requirements(),
        metadata={
            **outcome.tags,
            "training": training.name,
            "class": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
            "feature_names": list(FEATURES),
            "class_labels": CLASS_LABELS,
            "decision_threshold": decision_threshold(outcome.model),
            "versions": library_versions(),
        },
    )
    Path(path, REFERENCE_FILE).write_text(outcome.reference.model_dump_json(), encoding="utf-8")
    _probe(outcome.model).to_parquet(Path(path, PROBE_FILE))


def _requirements() -> list[str]:
    return [f"{package}=={version(package)}" for package in _SERVED_WITH]


def _probe(model: Pipeline) -> pd.DataFrame:
    """Return rows of the built-in sample, some with each feature missing once, and a model's answers."""
    X, _ = to_X_y(make_phishing_websites(_N_PROBES, random_state=0))
    with_gaps = X.head(len(FEATURES)).mask(np.eye(len(FEATURES), dtype=bool))
    X = pd.concat([X, with_gaps], ignore_index=True)
    return X.assign(y_pred=model.predict(X), y_score=model.predict_proba(X)[:, 1])
