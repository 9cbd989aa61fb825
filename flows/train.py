"""Train: rows → validated → split → a grid search per model, in parallel → the winner, fitted → logged → judged.

As a command: `networksecurity train --help`, or `python flows/train.py --help`.
"""

if __name__ == "__main__":  # options are read before the slow imports below
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from networksecurity.interrupt import end_of_ctrl_c

    end_of_ctrl_c()
    from flows.commands import run_command

    sys.exit(run_command("train"))

from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings
from prefect.states import Completed, State
from prefect.task_runners import TaskRunner
from threadpoolctl import threadpool_limits

from networksecurity.champion.decision import Decision
from networksecurity.champion.delivery import Delivered
from networksecurity.champion.registry import RegisteredVersion
from networksecurity.data.contracts import Contract, option_of
from networksecurity.data.sources import Source
from networksecurity.data.storage import DataRef, ModelRef
from networksecurity.exceptions import ConfigurationError, TimeLimitError, TrainingError
from networksecurity.settings import Settings, settings
from networksecurity.tracking import figures
from networksecurity.tracking.model import warm_up
from networksecurity.tracking.outcome import Training
from networksecurity.training import pool, search, selection
from networksecurity.training.candidates import BY_CONTRACT
from networksecurity.training.selection import Selection

from . import training_steps as tasks
from .approval import refuse_to_ask_nobody
from .course import Course, first_record
from .display import begin
from .ending import before_the_end, end_soon
from .parameters import TrainParameters
from .report import said_of, set_aside
from .rows import contract_of, source_of
from .steps import result_storage, run_name
from .thread_runner import Threads
from .tracking import tracking_server
from .training_report import (
    LeaderboardRow,
    TrainingReport,
    data_tags,
    logged_params,
    origin_tags,
    parameters_tag,
    publish_leaderboard,
    publish_training,
)
from .training_steps import Checked, Chosen, Fetched, Findings, Sides, Winner
from .worker import begin_under_worker

_SECONDS_TO_END = 40
"""Time for an interrupted training to record that in MLflow and in Prefect before its process is ended."""


@dataclass(frozen=True)
class Searches:
    """The results of all searches, the winner first, and what became of the others."""

    ranked: list[search.SearchResult]
    from_cache: set[str]
    failed: dict[str, str]
    tracked: dict[str, PrefectFuture[None]]
    """By model, the logging of its grid points, which may still run."""
    selection: Selection | None = None
    """How the best points compare on repeated folds; None if the highest score of the search wins."""

    @property
    def leaderboard(self) -> list[LeaderboardRow]:
        """The best grid point of each model."""
        return [
            LeaderboardRow.of(rank, result, self.selection, from_cache=result.candidate in self.from_cache)
            for rank, result in enumerate(self.ranked, start=1)
        ]

    @property
    def warning(self) -> str:
        """Which models could not be trained, and why."""
        return "; ".join(f"{model} could not be trained: {why}" for model, why in self.failed.items())


def make_runner(settings: Settings) -> TaskRunner[Any]:
    """Return what runs the tasks of a training.

    Raises
    ------
    ConfigurationError
        The settings name Dask, which is not installed.
    """
    cores = search.available_cores(settings.cores)
    if settings.task_runner == "threads":
        # The fits of all searches share one pool of processes, for which a thread here only waits. On a single core
        # there is no pool: the fits run in the thread, one at a time.
        return Threads(1) if cores == 1 else Threads()
    try:
        from .dask_runner import Cluster
    except ImportError as exc:
        raise ConfigurationError(
            "NETWORKSECURITY_TASK_RUNNER is dask, which is not installed: pip install 'prefect-dask>=0.3.7,<0.4'"
        ) from exc
    return Cluster.at(settings.dask_address, settings.dask_timeout, cores)


@flow(
    name="train",
    flow_run_name=run_name,
    task_runner=make_runner(settings()),
    timeout_seconds=settings().time_limit,
    result_serializer="json",
    on_running=[begin_under_worker],
)
def train(parameters: TrainParameters = TrainParameters()) -> TrainingReport | State:
    """Train every model on one source of rows, choose one by cross-validation, evaluate, log and register it."""
    refuse_to_ask_nobody(parameters)
    before_the_end(pool.end_processes)
    if search.available_cores(settings().cores) > 1:
        pool.start_trackers()
    source = source_of(parameters)
    asked = origin_tags(parameters, source) | parameters_tag(parameters, source)
    course = Course(first_record(parameters, asked))
    reaching = tasks.reach.submit(parameters.create_repo, parameters.public_repo)
    try:
        # This thread keeps BLAS to one: else a step that ends would give it more in the middle of another's sum, whose
        # last digit depends on it.
        with (
            threadpool_limits(1, user_api="blas"),
            temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True} if parameters.refresh else {}),
        ):
            return _train(parameters, source, course, reaching)
    except BaseException as exc:  # Ctrl-C, cancellation, SIGTERM too: do not wait for results that nobody will read
        if not isinstance(exc, Exception):
            end_soon(_SECONDS_TO_END)
        pool.end_processes()
        if isinstance(exc, CancelledError):  # Prefect's sign of a timeout
            exc = TimeLimitError(
                f"the training took longer than {settings().time_limit:g} s, its time limit; the same command goes on "
                "from its finished steps, a larger NETWORKSECURITY_TIME_LIMIT gives it more time"
            )
        course.fail(exc, reaching)
        raise exc


# Not in the decorator, which wants a block that a server knows; there is no server yet.
train.result_storage = result_storage(settings().storage)


def _train(
    parameters: TrainParameters, source: Source, course: Course, reaching: PrefectFuture[None]
) -> TrainingReport | State:
    contract = contract_of(parameters)
    begin("reading and checking rows")
    fetched = tasks.fetch(source)
    checked = tasks.validate(fetched.rows, parameters.max_rejected, contract.with_positive(parameters.positive))
    if checked.quarantine:
        get_run_logger().warning("%s", set_aside(checked.report["n_rejected"], checked.quarantine.path))
    checked = checked.model_copy(update={"notes": said_of(source.shown, fetched.notes, checked.report)})
    for note in checked.notes:
        get_run_logger().info("%s", note)
    course.reach(reaching)
    if parameters.skip_unchanged and (same := course.ask(lambda: _trained_on(checked.accepted, contract))):
        return _skip(same)
    with course.begun(parameters, checked.accepted):
        return _learn(parameters, source, fetched, checked, course)


def _learn(
    parameters: TrainParameters, source: Source, fetched: Fetched, checked: Checked, course: Course
) -> TrainingReport | State:
    """Search, choose, fit and examine a model on validated rows; log it and let it compete with the champion."""
    contract = contract_of(parameters)
    sides = tasks.split(checked.accepted, parameters.test_size, parameters.random_state, contract)
    searched = _draw(sides.train, parameters)
    folds = tasks.assign_folds(searched, parameters.cv, parameters.random_state, contract)
    repeated_folds = _repeat_folds(parameters, searched)
    if checked.report["n_missing"]:
        checked = course.ask(lambda: tasks.find_gaps(checked, contract)) or checked
        for gap in checked.gaps:
            get_run_logger().warning("%s", gap)

    searches = _search(parameters, course, searched, folds)
    if repeated_folds:
        searches = _compare(parameters, searches, searched, repeated_folds.result())
    publish_leaderboard(searches.leaderboard, source.shown)
    winner = _best_point(parameters, searches.ranked[0])
    chosen = _choose_labelling(parameters, winner, searched, folds)
    model, findings = _fit_and_examine(parameters, winner, chosen, checked.accepted, sides)

    begin("logging to MLflow")
    course.found(
        model=model,
        params=logged_params(parameters, winner, chosen.labelling),
        searches=tuple(searches.ranked),
        selection=searches.selection,
        train=sides.train,
        test=sides.test,
        explanation=findings.explained.explanation,
        pictures=findings.explained.pictures,
        tags=course.origin | data_tags(parameters, fetched, checked.accepted, sides.train, searched),
        warning=searches.warning or None,
        **findings.figures(),
    )
    logged, decision = course.deliver(parameters, searches.tracked)
    report = _report(parameters, source, checked, sides, searches, findings, course, logged, decision)
    publish_training(report, findings.explained.overview)
    names = {"with warnings": searches.warning, "· tracking deferred": course.deferred}
    if said := {name: message for name, message in names.items() if message}:
        return Completed(name=f"Completed {' '.join(said)}", message="; ".join(said.values()), data=report)
    return report


def _trained_on(rows: DataRef, contract: Contract) -> RegisteredVersion | None:
    """Return the champion or the newest candidate if it has learned from exactly these rows."""
    versions = tasks.find_versions(contract)
    return next((version for version in versions if version.tags.get("data.sha256") == rows.sha256), None)


def _skip(same: RegisteredVersion) -> State:
    message = f"not trained: version {same.version} of {same.name} has learned from exactly these rows"
    get_run_logger().warning(message)
    return Completed(name="Skipped", message=message)


def _draw(train: DataRef, parameters: TrainParameters) -> DataRef:
    n_rows = parameters.search_rows
    if n_rows is None or n_rows >= train.n_rows:
        return train
    return tasks.draw(train, n_rows, parameters.random_state, contract_of(parameters))


def _search(parameters: TrainParameters, course: Course, rows: DataRef, folds: DataRef) -> Searches:
    """Search every model's grid, and log each result beside the searches that still run."""
    log, results, found = get_run_logger(), [], Searches([], set(), {}, {})
    how = parameters.scoring, parameters.imputer, parameters.random_state, contract_of(parameters)
    costs = _costs(parameters)
    begin(f"searching {len(parameters.models)} models" if len(parameters.models) > 1 else "searching")
    models = sorted(parameters.models, key=lambda name: -costs[name])
    running = {tasks.search_grid.submit(rows, folds, model, *how): model for model in models}
    Thread(target=_warm_up, args=[lambda: len(results) < len(running)]).start()
    for n_done, future in enumerate(as_completed(list(running)), start=1):
        future.wait()  # only then is the state of a future certain
        model, state, done = running[future], future.state, f"{n_done}/{len(running)} searches done"
        if not state.is_completed():
            found.failed[model] = _in_one_line(state.message or str(state.name))
            log.warning("%s · %s failed and is left out: %s", done, model, found.failed[model])
            continue
        result = future.result()
        results.append(result)
        if course.opening:
            training = cast(Training, course.opening)  # Prefect waits for it, and passes on what it returns
            found.tracked[model] = tasks.track_search.submit(training, result, parameters.candidate_runs)
        how_found = f"{result.n_fits} fits in {result.seconds:.1f} s"
        if state.name == "Cached":
            found.from_cache.add(model)
            how_found = "from the cache"
        log.info("%s · %s: %s %.4f (%s)", done, model, result.scoring, result.best.mean_test_score, how_found)
    if not results:
        why = "; ".join(f"{model}: {reason}" for model, reason in found.failed.items())
        raise TrainingError(f"no model could be trained: {why}")
    return replace(found, ranked=selection.rank(results, costs))


def _repeat_folds(parameters: TrainParameters, rows: DataRef) -> PrefectFuture[DataRef] | None:
    """Begin to assign the folds for the comparison of the models, if there is one; the searches do not need them."""
    if parameters.cv_repeats < 2 or len(parameters.models) < 2:
        return None
    how = parameters.cv, parameters.cv_repeats, parameters.random_state, contract_of(parameters)
    return tasks.repeat_folds.submit(rows, *how)


def _compare(parameters: TrainParameters, searches: Searches, rows: DataRef, repeated_folds: DataRef) -> Searches:
    """Compare the models' best points on folds that have chosen nothing, and put the winner first."""
    log = get_run_logger()
    points = [_best_point(parameters, result) for result in selection.contenders(searches.ranked)]
    begin(f"comparing {points[0].model if len(points) == 1 else f'{len(points)} models'} on other folds")
    running = [tasks.score_again.submit(rows, repeated_folds, point, parameters.scoring) for point in points]
    repeated = []
    for point, future in zip(points, running, strict=True):
        future.wait()
        if future.state.is_completed():
            repeated.append(future.result())
        else:
            log.warning("%s is not compared again: %s", point.model, _in_one_line(future.state.message or ""))
    selected = selection.compare(repeated, _costs(parameters), parameters.cv)
    if selected:
        log.info("%s", selected.sentence())
    return replace(searches, ranked=selection.order(searches.ranked, selected), selection=selected)


def _best_point(parameters: TrainParameters, result: search.SearchResult) -> Winner:
    return Winner(
        model=result.candidate,
        params=result.best.params,
        imputer=parameters.imputer,
        random_state=parameters.random_state,
        contract=contract_of(parameters),
    )


def _costs(parameters: TrainParameters) -> dict[str, int]:
    return {name: candidate.cost for name, candidate in BY_CONTRACT[contract_of(parameters).candidates].items()}


def _in_one_line(message: str) -> str:
    """Return what a message begins and ends with: GridSearchCV's report of failed fits has their tracebacks between."""
    lines = [stripped for line in message.splitlines() if (stripped := line.strip())]
    return " ".join(dict.fromkeys([*lines[:2], *lines[-1:]]))


def _warm_up(searches_run: Callable[[], bool]) -> None:
    """Load what is slow to load and needed later, while there is nothing to do but wait for the searches."""
    warm_up()
    if searches_run():  # else they came from the cache, and so will the pictures
        with suppress(RuntimeError):  # the run was interrupted, and its process starts no more work
            figures.draw_nothing()


def _choose_labelling(parameters: TrainParameters, winner: Winner, searched: DataRef, folds: DataRef) -> Chosen:
    asked = parameters.scoring, parameters.costs(), parameters.band()
    begin("choosing calibration and decision threshold")
    chosen = tasks.choose_labelling.submit(searched, folds, winner, *asked).result()
    for sentence in chosen.labelling.sentences():
        get_run_logger().info("%s", sentence)
    return chosen


def _fit_and_examine(
    parameters: TrainParameters, winner: Winner, chosen: Chosen, accepted: DataRef, sides: Sides
) -> tuple[ModelRef, Findings]:
    # What takes long runs in threads, as everywhere: a time limit and Ctrl-C interrupt only what waits.
    pool.release_processes()
    begin(f"fitting {winner.model}")
    fitted = tasks.fit.submit(sides.train, winner, chosen)
    leakage = tasks.leakage_ledger.submit(sides.train, sides.test, winner, chosen)
    model = fitted.result()
    begin("measuring, explaining and drawing")
    title = f"{winner.model} on the test rows of {source_of(parameters).shown.rstrip('/').rpartition('/')[2]}"
    explained = tasks.explain.submit(model, sides.test, title, winner.random_state, winner.contract)
    known = tasks.evaluate_known.submit(model, sides.test, parameters.f1_floor, winner.contract)
    findings = Findings(
        reference=tasks.profile(accepted, model, sides.test, winner.contract),
        train_metrics=tasks.evaluate(model, sides.train, "train", parameters.base_rate, winner.contract),
        test_metrics=tasks.evaluate(model, sides.test, "test", parameters.base_rate, winner.contract),
        explained=explained.result(),
        leakage=leakage.result(),
        known=known.result(),
        labelling=chosen.labelling,
    )
    return model, findings


def _report(
    parameters: TrainParameters,
    source: Source,
    checked: Checked,
    sides: Sides,
    searches: Searches,
    findings: Findings,
    course: Course,
    logged: Delivered | None,
    decision: Decision | None,
) -> TrainingReport:
    contract = contract_of(parameters)
    return TrainingReport(
        name=course.record.name,
        source=source.shown,
        data_sha256=checked.accepted.sha256,
        contract=contract.name,
        contract_option=option_of(contract),
        group=contract.group,
        validation=checked.report,
        quarantine=checked.quarantine.path if checked.quarantine else None,
        notes=checked.notes,
        gaps=checked.gaps,
        split=sides.report,
        scoring=parameters.scoring,
        leaderboard=searches.leaderboard,
        selection=searches.selection,
        failed=searches.failed,
        **findings.figures(),
        tracking=tracking_server().address if logged else None,
        experiment_id=logged.training.experiment_id if logged else None,
        train_run_id=logged.training.train_run_id if logged else None,
        test_run_id=logged.test_run_id if logged else None,
        model_name=course.record.registered_model,
        model_version=logged.version.version if logged else None,
        deferred=course.deferred,
        promotion=parameters.promotion,
        decision=decision,
    )
