"""What is to be logged, written to the storage before MLflow is called: nothing is lost if MLflow is away.

A record is a small JSON file in the folder `tracking` of the storage. It holds plain values and references by content,
and the key that every run carries as a tag. `delivery` logs it, now or later, and then drops it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Annotated, Any, Literal, TypeVar
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from networksecurity.champion.gate import Gate, PromotionMode
from networksecurity.data.contracts import CONTRACTS, Contract, Table
from networksecurity.data.storage import DataRef, ModelRef, Storage
from networksecurity.exceptions import StorageError
from networksecurity.monitoring.drift import DriftReport
from networksecurity.monitoring.expectation import Expectation
from networksecurity.monitoring.profile import ReferenceProfile
from networksecurity.monitoring.quality import QualityReport
from networksecurity.tracking.outcome import Outcome, Side
from networksecurity.tracking.runs import training_name
from networksecurity.tracking.writer import has_ended, this_process
from networksecurity.training.candidates import CandidateRuns
from networksecurity.training.explanation import Explanation
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.labelling import Labelling
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.review import Review
from networksecurity.training.search import SearchResult
from networksecurity.training.selection import Selection

_log = logging.getLogger(__name__)

_FOLDER = "tracking"
_BEAT, _SILENT = 30.0, 300.0
"""Seconds between two signs of life of a training, and after which one on another machine counts as dead."""
_KEPT = timedelta(days=30)
"""Time after which nobody goes on with an interrupted training: its cached steps have expired."""
_N_EXAMPLES = 200


class Found(BaseModel, frozen=True, ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"):
    """What a training found: an `Outcome` in plain values and references by content."""

    model: ModelRef
    params: dict[str, Any]
    searches: tuple[SearchResult, ...]
    selection: Selection | None
    train: DataRef
    test: DataRef
    train_metrics: dict[str, float]
    test_metrics: dict[str, float]
    explanation: Explanation
    pictures: dict[str, bytes]
    leakage: LeakageLedger
    known: KnownFeatures | None
    reference: ReferenceProfile | None
    labelling: Labelling | None
    tags: dict[str, str]
    warning: str | None = None
    """Which models could not be trained, and why."""

    def outcome(self, storage: Storage, contract: Contract) -> Outcome:
        """Return what was found, with the model and what is derived from the rows.

        Raises
        ------
        StorageError
            The model or the rows are gone or damaged.
        """
        train = storage.get_frame(self.train)
        shown = np.linspace(0, len(train) - 1, min(len(train), _N_EXAMPLES)).astype(int)
        return Outcome(
            model=storage.get_model(self.model),
            params=self.params,
            searches=self.searches,
            selection=self.selection,
            train=Side(self.train, self.train_metrics),
            test=Side(self.test, self.test_metrics),
            explanation=self.explanation,
            pictures=self.pictures,
            leakage=self.leakage,
            known=self.known,
            reference=self.reference,
            tags=self.tags,
            input_example=contract.to_X(train.iloc[shown]),
            learned=np.unique(contract.groups(train)),
            tested=np.unique(contract.groups(storage.get_frame(self.test))),
            labelling=self.labelling,
            contract=contract,
        )


class _Record(BaseModel, frozen=True):
    """What records of all kinds have.

    Attributes
    ----------
    key : str
        Its runs carry it as a tag.
    experiment : str
    at : datetime
        When it was begun, in UTC.
    process : str
        Who writes it, as `machine:number`; empty if it waits for a delivery.
    tags : dict of str to str
    """

    experiment: str
    tags: dict[str, str]
    key: str = Field(default_factory=lambda: uuid4().hex)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    process: str = Field(default_factory=this_process)


class TrainingRecord(_Record, frozen=True):
    """A training that is to be logged."""

    kind: Literal["training"] = "training"
    name: str = Field(default_factory=training_name)
    command: str
    """Fingerprint of its parameters, rows and code: the same again goes on in the same runs."""
    registered_model: str
    contract: str
    """Its name; of a table, its document."""
    candidate_runs: CandidateRuns
    promotion: PromotionMode
    gate: Gate
    random_state: int
    found: Found | None = None
    """None as long as it computes, and for ever if it was ended."""
    status: Literal["FAILED", "KILLED"] | None = None
    """How it was ended, if it was."""
    reason: str | None = None

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return f"training {self.name}"

    @property
    def is_interrupted(self) -> bool:
        """Whether the same training may go on in its runs."""
        return self.found is None and self.status != "FAILED"

    @property
    def rows(self) -> Contract:
        """What its rows are."""
        return CONTRACTS.get(self.contract) or Table.parse(self.contract)


def written_contract(contract: Contract) -> str:
    """Return a contract as `TrainingRecord` holds it."""
    return contract.text if isinstance(contract, Table) else contract.name


class CheckRecord(_Record, frozen=True):
    """A check of the monitor: the arguments of `monitor_runs.log_check`."""

    kind: Literal["check"] = "check"
    monitored: str
    report: DriftReport
    step: int | None
    quality: QualityReport
    expected: Expectation | None
    others: dict[str, float] = {}

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return f"check of {self.monitored}"


class ReviewRecord(_Record, frozen=True):
    """A review of a version: the arguments of `review_runs.log_review`."""

    kind: Literal["review"] = "review"
    reviewed: str
    review: Review

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return f"evaluation of {self.reviewed}"


Record = TrainingRecord | CheckRecord | ReviewRecord
_ANY: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])
_Kind = TypeVar("_Kind", bound=Record)


@dataclass(frozen=True)
class Ledger:
    """The records in a storage.

    Each method raises `StorageError` if the storage cannot be read or written.
    """

    storage: Storage

    def write(self, record: Record) -> None:
        """Store a record, in place of the one with the same key."""
        self.storage.put_document(_file(record), record.model_dump_json().encode())

    def drop(self, record: Record) -> None:
        """Delete a record that was delivered."""
        self.storage.drop_document(_file(record))

    def release(self, record: _Kind) -> _Kind:
        """Leave a record to whoever delivers next, and return it."""
        left = record.model_copy(update={"process": ""})
        self.write(left)
        return left

    def interrupt(self, record: TrainingRecord) -> None:
        """Note that the runs of an interrupted training are closed: there is nothing to deliver."""
        self.release(record.model_copy(update={"status": "KILLED"}))

    def waiting(self) -> list[Record]:
        """Return the records that can be delivered, the oldest first."""
        found = []
        for record in self.unattended():
            if isinstance(record, TrainingRecord) and record.found is None and record.status == "KILLED":
                if datetime.now(UTC) - record.at > _KEPT:
                    self.drop(record)
            else:
                found.append(record)
        return found

    def unattended(self) -> list[Record]:
        """Return the records that no living process works on, the oldest first."""
        found = []
        for name, content in self.storage.documents(f"{_FOLDER}/*.json").items():
            try:
                record = _ANY.validate_json(content)
            except ValidationError as exc:
                _log.warning("%s in the storage is no record that can be read: %s", name, exc.errors()[0]["msg"])
                continue
            if not self._is_attended(record):
                found.append(record)
        return sorted(found, key=lambda record: record.at)

    def begin(self, record: TrainingRecord) -> TrainingRecord:
        """Store the record of a training that begins, and return it.

        It goes on in the runs of an earlier one with the same command that was interrupted, on whatever machine.
        """
        for earlier in self.unattended():
            if isinstance(earlier, TrainingRecord) and earlier.is_interrupted and earlier.command == record.command:
                record = record.model_copy(update={"key": earlier.key, "name": earlier.name})
                break
        self.write(record)
        return record

    @contextmanager
    def held(self, record: Record) -> Iterator[None]:
        """Keep other processes from a record in the context; an error leaves it to whoever delivers next."""
        self.write(record.model_copy(update={"process": this_process(), "at": record.at}))
        with self.attended(record), ExitStack() as at_an_error:
            at_an_error.callback(self.release, record)
            yield
            at_an_error.pop_all()

    @contextmanager
    def attended(self, record: Record) -> Iterator[None]:
        """Give signs of life in the context, by which other machines know that a process works on a record."""
        over = Event()

        def beat() -> None:
            while True:
                with suppress(StorageError):
                    self.storage.put_document(_sign(record), str(time.time()).encode())
                if over.wait(_BEAT):
                    return

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(StorageError):
                self.storage.drop_document(_sign(record))

    def _is_attended(self, record: Record) -> bool:
        if not record.process or has_ended(record.process):
            return False
        signs = self.storage.documents(_sign(record)).values()
        last = max([record.at.timestamp(), *map(float, signs)])
        return time.time() - last < _SILENT


def _file(record: Record) -> str:
    return f"{_FOLDER}/{record.key}.json"


def _sign(record: Record) -> str:
    return f"{_FOLDER}/{record.key}.alive"
