"""A model's predictions of rows: the probability of phishing, and the label that follows from it."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.overrides.override import Overrides
from networksecurity.data.schema import (
    CLASS_LABELS,
    EXPLANATION,
    F1_KNOWN,
    KNOWN,
    LABEL,
    LABEL_BY,
    LABELS,
    MODEL,
    MODEL_VERSION,
    OVERRIDE,
    REASONS,
    ROW,
    SCORE,
    UNSURE,
)
from networksecurity.exceptions import DataValidationError, listed
from networksecurity.prediction.reasons import Explainer
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.label_rule import UNSURE_CODE, rule_of

_MAX_KEPT = 20_000
"""Explanations kept for later batches, about 1 kB each: equal feature vectors are explained once."""
_LABEL_DTYPE = pd.CategoricalDtype(list(LABELS.values()))
_BY_DTYPE = pd.CategoricalDtype(["model", "override"])


def score(
    model: Any, accepted: pd.DataFrame, contract: Contract = WEBSITES, known: KnownFeatures | None = None
) -> pd.DataFrame:
    """Return a pipeline's predictions of validated rows; of rows that are the same to it, one is predicted.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        Its prediction of a row depends on that row's features only.
    accepted : DataFrame of shape (n_samples, 30) or (n_samples, 31)
        Rows accepted by `Validation`, with or without a target.
    contract : Contract, default=WEBSITES
    known : KnownFeatures, optional
        The model's F1 by what is known of a row.

    Returns
    -------
    DataFrame of shape (n_samples, 2), or (n_samples, 4) with `known`
        `phishing_probability`, float64, and `label`, categorical: `phishing` if the probability is at least the
        pipeline's threshold, else `legitimate`; of a pipeline with a band, `unsure` within it. With `known` also
        `known`, int64, the number of known features, and `f1_when_only_these_are_known`, float64; the label is `unsure`
        where that is too low. The index of `accepted`.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.schema import to_X_y
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> rows = validate(make_phishing_websites(300, random_state=0)).accepted
    >>> model = make_pipeline(get_candidate("Decision Tree"), {"max_depth": 3}).fit(*to_X_y(rows))
    >>> score(model, rows[2:5]).round(2)
       phishing_probability       label
    2                  0.00  legitimate
    3                  0.94    phishing
    4                  0.04  legitimate
    """
    _, first, of_row = np.unique(contract.distinct(accepted), return_index=True, return_inverse=True)
    X = contract.to_X(accepted.iloc[first])
    y_score = model.predict_proba(X)[:, 1] if len(X) else np.empty(0)
    codes = rule_of(model).codes(y_score)
    judged = known.judge(X) if known else None
    if judged:
        codes[judged.is_unsure] = UNSURE_CODE
    labels = pd.Categorical.from_codes(codes, dtype=_LABEL_DTYPE)
    found = {SCORE: y_score[of_row], LABEL: labels[of_row]}
    if judged:
        found |= {KNOWN: judged.n_known[of_row], F1_KNOWN: judged.f1[of_row]}
    return pd.DataFrame(found, index=accepted.index)


def apply_overrides(
    scored: pd.DataFrame, accepted: pd.DataFrame, overrides: Overrides, contract: Contract = WEBSITES
) -> pd.DataFrame:
    """Return predictions with the labels that people have set in place of the model's; probabilities stay the model's.

    Parameters
    ----------
    scored : DataFrame of shape (n_samples, 2)
        As from `score`.
    accepted : DataFrame of shape (n_samples, n_columns)
        The rows that were scored.
    overrides : Overrides
        Those in force.
    contract : Contract, default=WEBSITES

    Returns
    -------
    DataFrame of shape (n_samples, 4)
        Also `label_by`, categorical: `model` or `override`; and `override`, str: the reason of whoever set the label.
    """
    labels, by = scored[LABEL].copy(), np.zeros(len(scored), "int8")
    reasons = pd.Series(None, scored.index, dtype="str")
    if overrides.by_key:
        _, first, of_row = np.unique(contract.distinct(accepted), return_index=True, return_inverse=True)
        for i, one in overrides.find(contract.to_X(accepted.iloc[first]).to_numpy()).items():
            covered = of_row == i
            labels[covered], by[covered], reasons[covered] = one.label, 1, one.reason
    said_by = pd.Categorical.from_codes(by, dtype=_BY_DTYPE)
    return scored.assign(**{LABEL: labels, LABEL_BY: said_by, OVERRIDE: reasons})


class ScoringReport(BaseModel, frozen=True):
    """The outcome for the rows of one source: n_rows = n_scored + n_rejected."""

    n_rows: int
    n_scored: int
    n_phishing: int
    """Rows labelled `phishing`."""
    n_unsure: int = 0
    """Rows labelled `unsure`."""
    n_overridden: int = 0
    """Rows whose label a person has set."""
    n_rejected: int
    rejections: dict[str, int]
    """Rejected cells by reason; a row may have several."""
    n_missing: dict[str, int] = {}
    """Missing cells of scored rows, by feature; features without any are left out."""
    renamed: dict[str, str] = {}
    """Columns of the rows that have the name of one of a prediction, and their names beside the predictions."""


class BatchScorer:
    """Validates and predicts raw rows that come in batches, as `Validation` validates them.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
    name, version : str
        Of the registered model, written beside each prediction.
    max_rejected : float
        Largest tolerated share of rejected rows, in [0, 1]; more are a sign of a wrong source.
    explainer : Explainer, optional
        With it, each prediction comes with its reasons.
    contract : Contract, default=WEBSITES
        What the rows are.
    overrides : Overrides, optional
        Those in force.
    known : KnownFeatures, optional
        With it, each prediction says what is known of its row: see `score`.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        version: str,
        max_rejected: float,
        explainer: Explainer | None = None,
        contract: Contract = WEBSITES,
        overrides: Overrides | None = None,
        known: KnownFeatures | None = None,
    ) -> None:
        self._model = model
        self._contract = contract
        self._explainer = explainer
        self._explained: dict[int, list[dict[str, object]]] = {}
        self._made_by = {MODEL: name, MODEL_VERSION: version}
        self._validation = contract.validation(max_rejected=max_rejected, with_target=False)
        self._overrides = overrides or Overrides(contract.name)
        self._known = known
        self._renamed: dict[str, str] = {}
        self._n_phishing = self._n_unsure = self._n_overridden = 0

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Validate and predict a batch of raw rows, whose index holds their numbers.

        Returns
        -------
        predictions : DataFrame of shape (n_accepted, n_others + 7)
            `row`, the unchanged columns that are no features, `phishing_probability`, `label`, `label_by`, `override`,
            `model`, `model_version`; rows in their order. With `known` also the two columns of `score`. With an
            explainer also `explanation`: a list of reasons, the strongest first, each with `feature`, `value` and
            `effect`. A column of the rows that has one of these names becomes `given_label`, or the like.
        rejected : DataFrame of shape (n_rejected, n_others + 32)
            `row`, the unchanged columns that are no features, the features' original values as text, `reasons`.

        Raises
        ------
        DataValidationError
            A feature is missing or duplicated, or a column would get the name of another one.
        """
        others = self._named(frame)
        accepted, rejected = self._validation.add(frame)
        scored = score(self._model, accepted, self._contract, self._known)
        scored = apply_overrides(scored, accepted, self._overrides, self._contract)
        self._n_overridden += int((scored[LABEL_BY] == "override").sum())
        self._n_phishing += int((scored[LABEL] == CLASS_LABELS[1]).sum())
        self._n_unsure += int((scored[LABEL] == UNSURE).sum())
        if self._explainer:
            scored[EXPLANATION] = self._explain(self._explainer, accepted)
        made_by = {column: pd.Categorical([value]).repeat(len(scored)) for column, value in self._made_by.items()}
        beside = [name for name in others if name not in rejected]  # an address may stand in a column of that name
        return (
            pd.concat([_numbered(others.loc[accepted.index]), scored.assign(**made_by)], axis=1),
            pd.concat([_numbered(others.loc[rejected.index, beside]), rejected.astype("str")], axis=1),
        )

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that are no features, under names that no column of a prediction has."""
        others = [name for name in frame if not self._contract.is_own(name)]
        own = {ROW, SCORE, LABEL, LABEL_BY, OVERRIDE, MODEL, MODEL_VERSION, REASONS}
        own |= {EXPLANATION} if self._explainer else set()
        own |= {KNOWN, F1_KNOWN} if self._known else set()
        renamed = {str(name): f"given_{name}" for name in others if name in own}
        if twice := [name for name in renamed.values() if name in others]:
            raise DataValidationError(
                f"{listed(twice)} would be there twice: rename it, or {listed([*renamed])}, in the rows"
            )
        self._renamed |= renamed
        return frame[others].rename(columns=renamed)

    def _explain(self, explainer: Explainer, accepted: pd.DataFrame) -> pd.Series:
        codes, first, of_row = np.unique(self._contract.distinct(accepted), return_index=True, return_inverse=True)
        if len(self._explained) > _MAX_KEPT:
            self._explained.clear()
        new = [i for i, code in enumerate(codes.tolist()) if code not in self._explained]
        found = explainer.explain(self._contract.to_X(accepted.iloc[first[new]]).to_numpy())
        for code, reasons in zip(codes[new].tolist(), found, strict=True):
            self._explained[code] = [{key: of[key] for key in ("feature", "value", "effect")} for of in reasons]
        explanations = [self._explained[code] for code in codes.tolist()]
        return pd.Series([explanations[i] for i in of_row], accepted.index, dtype=object)

    def over(self, frames: Iterable[pd.DataFrame]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield the result of `add` for each frame; after the last, raise what `finish` raises.

        Lets an all-or-nothing writer discard everything if the source is rejected at the end.
        """
        yield from map(self.add, frames)
        self.finish()

    def finish(self) -> ScoringReport:
        """Judge all rows together and return the outcome.

        Raises
        ------
        DataValidationError
            No rows, or more rejected rows than `max_rejected`.
        """
        found = self._validation.finish()
        return ScoringReport(
            n_rows=found.n_rows,
            n_scored=found.n_accepted,
            n_phishing=self._n_phishing,
            n_unsure=self._n_unsure,
            n_overridden=self._n_overridden,
            n_rejected=found.n_rejected,
            rejections=found.rejections,
            n_missing=found.n_missing,
            renamed=self._renamed,
        )


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    frame.insert(0, ROW, frame.index.to_numpy("int64"))
    return frame
