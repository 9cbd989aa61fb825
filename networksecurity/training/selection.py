"""Which of the searched models wins: their best points are compared again, on folds that chose nothing.

The highest score of a search is a coin flip among models of the same quality, and favours the model with the most grid
points: a maximum of many noisy scores is too high (Cawley and Talbot, "On over-fitting in model selection and
subsequent selection bias in performance evaluation", 2010). The best point of each model is therefore scored again on
repeated folds, the same for all. The cheapest model within one standard error of the best wins: the one-standard-error
rule of Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984, with the standard error of the
paired difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import t as student_t

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.splitting import assign_folds
from networksecurity.training.candidates import Candidate
from networksecurity.training.search import SearchResult, search

BEHIND = 0.01
"""Level of the test by which a model that is far behind in the search is not compared again."""


class Standing(BaseModel, frozen=True):
    """How the best point of a model did on the repeated folds."""

    model: str
    mean_score: float
    std_score: float
    """Over all folds of all repeats."""
    difference: float
    """Of the mean score to the best model's; 0 for the best, else negative."""
    standard_error: float
    """Of the difference; 0 for the best."""
    verdict: Literal["best", "tied with the best", "behind"]


class Selection(BaseModel, frozen=True):
    """The comparison of the models' best points."""

    scoring: str
    n_repeats: int
    n_splits: int
    standings: tuple[Standing, ...]
    """The winner first, the others by their mean score."""

    def of(self, model: str) -> Standing | None:
        """Return the standing of a model; None if it was not compared: it was far behind in the search, or failed."""
        return next((standing for standing in self.standings if standing.model == model), None)

    def sentence(self) -> str:
        """Return why the winner won."""
        winner = self.standings[0]
        best = next(standing for standing in self.standings if standing.verdict == "best")
        folds = f"mean {self.scoring} over {self.n_repeats} repeats of {self.n_splits} folds"
        if winner is best:
            tied = [standing.model for standing in self.standings[1:] if standing.verdict == "tied with the best"]
            others = f"{' and '.join(tied)}, tied with it, cost more" if tied else "no other model is tied with it"
            return f"{winner.model} has the highest {folds}, {winner.mean_score:.4f}; {others}."
        return (
            f"{winner.model} is the cheapest model that is tied with the best, {best.model}: {folds} "
            f"{winner.mean_score:.4f} against {best.mean_score:.4f}, a difference of {winner.difference:+.4f} with a "
            f"standard error of {winner.standard_error:.4f}."
        )


def repeated_folds(
    train: pd.DataFrame,
    *,
    n_splits: int = 3,
    n_repeats: int = 3,
    random_state: int = 0,
    contract: Contract = WEBSITES,
) -> np.ndarray:
    """Return the folds of `n_repeats` cross-validations, each as by `splitting.assign_folds`.

    None of them are those that `assign_folds` gives for `random_state` itself, on which the search has chosen.

    Returns
    -------
    test_folds : ndarray of shape (n_samples, n_repeats), int8
    """
    seeds = [int(np.random.SeedSequence([random_state, repeat]).generate_state(1)[0]) for repeat in range(n_repeats)]
    how = {"n_splits": n_splits, "contract": contract}
    return np.column_stack([assign_folds(train, random_state=seed, **how) for seed in seeds])


def score_again(
    candidate: Candidate, params: Mapping[str, Any], X: pd.DataFrame, y: np.ndarray, test_folds: np.ndarray, **how: Any
) -> SearchResult:
    """Score one point of a candidate's grid on the folds of `repeated_folds`; `how` is as for `search.search`."""
    point = {name: (value,) for name, value in params.items()}
    return search(replace(candidate, param_grid=point), X, y, test_folds, **how)


def rank(results: Sequence[SearchResult], costs: Mapping[str, int]) -> list[SearchResult]:
    """Return the results, best first: by mean cross-validated score, ties to the cheaper candidate, NaN last."""

    def order(result: SearchResult) -> tuple[bool, float, int]:
        score = result.best.mean_test_score
        return np.isnan(score), -score, costs[result.candidate]

    return sorted(results, key=order)


def contenders(ranked: Sequence[SearchResult]) -> list[SearchResult]:
    """Return the searches whose best points are worth comparing again: all but those far behind the first.

    Far behind is a paired difference on the search's own folds that a corrected t-test (see `compare`) rejects at the
    level `BEHIND`, one-sided. A few folds say little about a variance: it is pooled over the models.

    Parameters
    ----------
    ranked : sequence of SearchResult
        As by `rank`, on the same folds.
    """
    scored = [result for result in ranked if np.isfinite(result.best.mean_test_score)]
    if len(scored) < 2:
        return scored
    lost = np.array([result.best.split_test_scores for result in scored])
    lost = lost[0] - lost[1:]
    n_splits = lost.shape[1]
    standard_error = np.sqrt(lost.var(axis=1, ddof=1).mean() * _share_of_variance(n_splits, n_splits))
    limit = student_t.isf(BEHIND, lost.size - len(lost)) * standard_error
    return [scored[0], *(result for result, mean in zip(scored[1:], lost.mean(axis=1), strict=True) if mean <= limit)]


def compare(repeated: Sequence[SearchResult], costs: Mapping[str, int], n_splits: int) -> Selection | None:
    """Compare models by their scores on the same repeated folds.

    Parameters
    ----------
    repeated : sequence of SearchResult
        As by `score_again`; a model without a finite score is left out.
    costs : mapping of str to int
        The rank of each candidate's cost. Measured seconds would differ from run to run, and the winner with them.
    n_splits : int
        Folds of one repeat.

    Returns
    -------
    selection : Selection or None
        None if no model has a finite score.

    Notes
    -----
    Training sets overlap, so the scores of the folds are not independent, and the usual standard error is too small.
    With J folds in all, the variance of their mean difference is estimated by (1/J + n_test/n_train) times their
    variance: Nadeau and Bengio, "Inference for the generalization error", 2003; here n_test/n_train is
    1/(n_splits - 1).

    A tie is one standard error, not a test at 5 %: a test of nine folds does not reject a loss of 2.3 standard errors,
    which on the UCI data is 0.01 of F1.
    """
    finite = [result for result in repeated if np.isfinite(result.best.mean_test_score)]
    if not finite:
        return None
    leader = rank(finite, costs)[0]
    best = np.array(leader.best.split_test_scores)

    def standing(result: SearchResult) -> Standing:
        difference = np.array(result.best.split_test_scores) - best
        standard_error = float(np.sqrt(difference.var(ddof=1) * _share_of_variance(len(best), n_splits)))
        tied = -difference.mean() <= standard_error
        return Standing(
            model=result.candidate,
            mean_score=result.best.mean_test_score,
            std_score=result.best.std_test_score,
            difference=float(difference.mean()),
            standard_error=standard_error,
            verdict="best" if result is leader else "tied with the best" if tied else "behind",
        )

    standings = [standing(result) for result in rank(finite, costs)]
    winner = min((one for one in standings if one.verdict != "behind"), key=lambda one: costs[one.model])
    return Selection(
        scoring=leader.scoring,
        n_repeats=len(best) // n_splits,
        n_splits=n_splits,
        standings=(winner, *(one for one in standings if one is not winner)),
    )


def order(ranked: Sequence[SearchResult], selection: Selection | None) -> list[SearchResult]:
    """Return the searches in the order of a selection; models that were not compared follow, in their order."""
    places = {standing.model: place for place, standing in enumerate(selection.standings)} if selection else {}
    return sorted(ranked, key=lambda result: places.get(result.candidate, len(places)))


def _share_of_variance(n_folds: int, n_splits: int) -> float:
    return 1 / n_folds + 1 / (n_splits - 1)
