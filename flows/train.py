"""Train: rows → validated → split → one grid search per model, in parallel → the best, fitted → logged → judged.

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
from asyncio import CancelledError
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, cast
from uuid import UUID

import numpy as np
import pandas as pd
from prefect import flow
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, State
from prefect.utilities.annotations import NotSet
from pydantic import Base64Bytes, BaseModel

from flows.approval import refuse_to_ask_nobody, settle
from flows.ending import before_the_end, end_soon
from flows.parameters import TrainParameters
from flows.report import LeaderboardRow, TrainingReport, promotion_markdown, training_markdown
from flows.steps import cached_step, make_runner, one_thread, result_storage, step
from networksecurity.champion.registry import (
    CANDIDATE,
    CHAMPION,
    RANDOM_STATE_TAG,
    TEST_SIZE_TAG,
    WATERMARK_TAG,
    RegisteredVersion,
    Registry,
)
from networksecurity.data import schema, sources, splitting, validation
from networksecurity.data.sources import Source
from networksecurity.data.storage import DataRef, ModelRef, Storage
from networksecurity.exceptions import NetworkSecurityException, TimeLimitError, TrainingError
from networksecurity.monitoring import drift
from networksecurity.settings import settings
from networksecurity.tracking import figures, provenance, runs
from networksecurity.tracking.model import warm_up
from networksecurity.tracking.outcome import TRAINING_TAG, Logged, Outcome, Side, Training
from networksecurity.tracking.server import TrackingServer, connect
from networksecurity.training import candidates, evaluation, search
from networksecurity.training import dask_backend as cluster
from networksecurity.training.explanation import Explanation
from networksecurity.training.explanation import explain as explain_model
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.leakage import leakage_ledger as compute_leakage
from networksecurity.training.threshold import ThresholdChoice
from networksecurity.training.threshold import choose_threshold as choose_cheapest


class Fetched(BaseModel, frozen=True):
    """Raw rows, and how far into a growing collection they reach."""

    rows: DataRef
    watermark: int | None


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


_SECONDS_TO_END = 40
"""Time for a training that is interrupted to note so, in MLflow and in Prefect, before its process is ended."""


class Explained(BaseModel, frozen=True):
    """What explains the winner, and its pictures as PNG files."""

    explanation: Explanation
    pictures: dict[str, Base64Bytes]
    overview: Base64Bytes


class Findings(BaseModel, frozen=True):
    """What was found out about the winner."""

    train_metrics: dict[str, float]
    test_metrics: dict[str, float]
    explained: Explained
    leakage: LeakageLedger
    reference: drift.ReferenceProfile
    threshold: ThresholdChoice | None


def _storage() -> Storage:
    return Storage(settings().storage)


def _backend() -> type[cluster.ClusterBackend] | None:
    """Return what runs the fits of a step that is on the worker of a cluster."""
    return cluster.ClusterBackend if cluster.is_worker() else None


def _server() -> TrackingServer:
    return connect(settings())


def _registry() -> Registry:
    return Registry(_server(), settings().mlflow_registered_model_name)


@step(task_run_name="fetch")
def fetch(source: Source) -> Fetched:
    """Read rows from their source, as they are."""
    read = source.read()
    return Fetched(rows=_storage().put_frame(read.frame), watermark=read.watermark)


@cached_step(task_run_name="validate")
def validate(raw: DataRef, max_rejected: float) -> Checked:
    """Set aside the rows that are not valid; refuse data that is not what it should be."""
    storage = _storage()
    validated = validation.validate(storage.get_frame(raw), max_rejected=max_rejected)
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


@cached_step(task_run_name="draw")
def draw(train: DataRef, n_rows: int, random_state: int) -> DataRef:
    """Draw the rows that are searched on."""
    storage = _storage()
    return storage.put_frame(splitting.draw(storage.get_frame(train), n_rows, random_state=random_state))


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
        backend=_backend(),
        on_progress=report,
    )
    report(1.0)
    return result


@cached_step(task_run_name="threshold · {model}")
def choose_threshold(
    train: DataRef,
    folds: DataRef,
    model: str,
    params: dict[str, Any],
    imputer: candidates.Imputer,
    random_state: int,
    costs: dict[str, float],
) -> ThresholdChoice:
    """Choose the winner's cheapest decision threshold on rows that it had not seen."""
    storage = _storage()
    X, y = schema.to_X_y(storage.get_frame(train))
    y_score = search.out_of_fold_scores(
        candidates.get_candidate(model),
        params,
        X,
        y,
        storage.get_frame(folds)["test_fold"].to_numpy(),
        imputer=imputer,
        random_state=random_state,
        n_jobs=search.available_cores(settings().cores),
        backend=_backend(),
    )
    return choose_cheapest(y, y_score, **costs)


@cached_step(task_run_name="fit · {model}")
def fit(
    train: DataRef,
    model: str,
    params: dict[str, Any],
    imputer: candidates.Imputer,
    random_state: int,
    threshold: float,
) -> ModelRef:
    """Fit the winner on all training rows."""
    storage = _storage()
    X, y = schema.to_X_y(storage.get_frame(train))
    how = {"imputer": imputer, "random_state": random_state, "threshold": threshold}
    n_threads = max(1, search.available_cores(settings().cores) - 1)  # the leakage ledger is computed on the other core
    return storage.put_model(search.fit_best(candidates.get_candidate(model), params, X, y, n_threads=n_threads, **how))


@cached_step(name="leakage", task_run_name="leakage ledger")
@one_thread
def leakage_ledger(
    train: DataRef,
    test: DataRef,
    model: str,
    params: dict[str, Any],
    imputer: candidates.Imputer,
    random_state: int,
    threshold: float,
) -> LeakageLedger:
    """Compute what a careless split would have said of the winner."""
    storage = _storage()
    how = {"imputer": imputer, "random_state": random_state, "threshold": threshold}
    pipeline = candidates.make_pipeline(candidates.get_candidate(model), params, **how)
    return compute_leakage(pipeline, storage.get_frame(train), storage.get_frame(test), random_state=random_state)


@cached_step(task_run_name="evaluate · {side}")
@one_thread
def evaluate(model: ModelRef, rows: DataRef, side: str, base_rate: float | None) -> dict[str, float]:
    """Compute the winner's figures on one side."""
    storage = _storage()
    return evaluation.evaluate_model(storage.get_model(model), storage.get_frame(rows), base_rate=base_rate)


@cached_step(task_run_name="explain")
@one_thread
def explain(model: ModelRef, test: DataRef, title: str, random_state: int) -> Explained:
    """Compute the curves, tables and importances of the winner on the test rows, and draw them."""
    storage = _storage()
    explanation = explain_model(storage.get_model(model), storage.get_frame(test), random_state=random_state)
    return Explained(
        explanation=explanation,
        pictures={name: b64encode(png) for name, png in figures.draw(explanation, title).items()},
        overview=b64encode(figures.draw_overview(explanation, title)),
    )


@cached_step(name="profile", task_run_name="reference profile")
@one_thread
def profile(accepted: DataRef, model: ModelRef, test: DataRef) -> drift.ReferenceProfile:
    """Describe the rows behind the model, for a monitor to compare new ones with."""
    storage = _storage()
    X, _ = schema.to_X_y(storage.get_frame(test))  # scores of rows it has not learned from
    y_score = storage.get_model(model).predict_proba(X)[:, 1]
    return drift.reference_profile(storage.get_frame(accepted), data_sha256=accepted.sha256, y_score=y_score)


@step(task_run_name="find versions")
def find_versions() -> list[RegisteredVersion]:
    """Look up the model in use, and the newest one."""
    registry = _registry()
    return [version for alias in (CHAMPION, CANDIDATE) if (version := registry.find(alias))]


@step(task_run_name="open runs", retries=1, retry_delay_seconds=1)  # known soon, before anything is computed
def start_training(create_repo: bool, public_repo: bool, tags: dict[str, str]) -> Training:
    """Reach the tracking server and open the train run."""
    server = connect(settings(), create_repo=create_repo, public_repo=public_repo)
    return runs.start_training(
        server, settings().mlflow_experiment_name, tags, stale_after=settings().mlflow_stale_after
    )


@step(task_run_name="track · {result.candidate}")
def track_search(training: Training, result: search.SearchResult, which: candidates.CandidateRuns) -> None:
    """Log a search's grid points."""
    runs.log_search(_server(), training, result, which)


@step(task_run_name="track")
def track(
    training: Training,
    model: ModelRef,
    params: dict[str, Any],
    searches: list[search.SearchResult],
    sides: Sides,
    findings: Findings,
    tags: dict[str, str],
) -> Logged:
    """Log what the training found, and the model."""
    storage = _storage()
    train = storage.get_frame(sides.train)
    outcome = Outcome(
        model=storage.get_model(model),
        params=params,
        searches=searches,
        train=Side(sides.train, findings.train_metrics),
        test=Side(sides.test, findings.test_metrics),
        explanation=findings.explained.explanation,
        pictures=findings.explained.pictures,
        leakage=findings.leakage,
        reference=findings.reference,
        tags=tags,
        input_example=schema.to_X(train.head(5)),
        learned=np.unique(splitting.vector_codes(train)),
        threshold=findings.threshold,
    )
    return runs.log_outcome(_server(), training, outcome)


@step(task_run_name="register")
def register(
    training: Training, model_uri: str, model: str, test_metrics: dict[str, float], tags: dict[str, str]
) -> RegisteredVersion:
    """Register the model as a version, the newest candidate."""
    return _registry().register(
        model_uri,
        training.train_run_id,
        tags={**tags, TRAINING_TAG: training.name, **{name: str(of) for name, of in test_metrics.items()}},
        description=f"{model} of training {training.name}, F1 {test_metrics['f1_score']:.4f} on its test rows",
    )


@step(task_run_name="close runs")
def end_training(training: Training, warning: str | None) -> None:
    """Close the training's runs."""
    runs.end_training(_server(), training, reason=warning)


def _run_name() -> str:
    return f"train · {sources.parse(flow_run.parameters['parameters'].source, settings()).shown}"


@flow(
    name="train",
    flow_run_name=_run_name,
    task_runner=make_runner(settings()),
    timeout_seconds=settings().time_limit,
    result_serializer="json",
)
def train(parameters: TrainParameters = TrainParameters()) -> TrainingReport | State:
    """Train every model on one source of rows, choose the best by cross-validation, evaluate, log and register it."""
    refuse_to_ask_nobody(parameters)
    before_the_end(search.end_processes)
    source = sources.parse(parameters.source, settings())
    origin = _origin(parameters, source)
    opening = start_training.submit(parameters.create_repo, parameters.public_repo, origin)
    try:
        return _train(parameters, source, opening, origin)
    except BaseException as exc:  # Ctrl-C, cancellation, SIGTERM too: do not wait for what nobody will read
        if not isinstance(exc, Exception):
            end_soon(_SECONDS_TO_END)
        search.end_processes()
        if isinstance(exc, CancelledError):  # Prefect's way to say so
            exc = TimeLimitError(
                f"the training took longer than {settings().time_limit:g} s, its time limit; the same again goes on "
                "from its finished steps, a larger NETWORKSECURITY_TIME_LIMIT gives it more time"
            )
        _end_failed(opening, exc)
        raise exc


# Not in the decorator, which wants a block that a server knows; there is no server yet.
train.result_storage = result_storage(settings().storage)


def _origin(parameters: TrainParameters, source: Source) -> dict[str, str]:
    """Return the tags that say where a training's runs and model come from."""
    tags = {
        "data.source": source.shown,
        "networksecurity.code_version": provenance.code_version(),
        "prefect.flow_run_id": str(flow_run.id),
    }
    if commit := provenance.git_commit():
        tags["mlflow.source.git.commit"] = commit
    if get_current_settings().ui_url and (url := flow_run.ui_url):  # a server that ends with the run has none
        tags["prefect.flow_run_url"] = url
    if parameters.reason:
        tags["networksecurity.trigger"] = parameters.reason
    return tags


def _train(
    parameters: TrainParameters,
    source: Source,
    opening: PrefectFuture[Training],
    origin: dict[str, str],
) -> TrainingReport | State:
    log = get_run_logger()
    refresh = parameters.refresh or NotSet  # not set: as the setting PREFECT_TASKS_REFRESH_CACHE says
    seed = parameters.random_state

    fetched = fetch(source)
    checked = validate.with_options(refresh_cache=refresh)(fetched.rows, parameters.max_rejected)
    if checked.quarantine:
        log.warning("%s rows are not valid and were set aside: %s", checked.report["n_rejected"], checked.quarantine)
    if parameters.skip_unchanged and (same := _trained_on(checked.accepted)):
        runs.discard_training(_server(), opening.result())
        message = f"not trained: version {same.version} of {same.name} has learned from exactly these rows"
        log.warning(message)
        return Completed(name="Skipped", message=message)
    sides = split.with_options(refresh_cache=refresh)(checked.accepted, parameters.test_size, seed)
    searched = sides.train
    if parameters.search_rows is not None and parameters.search_rows < searched.n_rows:
        searched = draw.with_options(refresh_cache=refresh)(searched, parameters.search_rows, seed)
    folds = assign_folds.with_options(refresh_cache=refresh)(searched, parameters.cv, seed)
    training = opening.result()

    models = sorted(parameters.models, key=lambda name: -candidates.CANDIDATES[name].cost)
    searches = {
        search_grid.with_options(refresh_cache=refresh).submit(
            searched, folds, model, parameters.scoring, parameters.imputer, seed
        ): model
        for model in models
    }
    tracked = []  # beside the searches that still run
    Thread(target=_warm_up, args=[lambda: len(tracked) < len(searches)]).start()
    found, failed = _gather(
        searches, lambda result: tracked.append(track_search.submit(training, result, parameters.candidate_runs))
    )
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
    tags = origin | {
        "data.sha256": checked.accepted.sha256,
        "data.n_rows": str(checked.accepted.n_rows),
        TEST_SIZE_TAG: str(parameters.test_size),
        RANDOM_STATE_TAG: str(seed),
    }
    if searched != sides.train:
        tags["data.n_rows_searched"] = str(searched.n_rows)
    if fetched.watermark is not None:
        tags[WATERMARK_TAG] = str(fetched.watermark)
    create_table_artifact(
        [row.to_table() for row in leaderboard], key="leaderboard", description=f"Trained on {tags['data.source']}"
    )

    winner = ranked[0]
    model, findings = _fit_and_examine(parameters, winner, checked.accepted, sides, searched, folds)
    choice = findings.threshold
    for tracking_of_search in tracked:
        tracking_of_search.result()
    logged = track(
        training,
        model,
        params={
            "model": winner.candidate,
            **winner.best.params,
            **parameters.model_dump(mode="json", include={"test_size", "cv", "scoring", "imputer", "random_state"}),
            "decision_threshold": choice.threshold if choice else candidates.DECISION_THRESHOLD,
            **parameters.costs(),
        },
        searches=ranked,
        sides=sides,
        findings=findings,
        tags=tags,
    )
    version = register(training, logged.model_uri, winner.candidate, findings.test_metrics, tags)
    decision = settle(parameters, version, model, sides.test, findings.train_metrics["f1_score"])
    warning = "; ".join(f"{model} could not be trained: {why}" for model, why in failed.items())
    end_training(training, warning or None)

    report = TrainingReport(
        name=training.name,
        source=tags["data.source"],
        data_sha256=checked.accepted.sha256,
        validation=checked.report,
        quarantine=checked.quarantine,
        split=sides.report,
        scoring=parameters.scoring,
        leaderboard=leaderboard,
        failed=failed,
        train_metrics=findings.train_metrics,
        test_metrics=findings.test_metrics,
        leakage=findings.leakage,
        threshold=choice,
        tracking=_server().address,
        experiment_id=training.experiment_id,
        train_run_id=training.train_run_id,
        test_run_id=logged.test_run_id,
        model_name=version.name,
        model_version=version.version,
        promotion=parameters.promotion,
        decision=decision,
    )
    _publish(report, findings.explained.overview)
    if failed:
        return Completed(name="Completed with warnings", message=warning, data=report)
    return report


def _fit_and_examine(
    parameters: TrainParameters,
    winner: search.SearchResult,
    accepted: DataRef,
    sides: Sides,
    searched: DataRef,
    folds: DataRef,
) -> tuple[ModelRef, Findings]:
    # In threads, as all that takes long: nothing but waiting is cut off at once by a time limit or Ctrl-C.
    refresh, seed = parameters.refresh or NotSet, parameters.random_state
    how = winner.candidate, winner.best.params, parameters.imputer, seed
    choice = None
    if costs := parameters.costs():
        choice = choose_threshold.with_options(refresh_cache=refresh).submit(searched, folds, *how, costs).result()
    threshold = choice.threshold if choice else candidates.DECISION_THRESHOLD
    search.release_processes()
    fitted = fit.with_options(refresh_cache=refresh).submit(sides.train, *how, threshold)
    leakage = leakage_ledger.with_options(refresh_cache=refresh).submit(sides.train, sides.test, *how, threshold)
    model = fitted.result()
    title = f"{winner.candidate} on the test rows"
    explained = explain.with_options(refresh_cache=refresh).submit(model, sides.test, title, seed)
    reference = profile.with_options(refresh_cache=refresh)(accepted, model, sides.test)
    train_metrics, test_metrics = (
        evaluate.with_options(refresh_cache=refresh)(model, rows, side, parameters.base_rate)
        for rows, side in ((sides.train, "train"), (sides.test, "test"))
    )
    return model, Findings(
        train_metrics=train_metrics,
        test_metrics=test_metrics,
        explained=explained.result(),
        leakage=leakage.result(),
        reference=reference,
        threshold=choice,
    )


def _publish(report: TrainingReport, picture: bytes) -> None:
    if report.decision is not None:
        sentence = report.promotion_sentence()
        get_run_logger().info("%s", sentence)
        create_markdown_artifact(promotion_markdown(report), key="promotion", description=sentence)
    for key, (text, link) in report.links().items():
        create_link_artifact(link, link_text=text, key=f"mlflow-{key}", description=f"Training {report.name}")
    create_markdown_artifact(
        training_markdown(report, picture), key="training-report", description=f"Training {report.name}"
    )


def _warm_up(searches_run: Callable[[], bool]) -> None:
    """Load what is slow to load and needed later, as long as there is nothing to do but wait for the searches."""
    warm_up()
    if searches_run():  # else they came from the cache, and so will the pictures
        figures.draw_nothing()


def _trained_on(rows: DataRef) -> RegisteredVersion | None:
    """Return the champion or the newest candidate, where one has learned from exactly these rows."""
    return next((version for version in find_versions() if version.tags.get("data.sha256") == rows.sha256), None)


def _gather(
    searches: dict[PrefectFuture[search.SearchResult], str], on_found: Callable[[search.SearchResult], None]
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
            on_found(result)
            how = "from the cache" if cached else f"{result.n_fits} fits in {result.seconds:.1f} s"
            best = result.best
            log.info("%s · %s: %s %.4f (%s)", done, model, result.scoring, best.mean_test_score, how)
        else:
            failed[model] = state.message or state.name
            log.warning("%s · %s failed and is left out: %s", done, model, failed[model])
    return found, failed


def _end_failed(opening: PrefectFuture[Training], exc: BaseException) -> None:
    """Close the training's runs with the reason, if they were opened and the server can be reached."""
    opening.wait()
    if opening.state.is_completed():
        status = "FAILED" if isinstance(exc, Exception) else "KILLED"
        reason = settings().redacted(": ".join(filter(None, (type(exc).__name__, str(exc)))))
        with suppress(NetworkSecurityException):  # the first error is the one to tell
            runs.end_training(_server(), opening.result(), status, reason)
