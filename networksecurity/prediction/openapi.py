"""What is asked of the service and what it answers, as its OpenAPI document describes it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from networksecurity.data.addresses.names import URL
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.mongodb.feedback import MAX_BY, MAX_COMMENT
from networksecurity.prediction.rows import MAX_EXPLAINED


def describe(contract: Contract) -> str:
    """Return what the service does."""
    return f"Tells phishing websites from legitimate ones by {contract.subject}. {contract.row_schema['description']}"


def request_body(max_rows: int, contract: Contract = WEBSITES) -> dict[str, Any]:
    """Return the OpenAPI description of what `/predict` takes: one row, many rows, or a CSV table."""
    row, example = contract.row_schema, contract.example_row
    bad = {next(iter(example)): "not valid", "id": 2}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": max_rows}
    explain = {
        "type": "boolean",
        "default": False,
        "description": f"whether to give the reasons for each prediction, of at most {MAX_EXPLAINED} rows",
    }
    many = {
        "type": "object",
        "properties": {"rows": rows, "explain": explain},
        "required": ["rows"],
        "additionalProperties": False,
    }
    table = "\n".join(
        ",".join(cells) for cells in (example, ["" if of is None else str(of) for of in example.values()])
    )
    examples = {
        "one row": {"value": {**example, "id": 1}},
        "many rows, one of them not valid, with the reasons for the predictions": {
            "value": {"rows": [example, {**example, **bad}], "explain": True}
        },
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [row, many]}, "examples": examples},
            "text/csv": {
                "schema": {
                    "type": "string",
                    "description": "UTF-8, comma-separated, a header line; columns in any order, extra ones allowed",
                },
                "examples": {"a table": {"value": f"{table}\n"}},
            },
        },
    }


def report_body(contract: Contract = WEBSITES) -> dict[str, Any]:
    """Return the OpenAPI description of what `/feedback` takes."""
    schema, told = Report.model_json_schema(), contract.example_row
    schema["properties"]["row"] = contract.row_schema
    if told.keys() != {URL}:
        del schema["properties"]["url"]
        schema["required"] = ["row", *schema["required"]]
        told = {"row": told}
    example = {**told, "label": "legitimate", "by": "jane", "comment": "our own shop"}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class ModelName(BaseModel):
    """The version behind an answer."""

    name: str
    version: str


class Reason(BaseModel):
    """The part of one feature in a prediction, or of one part of an address."""

    feature: str
    description: str
    """What the feature is about."""
    value: int | float | str | None
    """Of the row; null if it is not known, or if the address has no such part."""
    effect: float
    """In [-1, 1]: by how much this value raises the probability, compared with a value drawn from the rows that the
    model has learned from."""


class AppliedOverride(BaseModel):
    """A verdict that a person has set."""

    reason: str
    until: datetime
    """From then on the model decides again."""
    covers: Literal["row", "address", "host", "domain"]


class Prediction(BaseModel):
    """The answer to one row: a probability and a label, or the reasons why the row is not valid."""

    phishing_probability: float | None
    """In [0, 1]; null if the row is not valid."""
    label: Literal["phishing", "legitimate", "unsure"] | None
    """`unsure` where the probability is near the threshold, or too little of the row is known: a person should look;
    null if the row is not valid."""
    by: Literal["model", "override"] | None
    """Whose label it is: the model's, or that of a person; null if the row is not valid."""
    reasons: list[str]
    """Why the row is not valid; empty if it is."""
    keys: dict[str, Any]
    """The row's other fields."""
    known: int | None = None
    """Features that are known, where the model has been tested with groups of them missing."""
    f1_when_only_these_are_known: float | None = None
    """F1 on the test rows with no more than the groups known that are known here; null if no group is."""
    override: AppliedOverride | None = None
    """What a person has set, where it decides."""
    explanation: list[Reason] | None = None
    """The strongest reasons for the prediction, the strongest first, if they were asked for; null if the row is not
    valid."""


class Predictions(BaseModel):
    """The answers to all rows, in their order, by one version of the model."""

    model: ModelName
    n_rows: int
    n_rejected: int
    predictions: list[Prediction]


class Report(BaseModel, extra="forbid"):
    """What somebody says is right about one row."""

    row: dict[str, Any] | None = Field(default=None, max_length=200)
    """As asked to be judged; other fields are left out."""
    url: str | None = None
    """In place of a row, where the service is asked about addresses."""
    label: Literal["phishing", "legitimate"]
    by: str = Field(min_length=1, max_length=MAX_BY)
    """Who says so."""
    comment: str = Field(default="", max_length=MAX_COMMENT)

    @model_validator(mode="after")
    def _says_what_it_is_about(self) -> Self:
        if (self.row is None) == (self.url is None):
            raise ValueError("give either `row` or `url`")
        return self


class Reported(BaseModel):
    """The report as it waits for a person."""

    id: str


class Readiness(BaseModel):
    """That there is a model, and what prevents the service from checking for a newer one."""

    status: Literal["ready"] = "ready"
    model: ModelName
    problem: str | None


class ModelDescription(ModelName):
    """The model in use."""

    threshold: float
    """The probability of phishing from which the label is phishing, if every row is decided."""
    band: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    """The probabilities from which, and below which, the label is unsure; null if every row is decided."""
    loaded_at: datetime
    figures: dict[str, float]
    """On the test rows of its training."""
    native_up_to: int
    """Rows per request up to which its native form answers; 0 if scikit-learn always does."""
    native: str
    """How that was decided, when the model was loaded."""
    overrides: int
    """How many verdicts set by hand are in force."""
    explains: bool
    """Whether it can give reasons for its predictions."""
    card: str | None
    """The model card, in Markdown."""


REFUSALS = {
    401: "the token is missing or wrong",
    409: "the model has no reasons to give: no profile of its rows was stored with it",
    413: "the body is too large, or has too many rows",
    415: "the body is neither JSON nor CSV",
    422: "the body is not as described, or a row lacks a feature",
    503: "there is no model yet",
}
"""The meaning of each status other than 200."""
