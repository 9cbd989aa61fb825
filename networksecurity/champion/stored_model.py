"""What is stored of a version, as its files: the model, and what is known of the rows behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

from networksecurity.data.model_files import load_model
from networksecurity.exceptions import StoredModelError
from networksecurity.monitoring.profile import ReferenceProfile
from networksecurity.tracking.mlmodel import MODEL_FILE, columns_of
from networksecurity.training.domain import without_domain_check
from networksecurity.training.known_features import KnownFeatures

Kept = TypeVar("Kept", bound=BaseModel)


@dataclass(frozen=True)
class Parts:
    """What answers with a version."""

    model: Pipeline
    profile: ReferenceProfile | None
    """Of the rows behind it; None if none is stored that is sound."""
    known: KnownFeatures | None
    """Its F1 by what is known of a row; None likewise."""


@dataclass(frozen=True)
class Reference:
    """What is stored about the rows behind a version."""

    profile: ReferenceProfile
    learned: np.ndarray | None
    """Groups of the training rows, uint64 of shape (n_groups,); None for older versions, which do not know them."""
    tested: np.ndarray | None
    """Groups of the test rows; None likewise."""


def read_model(folder: Path) -> Pipeline:
    """Return the pipeline in a folder, for rows that were validated.

    Raises
    ------
    StoredModelError
        The folder does not hold one in skops' format.
    DataSourceError
        The skops file is damaged, or holds a type that is not trusted.
    """
    columns_of(folder)
    try:
        content = (folder / MODEL_FILE).read_bytes()
    except OSError as exc:
        raise StoredModelError(f"its file {MODEL_FILE} cannot be read ({type(exc).__name__})") from exc
    return without_domain_check(load_model(content))


def read_beside(kind: type[Kept], path: Path) -> Kept | None:
    """Return what is stored beside a model; None if it is missing or damaged."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def read_vectors(path: Path) -> np.ndarray | None:
    """Return an array that is stored beside a model; None if it is missing, as with older versions."""
    return np.load(path, allow_pickle=False) if path.exists() else None
