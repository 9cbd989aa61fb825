"""`MLmodel`, MLflow's description of a stored model, read as what somebody else may have written.

It is asked for two things: that the model is one of scikit-learn in skops' format, and the columns that it takes. Which
file holds the model is not its to say.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError

from networksecurity.exceptions import StoredModelError

DESCRIPTION_FILE = "MLmodel"
"""MLflow's name for the description, in the model's folder."""
MODEL_FILE = "model.skops"
"""MLflow's name for a model in skops' format, beside it."""
_MOST_BYTES = 1_000_000


class _Skops(BaseModel):
    serialization_format: Literal["skops"]
    pickled_model: Literal["model.skops"]


class _Flavors(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sklearn: _Skops
    python_function: dict[str, object] = Field(default_factory=dict)


class _Column(BaseModel):
    name: str


class _Signature(BaseModel):
    inputs: Json[list[_Column]]


class _MLmodel(BaseModel):
    flavors: _Flavors
    signature: _Signature


def columns_of(folder: Path) -> list[str]:
    """Return the columns that the model in `folder` takes.

    Raises
    ------
    StoredModelError
        The description is missing or damaged, or is that of another kind of model.
    """
    try:
        with (folder / DESCRIPTION_FILE).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise StoredModelError(f"its file MLmodel has more than {_MOST_BYTES:,} bytes")
        described = _MLmodel.model_validate(yaml.safe_load(content))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        if place.startswith("flavors"):
            raise StoredModelError(f"it was not stored by skops: MLmodel has another {place}") from None
        raise StoredModelError(f"its file MLmodel is damaged ({place or 'all of it'}: {first['msg']})") from None
    except (OSError, yaml.YAMLError, ValueError, RecursionError, OverflowError) as exc:
        raise StoredModelError(f"its file MLmodel cannot be read ({type(exc).__name__})") from exc
    return [column.name for column in described.signature.inputs]
