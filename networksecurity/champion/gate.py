"""The conditions under which a candidate replaces the champion.

A module of its own: the command line reads it without loading what computes.
"""

from typing import Literal

from pydantic import BaseModel, Field

PromotionMode = Literal["auto", "dry-run", "off", "ask"]
"""Judge and promote, judge only, neither, or promote what a person approves."""


class Gate(BaseModel, frozen=True, extra="forbid"):
    """What a candidate has to show on the test rows.

    The floors stop broken models; they do not choose between good ones. On the UCI data the worst of the five models
    has F1 0.92, recall 0.91, a false positive rate of 0.05 and a gap of 0.06.
    """

    min_f1_score: float = Field(default=0.85, ge=0, le=1, description="smallest F1")
    min_recall_score: float = Field(default=0.85, ge=0, le=1, description="smallest share of phishing that is found")
    max_false_positive_rate: float = Field(
        default=0.1, ge=0, le=1, description="largest share of legitimate rows that is called phishing"
    )
    max_generalisation_gap: float = Field(
        default=0.1, ge=0, le=1, description="by how much F1 may be higher on the training rows than on the test rows"
    )
    margin: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="by how much recall may be lower, and the false positive rate higher, than the champion's",
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="with which F1 has to be higher than the champion's, in the first decision on the test rows",
    )
