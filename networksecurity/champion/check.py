"""The monitor's check of a registered version on new rows: drift, quality where there are labels, an estimate of it."""

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn.metrics import f1_score

from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.champion.stored_model import Reference
from networksecurity.data.contracts import Contract
from networksecurity.data.splitting import is_test
from networksecurity.monitoring import drift, quality
from networksecurity.monitoring.drift import DriftReport
from networksecurity.monitoring.expectation import Expectation, expect
from networksecurity.monitoring.quality import Baseline, QualityReport, QualityState
from networksecurity.monitoring.thresholds import Thresholds
from networksecurity.training.evaluation import F1_LOW
from networksecurity.training.label_rule import LabelRule, rule_of


class Decided(BaseModel, frozen=True):
    """What a model that leaves rows to a person decides of the rows that it has not learned from."""

    coverage: float
    """Share of rows that it decides."""
    f1_score: float | None
    """Of these; None if they have no labels."""

    def metrics(self) -> dict[str, float]:
        """Return the figures that there are, by `decided/name`."""
        return {f"decided/{name}": of for name, of in self.model_dump(exclude_none=True).items()}

    def sentence(self) -> str:
        """Return the figures in words."""
        found = f"{self.coverage:.1%} of the rows that the model has not learned from are decided"
        return found if self.f1_score is None else f"{found}, with an F1 of {self.f1_score:.4f}"


class Check(BaseModel, frozen=True):
    """What a check found, in plain values."""

    drift: DriftReport
    quality: QualityReport
    expected: Expectation | None
    """Figures estimated without labels, on rows that the model has not learned from; None if that is not possible."""
    state: QualityState
    """What the next check has to know."""
    decided: Decided | None = None
    """None if the model decides every row, or there are none that it has not learned from."""


def check_version(
    registry: Registry,
    version: RegisteredVersion,
    rows: pd.DataFrame,
    *,
    before: QualityState,
    thresholds: Thresholds,
    margin: float,
) -> Check:
    """Check a version on validated rows that are new, with or without labels.

    Raises
    ------
    TrackingError
        Its files are gone or damaged.
    DataSourceError
        Its skops file is damaged, or holds a type that is not trusted.
    """
    reference, contract = registry.load_reference(version), version.contract
    y_score = y_pred = None
    rule = LabelRule()
    if len(rows):
        model = registry.load_model(version)
        y_score, rule = model.predict_proba(contract.to_X(rows))[:, 1], rule_of(model)
        y_pred = rule.classes(y_score)
    found = drift.compare(
        reference.profile, rows, y_score=y_score, learned=reference.learned, thresholds=thresholds, contract=contract
    )
    if y_score is None or y_pred is None or found.verdict == "too_few_rows":
        waiting = QualityReport(verdict="not_judged", reason="too few rows: they wait for the next check")
        return Check(drift=found, quality=waiting, expected=None, state=before)
    unseen = np.ones(len(rows), bool)
    if reference.learned is not None:
        unseen = ~np.isin(contract.groups(rows), reference.learned)
    expected = expect(reference.profile, y_score[unseen], y_pred[unseen])
    judged, state = _judge(version, reference, rows, y_pred, before=before, margin=margin)
    decided = _decided(rule, rows[unseen], y_score[unseen], contract) if unseen.any() else None
    return Check(drift=found, quality=judged, expected=expected, state=state, decided=decided)


def _decided(rule: LabelRule, rows: pd.DataFrame, y_score: np.ndarray, contract: Contract) -> Decided | None:
    if rule.band is None:
        return None
    is_decided = ~rule.is_unsure(y_score)
    f1 = None
    if contract.target in rows and is_decided.any():
        y, y_pred = contract.to_y(rows)[is_decided], rule.classes(y_score[is_decided])
        f1 = float(f1_score(y, y_pred, zero_division=0.0))
    return Decided(coverage=float(is_decided.mean()), f1_score=f1)


def _judge(
    version: RegisteredVersion,
    reference: Reference,
    rows: pd.DataFrame,
    y_pred: np.ndarray,
    *,
    before: QualityState,
    margin: float,
) -> tuple[QualityReport, QualityState]:
    figures, split, contract = version.test_figures, version.split, version.contract
    if contract.target not in rows:
        return QualityReport(verdict="not_judged", reason="the new rows have no labels"), before
    if split is None or not figures.get("f1_score") or F1_LOW not in figures:
        why = f"version {version.version} was registered without its split or the interval of its F1: train again"
        return QualityReport(verdict="not_judged", reason=why), before
    test_size, random_state = split
    weight = quality.comparable(
        contract.groups(rows),
        is_test=is_test(rows, test_size=test_size, random_state=random_state, contract=contract),
        test_size=test_size,
        learned=reference.learned,
        tested=reference.tested,
    )
    baseline = Baseline(f1_score=figures["f1_score"], f1_score_low=figures[F1_LOW])
    return quality.check(before, contract.to_y(rows), y_pred, weight, baseline=baseline, margin=margin)
