"""Calibration: of ten rows with a probability of 0.9, nine are phishing.

A forest is less sure than it should be, AdaBoost much less, a full-grown tree far too sure: Niculescu-Mizil and
Caruana, "Predicting good probabilities with supervised learning", 2005. What corrects them is learned from
probabilities of rows that the model had not seen, out of fold. The model itself is not fitted again and stays one
model: this is scikit-learn's CalibratedClassifierCV in its prefit form.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import FixedThresholdClassifier, PredefinedSplit
from sklearn.pipeline import Pipeline

from networksecurity.training.candidates import DECISION_THRESHOLD
from networksecurity.training.intervals import Interval, losses, mean_interval

Method = Literal["temperature", "sigmoid", "isotonic"]
"""How probabilities are corrected, by the number of parameters: one, which keeps every label at a threshold of 0.5
(Guo and others, "On calibration of modern neural networks", 2017); two (Platt, 1999); many (Zadrozny and Elkan,
2002)."""

_EPS = np.finfo(float).eps
_LOG_EPS = 1e-12
"""What scikit-learn adds to a probability before it takes the logarithm."""
_N_BINS = 10


class CalibrationCurve(BaseModel, frozen=True):
    """Whether seven in ten rows with a probability of 0.7 are phishing.

    The bins are ten equal parts of [0, 1]; empty ones are left out. Bins of equal counts were considered: a boosted
    model is so sure of itself that nearly all of them crowd into the corners.
    """

    prob_true: tuple[float, ...]
    """Share of phishing among the rows of each bin."""
    prob_pred: tuple[float, ...]
    """Mean predicted probability of phishing in each bin."""
    count: tuple[int, ...]
    """Rows in each bin."""
    brier_score: float
    """Mean squared difference of probability and outcome, in [0, 1]; less is better."""

    @classmethod
    def of(cls, y: np.ndarray, y_score: np.ndarray) -> Self:
        """Return the curve of probabilities.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            1 is phishing.
        y_score : ndarray of shape (n_samples,)
            Probability of phishing.

        Examples
        --------
        >>> curve = CalibrationCurve.of(np.array([0, 1, 1, 1]), np.array([0.04, 0.06, 0.9, 0.98]))
        >>> curve.prob_true, curve.count
        ((0.5, 1.0, 1.0), (2, 1, 1))
        """
        prob_true, prob_pred = calibration_curve(y, y_score, n_bins=_N_BINS, strategy="uniform")
        # Counted as calibration_curve counts, with bins closed on the right, which np.histogram's are not.
        count = np.bincount(np.searchsorted(np.linspace(0, 1, _N_BINS + 1)[1:-1], y_score))
        return cls(
            prob_true=tuple(prob_true.tolist()),
            prob_pred=tuple(prob_pred.tolist()),
            count=tuple(count[count > 0].tolist()),
            brier_score=brier_score_loss(y, y_score),
        )


class Calibrated(BaseModel, frozen=True):
    """What a method would make of a model's probabilities, on rows from which it has not learned."""

    method: Method
    brier_score: float
    log_loss: float
    brier_difference: float
    """To the model's own probabilities; less is better."""
    brier_interval: Interval
    """95 %, of the difference, by group."""
    log_loss_difference: float
    log_loss_interval: Interval
    curve: CalibrationCurve | None = None
    """None in records of older versions."""


class CalibrationChoice(BaseModel, frozen=True):
    """Whether a model is calibrated, and by which method."""

    method: Method | None
    """None if its probabilities are left alone."""
    brier_score: float
    """Of the model's own probabilities, out of fold."""
    log_loss: float
    """In nats."""
    compared: tuple[Calibrated, ...]
    curve: CalibrationCurve | None = None
    """Of the model's own probabilities, out of fold; None in records of older versions."""

    @property
    def chosen(self) -> Calibrated | None:
        """The method by which the model is calibrated."""
        return next((of for of in self.compared if of.method == self.method), None)

    def sentence(self) -> str:
        """Return what was chosen, and why."""
        if (of := self.chosen) is None:
            return (
                f"Probabilities are the model's own, with a Brier score of {self.brier_score:.4f} and a log loss of "
                f"{self.log_loss:.4f} (out of fold), which no calibration is shown to better."
            )
        low, high = of.brier_interval
        return (
            f"Probabilities are calibrated ({of.method}): Brier score {self.brier_score:.4f} before and "
            f"{of.brier_score:.4f} after, a difference of {of.brier_difference:+.4f} (95 % interval {low:+.4f} to "
            f"{high:+.4f}); log loss {self.log_loss:.4f} and {of.log_loss:.4f} (out of fold)."
        )


def choose_calibration(
    y: np.ndarray, y_score: np.ndarray, test_fold: np.ndarray, groups: np.ndarray
) -> CalibrationChoice:
    """Compare the methods on out-of-fold probabilities, each learned on the other folds.

    A method is considered if the whole 95 % interval of its difference in Brier score lies below 0, and its log loss is
    not higher. Of those, the simplest that is within one standard error of the best wins.

    Parameters
    ----------
    y, y_score, test_fold, groups
        As for `labelling.choose_labelling`.

    Notes
    -----
    The Brier score decides because one row can cost at most 1: the log loss of isotonic regression, which says 0 and 1,
    depends on a handful of rows.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> probability = generator.beta(0.5, 0.5, 3_000)
    >>> y, fold = generator.random(3_000) < probability, np.arange(3_000) % 3
    >>> choose_calibration(y, probability, fold, np.arange(3_000)).method is None
    True
    >>> too_timid = 0.25 + probability / 2
    >>> choose_calibration(y, too_timid, fold, np.arange(3_000)).method
    'temperature'
    """
    y = np.asarray(y, dtype=int)
    own = losses(y, y_score)
    after: dict[Method, np.ndarray] = {}
    compared: list[Calibrated] = []
    for method in get_args(Method):
        corrected = np.empty(len(y))
        for learned, held_out in PredefinedSplit(test_fold).split():
            correct = corrector(_fit(_Probabilities(), y[learned], y_score[learned], method))
            corrected[held_out] = correct(y_score[held_out])
        after[method] = losses(y, corrected)
        compared.append(_compare(method, own, after[method], groups, CalibrationCurve.of(y, corrected)))
    return CalibrationChoice(
        method=_best(compared, after, groups),
        brier_score=float(own[:, 0].mean()),
        log_loss=float(own[:, 1].mean()),
        compared=tuple(compared),
        curve=CalibrationCurve.of(y, y_score),
    )


def _compare(
    method: Method, own: np.ndarray, found: np.ndarray, groups: np.ndarray, curve: CalibrationCurve
) -> Calibrated:
    (brier, of_brier), (log_loss, of_log_loss) = (mean_interval(found[:, i] - own[:, i], groups) for i in (0, 1))
    brier_score, nats = found.mean(axis=0)
    return Calibrated(
        method=method,
        brier_score=brier_score,
        log_loss=nats,
        brier_difference=brier,
        brier_interval=of_brier,
        log_loss_difference=log_loss,
        log_loss_interval=of_log_loss,
        curve=curve,
    )


def _best(compared: Sequence[Calibrated], after: dict[Method, np.ndarray], groups: np.ndarray) -> Method | None:
    better = [of for of in compared if of.brier_interval[1] < 0 and of.log_loss_difference <= 0]
    if not better:
        return None
    best = min(better, key=lambda of: of.brier_score)
    for of in better:  # the simplest first
        difference, (low, _) = mean_interval(after[of.method][:, 0] - after[best.method][:, 0], groups, n_errors=1)
        if low <= 0 or difference == 0:
            return of.method
    return best.method


class _Probabilities(ClassifierMixin, BaseEstimator):
    """A classifier that answers with what it is given: the probability of phishing, in one column."""

    classes_ = np.array([0, 1])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Learn nothing."""
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the likelier class."""
        return (X[:, 0] > DECISION_THRESHOLD).astype(int)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return both probabilities."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])


class _Margins(_Probabilities):
    """The same for what scikit-learn prefers where a classifier has it: the log-odds."""

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Return the log-odds of the probabilities."""
        return logit(np.clip(X[:, 0], _EPS, 1 - _EPS))


def calibrate(classifier: Any, y: np.ndarray, y_score: np.ndarray, method: Method) -> CalibratedClassifierCV:
    """Return a fitted classifier with probabilities corrected as out-of-fold ones were.

    Parameters
    ----------
    classifier : estimator
        Fitted. If it has a `decision_function`, that is the log-odds of its probability.
    y : ndarray of shape (n_samples,)
        1 is phishing.
    y_score : ndarray of shape (n_samples,)
        Out-of-fold probabilities of the same model.
    method : {"temperature", "sigmoid", "isotonic"}

    Returns
    -------
    calibrated : CalibratedClassifierCV
    """
    given = _Margins() if hasattr(classifier, "decision_function") else _Probabilities()
    calibrated = _fit(given, y, y_score, method)
    calibrated.estimator = clone(classifier)
    calibrated.calibrated_classifiers_[0].estimator = classifier
    for attribute in ("n_features_in_", "feature_names_in_"):
        if hasattr(classifier, attribute):
            setattr(calibrated, attribute, getattr(classifier, attribute))
    return calibrated


def _fit(given: _Probabilities, y: np.ndarray, y_score: np.ndarray, method: Method) -> CalibratedClassifierCV:
    """Return a calibrated stand-in for the classifier that has given `y_score`."""
    return CalibratedClassifierCV(FrozenEstimator(given), method=method, cv=2).fit(
        np.asarray(y_score)[:, np.newaxis], np.asarray(y, dtype=int)
    )


def corrector(calibrated: CalibratedClassifierCV) -> Callable[[np.ndarray], np.ndarray]:
    """Return what corrects the answers of a calibrated classifier's own classifier, to the last digit as it does.

    It takes margins where that classifier has a `decision_function`, else probabilities, of shape (n_samples,).
    """
    (pair,) = calibrated.calibrated_classifiers_
    (calibrator,) = pair.calibrators

    def correct(answers: np.ndarray) -> np.ndarray:
        if pair.method != "temperature":
            y_score = calibrator.predict(answers)
        elif hasattr(pair.estimator, "decision_function"):
            y_score = calibrator.predict(answers.reshape(-1, 1))[:, 1]
        else:
            y_score = calibrator.predict(np.column_stack([1 - answers, answers]))[:, 1]
        return np.minimum(y_score, 1)

    return correct


def calibrated_in(pipeline: Pipeline) -> CalibratedClassifierCV | None:
    """Return the calibrated classifier of a pipeline; None if its probabilities are the model's own."""
    last = pipeline[-1]
    if isinstance(last, FixedThresholdClassifier):
        last = last.estimator_
    return last if isinstance(last, CalibratedClassifierCV) else None


def method_of(pipeline: Pipeline) -> Method | None:
    """Return how the probabilities of a pipeline were calibrated; None if they are the model's own."""
    calibrated = calibrated_in(pipeline)
    return None if calibrated is None else calibrated.method


def correct_own(y: np.ndarray, y_score: np.ndarray, method: Method) -> np.ndarray:
    """Return out-of-fold probabilities, corrected as those of a model will be that `calibrate` makes of them."""
    return corrector(_fit(_Probabilities(), y, y_score, method))(np.asarray(y_score))


def quick_corrector(calibrated: CalibratedClassifierCV) -> Callable[[np.ndarray], np.ndarray]:
    """Return what corrects as `corrector` does, up to rounding, without the checks, which take 0.1 ms a request."""
    (pair,) = calibrated.calibrated_classifiers_
    if pair.method != "temperature":
        return corrector(calibrated)
    beta = pair.calibrators[0].beta_
    if hasattr(pair.estimator, "decision_function"):
        return lambda margins: expit(2 * beta * margins)
    return lambda y_score: expit(beta * (np.log(y_score + _LOG_EPS) - np.log(1 - y_score + _LOG_EPS)))
