"""Whether a candidate replaces the champion: both predict the same test rows, and the differences are weighed.

A hash of its feature vector makes a row a test row (`splitting`), so neither model has trained on it, however old the
champion is; if the champion was trained with another split, only the rows that are test rows in both are compared.
`comparison` has the statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel

from networksecurity.champion.comparison import POWER, Comparison, compare
from networksecurity.champion.gate import Gate
from networksecurity.data.contracts import WEBSITES, Contract, option_of
from networksecurity.data.schema import CLASS_LABELS
from networksecurity.data.splitting import is_test
from networksecurity.training.evaluation import evaluate
from networksecurity.training.label_rule import classify

DEFAULT_GATE = Gate()

_SMALL_GAIN = 0.02
"""If gains of F1 up to this are missed too often, more test rows are needed, or others."""


@dataclass(frozen=True)
class Champion:
    """The model in use, as far as it can be loaded."""

    version: str
    model: Any | None
    """None if it cannot be loaded."""
    split: tuple[float, int] | None
    """`test_size` and `random_state` of its training; None if they are not known."""
    problem: str = ""
    """Why it cannot be loaded."""
    synthetic: bool = False
    """Whether it has learned from the built-in sample."""


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
    earlier: Sequence[Comparison] = (),
    random_state: int = 0,
    contract: Contract = WEBSITES,
) -> Decision:
    """Decide whether a candidate replaces the champion.

    The candidate has to pass every floor of the gate. If there is a champion, its F1 must be higher beyond chance (a
    permutation test), it must err on fewer feature vectors than it mends, and neither its recall nor its false positive
    rate may be worse by more than the margin. If the champion cannot be loaded, the floors are enough.

    A model of the built-in sample is not compared with one of other rows: the sample is synthetic, and was made from
    all of the UCI data, including its test rows. It gives way to the other model and never replaces it.

    Parameters
    ----------
    candidate : estimator
        Its answer to a row must depend on that row's features only.
    champion : Champion or None
    test_rows : DataFrame of shape (n_samples, n_columns)
        Test rows of the candidate's split, of both classes.
    train_f1_score : float
        Of the candidate, on its training rows.
    synthetic : bool, default=False
        Whether the candidate has learned from the built-in sample.
    earlier : sequence of Comparison
        Those of all earlier decisions: the more of them have used these rows, the more confidence is required.
    random_state : int, default=0
        Seed of the permutations and of the bootstrap.
    contract : Contract, default=WEBSITES
        What the rows are.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.schema import to_X_y
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
    ('keep', 24, 18)
    """
    X, y = contract.to_X_y(test_rows)
    y_pred = classify(candidate, X)
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
    elif champion.model is None:
        better = True
        replaced = "" if failed else "; the candidate holds the floors and takes its place"
        reasons = [f"Version {champion.version} cannot be loaded: {champion.problem}{replaced}."]
    else:
        usable, problem = _comparable_rows(champion, test_rows, contract)
        if problem:
            better, reasons = False, [f"The champion, version {champion.version}, cannot be compared: {problem}."]
            reasons.append(f"`networksecurity champion promote VERSION{option_of(contract)}` replaces it regardless.")
        else:
            comparison = compare(
                y[usable],
                y_pred[usable],
                classify(champion.model, X[usable]),
                contract.groups(test_rows[usable]),
                confidence=gate.confidence,
                earlier=earlier,
                random_state=random_state,
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


def _comparable_rows(champion: Champion, test_rows: pd.DataFrame, contract: Contract) -> tuple[np.ndarray, str]:
    """Return which test rows the champion has not trained on, and why the two cannot be compared, if they cannot."""
    usable = np.ones(len(test_rows), dtype=bool)
    if tuple(getattr(champion.model, "feature_names_in_", contract.columns)) != contract.columns:
        return usable, "it was trained on other columns"
    if champion.split is None:
        return usable, "it is not known which rows it was trained on"
    test_size, random_state = champion.split
    usable = is_test(test_rows, test_size=test_size, random_state=random_state, contract=contract)
    if len(np.unique(contract.to_y(test_rows)[usable])) < len(CLASS_LABELS):
        return usable, "it was trained with another split, and may have learned from all test rows of a class"
    return usable, ""


def _weigh(found: Comparison, version: str, gate: Gate) -> tuple[bool, list[str]]:
    """Return whether the candidate is better, and why."""
    better, worse = [], []
    level = 1 - gate.confidence if found.level is None else found.level
    f1 = (
        f"F1 is {found.candidate['f1_score']:.4f} against {found.champion['f1_score']:.4f} of version {version}: a "
        f"difference of {found.f1_difference:+.4f} ({100 * (1 - 2 * level):.4g}% interval {found.low:+.4f} to "
        f"{found.high:+.4f}; permutation test: p {found.p_value:.2g}, at most {level:.2g} is needed)"
    )
    if found.p_value <= level:
        better.append(f"{f1}.")
    else:
        worse.append(f"{f1}, which does not show that it is higher.")
    fixed, broken = found.fixed_vectors or 0, found.broken_vectors or 0
    changed = (
        f"Of {fixed + broken:,} feature vectors on which the two make different numbers of errors, it makes fewer on "
        f"{fixed:,} and version {version} on {broken:,} ({found.fixed:,} and {found.broken:,} rows)"
    )
    # By vectors: rows would let 50 copies of a few vectors outvote many others.
    if fixed > broken:
        better.append(f"{changed}.")
    else:
        worse.append(f"{changed}: not more than it loses.")
    for name, what, sign in (("recall_score", "Recall", -1), ("false_positive_rate", "The false positive rate", 1)):
        value, champion_value = found.candidate[name], found.champion[name]
        if sign * (value - champion_value) > gate.margin:
            worse.append(
                f"{what} is {value:.4f} against {champion_value:.4f} of version {version}: worse by more than the "
                f"margin of {gate.margin:g}."
            )
    return not worse, worse + better + _power_sentences(found, worse=bool(worse))


def _power_sentences(found: Comparison, *, worse: bool) -> list[str]:
    """Return what these rows can show, and how often they were asked."""
    sentences = []
    if found.looks and found.looks > 1:
        sentences.append(
            f"Earlier decisions that used these test rows: about {found.looks - 1:.3g}; more confidence is required."
        )
    if found.detectable:
        sentences.append(f"These rows show a gain of {found.detectable:.4f} of F1 with a probability of {POWER:.0%}.")
        if worse and found.detectable > _SMALL_GAIN:
            sentences.append("Smaller gains are missed too often: more test rows are needed, or fresh ones.")
    return sentences
