"""What a training found, and the names of its tags and files in MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.storage import DataRef
from networksecurity.monitoring.profile import ReferenceProfile
from networksecurity.training.explanation import Explanation
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.labelling import Labelling
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.search import SearchResult
from networksecurity.training.selection import Selection

CONTRACT_TAG = "data.contract"
"""The tag, on runs and versions, that names the contract of their rows; `websites` where it is missing."""
CONTRACT_SHA256_TAG = "data.contract.sha256"
"""The tag, beside it, that holds its fingerprint."""
TRAINING_TAG = "networksecurity.training"
"""The tag, on all runs of a training, that holds its name."""
PARAMETERS_TAG = "networksecurity.parameters"
"""The tag, on a train run, that holds the parameters of its flow as JSON."""
KEY_TAG = "networksecurity.key"
"""The tag, on all runs of a training, by which a delivery finds what an earlier one has made."""
SIDE_TAG = "networksecurity.side"
"""The tag that tells the runs of a training apart: `train`, `test` or `grid point`."""
GRID_POINT_TAG = "networksecurity.grid_point"
"""The tag, on the run of a grid point, that holds its model and its place in the model's grid."""
PROCESS_TAG = "networksecurity.process"
"""The tag, on an unfinished run, that names the machine and process writing it."""
REASON_TAG = "networksecurity.reason"
"""The tag that says why a run failed or was closed."""

CARD_FILE = "model_card.md"
"""The model card, on the train run."""
REFERENCE_FILE = "reference_profile.json"
"""The profile of the rows behind the model, beside the model's own file."""
CONTRACT_FILE = "contract.yaml"
"""The contract of the rows, on the train run and beside the model's own file."""
LEARNED_FILE = "learned_vectors.npy"
"""The groups of the rows that the model was fitted on, as `Contract.groups`, beside its own file."""
TESTED_FILE = "tested_vectors.npy"
"""The same of its test rows."""
KNOWN_FILE = "known_features.json"
"""F1 by what is known of a row, beside the model's own file; without it, or in older versions, nothing is said."""
PROBE_FILE = "probe.parquet"
"""Made-up rows, beside the model's own file, with the answers of the model that was evaluated: `y_pred` and `y_score`,
the probability of phishing."""


class Training(BaseModel, frozen=True):
    """A training that is being logged: what its steps need to find its runs."""

    name: str
    key: str
    experiment_id: str
    grid_experiment_id: str
    train_run_id: str


@dataclass(frozen=True)
class Side:
    """One side of a training: its rows, and the winner's figures on them."""

    rows: DataRef
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a training found."""

    model: Pipeline
    """The fitted winner."""
    params: Mapping[str, Any]
    """The training's parameters, and the winner's best ones."""
    searches: Sequence[SearchResult]
    """The winner's first."""
    train: Side
    """Its metrics have the names of those of `test`."""
    test: Side
    explanation: Explanation
    pictures: Mapping[str, bytes]
    """Files of the explanation's pictures, by name."""
    leakage: LeakageLedger
    reference: ReferenceProfile | None
    """None for a contract whose rows are not profiled."""
    tags: Mapping[str, str]
    """For both runs and the model; `data.source` among them, the source of the rows without credentials."""
    input_example: pd.DataFrame
    """Some of the training rows, as `X`, of shape (n_samples, n_columns)."""
    learned: np.ndarray
    """The distinct groups of the training rows, as `Contract.groups`, of shape (n_groups,)."""
    tested: np.ndarray
    """Those of the test rows."""
    labelling: Labelling | None = None
    """How calibration, decision threshold and band were chosen; None if they were not."""
    selection: Selection | None = None
    """How the winner was chosen; None if it has the highest score of the searches."""
    known: KnownFeatures | None = None
    """F1 by what is known of a row; None for a contract without groups of features."""
    contract: Contract = WEBSITES


class Logged(BaseModel, frozen=True):
    """Where a training was logged."""

    test_run_id: str
    model_uri: str
    """Address of the model's files: `models:/m-…`, or `runs:/…` on a server without logged models."""
    seal: dict[str, str] = {}
    """The tag of its version that tells those files from others: see `tracking.seal`."""
