"""Train: rows → validated → split → one grid search per model, in parallel → the best, fitted → evaluated → logged.

As a command: `python flows/train.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from flows.launch import run
    from flows.parameters import TrainParameters

    sys.exit(run("flows.train:train", TrainParameters, show="flows.report:show_training"))

import signal
from typing import Any, cast
from uuid import UUID

import pandas as pd
from prefect import flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import NotSet
from pydantic import BaseModel

from flows.parameters import TrainParameters
from flows.report import LeaderboardRow, TrainingReport, training_markdown
from flows.steps import cached_step, step
from networksecurity import candidates, datasets, evaluation, schema, search, splitting, tracking
from networksecurity.exceptions import TrainingError
from networksecurity.settings import settings
from networksecurity.storage import DataRef, ModelRef, Storage


class Checked(BaseModel, frozen=True):
    """Validated rows, and where the others are."""

    accepted: DataRef
    quarantine: str | None
    report: dict[str, Any]


class Sides(BaseModel, frozen=True):
    """The training and the test rows."""

    train: DataRef
    test: DataRef
    report: dict[str, Any]


def _storage() -> Storage:
    return Storage(settings().storage)


@step(task_run_name="fetch")
def fetch(source: str) -> DataRef:
    """Read rows from their source, as they are."""
    return _storage().put_frame(datasets.read(source, settings()))


@cached_step(task_run_name="validate")
def validate(raw: DataRef, max_rejected: float) -> Checked:
    """Set aside the rows that are not valid; refuse data that is not what it should be."""
    storage = _storage()
    validated = schema.validate(storage.get_frame(raw), max_rejected=max_rejected)
    return Checked(
        accepted=storage.put_frame(validated.accepted),
        quarantine=storage.quarantine(validated.rejected) if len(validated.rejected) else None,
        report=validated.report.to_dict(),
    )


@cached_step(task_run_name="split")
def split(accepted: DataRef, test_size: float, random_state: int) -> Sides:
    """Divide the rows by feature vector."""
    storage = _storage()
    sides = splitting.split(storage.get_frame(accepted), test_size=test_size, random_state=random_state)
    return Sides(
        train=storage.put_frame(sides.train), test=storage.put_frame(sides.test), report=sides.report.to_dict()
    )


@cached_step(task_run_name="folds")
def assign_folds(train: DataRef, cv: int, random_state: int) -> DataRef:
    """Assign the training rows to folds, the same for every model."""
    storage = _storage()
    test_fold = splitting.assign_folds(storage.get_frame(train), n_splits=cv, random_state=random_state)
    return storage.put_frame(pd.DataFrame({"test_fold": test_fold}))


@cached_step(name="search", task_run_name="search · {model}")
def search_grid(
    train: DataRef, folds: DataRef, model: str, scoring: str, imputer: candidates.Imputer, random_state: int
) -> search.SearchResult:
    """Search one model's grid by cross-validation on the training rows."""
    # The pool's processes inherit this thread's mask: Ctrl-C in the terminal is for the flow, which ends them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    storage = _storage()
    X, y = schema.to_X_y(storage.get_frame(train))
    progress = cast(UUID, create_progress_artifact(0.0, description=f"search · {model}"))

    def report(share: float) -> None:
        update_progress_artifact(progress, 100 * share)

    result = search.search(
        candidates.get_candidate(model),
        X,
        y,
        storage.get_frame(folds)["test_fold"].to_numpy(),
        scoring=scoring,
        imputer=imputer,
        random_state=random_state,
        n_jobs=search.available_cores(settings().cores),
        on_progress=report,
    )
    report(1.0)
    return result


@cached_step(task_run_name="fit · {model}")
def fit(train: DataRef, model: str, params: dict[str, Any], imputer: candidates.Imputer, random_state: int) -> ModelRef:
    """Fit the winner on all training rows."""
    storage = _storage()
    X, y = schema.to_X_y(storage.get_frame(train))
    return storage.put_model(
        search.fit_best(candidates.get_candidate(model), params, X, y, imputer=imputer, random_state=random_state)
    )


@cached_step(task_run_name="evaluate · {side}")
def evaluate(model: ModelRef, rows: DataRef, side: str) -> dict[str, float]:
    """Compute the winner's figures on one side."""
    storage = _storage()
    return evaluation.evaluate_model(storage.get_model(model), storage.get_frame(rows))


@step(task_run_name="track")
def track(
    model: ModelRef,
    train: DataRef,
    params: dict[str, Any],
    train_metrics: dict[str, float],
    test_metrics: dict[str, float],
    tags: dict[str, str],
) -> tracking.Logged:
    """Log the training to MLflow as a train run and a test run."""
    storage = _storage()
    X, _ = schema.to_X_y(storage.get_frame(train).head(5))
    training = tracking.Training(storage.get_model(model), params, train_metrics, test_metrics, tags, X)
    return tracking.log_training(training, settings())


def _make_runner() -> Any:
    # The fits of all searches share one pool of processes; a thread here only waits for its own. On a single core
    # there is no pool and the fits run in the thread, so one at a time.
    return ThreadPoolTaskRunner(max_workers=1 if search.available_cores(settings().cores) == 1 else 16)


def _run_name() -> str:
    return f"train · {datasets.describe(flow_run.parameters['parameters'].source, settings())}"


@flow(name="train", flow_run_name=_run_name, task_runner=_make_runner(), result_serializer="json")
def train(parameters: TrainParameters = TrainParameters()) -> TrainingReport | State:
    """Train every model on one source of rows, choose the best by cross-validation, evaluate and log it."""
    log = get_run_logger()
    refresh = parameters.refresh or NotSet  # not set: as the setting PREFECT_TASKS_REFRESH_CACHE says
    source = datasets.describe(parameters.source, settings())

    raw = fetch(parameters.source)
    checked = validate.with_options(refresh_cache=refresh)(raw, parameters.max_rejected)
    if checked.quarantine:
        log.warning("%s rows are not valid and were set aside: %s", checked.report["n_rejected"], checked.quarantine)
    sides = split.with_options(refresh_cache=refresh)(checked.accepted, parameters.test_size, parameters.random_state)

    folds = assign_folds.with_options(refresh_cache=refresh)(sides.train, parameters.cv, parameters.random_state)

    models = sorted(parameters.models, key=lambda name: -candidates.CANDIDATES[name].cost)
    searches = {
        search_grid.with_options(refresh_cache=refresh).submit(
            sides.train, folds, model, parameters.scoring, parameters.imputer, parameters.random_state
        ): model
        for model in models
    }
    try:
        found, failed = _gather(searches)
    except BaseException:  # Ctrl-C, cancellation, SIGTERM: do not wait for what nobody will read
        search.end_processes()
        raise
    if not found:
        raise TrainingError(
            "no model could be trained: " + "; ".join(f"{model}: {why}" for model, why in failed.items())
        )
    costs = {name: candidate.cost for name, candidate in candidates.CANDIDATES.items()}
    ranked = search.select([result for result, _ in found], costs)
    from_cache = {result.candidate: cached for result, cached in found}
    leaderboard = [
        LeaderboardRow.of(rank, result, from_cache=from_cache[result.candidate])
        for rank, result in enumerate(ranked, start=1)
    ]
    create_table_artifact(
        [row.to_table() for row in leaderboard], key="leaderboard", description=f"Trained on {source}"
    )

    winner = ranked[0]
    model = fit.with_options(refresh_cache=refresh)(
        sides.train, winner.candidate, winner.best.params, parameters.imputer, parameters.random_state
    )
    train_metrics = evaluate.with_options(refresh_cache=refresh)(model, sides.train, "train")
    test_metrics = evaluate.with_options(refresh_cache=refresh)(model, sides.test, "test")
    logged = track(
        model,
        sides.train,
        params={
            "model": winner.candidate,
            **winner.best.params,
            **parameters.model_dump(mode="json", exclude={"source", "models", "refresh"}),
        },
        train_metrics={**train_metrics, f"cv_{parameters.scoring}": winner.best.mean_test_score},
        test_metrics=test_metrics,
        tags={
            "data.source": source,
            "data.sha256": checked.accepted.sha256,
            "data.n_rows": str(checked.accepted.n_rows),
            "prefect.flow_run_id": str(flow_run.id),
        },
    )
    report = TrainingReport(
        name=logged.name,
        source=source,
        data_sha256=checked.accepted.sha256,
        validation=checked.report,
        quarantine=checked.quarantine,
        split=sides.report,
        scoring=parameters.scoring,
        leaderboard=leaderboard,
        failed=failed,
        train_metrics=train_metrics,
        test_metrics=test_metrics,
        tracking_uri=logged.tracking_uri,
        experiment_id=logged.experiment_id,
        train_run_id=logged.train_run_id,
        test_run_id=logged.test_run_id,
        model_uri=logged.model_uri,
    )
    create_markdown_artifact(training_markdown(report), key="training-report", description=f"Training {report.name}")
    if failed:
        return Completed(
            name="Completed with warnings",
            message="; ".join(f"{model} could not be trained: {why}" for model, why in failed.items()),
            data=report,
        )
    return report


def _gather(
    searches: dict[PrefectFuture[search.SearchResult], str],
) -> tuple[list[tuple[search.SearchResult, bool]], dict[str, str]]:
    """Return the results, each with whether it came from the cache, and the reasons of the searches that failed."""
    log = get_run_logger()
    found, failed = [], {}
    for future in as_completed(list(searches)):
        future.wait()  # the state of a future is known for certain only then
        model, state = searches[future], future.state
        done = f"{len(found) + len(failed) + 1}/{len(searches)} searches done"
        if state.is_completed():
            result, cached = future.result(), state.name == "Cached"
            found.append((result, cached))
            how = "from the cache" if cached else f"{result.n_fits} fits in {result.seconds:.1f} s"
            best = result.best
            log.info("%s · %s: %s %.4f (%s)", done, model, result.scoring, best.mean_test_score, how)
        else:
            failed[model] = state.message or state.name
            log.warning("%s · %s failed and is left out: %s", done, model, failed[model])
    return found, failed
