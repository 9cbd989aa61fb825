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

_FOLDER, _ALIVE = "tracking", ".alive"
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
    """What records of all kinds have."""

    experiment: str
    tags: dict[str, str]
    key: str = Field(default_factory=lambda: uuid4().hex)
    """Its runs carry it as a tag."""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it was begun, in UTC."""
    process: str = Field(default_factory=this_process)
    """Who writes it, as `machine:number`; empty if it waits for a delivery."""

    def goes_on(self, earlier: "Record") -> bool:
        """Return whether this is the same as one whose process was killed while it was logged."""
        own = {"key", "at", "process"}
        return bool(earlier.process) and self.model_dump_json(exclude=own) == earlier.model_dump_json(exclude=own)


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

    def goes_on(self, earlier: "Record") -> bool:
        """Return whether this is the same training as one that was interrupted."""
        return isinstance(earlier, TrainingRecord) and earlier.is_interrupted and earlier.command == self.command

    @property
    def is_interrupted(self) -> bool:
        """Whether the same training may go on in its runs: it was ended from outside, though it may have found all."""
        return self.status != "FAILED" and (self.found is None or self.status == "KILLED" or bool(self.process))

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

    def write(self, record: _Kind) -> _Kind:
        """Store a record, in place of the one with the same key, and return it."""
        self.storage.put_document(_file(record), record.model_dump_json().encode())
        return record

    def drop(self, record: Record) -> None:
        """Delete a record that was delivered, and the signs of killed processes that had worked on it."""
        self.storage.drop_document(_file(record))
        for sign in self.storage.documents(f"{_FOLDER}/{record.key}.*{_ALIVE}").keys() - self._signs(record):
            self.storage.drop_document(sign)

    def release(self, record: _Kind) -> _Kind:
        """Leave a record to whoever delivers next, and return it."""
        return self.write(record.model_copy(update={"process": ""}))

    def interrupt(self, record: TrainingRecord) -> None:
        """Note that the runs of an interrupted training are closed: there is nothing to deliver."""
        self.release(record.model_copy(update={"status": "KILLED"}))

    def waiting(self) -> list[Record]:
        """Return the records that can be delivered, the oldest first."""
        self._drop_orphans()
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

    @contextmanager
    def begun(self, record: _Kind) -> Iterator[_Kind]:
        """Store a record that begins, keep other processes from it in the context, and give it.

        It goes on in the runs of an earlier one that was interrupted, on any machine.
        """
        for earlier in filter(record.goes_on, self.unattended()):
            with self._claimed(earlier) as is_ours:
                if is_ours:
                    same = {"key", "name"} & type(record).model_fields.keys()
                    yield self.write(record.model_copy(update={name: getattr(earlier, name) for name in same}))
                    return
        with self._attended(record):
            yield self.write(record)

    @contextmanager
    def held(self, record: Record) -> Iterator[bool]:
        """Keep other processes from a record that waits; give whether it is ours: another one may be quicker.

        An error in the context leaves it to whoever delivers next.
        """
        with self._claimed(record) as is_ours, ExitStack() as at_an_error:
            if is_ours:
                self.write(record.model_copy(update={"process": this_process()}))
                at_an_error.callback(self.release, record)
            yield is_ours
            at_an_error.pop_all()

    @contextmanager
    def _claimed(self, record: Record) -> Iterator[bool]:
        """Attend to a stored record, and give whether it is still there and no other process attends to it.

        Each gives its sign first and then looks for those of others, hence of two never both go on; both may give way.
        """
        with self._attended(record) as sign:
            yield bool(self.storage.documents(_file(record))) and not self._signs(record) - {sign}

    @contextmanager
    def _attended(self, record: Record) -> Iterator[str]:
        """Give signs of life in the context, by which others know that a process works on a record."""
        over, sign = Event(), f"{_FOLDER}/{record.key}.{uuid4().hex}{_ALIVE}"

        def beat() -> None:
            with suppress(StorageError):
                self.storage.put_document(sign, f"{this_process()} {time.time()}".encode())

        def beat_on() -> None:
            while not over.wait(_BEAT):
                beat()

        beat()
        thread = Thread(target=beat_on, daemon=True)
        thread.start()
        try:
            yield sign
        finally:
            over.set()
            thread.join()
            with suppress(StorageError):
                self.storage.drop_document(sign)

    def _signs(self, record: Record) -> set[str]:
        """Return the signs of living processes that work on a record."""
        signs = self.storage.documents(f"{_FOLDER}/{record.key}.*{_ALIVE}")
        return {name for name, content in signs.items() if _is_alive(content)}

    def _drop_orphans(self) -> None:
        """Delete the signs of processes that were killed before they wrote their record, or after they dropped it."""
        signs = self.storage.documents(f"{_FOLDER}/*{_ALIVE}")
        records = self.storage.documents(f"{_FOLDER}/*.json")
        for name, content in signs.items():
            if not _is_alive(content) and f"{name.partition('.')[0]}.json" not in records:
                self.storage.drop_document(name)

    def _is_attended(self, record: Record) -> bool:
        is_young = time.time() - record.at.timestamp() < _SILENT
        return bool((record.process and is_young and not has_ended(record.process)) or self._signs(record))


def _is_alive(sign: bytes) -> bool:
    """Return whether a sign of life is of a process that lives, as far as can be told."""
    process, _, last = sign.decode().rpartition(" ")
    return not has_ended(process) and time.time() - float(last) < _SILENT


def _file(record: Record) -> str:
    return f"{_FOLDER}/{record.key}.json"
