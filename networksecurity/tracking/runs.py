"""What a training leaves in MLflow, for comparison, explanation, reproduction and deployment.

- `train-<name>`: the winner's parameters, its figures on the training rows, every model's way through its grid as step
  metrics, `cv_results` as Parquet and CSV, how the winner and its labels were chosen, the model card, the
  model;
- `test-<name>`: the same parameters and the same names of figures on the test rows, `f1_score_gap`, the
  leakage ledger, pictures and their numbers;
- children of `train-<name>`, one for each grid point: `model`, its parameters, mean, deviation and folds of its score,
  fit time. They are in an experiment of their own, for MLflow's pages list children among all runs.

All carry the tag `networksecurity.training` with the training's name. MLflow's active run belongs to a thread, so
nothing here uses it (nor `mlflow.evaluate`, which does): each call names its run. A step that is repeated continues
from what its first attempt left.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import coolname
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils import mlflow_tags

from networksecurity.data.contracts import Contract
from networksecurity.data.storage import DataRef
from networksecurity.tracking import model_card, view
from networksecurity.tracking.artifacts import log_files
from networksecurity.tracking.choice_figures import draw_choice
from networksecurity.tracking.figures import draw_known
from networksecurity.tracking.model import create_logged_model, log_model
from networksecurity.tracking.outcome import (
    CARD_FILE,
    CONTRACT_FILE,
    GRID_POINT_TAG,
    KEY_TAG,
    PROCESS_TAG,
    REASON_TAG,
    SIDE_TAG,
    TRAINING_TAG,
    Logged,
    Outcome,
    Training,
)
from networksecurity.tracking.server import TrackingServer
from networksecurity.tracking.writer import has_ended, this_process
from networksecurity.training.candidates import CandidateRuns
from networksecurity.training.evaluation import BOUNDS
from networksecurity.training.search import GridPoint, SearchResult, cv_results

_METRICS_PER_BATCH = 1_000  # MLflow's own limit
_RUNS_PER_PAGE = 50_000  # likewise
_UNFIT_WORDS = set("beaver booby chubby curvy demonic fat funky gay godlike heretic juicy kickass nippy sexy".split())


def training_name() -> str:
    """Return a new name that people can remember and say in a meeting, such as `auspicious-ray-40`."""
    while _UNFIT_WORDS & set(words := coolname.generate(2)):
        pass
    return f"{'-'.join(words)}-{secrets.randbelow(100)}"


# --- the course of a training -----------------------------------------------------------------------------------------


def start_training(
    server: TrackingServer,
    experiment_name: str,
    tags: Mapping[str, str],
    *,
    name: str = "",
    key: str = "",
    stale_after: float | None = 24.0,
) -> Training:
    """Open the train run of a training, and close the runs that killed trainings left open.

    Parameters
    ----------
    experiment_name : str
        Is created if it is missing, and restored if it was deleted.
    tags : mapping of str to str
    name : str, optional
        By default a new one.
    key : str, optional
        Of the training: its runs are found by it, and opened again if they were closed. By default a new one.
    stale_after : float or None, default=24.0
        Hours after which an open run counts as left behind by a killed process. A run of a process that was on this
        machine and has ended is closed at once. Runs without this package's tag are left unchanged. None closes none.

    Raises
    ------
    TrackingUnavailableError
        The server or database cannot be reached.
    TrackingError
        It answered and refused.
    """
    name, key = name or training_name(), key or secrets.token_hex(16)
    with server.client() as client:
        experiment_id = get_experiment(client, experiment_name, server.uri, view.OF_TRAININGS)
        grid_experiment_id = get_experiment(client, grid_experiment(experiment_name), server.uri, view.OF_GRID_POINTS)
        if stale_after is not None:
            for each in (experiment_id, grid_experiment_id):
                _close_abandoned(client, each, stale_after, except_key=key)
        training = Training(
            name=name, key=key, experiment_id=experiment_id, grid_experiment_id=grid_experiment_id, train_run_id=""
        )
        run = _find_or_create(client, training, "train", tags)
        return training.model_copy(update={"train_run_id": run.info.run_id})


def log_search(server: TrackingServer, training: Training, result: SearchResult, runs: CandidateRuns = "all") -> None:
    """Log a search: step metrics on the train run, and one child run for each grid point, for the best, or none.

    The step metrics are `search_best_so_far/<model>` (step: how many grid points came before, and this one) and
    `score_by_n_estimators/<model>` (step: `n_estimators`; the best score of that size).
    """
    chosen = {
        "all": list(enumerate(result.grid)),
        "best": [(result.grid.index(result.best), result.best)],
        "none": [],
    }[runs]
    with server.client() as client:
        children = search_runs(client, training.grid_experiment_id, _of(training))
        earlier = {run.data.tags[GRID_POINT_TAG]: run for run in children}
        for index, point in chosen:
            run = earlier.get(f"{result.candidate}/{index}")
            if run is None or run.info.status != "FINISHED":
                _log_grid_point(client, training, result.candidate, index, point, run)
        _log_metrics(client, client.get_run(training.train_run_id), _path_through_grid(result))


def log_outcome(server: TrackingServer, training: Training, outcome: Outcome) -> Logged:
    """Log what a training found: the train run's content and model, and the whole test run. Both runs stay open."""
    with server.client() as client:
        train_run = client.get_run(training.train_run_id)
        test_run = _find_or_create(client, training, "test", outcome.tags)
        model_id = create_logged_model(client, training, outcome) if server.logged_models else None

        gap = outcome.train.metrics["f1_score"] - outcome.test.metrics["f1_score"]
        best = outcome.searches[0]
        leakage = {
            f"leakage/{name}": value for name, value in _ledger(outcome).items() if isinstance(value, int | float)
        }
        known = outcome.known.metrics() if outcome.known else {}
        cv_scores = {f"cv_{best.scoring}": best.best.mean_test_score}
        if chosen := outcome.selection:
            cv_scores |= {f"repeated_cv_{chosen.scoring}/{of.model}": of.mean_score for of in chosen.standings}
        for run, side, context, of_side in (
            (train_run, outcome.train, "train", cv_scores),
            (test_run, outcome.test, "test", {"f1_score_gap": gap, **leakage, **known}),
        ):
            dataset = _dataset(outcome.tags["data.source"], context, side.rows, outcome.contract)
            client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])
            client.log_batch(
                run.info.run_id,
                metrics=_metrics(run, {**_named(side.metrics), **of_side}, model_id=model_id, dataset=dataset),
                params=_params(outcome.params),
                tags=[RunTag(key, value) for key, value in outcome.tags.items()],
            )
        card = model_card.render(training.name, outcome)
        client.set_tag(training.train_run_id, mlflow_tags.MLFLOW_RUN_NOTE, card)

        log_files(client, training.train_run_id, _train_files(outcome, card))
        log_files(client, test_run.info.run_id, _test_files(outcome))
        model_uri, sealed = log_model(client, training, outcome, model_id)
        inputs = client.get_run(test_run.info.run_id).inputs
        if model_id and not (inputs and inputs.model_inputs):
            client.log_inputs(test_run.info.run_id, models=[LoggedModelInput(model_id)])
        return Logged(test_run_id=test_run.info.run_id, model_uri=model_uri, seal=sealed)


def end_training(
    server: TrackingServer,
    training: Training,
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED",
    reason: str | None = None,
) -> None:
    """Close every run of a training that is still open, with the reason, if there is one, as a tag."""
    with server.client() as client:
        for run in _runs_of(client, training, " and attributes.status = 'RUNNING'"):
            _close(client, run, status, reason)


# --- runs -------------------------------------------------------------------------------------------------------------


def grid_experiment(experiment_name: str) -> str:
    """Return the name of the experiment that holds the grid points of an experiment's trainings."""
    return f"{experiment_name}-grid"


def get_experiment(client: MlflowClient, name: str, uri: str, tags: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return an experiment's id; it is created if it is missing, restored if it was deleted, and gets the tags."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=_artifacts_beside(uri), tags=dict(tags))
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another training created it at the same time
            assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for key, value in tags.items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return experiment.experiment_id


def _artifacts_beside(uri: str) -> str | None:
    """Return `mlartifacts` in the folder of an SQLite database; MLflow's own choice is the current folder."""
    path = uri.removeprefix("sqlite:///")
    return (Path(path).resolve().parent / "mlartifacts").as_uri() if path != uri else None


def _of(training: Training) -> str:
    return f"tags.`{KEY_TAG}` = '{training.key}'"


def _runs_of(client: MlflowClient, training: Training, more: str = "") -> list[Run]:
    """Return the runs of a training that match a filter, grid points and all."""
    experiments = training.experiment_id, training.grid_experiment_id
    return [run for each in experiments for run in search_runs(client, each, f"{_of(training)}{more}")]


def search_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Return all runs of an experiment that match MLflow's `filter_string`."""
    return list(client.search_runs([experiment_id], filter_string, max_results=_RUNS_PER_PAGE))


def create_run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    """Open a run that names this process as its writer."""
    return client.create_run(experiment_id, run_name=name, tags={**tags, PROCESS_TAG: this_process()})


def _find_or_create(client: MlflowClient, training: Training, side: str, tags: Mapping[str, str]) -> Run:
    """Return a run of a training, opened again if an earlier attempt was closed before its end.

    Its tags then tell who goes on with it: the flow run, say.
    """
    found = search_runs(client, training.experiment_id, f"{_of(training)} and tags.`{SIDE_TAG}` = '{side}'")
    if not found:
        of_training = {**tags, TRAINING_TAG: training.name, KEY_TAG: training.key, SIDE_TAG: side}
        return create_run(client, training.experiment_id, f"{side}-{training.name}", of_training)
    run = min(found, key=lambda run: (run.info.start_time, run.info.run_id))
    for name, value in {**tags, PROCESS_TAG: this_process()}.items():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)
    if run.info.status in {"FAILED", "KILLED"}:
        if REASON_TAG in run.data.tags:
            client.delete_tag(run.info.run_id, REASON_TAG)
        client.update_run(run.info.run_id, status="RUNNING")
    return run


def _close(client: MlflowClient, run: Run, status: str, reason: str | None) -> None:
    if reason:
        client.set_tag(run.info.run_id, REASON_TAG, reason)
    client.set_terminated(run.info.run_id, status)


def _close_abandoned(client: MlflowClient, experiment_id: str, stale_after: float, *, except_key: str) -> None:
    for run in search_runs(client, experiment_id, f"attributes.status = 'RUNNING' and tags.`{TRAINING_TAG}` LIKE '%'"):
        hours = (time.time() * 1_000 - run.info.start_time) / 3_600_000
        process = run.data.tags.get(PROCESS_TAG, "")
        if run.data.tags.get(KEY_TAG) == except_key:
            continue
        if has_ended(process):
            _close(client, run, "KILLED", f"its process ({process}) ended without closing it")
        elif hours >= stale_after:
            _close(client, run, "KILLED", f"still open after {hours:.1f} hours")


# --- their content ----------------------------------------------------------------------------------------------------


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(name, str(value)) for name, value in params.items()]


def _named(figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures by their names in MLflow, which sorts them: bounds of intervals come after all else."""
    return {f"uncertainty/{name}" if name in BOUNDS else name: value for name, value in figures.items()}


def _metrics(
    run: Run, metrics: Mapping[str, float], *, model_id: str | None = None, dataset: Dataset | None = None
) -> list[Metric]:
    # With the run's start time, which makes logging the same again change nothing.
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


def _log_grid_point(
    client: MlflowClient, training: Training, candidate: str, index: int, point: GridPoint, run: Run | None
) -> None:
    """Log a grid point as a run of its own, in the three calls that MLflow needs; `run` is left from an earlier try."""
    settings = ", ".join(f"{name}={value}" for name, value in point.params.items())
    tags = {
        TRAINING_TAG: training.name,
        KEY_TAG: training.key,
        SIDE_TAG: "grid point",
        GRID_POINT_TAG: f"{candidate}/{index}",
        mlflow_tags.MLFLOW_PARENT_RUN_ID: training.train_run_id,
    }
    run = run or create_run(client, training.grid_experiment_id, f"{candidate} {settings}".strip(), tags)
    params = _params({"model": candidate, **point.params})
    client.log_batch(run.info.run_id, metrics=_metrics(run, _shown(point)), params=params)
    client.set_terminated(run.info.run_id)


def _shown(point: GridPoint) -> dict[str, float]:
    """Return a grid point's scores; those of one that learned nothing have names of their own.

    Beside a score of 0 in every fold, a plot of all points would squeeze the others into one line.
    """
    if any(point.split_test_scores):
        return point.scores()
    return {f"learned_nothing/{name}": value for name, value in point.scores().items()}


def _path_through_grid(result: SearchResult) -> list[tuple[str, int, float]]:
    """Return the step metrics of a search, as name, step and value; points without a score leave gaps."""
    name = result.candidate
    scored = [(step, point) for step, point in enumerate(result.grid, start=1) if isfinite(point.mean_test_score)]
    steps = [step for step, _ in scored]
    best_so_far = accumulate((point.mean_test_score for _, point in scored), max)
    best_of_size: dict[int, float] = {}
    for _, point in scored:
        if isinstance(size := point.params.get("n_estimators"), int):
            best_of_size[size] = max(point.mean_test_score, best_of_size.get(size, point.mean_test_score))
    return [
        *((f"search_best_so_far/{name}", step, best) for step, best in zip(steps, best_so_far, strict=True)),
        *((f"score_by_n_estimators/{name}", size, score) for size, score in best_of_size.items()),
    ]


def _dataset(source: str, side: str, rows: DataRef, contract: Contract) -> Dataset:
    """Return the record of one side's rows; its digest is a prefix of the SHA-256 in its profile."""
    kinds = {name: DataType.string if name in contract.text_columns else DataType.long for name in contract.columns}
    features = Schema([ColSpec(kind, name, required=False) for name, kind in kinds.items()]).to_dict()
    target = Schema([ColSpec(DataType.long, contract.target)]).to_dict()
    return Dataset(
        name=f"{_short(source)} · {side}",
        digest=rows.sha256[:16],
        source_type="http" if source.startswith("http") else source.partition(":")[0] if "://" in source else "local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": features + target}),
        profile=json.dumps({"num_rows": rows.n_rows, "sha256": rows.sha256}),
    )


def _short(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2]


def _train_files(outcome: Outcome, card: str) -> dict[str, str | bytes]:
    """Return the artifacts of the train run, by name."""
    table, source = cv_results(outcome.searches), _short(outcome.tags["data.source"])
    calibration = outcome.labelling.calibration if outcome.labelling else None
    chosen = {"selection.json": outcome.selection, "labelling.json": outcome.labelling}
    return {
        "cv_results.parquet": table.to_parquet(index=False),
        "cv_results.csv": table.to_csv(index=False),
        CARD_FILE: card,
        CONTRACT_FILE: outcome.contract.document,
        **draw_choice(outcome.searches, outcome.selection, calibration, source),
        **{name: of.model_dump_json(indent=2) for name, of in chosen.items() if of},
    }


def _ledger(outcome: Outcome) -> dict[str, Any]:
    """Return the leakage ledger, the model's own F1 first."""
    return {"grouped_f1_score": outcome.test.metrics["f1_score"], **outcome.leakage.model_dump(mode="json")}


def _test_files(outcome: Outcome) -> dict[str, str | bytes]:
    """Return the artifacts of the test run, by name."""
    pictures: dict[str, str | bytes] = dict(outcome.pictures)
    parts = {**outcome.explanation.model_dump(mode="json"), "leakage_ledger": _ledger(outcome)}
    if outcome.known:
        title = f"{outcome.searches[0].candidate} on the test rows of {_short(outcome.tags['data.source'])}"
        pictures["known_features.png"] = draw_known(outcome.known, title)
        parts["known_features"] = outcome.known.model_dump(mode="json")
    return {**pictures, **{f"{part}.json": json.dumps(numbers, indent=2) for part, numbers in parts.items()}}
