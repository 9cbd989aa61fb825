"""What each flow can be asked to do: one frozen model per flow, from which its command line and UI form are made."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from networksecurity.champion.gate import Gate, PromotionMode
from networksecurity.exceptions import ConfigurationError
from networksecurity.monitoring.thresholds import Thresholds
from networksecurity.settings import login_of, without_credentials
from networksecurity.training.candidates import (
    BY_CONTRACT,
    CANDIDATES,
    F1_FLOOR,
    CandidateRuns,
    Imputer,
    get_candidate,
)

Scoring = Literal[
    "f1", "precision", "recall", "accuracy", "balanced_accuracy", "roc_auc", "average_precision", "neg_log_loss"
]


def _without_password(source: str) -> str:
    has_port = re.match(r"https?://[^/?#@:]+:\d+[/?#]", source)  # an @ behind it ends no password
    if ":" in login_of(source) and not has_port:
        raise ValueError(
            "a user and password here would be readable in Prefect's UI and logs: put the connection string into "
            "MONGODB_URI and use the source `mongodb`"
        )
    return source.strip()


def _split_names(models: object) -> object:
    if isinstance(models, str):
        return models.split(",")
    if isinstance(models, list | tuple):
        return [name for entry in models for name in str(entry).split(",")]
    return models


def _known_models(models: tuple[str, ...], found: ValidationInfo) -> tuple[str, ...]:
    among = candidates_of(found.data.get("contract", "websites"))
    known = BY_CONTRACT[among]
    if not models:
        return tuple(name for name, candidate in known.items() if candidate.enabled)
    try:
        names = [get_candidate(name, among).name for name in models if name.strip()]
    except ConfigurationError as exc:
        raise ValueError(str(exc)) from None
    if not names:
        raise ValueError(f"at least one model is needed; known are {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def _one_band(cost_review: float | None, found: ValidationInfo) -> float | None:
    if cost_review is not None and found.data.get("abstain") is not None:
        raise ValueError("the rows to leave to a person follow from a share (abstain) or from a cost, not from both")
    return cost_review


def _known_contract(contract: str) -> str:
    if contract not in ("websites", "addresses"):
        from networksecurity.data.contracts import get_contract  # slow, hence only where a file is to be read

        try:
            get_contract(contract)
        except ConfigurationError as exc:
            raise ValueError(str(exc)) from None
    return contract


def _version_or_alias(version: str) -> str:
    if re.fullmatch(r"v\d+", version):
        raise ValueError(f"versions are named by their number: {version[1:]}")
    if not re.fullmatch(r"\d{1,9}|[\w-]*[^\W\d][\w-]*", version):
        raise ValueError("has to be the number of a version, or an alias of letters, digits, `_` and `-`")
    return version


def candidates_of(contract: str) -> str:
    """Return which models compete under a contract, as `Contract.candidates`; for one without a file, at once."""
    return contract if contract in BY_CONTRACT else "numbers"


Place = Annotated[
    str,
    AfterValidator(_without_password),
    # Prefect's server refuses what does not fit, and stores no password that a run would then refuse.
    Field(json_schema_extra={"pattern": r"^(?!\s*\w[\w+.-]*://[^/?#]*:[^/?#]*@)"}),
    PlainSerializer(lambda of: without_credentials(of) if "://" in of else of, return_type=str, when_used="json"),
]
"""Where rows come from or go to. Prefect and MLflow record it without a token in its query."""
ContractName = Annotated[str, AfterValidator(_known_contract)]
_CONTRACT: Any = Field(
    default="websites",
    description="what the rows are: `websites`, 30 features and their `Result`; `addresses`, a URL and its label; or "
    "the path of a .yaml file that describes a table of your own",
    examples=["addresses"],
)
_POSITIVE: Any = Field(
    default=None,
    min_length=1,
    description="the target's value that means phishing, where it is not -1, or of addresses no word such as phishing, "
    "bad, legitimate or good",
    examples=["0", "phishing"],
)
_HEADER: Any = Field(
    default="first",
    description="where the names of a text's columns are: in its first line, or none, and the columns are in the "
    "order of the contract",
)
Header = Literal["first", "none"]
_FILES = "a file or http(s) address (.csv, .parquet, .arff, .json, .xlsx, .zip and others), `uci`"
_COLLECTIONS = "`mongodb` (address from MONGODB_URI) or `mongodb://host/database.collection`"
_MAX_REJECTED = "largest share of invalid rows that is set aside instead of refused"
_SINCE = ["7", "2026-01-31T12:00:00+00:00"]
VersionName = Annotated[str, AfterValidator(_version_or_alias)]
_VERSION: Any = Field(
    default="champion",
    min_length=1,
    description="version of the model: its number, or an alias such as candidate",
    examples=["3", "candidate"],
)


class TrainParameters(BaseModel, extra="forbid", frozen=True):
    """Train on one source of rows, choose the best model by cross-validation and log it."""

    contract: ContractName = _CONTRACT
    positive: str | None = _POSITIVE
    source: Place = Field(
        default="sample",
        min_length=1,
        description=f"rows to learn from: `sample`, `sample:100000`, {_FILES}, {_COLLECTIONS}",
        examples=["sample:100000", "rows.csv", "mongodb"],
    )
    header: Header = _HEADER
    models: Annotated[
        tuple[str, ...],
        BeforeValidator(_split_names, json_schema_input_type=str | tuple[str, ...]),
        AfterValidator(_known_models),
    ] = Field(
        default=(),
        validate_default=True,
        examples=["Random Forest,Decision Tree", ["Random Forest", "Decision Tree"]],
        description=f"models that compete, separated by commas, of: {', '.join(CANDIDATES)}; for addresses: "
        f"{', '.join(BY_CONTRACT['addresses'])} (default: the five, and Character N-grams for addresses)",
    )
    test_size: float = Field(
        default=0.2, gt=0, lt=1, description="share of the distinct feature vectors, or domains, kept for the test"
    )
    cv: int = Field(default=3, ge=2, le=50, description="folds of the cross-validation, grouped as the split")
    cv_repeats: int = Field(
        default=3,
        ge=0,
        le=100,
        description="cross-validations, on other folds than the search's, by which the models' best points are "
        "compared: the cheapest model within one standard error of the best wins; with 0 or 1 the highest score of the "
        "search wins",
    )
    scoring: Scoring = Field(default="f1", description="score by which grid points and models are chosen")
    imputer: Imputer = Field(
        default="most_frequent", description="what stands in for a missing feature value, within each model's pipeline"
    )
    search_rows: int | None = Field(
        default=None,
        ge=100,
        description="search on at most this many of the training rows, drawn by feature vector; the winner is fitted "
        "on all (default: search on all)",
    )
    random_state: int = Field(
        default=0, ge=0, lt=2**32, description="seed of the split, the folds and the models; the same gives the same"
    )
    max_rejected: float = Field(default=0.05, ge=0, le=1, description=_MAX_REJECTED)
    cost_false_negative: float | None = Field(
        default=None,
        gt=0,
        description="cost of a phishing website that passes; with it or one of the next two, the "
        "decision threshold is the cheapest instead of that with the best score",
    )
    cost_false_positive: float | None = Field(
        default=None, gt=0, description="cost of a legitimate website that is stopped; a cost that is not given is 1"
    )
    base_rate: float | None = Field(
        default=None, gt=0, lt=1, description="share of phishing where the model is used; by default that of the rows"
    )
    f1_floor: float = Field(
        default=F1_FLOOR,
        ge=0,
        le=1,
        description="F1 on the test rows, with the same groups of features hidden, below which a row that lacks "
        "features is labelled `unsure`",
    )
    abstain: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="leave at most this share of the rows to a person: those nearest to the decision threshold are "
        "labelled `unsure`",
    )
    cost_review: Annotated[float | None, AfterValidator(_one_band)] = Field(
        default=None,
        gt=0,
        description="cost of a person's review of one website, in the unit of the other costs: rows where it is "
        "cheaper than the errors it saves are labelled `unsure`",
    )
    refresh: bool = Field(default=False, description="compute everything anew, without the results of earlier runs")
    skip_unchanged: bool = Field(
        default=False,
        description="train nothing where the champion or the newest model learned from exactly these rows",
    )
    reason: str = Field(
        default="",
        max_length=500,
        description="why this training is started, kept as a tag",
        examples=["new rows of October"],
    )
    candidate_runs: CandidateRuns = Field(
        default="all",
        description="grid points that get an MLflow run of their own: all, the best of each model, or none",
    )
    promotion: PromotionMode = Field(
        default="auto",
        description="whether the model replaces the champion: auto (where the gate lets it), dry-run (say what auto "
        "would do), off, or ask (where the gate lets it and a person approves, on the run's page in Prefect)",
    )
    approval_timeout: int = Field(
        default=3_600, ge=1, description="with --promotion ask: seconds to wait for an answer; none is a no"
    )
    gate: Gate = Field(default=Gate(), description="what a model has to show to replace the champion")
    create_repo: bool = Field(
        default=False, description="create the DagsHub repository of DAGSHUB_REPO, private, if there is none"
    )
    public_repo: bool = Field(default=False, description="with --create-repo: for everyone to read")

    def costs(self) -> dict[str, float]:
        """Return what was said of costs of errors and the base rate; nothing if the threshold does not follow them."""
        asked = {"cost_false_negative", "cost_false_positive", "base_rate"}
        return self.model_dump(include=asked, exclude_none=True)

    def band(self) -> dict[str, float]:
        """Return what was said of rows to leave to a person; nothing if all are to be decided."""
        return self.model_dump(include={"abstain", "cost_review"}, exclude_none=True)


class IngestParameters(BaseModel, extra="forbid", frozen=True):
    """Write the rows of a file to MongoDB, each once, and those that are not valid to its quarantine."""

    contract: ContractName = _CONTRACT
    positive: str | None = _POSITIVE
    source: Place = Field(
        min_length=1,
        description=f"rows to write: {_FILES}, `sample` or `sample:100000`",
        examples=["rows.csv", "uci"],
    )
    header: Header = _HEADER
    target: Place = Field(
        default="mongodb",
        description="collection to write to: `mongodb` (the contract's, with the address from MONGODB_URI) or "
        "`mongodb://host/database.collection`",
        examples=["mongodb://127.0.0.1/work.rows"],
    )
    max_rejected: float = Field(
        default=0.05, ge=0, le=1, description="largest share of invalid rows; with more of them nothing is written"
    )


class ScoreParameters(BaseModel, extra="forbid", frozen=True):
    """Say of each row of a source how probably it is phishing."""

    contract: ContractName = _CONTRACT
    source: Place = Field(
        min_length=1,
        description=f"rows to score, the 30 features and any others: {_FILES}, `sample` or `sample:100000`, "
        f"{_COLLECTIONS}",
        examples=["rows.csv", "mongodb"],
    )
    header: Header = _HEADER
    output: Place = Field(
        min_length=1,
        description="where to: a path or fsspec URL ending in .parquet or .csv, `mongodb` (the collection beside that "
        "of MONGODB_URI, with _scores at its end) or `mongodb://host/database.collection`. A row has `row` (its "
        "number, from 0), the columns that are no features as they came, `phishing_probability`, `label`, `label_by` "
        "(model, or override where a person has set the label), `override` (that person's reason), `model` and "
        "`model_version`; rows that are not valid go to a file or collection with _quarantine at the end of its name. "
        "From a collection to a collection, only what is new to this version of the model is scored",
        examples=["scored.parquet", "mongodb"],
    )
    model_version: VersionName = _VERSION
    max_rejected: float = Field(default=0.5, ge=0, le=1, description=_MAX_REJECTED)
    since: str = Field(
        default="",
        description="of a collection, only the rows that came after this ingestion (its number) or time (ISO 8601)",
        examples=_SINCE,
    )

    explain: bool = Field(
        default=False,
        description="add the column `explanation`: for each row the five features whose values change its probability "
        "most, with the change; takes several times as long",
    )

    overrides: bool = Field(default=True, description="apply the labels that people have set by hand")

    @field_validator("since")
    @classmethod
    def _is_of_a_collection(cls, since: str, found: ValidationInfo) -> str:
        if since and not str(found.data.get("source")).startswith("mongodb"):
            raise ValueError("this is for rows of a collection: of any other source all are scored")
        return since


class EvaluateParameters(BaseModel, extra="forbid", frozen=True):
    """Compare a version of the model on labelled rows with the same version on its own test rows."""

    contract: ContractName = _CONTRACT
    positive: str | None = _POSITIVE
    source: Place = Field(
        min_length=1,
        description=f"labelled rows: {_FILES}, `sample` or `sample:100000`, {_COLLECTIONS}",
        examples=["labelled.csv", "mongodb"],
    )
    header: Header = _HEADER
    model_version: VersionName = _VERSION
    margin: float = Field(
        default=0.01, ge=0, le=1, description="by how much F1 on unseen rows may be lower than on the test rows"
    )
    max_rejected: float = Field(default=0.05, ge=0, le=1, description=_MAX_REJECTED)


class MonitorParameters(BaseModel, extra="forbid", frozen=True):
    """Compare new rows with those that the model in use was trained on."""

    contract: ContractName = _CONTRACT
    positive: str | None = _POSITIVE
    header: Header = _HEADER
    source: Place = Field(
        default="mongodb",
        min_length=1,
        description="where rows arrive: `mongodb` or `mongodb://host/database.collection`, read from where the last "
        "check ended; or anything else that can be trained on, compared as a whole",
        examples=["mongodb", "rows.csv"],
    )
    since: str = Field(
        default="",
        description="look back to the end of this ingestion (its number), or to this time (ISO 8601)",
        examples=_SINCE,
    )
    thresholds: Thresholds = Field(default=Thresholds(), description="when a difference is drift")
    margin: float = Field(
        default=0.01, gt=0, lt=1, description="by how much F1 on new rows may be lower than on the model's test rows"
    )
