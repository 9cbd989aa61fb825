"""The tasks of a training: each reads what it needs from the storage, makes one call of the core and stores the result.

Between tasks travel plain values and references by content; hence the cached ones can run on any worker of a cluster.
"""

from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import httpx
import numpy as np
import pandas as pd
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from pydantic import Base64Bytes, BaseModel, SerializeAsAny
from sklearn.pipeline import Pipeline

from networksecurity.champion import delivery
from networksecurity.champion.delivery import Delivered
from networksecurity.champion.record import TrainingRecord
from networksecurity.champion.registry import CANDIDATE, CHAMPION, RegisteredVersion
from networksecurity.data import splitting
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.sources import Source
from networksecurity.data.storage import DataRef, ModelRef, QuarantineRef
from networksecurity.monitoring.profile import ReferenceProfile, reference_profile
from networksecurity.settings import settings
from networksecurity.tracking import figures, runs
from networksecurity.tracking.outcome import Training
from networksecurity.tracking.server import connect
from networksecurity.training import (
    dask_backend,
    evaluation,
    explanation,
    known_features,
    labelling,
    leakage,
    search,
    selection,
)
from networksecurity.training.candidates import (
    DECISION_THRESHOLD,
    Candidate,
    CandidateRuns,
    Imputer,
    get_candidate,
    make_pipeline,
)
from networksecurity.training.explanation import Explanation
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.labelling import Labelling
from networksecurity.training.leakage import LeakageLedger

from . import tracking
from .display import Work, show
from .steps import cached_step, one_thread, step, storage
from .tracking import deliver_pending, ledger, registry, tracking_server


class Fetched(BaseModel, frozen=True):
    """Raw rows, and how far into a growing collection they reach."""

    rows: DataRef
    watermark: int | None
    notes: tuple[str, ...] = ()
    """What was read in a way that the source's name does not tell."""


class Checked(BaseModel, frozen=True):
    """Valid rows, and the file of the others."""

    accepted: DataRef
    quarantine: QuarantineRef | None
    report: dict[str, Any]
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""
    gaps: list[str] = []
    """Values that are suddenly missing, a sentence each."""


class Sides(BaseModel, frozen=True):
    """The training and the test rows."""

    train: DataRef
    test: DataRef
    report: dict[str, Any]


class Winner(BaseModel, frozen=True):
    """The best grid point of a model, or of all, and how its pipeline is made."""

    model: str
    params: dict[str, Any]
    imputer: Imputer
    random_state: int
    contract: SerializeAsAny[Contract]


class Chosen(BaseModel, frozen=True):
    """How the winner comes from a row to a label, and the out-of-fold probabilities by which that was chosen."""

    labelling: Labelling
    scores: DataRef
    """With the columns `y` and `y_score`."""


class Explained(BaseModel, frozen=True):
    """What explains the winner, and its pictures as PNG files."""

    explanation: Explanation
    pictures: dict[str, Base64Bytes]
    overview: Base64Bytes


class Findings(BaseModel, frozen=True):
    """What the training found out about the winner."""

    train_metrics: dict[str, float]
    test_metrics: dict[str, float]
    explained: Explained
    leakage: LeakageLedger
    known: KnownFeatures | None
    reference: ReferenceProfile
    labelling: Labelling

    def figures(self) -> dict[str, Any]:
        """Return all of it but the explanation, by name."""
        return {name: of for name, of in self if name != "explained"}


def _rows(train: DataRef, contract: Contract) -> tuple[pd.DataFrame, np.ndarray]:
    return contract.to_X_y(storage().get_frame(train))


def _candidate(winner: Winner) -> Candidate:
    return get_candidate(winner.model, winner.contract.candidates)


def _test_fold(folds: DataRef) -> np.ndarray:
    return storage().get_frame(folds)["test_fold"].to_numpy()


def _fitting() -> dict[str, Any]:
    """Return how the fits of a step run: on this machine's cores, or on the cluster whose worker runs the step."""
    backend = dask_backend.ClusterBackend if dask_backend.is_worker() else None
    return {"n_jobs": search.available_cores(settings().cores), "backend": backend}


def _progress(model: str) -> Callable[[search.SearchProgress], None]:
    """Return what reports the progress of a search in the terminal and in Prefect's UI."""
    artifact = cast(UUID, create_progress_artifact(0.0, description=f"search: {model}"))

    def report(progress: search.SearchProgress) -> None:
        best = "" if progress.best_score is None else f"best {progress.best_score:.4f}"
        show(model, Work(progress.n_done, progress.n_fits, best))
        with suppress(httpx.HTTPError, RuntimeError):  # the run has ended, and with it the client
            update_progress_artifact(artifact, 100 * progress.share)

    return report


@step(task_run_name="fetch")
def fetch(source: Source) -> Fetched:
    """Read rows from their source, unchecked."""
    read = source.read()
    return Fetched(rows=storage().put_frame(read.frame), watermark=read.watermark, notes=read.notes)


@cached_step(task_run_name="validate")
def validate(raw: DataRef, max_rejected: float, contract: Contract = WEBSITES) -> Checked:
    """Set invalid rows aside; refuse data with too many of them."""
    validated = contract.validate(storage().get_frame(raw), max_rejected=max_rejected)
    return Checked(
        accepted=storage().put_frame(validated.accepted),
        quarantine=storage().quarantine(validated.rejected) if len(validated.rejected) else None,
        report=validated.report.to_dict(),
    )


@cached_step(task_run_name="split")
def split(accepted: DataRef, test_size: float, random_state: int, contract: Contract) -> Sides:
    """Divide the rows by group."""
    how = {"test_size": test_size, "random_state": random_state, "contract": contract}
    sides = splitting.split(storage().get_frame(accepted), **how)
    return Sides(
        train=storage().put_frame(sides.train), test=storage().put_frame(sides.test), report=sides.report.to_dict()
    )


@cached_step(task_run_name="draw")
def draw(train: DataRef, n_rows: int, random_state: int, contract: Contract) -> DataRef:
    """Draw the rows to search on."""
    how = {"random_state": random_state, "contract": contract}
    return storage().put_frame(splitting.draw(storage().get_frame(train), n_rows, **how))


@cached_step(task_run_name="folds")
def assign_folds(train: DataRef, cv: int, random_state: int, contract: Contract) -> DataRef:
    """Assign the training rows to folds, the same for every model."""
    how = {"n_splits": cv, "random_state": random_state, "contract": contract}
    test_fold = splitting.assign_folds(storage().get_frame(train), **how)
    return storage().put_frame(pd.DataFrame({"test_fold": test_fold}))


@cached_step(task_run_name="repeated folds")
def repeat_folds(train: DataRef, cv: int, cv_repeats: int, random_state: int, contract: Contract) -> DataRef:
    """Assign the training rows to the folds on which the models' best points are compared."""
    how = {"n_repeats": cv_repeats, "random_state": random_state, "contract": contract}
    test_folds = selection.repeated_folds(storage().get_frame(train), n_splits=cv, **how)
    return storage().put_frame(pd.DataFrame({f"repeat_{n}": folds for n, folds in enumerate(test_folds.T)}))


@cached_step(name="search", task_run_name="search: {model}")
def search_grid(
    train: DataRef, folds: DataRef, model: str, scoring: str, imputer: Imputer, random_state: int, contract: Contract
) -> search.SearchResult:
    """Search one model's grid by cross-validation on the training rows."""
    how = {"scoring": scoring, "imputer": imputer, "random_state": random_state} | _fitting()
    how |= {"on_progress": _progress(model)}
    return search.search(get_candidate(model, contract.candidates), *_rows(train, contract), _test_fold(folds), **how)


@cached_step(name="compare", task_run_name="compare: {point.model}")
def score_again(train: DataRef, repeated_folds: DataRef, point: Winner, scoring: str) -> search.SearchResult:
    """Score the best point of one model's grid on the repeated folds."""
    test_folds = storage().get_frame(repeated_folds).to_numpy()
    how = {"scoring": scoring, "imputer": point.imputer, "random_state": point.random_state} | _fitting()
    X, y = _rows(train, point.contract)
    return selection.score_again(_candidate(point), point.params, X, y, test_folds, **how)


@cached_step(task_run_name="threshold: {winner.model}")
def choose_labelling(
    train: DataRef, folds: DataRef, winner: Winner, scoring: str, costs: dict[str, float], band: dict[str, float]
) -> Chosen:
    """Choose the winner's calibration, threshold and band from out-of-fold probabilities."""
    frame, test_fold = storage().get_frame(train), _test_fold(folds)
    X, y = winner.contract.to_X_y(frame)
    how = {"imputer": winner.imputer, "random_state": winner.random_state} | _fitting()
    how["feature_groups"] = winner.contract.feature_groups
    y_score = search.out_of_fold_scores(_candidate(winner), winner.params, X, y, test_fold, **how)
    groups = winner.contract.groups(frame)
    chosen = labelling.choose_labelling(y, y_score, test_fold, groups, scoring=scoring, costs=costs, **band)
    return Chosen(labelling=chosen, scores=storage().put_frame(pd.DataFrame({"y": y, "y_score": y_score})))


def _finish(chosen: Chosen) -> Callable[[Pipeline], Pipeline]:
    """Return what gives a fitted pipeline the chosen calibration, threshold and band."""
    scores = storage().get_frame(chosen.scores)
    y, y_score = scores["y"].to_numpy(), scores["y_score"].to_numpy()
    return lambda pipeline: labelling.label_by(pipeline, chosen.labelling, y, y_score)


@cached_step(task_run_name="fit: {winner.model}")
def fit(train: DataRef, winner: Winner, chosen: Chosen) -> ModelRef:
    """Fit the winner on all training rows, and on their masked copies."""
    how: dict[str, Any] = {"imputer": winner.imputer, "random_state": winner.random_state}
    how["feature_groups"] = winner.contract.feature_groups
    n_threads = max(1, search.available_cores(settings().cores) - 1)  # the leakage ledger takes the other core
    X, y = _rows(train, winner.contract)
    fitted = search.fit_best(_candidate(winner), winner.params, X, y, n_threads=n_threads, **how)
    return storage().put_model(_finish(chosen)(fitted))


@cached_step(name="leakage", task_run_name="leakage ledger")
@one_thread
def leakage_ledger(train: DataRef, test: DataRef, winner: Winner, chosen: Chosen) -> LeakageLedger:
    """Compute what a careless split would have reported of the winner."""
    seed, (train_rows, test_rows) = winner.random_state, map(storage().get_frame, (train, test))
    how: dict[str, Any] = {"imputer": winner.imputer, "random_state": seed, "threshold": DECISION_THRESHOLD}
    pipeline = make_pipeline(_candidate(winner), winner.params, **how)
    how = {"finish": _finish(chosen), "random_state": seed, "contract": winner.contract}
    return leakage.leakage_ledger(pipeline, train_rows, test_rows, **how)


@cached_step(name="known features", task_run_name="known features")
@one_thread
def evaluate_known(model: ModelRef, test: DataRef, floor: float, contract: Contract) -> KnownFeatures | None:
    """Compute the winner's F1 by what is known of a test row."""
    how = {"floor": floor, "contract": contract}
    return known_features.evaluate_known(storage().get_model(model), storage().get_frame(test), **how)


@cached_step(task_run_name="evaluate: {side}")
@one_thread
def evaluate(
    model: ModelRef, rows: DataRef, side: str, base_rate: float | None, contract: Contract
) -> dict[str, float]:
    """Compute the winner's metrics on one side."""
    how = {"base_rate": base_rate, "contract": contract}
    return evaluation.evaluate_model(storage().get_model(model), storage().get_frame(rows), **how)


@cached_step(task_run_name="explain")
@one_thread
def explain(model: ModelRef, test: DataRef, title: str, random_state: int, contract: Contract) -> Explained:
    """Compute the curves, tables and importances of the winner on the test rows, and draw them."""
    how = {"random_state": random_state, "contract": contract}
    found = explanation.explain(storage().get_model(model), storage().get_frame(test), **how)
    pictures = figures.draw(found, title, contract.descriptions)
    return Explained(
        explanation=found,
        pictures={name: b64encode(png) for name, png in pictures.items()},
        overview=b64encode(figures.draw_overview(found, title)),
    )


@cached_step(name="profile", task_run_name="reference profile")
@one_thread
def profile(accepted: DataRef, model: ModelRef, test: DataRef, contract: Contract) -> ReferenceProfile:
    """Describe the rows behind the model, for a monitor to compare new ones with."""
    rows = storage().get_frame(test)  # the model has not learned from them
    return reference_profile(
        storage().get_frame(accepted),
        data_sha256=accepted.sha256,
        y_score=storage().get_model(model).predict_proba(contract.to_X(rows))[:, 1],
        y_true=contract.to_y(rows),
        scored=contract.groups(rows) if contract.alike else None,
        contract=contract,
    )


@step(task_run_name="find gaps")
def find_gaps(checked: Checked, contract: Contract) -> Checked:
    """Compare the missing values with those of the rows behind the model in use."""
    version = registry(contract).find(CHAMPION, CANDIDATE)
    gaps = tracking.find_gaps(version, checked.report["n_accepted"], checked.report["n_missing"])
    return checked.model_copy(update={"gaps": gaps})


@step(task_run_name="find versions")
def find_versions(contract: Contract) -> list[RegisteredVersion]:
    """Find the model in use, and the newest one."""
    return [version for alias in (CHAMPION, CANDIDATE) if (version := registry(contract).find(alias))]


@step(task_run_name="reach MLflow")
def reach(create_repo: bool, public_repo: bool) -> None:
    """Reach the tracking server; what it refuses is known before anything is computed."""
    connect(settings(), create_repo=create_repo, public_repo=public_repo)


@step(task_run_name="open runs", retries=0)
def open_runs(record: TrainingRecord) -> Training:
    """Deliver what earlier runs have left, and open the train run."""
    deliver_pending()
    return delivery.open_training(tracking_server(), record, stale_after=settings().mlflow_stale_after)


@step(task_run_name="track: {result.candidate}")
def track_search(training: Training, result: search.SearchResult, which: CandidateRuns) -> None:
    """Log a search's grid points."""
    runs.log_search(tracking_server(), training, result, which)


@step(task_run_name="track", retries=0)
def track(record: TrainingRecord, logged: set[str]) -> Delivered:
    """Log what the training found, register the model as the newest candidate, and close the runs."""
    how = {"logged": logged, "signing_key": settings().signing_key}
    return delivery.deliver_training(tracking_server(), record, ledger(), **how)
