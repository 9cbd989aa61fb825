"""How good a fitted model is on given rows. The positive class of every figure is phishing (`y = 1`)."""

from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel
from sklearn import metrics
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.utils import resample
from sklearn.utils.validation import check_consistent_length

from networksecurity.data.schema import CLASS_LABELS, FEATURES, MISSING, TARGET, encode_target, to_X_y
from networksecurity.data.splitting import codes_of, vector_codes
from networksecurity.exceptions import DataValidationError
from networksecurity.training.candidates import DECISION_THRESHOLD

_MAX_POINTS = 500
"""Of a curve: about as many as a picture of it is pixels wide."""
_N_BINS = 10
_N_REPEATS = 5
_MAX_IMPORTANCE_ROWS = 10_000


def evaluate(y_true: np.ndarray, y_pred: np.ndarray, y_score: np.ndarray) -> dict[str, float]:
    """Return the figures of a set of predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        1 is phishing.
    y_score : array-like of shape (n_samples,)
        Probability of phishing.

    Returns
    -------
    metrics : dict
        `f1_score`, `precision`, `recall_score`, `accuracy`, `roc_auc`, `average_precision`, `log_loss` (nats),
        `false_positive_rate` (share of legitimate rows called phishing), and the confusion matrix as the counts
        `true_negatives`, `false_positives`, `false_negatives`, `true_positives`.
    """
    check_consistent_length(y_true, y_pred, y_score)
    tn, fp, fn, tp = metrics.confusion_matrix(y_true, y_pred, labels=[0, 1]).ravel()
    return {
        "f1_score": float(metrics.f1_score(y_true, y_pred, zero_division=0.0)),
        "precision": float(metrics.precision_score(y_true, y_pred, zero_division=0.0)),
        "recall_score": float(metrics.recall_score(y_true, y_pred, zero_division=0.0)),
        "accuracy": float(metrics.accuracy_score(y_true, y_pred)),
        "roc_auc": float(metrics.roc_auc_score(y_true, y_score)),
        "average_precision": float(metrics.average_precision_score(y_true, y_score)),
        "log_loss": float(metrics.log_loss(y_true, y_score, labels=[0, 1])),
        "false_positive_rate": float(fp / (fp + tn)),
        "true_negatives": float(tn),
        "false_positives": float(fp),
        "false_negatives": float(fn),
        "true_positives": float(tp),
    }


def evaluate_model(model: Any, rows: pd.DataFrame, *, base_rate: float | None = None) -> dict[str, float]:
    """Return `evaluate`'s figures of a fitted classifier on validated rows.

    Parameters
    ----------
    model : estimator
    rows : DataFrame of shape (n_samples, 31)
    base_rate : float, optional
        Share of phishing in (0, 1) where the model is used: adds `precision_at_base_rate`.
    """
    X, y = to_X_y(rows)
    figures = evaluate(y, model.predict(X), model.predict_proba(X)[:, 1])
    if base_rate is not None:
        figures["precision_at_base_rate"] = precision_at(
            base_rate, figures["recall_score"], figures["false_positive_rate"]
        )
    return figures


def precision_at(base_rate: float, recall: float, false_positive_rate: float) -> float:
    """Return the precision where `base_rate` of all websites are phishing, by Bayes' theorem; 0 where nothing alarms.

    Recall and false positive rate do not depend on how many websites of either class there are; precision does.
    """
    called = base_rate * recall + (1 - base_rate) * false_positive_rate
    return base_rate * recall / called if called else 0.0


class ThresholdChoice(BaseModel, frozen=True):
    """The probability from which it is cheapest to call a website phishing, and what that means.

    Costs are those of the average website, in the unit of `cost_false_negative`.
    """

    threshold: float
    cost_false_negative: float
    cost_false_positive: float
    base_rate: float
    """Share of phishing among all websites."""
    expected_cost: float
    expected_cost_at_default: float
    """With the usual threshold of 0.5."""
    expected_cost_of_never: float
    """With no website called phishing."""
    expected_cost_of_always: float
    """With every website called phishing."""
    recall_score: float
    false_positive_rate: float
    precision: float
    """At the base rate."""


def choose_threshold(
    y_true: np.ndarray,
    y_score: np.ndarray,
    *,
    cost_false_negative: float = 1.0,
    cost_false_positive: float = 1.0,
    base_rate: float | None = None,
) -> ThresholdChoice:
    """Choose the decision threshold with the least expected cost.

    Each threshold between two scores that occur is tried; of equally cheap ones it is the highest, which alarms least.
    To call all websites or none the same takes no model: neither is chosen, but their costs are told.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        1 is phishing; of both classes.
    y_score : ndarray of shape (n_samples,)
        Probability of phishing, of rows that the model had not seen.
    cost_false_negative, cost_false_positive : float
        Of a phishing website that passes, and of a legitimate one that is stopped.
    base_rate : float, optional
        Share of phishing where the model is used, in (0, 1); by default that of `y_true`.

    Notes
    -----
    The expected cost is P C_fn (1 - recall) + (1 - P) C_fp fpr, with the base rate P: Elkan, "The foundations of
    cost-sensitive learning", 2001.
    """
    check_consistent_length(y_true, y_score)
    share = float(np.mean(y_true)) if base_rate is None else base_rate
    scores = np.unique(y_score)[::-1]
    middles = (scores[:-1] + scores[1:]) / 2 if len(scores) > 1 else np.array([DECISION_THRESHOLD])
    phishing, legitimate = np.sort(y_score[y_true == 1]), np.sort(y_score[y_true != 1])

    def shares_called(thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return recall and false positive rate."""
        recall, fpr = (
            1 - np.searchsorted(of_class, thresholds, side="left") / len(of_class)
            for of_class in (phishing, legitimate)
        )
        return recall, fpr

    def cost(recall: Any, fpr: Any) -> Any:
        return share * cost_false_negative * (1 - recall) + (1 - share) * cost_false_positive * fpr

    recalls, fprs = shares_called(middles)
    best = int(np.argmin(cost(recalls, fprs)))
    recall, fpr = float(recalls[best]), float(fprs[best])
    return ThresholdChoice(
        threshold=float(middles[best]),
        cost_false_negative=cost_false_negative,
        cost_false_positive=cost_false_positive,
        base_rate=share,
        expected_cost=float(cost(recall, fpr)),
        expected_cost_at_default=float(cost(*shares_called(np.array([DECISION_THRESHOLD])))[0]),
        expected_cost_of_never=float(cost(0.0, 0.0)),
        expected_cost_of_always=float(cost(1.0, 1.0)),
        recall_score=recall,
        false_positive_rate=fpr,
        precision=precision_at(share, recall, fpr),
    )


class ConfusionMatrix(BaseModel, frozen=True):
    """Rows by their true and their predicted class."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]` rows of class `labels[i]` were called `labels[j]`."""


class RocCurve(BaseModel, frozen=True):
    """The shares of both classes that are called phishing, by threshold, from the highest on."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    """Rows of at least this probability are called phishing; None: no row is (infinity in scikit-learn)."""
    auc: float
    """Of the whole curve, not of the points kept here."""


class PrecisionRecallCurve(BaseModel, frozen=True):
    """Precision and recall by threshold, from the lowest on."""

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    """Rows of at least this probability are called phishing; None: no row is."""
    average_precision: float
    """Of the whole curve, not of the points kept here."""


class CalibrationCurve(BaseModel, frozen=True):
    """Whether, of the rows given a probability of 0.7, seven in ten are phishing.

    The bins are ten equal parts of [0, 1]; empty ones are left out. Bins of equal counts would tell little: a boosted
    model is so sure of itself that all but a few of them crowd into the corners.
    """

    prob_true: tuple[float, ...]
    """Share of phishing among the rows of each bin."""
    prob_pred: tuple[float, ...]
    """Mean predicted probability of phishing in each bin."""
    count: tuple[int, ...]
    """Rows in each bin."""
    brier_score: float
    """Mean squared difference of probability and outcome, in [0, 1]; less is better."""


class FeatureImportance(BaseModel, frozen=True):
    """How much F1 falls when one feature's values are shuffled among the rows."""

    feature: str
    mean: float
    std: float
    """Over the shuffles."""


class ClassFigures(BaseModel, frozen=True):
    """One class taken for the positive one, or an average over both."""

    precision: float
    recall: float
    f1_score: float
    support: int
    """Rows that are truly of the class."""


class Explanation(BaseModel, frozen=True):
    """What a model does on given rows, beyond single figures; in plain values that JSON can hold."""

    confusion_matrix: ConfusionMatrix
    roc_curve: RocCurve
    precision_recall_curve: PrecisionRecallCurve
    calibration_curve: CalibrationCurve
    permutation_importance: tuple[FeatureImportance, ...]
    """All features, the most important first."""
    classification_report: dict[str, ClassFigures]
    """By `legitimate`, `phishing`, `macro avg` and `weighted avg`."""


def explain(model: Any, rows: pd.DataFrame, *, random_state: int = 0) -> Explanation:
    """Return the curves, tables and importances of a fitted classifier.

    Parameters
    ----------
    model : estimator
        Its answer to a row depends on that row's features only.
    rows : DataFrame of shape (n_samples, 31)
        Validated rows.
    random_state : int, default=0
        Seed of the shuffles and, above 10,000 rows, of the sample in which they are done.

    Raises
    ------
    DataValidationError
        The rows are of one class only: most of the figures are not defined.
    """
    _require_both_classes(rows, "rows to explain")
    X, y = to_X_y(rows)
    y_pred, y_score = model.predict(X), model.predict_proba(X)[:, 1]
    names = list(CLASS_LABELS.values())
    report = metrics.classification_report(
        y, y_pred, labels=list(CLASS_LABELS), target_names=names, output_dict=True, zero_division=0.0
    )
    return Explanation(
        confusion_matrix=ConfusionMatrix(
            labels=tuple(names),
            counts=metrics.confusion_matrix(y, y_pred, labels=list(CLASS_LABELS)).tolist(),
        ),
        roc_curve=_roc_curve(y, y_score),
        precision_recall_curve=_precision_recall_curve(y, y_score),
        calibration_curve=_calibration_curve(y, y_score),
        permutation_importance=_permutation_importance(model, X, y, random_state),
        classification_report={
            name: ClassFigures(
                precision=figures["precision"],
                recall=figures["recall"],
                f1_score=figures["f1-score"],
                support=int(figures["support"]),
            )
            for name, figures in report.items()
            if name != "accuracy"  # a number among the tables
        },
    )


def _require_both_classes(rows: pd.DataFrame, what: str) -> None:
    y = encode_target(rows[TARGET])
    absent = [label for value, label in CLASS_LABELS.items() if not (y == value).any()]
    if absent:
        raise DataValidationError(f"the {what} ({len(y)}) have none that is labelled {' or '.join(absent)}")


def _thinned(*curve: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return at most `_MAX_POINTS` evenly chosen points of a curve, its ends among them."""
    n_points = len(curve[0])
    kept = np.linspace(0, n_points - 1, min(n_points, _MAX_POINTS)).round().astype(int)
    return tuple(values[kept] for values in curve)


def _plain(thresholds: np.ndarray) -> tuple[float | None, ...]:
    return tuple(None if np.isinf(threshold) else float(threshold) for threshold in thresholds)


def _roc_curve(y: np.ndarray, y_score: np.ndarray) -> RocCurve:
    fpr, tpr, thresholds = _thinned(*metrics.roc_curve(y, y_score))
    return RocCurve(
        fpr=tuple(fpr), tpr=tuple(tpr), thresholds=_plain(thresholds), auc=metrics.roc_auc_score(y, y_score)
    )


def _precision_recall_curve(y: np.ndarray, y_score: np.ndarray) -> PrecisionRecallCurve:
    precision, recall, thresholds = metrics.precision_recall_curve(y, y_score, drop_intermediate=True)
    # The last point, precision 1 at recall 0, has no threshold in scikit-learn.
    precision, recall, thresholds = _thinned(precision, recall, np.append(thresholds, np.inf))
    return PrecisionRecallCurve(
        precision=tuple(precision),
        recall=tuple(recall),
        thresholds=_plain(thresholds),
        average_precision=metrics.average_precision_score(y, y_score),
    )


def _calibration_curve(y: np.ndarray, y_score: np.ndarray) -> CalibrationCurve:
    prob_true, prob_pred = calibration_curve(y, y_score, n_bins=_N_BINS, strategy="uniform")
    # Counted as calibration_curve counts, with bins closed on the right, which np.histogram's are not.
    bins = np.searchsorted(np.linspace(0, 1, _N_BINS + 1)[1:-1], y_score)
    count = np.bincount(bins)
    return CalibrationCurve(
        prob_true=tuple(prob_true),
        prob_pred=tuple(prob_pred),
        count=tuple(count[count > 0]),
        brier_score=metrics.brier_score_loss(y, y_score),
    )


def _permutation_importance(
    model: Any, X: pd.DataFrame, y: np.ndarray, random_state: int
) -> tuple[FeatureImportance, ...]:
    """Return scikit-learn's permutation importances, with few predictions.

    Shuffling one feature makes rows that differ from given ones in that feature only, and it has few values: all rows
    that can arise are predicted once, and looked up in each of the 150 shuffles.
    """
    if len(y) > _MAX_IMPORTANCE_ROWS:
        # Not by max_samples, which compares the score in the sample with that in all rows.
        X, y = resample(X, y, replace=False, n_samples=_MAX_IMPORTANCE_ROWS, stratify=y, random_state=random_state)
    distinct = X.drop_duplicates()
    rows = [distinct]
    for name in FEATURES:
        rows += [distinct[distinct[name] != value].assign(**{name: value}) for value in X[name].unique()]
    codes, first = np.unique(np.concatenate([vector_codes(of_rows) for of_rows in rows]), return_index=True)
    answers = np.concatenate([model.predict(of_rows) for of_rows in rows if len(of_rows)])[first]

    def f1_score(_: Any, states: np.ndarray, y: np.ndarray) -> float:
        # Of 150 calls scikit-learn's own would take most of the time, with what it asks about its arguments.
        y_pred = answers[np.searchsorted(codes, codes_of(states.T))]
        return 2 * (y & y_pred).sum() / ((y.sum() + y_pred.sum()) or 1)

    states = X.fillna(MISSING).to_numpy("int8")
    found = permutation_importance(
        model, states, y, scoring=f1_score, n_repeats=_N_REPEATS, n_jobs=1, random_state=random_state
    )
    return tuple(
        FeatureImportance(feature=X.columns[i], mean=found.importances_mean[i], std=found.importances_std[i])
        for i in np.argsort(-found.importances_mean, kind="stable")
    )


class LeakageLedger(BaseModel, frozen=True):
    """How much a split that ignores equal rows would flatter a model, and how good any model could be.

    To be read beside the model's F1 on test rows whose feature vectors it has not seen, the honest figure. Both splits
    are single ones: on the 2,263 test rows of the UCI data, the F1 of either moves by about 0.006 (standard deviation
    over ten seeds, Gradient Boosting), and the flattery that it is about is of some 0.01.
    """

    random_split_f1_score: float
    """Of a clone of the model, trained and tested on a plain random split of the same rows: the flattering one."""
    random_split_seen_share: float
    """Share of the random split's test rows whose feature vector is in its training rows, in [0, 1]."""
    unseen_vectors_f1_score: float | None
    """Of the same clone, on its other test rows; None where it is not defined.

    F1 rises with the share of phishing, so that this is comparable with the others only as far as the share is: rare
    vectors of the UCI data are phishing in 58 of 100 rows, the others in 37.
    """
    unseen_vectors_reason: str | None
    """Why it is not defined."""
    n_unseen_rows: int
    """The number of those rows."""
    unseen_phishing_share: float | None
    """Of those rows; None where there are none."""
    ceiling_f1_score: float
    """The best that any function of the features can reach on the model's test rows."""
    ceiling_accuracy: float
    """The same for accuracy. The function is another one where a vector carries both labels."""


def leakage_ledger(model: Any, train: pd.DataFrame, test: pd.DataFrame, *, random_state: int = 0) -> LeakageLedger:
    """Compute what a careless split would have shown of a classifier.

    Parameters
    ----------
    model : estimator
        Fitted or not: clones of it are.
    train, test : DataFrame of shape (n_train, 31) and (n_test, 31)
        The sides of `splitting.split`.
    random_state : int, default=0
        Seed of the random split; its test side has `n_test` rows too.

    Raises
    ------
    DataValidationError
        A side holds one class only, or a feature vector of `test` is also in `train`.
    """
    for side, rows in (("training", train), ("test", test)):
        _require_both_classes(rows, f"{side} rows")
    shared = np.intersect1d(vector_codes(train), vector_codes(test))
    if len(shared):
        raise DataValidationError(f"{len(shared)} feature vectors are in both the training and the test rows")

    rows = pd.concat([train, test], ignore_index=True)
    random_train, random_test = train_test_split(
        rows, test_size=len(test), stratify=encode_target(rows[TARGET]), random_state=random_state
    )
    careless = clone(model).fit(*to_X_y(random_train))
    unseen = random_test[~np.isin(vector_codes(random_test), vector_codes(random_train))]
    reason = None
    if unseen.empty:
        reason = "every feature vector of the test rows is also in the training rows"
    elif unseen[TARGET].nunique() < len(CLASS_LABELS):
        reason = "the test rows whose feature vector is not in the training rows are of one class only"
    ceiling_f1_score, ceiling_accuracy = _ceilings(test)
    return LeakageLedger(
        random_split_f1_score=_f1_score(careless, random_test),
        random_split_seen_share=1 - len(unseen) / len(random_test),
        unseen_vectors_f1_score=None if reason else _f1_score(careless, unseen),
        unseen_vectors_reason=reason,
        n_unseen_rows=len(unseen),
        unseen_phishing_share=None if unseen.empty else float(encode_target(unseen[TARGET]).mean()),
        ceiling_f1_score=ceiling_f1_score,
        ceiling_accuracy=ceiling_accuracy,
    )


def _f1_score(model: Any, rows: pd.DataFrame) -> float:
    X, y = to_X_y(rows)
    return float(metrics.f1_score(y, model.predict(X), zero_division=0.0))


def _ceilings(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the highest F1 and the highest accuracy that a function of the features can have on given rows.

    Accuracy: the majority label of each vector; where both are equally frequent, either gives the same. F1 is highest
    when a vector is called phishing from some share of phishing on, which may be below one half (Lipton, Elkan and
    Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014), so every threshold is tried.
    """
    y = encode_target(rows[TARGET])
    _, of_row = np.unique(vector_codes(rows), return_inverse=True)
    phishing_share = (np.bincount(of_row, weights=y) / np.bincount(of_row))[of_row]
    precision, recall, _ = metrics.precision_recall_curve(y, phishing_share)
    f1_scores = 2 * precision * recall / (precision + recall)
    return float(f1_scores.max()), float(np.maximum(phishing_share, 1 - phishing_share).mean())
