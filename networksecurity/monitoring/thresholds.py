"""When a difference between new rows and the reference is drift: options of the monitor.

They stand apart from `drift` because the command line needs them without loading pandas and SciPy.
"""

from typing import Literal

from pydantic import BaseModel, Field

Correction = Literal["benjamini-hochberg", "bonferroni"]


class Thresholds(BaseModel, frozen=True, extra="forbid"):
    """When a difference is drift; the reasons for the defaults are in `docs/drift.md`."""

    min_rows: int = Field(default=500, ge=1, description="fewer new rows are not compared at all")
    correction: Correction = Field(default="benjamini-hochberg", description="of the p-values, for their number")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="largest corrected p-value that is significant")
    psi: float = Field(default=0.01, ge=0, description="smallest population stability index that matters")
    score_psi: float = Field(default=0.1, ge=0, description="the same, of the model's scores")
    missing: float = Field(default=0.05, ge=0, le=1, description="smallest difference of missing shares that matters")
    unseen: float = Field(default=0.01, ge=0, le=1, description="smallest share of unseen values that matters")
