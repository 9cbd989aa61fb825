"""Whether a fitted model is as good on labelled rows of today as on its own test rows.

Rows of a feature vector that the model has learned from say nothing about that. The others, the unseen ones, are
compared with the test rows.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.schema import CLASS_LABELS
from networksecurity.training.evaluation import DECIDED, FIGURES, figures_with_intervals, interval_of, with_interval
from networksecurity.training.intervals import Interval, difference, intervals
from networksecurity.training.label_rule import LabelRule, rule_of

ReviewVerdict = Literal["not_worse", "worse", "not_judged"]

EXIT_CODES: dict[ReviewVerdict, int] = {"not_worse": 0, "worse": 3, "not_judged": 4}
"""How a command ends after a review."""
OUTCOMES: dict[ReviewVerdict, str] = {"not_worse": "Not worse", "worse": "Worse", "not_judged": "Not judged"}
"""Each verdict as a title."""


class Part(BaseModel, frozen=True):
    """The figures of a model on some rows."""

    n_rows: int
    n_vectors: int
    """Distinct groups: feature vectors, registrable domains."""
    n_phishing: int
    figures: dict[str, float]
    """As from `evaluate`; only `accuracy` if all rows are of one class."""
    intervals: dict[str, Interval]
    """Of those of `figures` that are no counts."""

    @property
    def has_both_classes(self) -> bool:
        """Whether there are rows of both classes, which every figure but the accuracy needs."""
        return 0 < self.n_phishing < self.n_rows

    def with_bounds(self) -> dict[str, float]:
        """Return the figures, and the bounds of their intervals as `evaluate_model` names them."""
        bounds = {
            f"{name}_{which}": bound
            for name, of in self.intervals.items()
            for which, bound in zip(("low", "high"), of, strict=True)
        }
        return self.figures | bounds


class Review(BaseModel, frozen=True):
    """The outcome of `review`, in plain values."""

    verdict: ReviewVerdict
    reason: str
    """A sentence."""
    margin: float
    total: Part
    """All rows."""
    learned: Part | None
    """Rows of a feature vector that the model has learned from; None if there are none, or it is not known."""
    unseen: Part | None
    """The other rows."""
    test: dict[str, float]
    """The model's figures on its own test rows."""
    difference: Interval | None = None
    """Of F1 on the unseen rows minus F1 on the test rows; None if not judged."""

    def metrics(self) -> dict[str, float]:
        """Return every figure by `part/name`, the bounds of its interval with `_low` and `_high` at the end."""
        found = {}
        for name, part in self.parts().items():
            found |= {f"{name}/{figure}": value for figure, value in part.with_bounds().items()}
            found[f"{name}/n_rows"] = float(part.n_rows)
        return found

    def to_line(self) -> str:
        """Return the outcome in one line for scripts: the verdict, then `name=value`; `nan` where there is no value."""
        unseen = self.unseen
        nan = float("nan")
        f1 = unseen.figures.get("f1_score", nan) if unseen else nan
        low, high = unseen.intervals.get("f1_score", (nan, nan)) if unseen else (nan, nan)
        return (
            f"{self.verdict} f1_score={f1:.4f} low={low:.4f} high={high:.4f} "
            f"test_f1_score={self.test.get('f1_score', nan):.4f} n_unseen={unseen.n_rows if unseen else 0}"
        )

    def to_table(self) -> list[dict[str, str]]:
        """Return one row per figure: its value and interval on each part, and on the test rows."""
        columns = {name: part.with_bounds() for name, part in self.parts().items()} | {"its test rows": self.test}
        return [
            {"": name} | {column: with_interval(of, name) if name in of else "-" for column, of in columns.items()}
            for name in (*FIGURES, *DECIDED)
            if name in self.total.figures
        ]

    def parts(self) -> dict[str, Part]:
        """Return the parts that have rows, by name."""
        parts = {"all": self.total, "learned": self.learned, "unseen": self.unseen}
        return {name: part for name, part in parts.items() if part is not None}


def review(
    model: Any,
    rows: pd.DataFrame,
    *,
    learned: np.ndarray | None,
    test: Mapping[str, float],
    margin: float = 0.01,
    random_state: int = 0,
    contract: Contract = WEBSITES,
) -> Review:
    """Compare a model's F1 on unseen rows with its F1 on its own test rows.

    Parameters
    ----------
    model : estimator
    rows : DataFrame of shape (n_samples, n_columns)
        Rows that the contract's `validate` accepted, at least one.
    learned : ndarray of shape (n_vectors,), uint64, or None
        The groups of the rows that the model was fitted on; None if they are not known.
    test : mapping of str to float
        Its figures on its own test rows: `f1_score`, and the bounds of its interval if they are known.
    margin : float, default=0.01
        By how much F1 may be lower.
    random_state : int, default=0
        Seed of the bootstrap.
    contract : Contract, default=WEBSITES
        What the rows are.

    Returns
    -------
    Review
        `worse` if the whole 95 % interval of the difference lies below `-margin`, see `intervals.difference`;
        `not_judged` if there are no unseen rows of both classes, or it is not known what the model has learned from.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.splitting import split
    >>> from networksecurity.data.schema import to_X_y
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.data.vectors import vector_codes
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> from networksecurity.training.evaluation import evaluate_model
    >>> before, new = (
    ...     validate(make_phishing_websites(3_000, random_state=seed)).accepted for seed in (0, 1)
    ... )
    >>> sides = split(before)
    >>> tree = make_pipeline(get_candidate("Decision Tree")).fit(*to_X_y(sides.train))
    >>> learned, test = vector_codes(sides.train), evaluate_model(tree, sides.test)
    >>> review(tree, new, learned=learned, test=test).verdict
    'not_worse'
    >>> wrong = new.assign(Result=-new["Result"])
    >>> review(tree, wrong, learned=learned, test=test).verdict
    'worse'
    """
    X, y = contract.to_X_y(rows)
    y_score, codes, rule = model.predict_proba(X)[:, 1], contract.groups(rows), rule_of(model)

    def part(chosen: np.ndarray) -> Part | None:
        if not chosen.any():
            return None
        return _part(y[chosen], y_score[chosen], rule, codes[chosen], random_state)

    is_learned = np.zeros(len(rows), bool) if learned is None else np.isin(codes, learned)
    total = _part(y, y_score, rule, codes, random_state)
    unseen = None if learned is None else part(~is_learned)
    verdict, reason, of_difference = _judge(unseen, test, margin, known=learned is not None)
    return Review(
        verdict=verdict,
        reason=reason,
        margin=margin,
        total=total,
        learned=part(is_learned),
        unseen=unseen,
        test=dict(test),
        difference=of_difference,
    )


def _part(y: np.ndarray, y_score: np.ndarray, rule: LabelRule, codes: np.ndarray, random_state: int) -> Part:
    if 0 < y.sum() < len(y):
        figures, bounds = figures_with_intervals(y, y_score, rule, codes, random_state=random_state)
    else:
        y_pred = rule.classes(y_score)
        figures = {"accuracy": float((y == y_pred).mean())}
        bounds = {"accuracy": intervals(y, y_pred, codes, random_state=random_state)["accuracy"]}
    return Part(
        n_rows=len(y),
        n_vectors=len(np.unique(codes)),
        n_phishing=int(y.sum()),
        figures=figures,
        intervals=bounds,
    )


def _judge(
    unseen: Part | None, test: Mapping[str, float], margin: float, *, known: bool
) -> tuple[ReviewVerdict, str, Interval | None]:
    if not known:
        return "not_judged", "it is not known which rows this version has learned from: train again", None
    if "f1_score" not in test:
        return "not_judged", "this version was registered without the figures of its test rows: train again", None
    if unseen is None:
        return "not_judged", "the model has learned from every group of these rows: none is unseen", None
    if not unseen.has_both_classes:
        return "not_judged", f"all {unseen.n_rows:,} unseen rows are {CLASS_LABELS[int(unseen.n_phishing > 0)]}", None
    f1, tested = unseen.figures["f1_score"], test["f1_score"]
    of_test = interval_of(test, "f1_score") or (tested, tested)
    bounds = difference(f1, unseen.intervals["f1_score"], tested, of_test)
    worse = bounds[1] < -margin
    reason = (
        f"F1 is {f1:.4f} on {unseen.n_rows:,} unseen rows and {tested:.4f} on its own test rows: a difference of "
        f"{f1 - tested:+.4f} (95% interval {bounds[0]:+.4f} to {bounds[1]:+.4f}), which "
        f"{'shows' if worse else 'does not show'} that it is lower by more than {margin:g}"
    )
    return ("worse" if worse else "not_worse"), reason, bounds
