"""Whether a candidate replaces the champion: both predict the same test rows, and the differences are weighed.

A hash of its feature vector makes a row a test row (`splitting`), so neither model has trained on it, however old the
champion is; if the champion was trained with another split, only the rows that are test rows in both are compared.
Equal vectors get equal answers. Vectors are therefore counted and resampled, not rows: more than half of the rows of
the UCI data are copies of another.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import binomtest

from networksecurity.champion.gate import Gate
from networksecurity.data.schema import CLASS_LABELS, FEATURES, TARGET, to_X_y
from networksecurity.data.splitting import is_test
from networksecurity.data.vectors import vector_codes
from networksecurity.training.evaluation import evaluate
from networksecurity.training.intervals import percentile_interval, resample, share

DEFAULT_GATE = Gate()

_COMPARED = ("f1_score", "precision", "recall_score", "false_positive_rate", "accuracy")


@dataclass(frozen=True)
class Champion:
    """The model in use, as far as it can be loaded.

    Attributes
    ----------
    version : str
    model : estimator or None
        None if it cannot be loaded.
    split : tuple of (float, int), or None
        `test_size` and `random_state` of its training; None if they are not known.
    problem : str
        Why it cannot be loaded.
    synthetic : bool
        Whether it has learned from the built-in sample.
    """

    version: str
    model: Any | None
    split: tuple[float, int] | None
    problem: str = ""
    synthetic: bool = False


class Comparison(BaseModel, frozen=True):
    """Candidate and champion on the same rows."""

    n_rows: int
    n_vectors: int
    """Distinct feature vectors among them."""
    candidate: dict[str, float]
    champion: dict[str, float]
    """Figures of both on these rows, by the names of `evaluation.evaluate`."""
    f1_difference: float
    """The candidate's minus the champion's."""
    low: float
    high: float
    """Bounds of the difference: a bootstrap interval of the gate's confidence."""
    fixed: int
    """Rows on which the candidate is right and the champion wrong."""
    broken: int
    """Rows on which the candidate is wrong and the champion right."""
    fixed_vectors: int | None = None
    """Vectors on which the candidate makes fewer errors; None in older decisions."""
    broken_vectors: int | None = None
    """Vectors on which the candidate makes more errors; None in older decisions."""
    p_value: float
    """Of McNemar's exact test, two-sided, with one vote for each vector."""


class Decision(BaseModel, frozen=True):
    """What was decided, why, and on which figures, in plain values that JSON can hold."""

    outcome: Literal["promote", "keep"]
    reasons: tuple[str, ...]
    """Sentences, the decisive ones first."""
    champion: str | None
    """The version that was in use; None if there was none."""
    figures: dict[str, float]
    """The candidate's, on all test rows."""
    generalisation_gap: float
    """F1 on the training rows minus F1 on the test rows."""
    comparison: Comparison | None
    """None if there is no champion, or the two cannot be compared."""
    gate: Gate


def decide(
    candidate: Any,
    champion: Champion | None,
    test_rows: pd.DataFrame,
    gate: Gate = DEFAULT_GATE,
    *,
    train_f1_score: float,
    synthetic: bool = False,
    random_state: int = 0,
) -> Decision:
    """Decide whether a candidate replaces the champion.

    The candidate has to pass every floor of the gate. If there is a champion, it must also be better in F1 (the
    bootstrap interval lies above 0) and in errors (McNemar's test), and neither its recall nor its false positive rate
    may be worse by more than the margin.

    A model of the built-in sample is not compared with one of other rows: the sample is synthetic, and was made from
    all of the UCI data, including its test rows. It gives way to the other model and never replaces it.

    Parameters
    ----------
    candidate : estimator
        Its answer to a row must depend on that row's features only.
    champion : Champion or None
    test_rows : DataFrame of shape (n_samples, 31)
        Test rows of the candidate's split, of both classes.
    gate : Gate
    train_f1_score : float
        Of the candidate, on its training rows.
    synthetic : bool, default=False
        Whether the candidate has learned from the built-in sample.
    random_state : int, default=0
        Seed of the bootstrap.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.splitting import split
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> sides = split(validate(make_phishing_websites(3_000, random_state=0)).accepted)
    >>> tree, regression = (
    ...     make_pipeline(get_candidate(name)).fit(*to_X_y(sides.train))
    ...     for name in ("Decision Tree", "Logistic Regression")
    ... )
    >>> decide(tree, None, sides.test, train_f1_score=0.97).reasons[0]
    'There is no champion yet.'
    >>> decision = decide(regression, Champion("1", tree, (0.2, 0)), sides.test, train_f1_score=0.92)
    >>> decision.outcome, decision.comparison.fixed_vectors, decision.comparison.broken_vectors
    ('keep', 24, 17)
    """
    X, y = to_X_y(test_rows)
    y_pred = candidate.predict(X)
    figures = evaluate(y, y_pred, candidate.predict_proba(X)[:, 1])
    gap = train_f1_score - figures["f1_score"]
    failed = _failed_floors(figures, gap, gate)
    comparison = None
    if champion is None:
        better, reasons = True, ["There is no champion yet."]
    elif champion.synthetic and not synthetic:
        better = True
        reasons = [f"Version {champion.version} has learned from the built-in sample, which is synthetic."]
    elif synthetic and not champion.synthetic:
        better = False
        reasons = [f"It has learned from the built-in sample, which is synthetic; version {champion.version} has not."]
    else:
        usable, problem = _comparable_rows(champion, test_rows)
        if problem:
            better, reasons = False, [f"The champion, version {champion.version}, cannot be compared: {problem}."]
            reasons.append("`networksecurity champion promote` replaces it regardless.")
        else:
            comparison = _compare(
                y[usable],
                y_pred[usable],
                champion.model.predict(X[usable]),  # pyright: ignore[reportOptionalMemberAccess] (a problem otherwise)
                vector_codes(test_rows[usable]),
                gate.confidence,
                random_state,
            )
            better, reasons = _weigh(comparison, champion.version, gate)
            if not usable.all():
                reasons.append(
                    f"Only {comparison.n_rows:,} of {len(y):,} test rows were compared: version {champion.version} was "
                    "trained with another split and may have learned from the others."
                )
    floors = failed or ["Every floor holds: " + _figures_sentence(figures, gap) + "."]
    return Decision(
        outcome="promote" if better and not failed else "keep",
        reasons=tuple(floors + reasons if failed else reasons + floors),
        champion=champion.version if champion else None,
        figures=figures,
        generalisation_gap=gap,
        comparison=comparison,
        gate=gate,
    )


def answered(decision: Decision, *, approved: bool, comment: str) -> Decision:
    """Return a decision after a person answered: only a decision to promote depends on the answer."""
    if decision.outcome == "keep":
        return decision
    sentence = ("Approved" if approved else "Not approved") + (f": {comment}" if comment else "") + "."
    if approved:
        return decision.model_copy(update={"reasons": (*decision.reasons, sentence)})
    return decision.model_copy(update={"outcome": "keep", "reasons": (sentence, *decision.reasons)})


def _failed_floors(figures: dict[str, float], gap: float, gate: Gate) -> list[str]:
    checks = (
        ("F1", figures["f1_score"], gate.min_f1_score, -1),
        ("Recall", figures["recall_score"], gate.min_recall_score, -1),
        ("The false positive rate", figures["false_positive_rate"], gate.max_false_positive_rate, 1),
        ("The gap between F1 on the training and on the test rows", gap, gate.max_generalisation_gap, 1),
    )
    return [
        f"{name} is {value:.4f}, {'above' if sign > 0 else 'below'} the limit of {limit:g}."
        for name, value, limit, sign in checks
        if sign * (value - limit) > 0
    ]


def _figures_sentence(figures: dict[str, float], gap: float) -> str:
    return (
        f"F1 {figures['f1_score']:.4f}, recall {figures['recall_score']:.4f}, "
        f"false positive rate {figures['false_positive_rate']:.4f}, generalisation gap {gap:.4f}"
    )


def _comparable_rows(champion: Champion, test_rows: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Return which test rows the champion has not trained on, and why the two cannot be compared, if they cannot."""
    usable = np.ones(len(test_rows), dtype=bool)
    if champion.model is None:
        return usable, champion.problem
    if list(getattr(champion.model, "feature_names_in_", FEATURES)) != list(FEATURES):
        return usable, "it was trained on other columns"
    if champion.split is None:
        return usable, "it is not known which rows it was trained on"
    test_size, random_state = champion.split
    usable = is_test(test_rows, test_size=test_size, random_state=random_state)
    if test_rows[TARGET][usable].nunique() < len(CLASS_LABELS):
        return usable, "it was trained with another split, and may have learned from all test rows of a class"
    return usable, ""


def _compare(
    y: np.ndarray,
    y_pred: np.ndarray,
    y_champion: np.ndarray,
    codes: np.ndarray,
    confidence: float,
    random_state: int,
) -> Comparison:
    right, champion_right = y_pred == y, y_champion == y
    _, of_row = np.unique(codes, return_inverse=True)
    by_vector = np.array(
        [np.bincount(of_row, weights=weights) for weights in ((y & y_pred), ~right, (y & y_champion), ~champion_right)]
    ).T
    # F1 = 2 TP / (2 TP + errors)
    tp, errors, champion_tp, champion_errors = resample(by_vector, random_state=random_state).T
    f1, champion_f1 = share(2 * tp, 2 * tp + errors), share(2 * champion_tp, 2 * champion_tp + champion_errors)
    low, high = percentile_interval(f1 - champion_f1, confidence)
    # Rows of one vector are right or wrong together: counted one by one, they would pass for independent evidence.
    gained = np.sign(by_vector[:, 3] - by_vector[:, 1])
    n_better, n_worse = int((gained > 0).sum()), int((gained < 0).sum())
    figures, champion_figures = _figures(y, y_pred), _figures(y, y_champion)
    return Comparison(
        n_rows=len(y),
        n_vectors=len(by_vector),
        candidate=figures,
        champion=champion_figures,
        f1_difference=figures["f1_score"] - champion_figures["f1_score"],
        low=low,
        high=high,
        fixed=int((right & ~champion_right).sum()),
        broken=int((~right & champion_right).sum()),
        # Exact McNemar: McNemar, "Note on the sampling error of the difference between correlated proportions", 1947.
        fixed_vectors=n_better,
        broken_vectors=n_worse,
        p_value=float(binomtest(n_better, n_better + n_worse).pvalue) if n_better + n_worse else 1.0,
    )


def _figures(y: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    figures = evaluate(y, y_pred, y_pred.astype(float))
    return {name: figures[name] for name in _COMPARED}


def _weigh(found: Comparison, version: str, gate: Gate) -> tuple[bool, list[str]]:
    """Return whether the candidate is better, and why."""
    better, worse = [], []
    f1 = (
        f"F1 is {found.candidate['f1_score']:.4f} against {found.champion['f1_score']:.4f} of version {version}: a "
        f"difference of {found.f1_difference:+.4f} ({gate.confidence:.0%} interval "
        f"{found.low:+.4f} to {found.high:+.4f})"
    )
    if found.low > 0:
        better.append(f"{f1}.")
    else:
        worse.append(f"{f1}, which does not show that it is higher.")
    fixed, broken = found.fixed_vectors or 0, found.broken_vectors or 0
    changed = (
        f"Of {fixed + broken:,} feature vectors on which the two make different numbers of errors, it makes fewer on "
        f"{fixed:,} and version {version} on {broken:,} (McNemar's exact test: p {found.p_value:.2g}; "
        f"{found.fixed:,} and {found.broken:,} rows)"
    )
    # Direction and p-value from the same vectors: rows would let 50 copies of a few vectors outvote many others.
    if fixed > broken and found.p_value <= 1 - gate.confidence:
        better.append(f"{changed}.")
    else:
        worse.append(f"{changed}, which does not show that it makes fewer errors.")
    for name, what, sign in (("recall_score", "Recall", -1), ("false_positive_rate", "The false positive rate", 1)):
        value, champion_value = found.candidate[name], found.champion[name]
        if sign * (value - champion_value) > gate.margin:
            worse.append(
                f"{what} is {value:.4f} against {champion_value:.4f} of version {version}: worse by more than the "
                f"margin of {gate.margin:g}."
            )
    return not worse, worse + better
