"""What a model says of rows: the probability of phishing, and the label that follows from it."""

from typing import Any

import numpy as np
import pandas as pd

from networksecurity.candidates import decision_threshold
from networksecurity.schema import CLASS_LABELS, to_X
from networksecurity.splitting import vector_codes

SCORE, LABEL = "phishing_probability", "label"
"""The columns of a prediction."""

_LABELS = pd.CategoricalDtype(list(CLASS_LABELS.values()))


def score(model: Any, accepted: pd.DataFrame) -> pd.DataFrame:
    """Return a pipeline's predictions of validated rows, each distinct feature vector asked for once.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        Its answer to a row depends on that row's features only.
    accepted : DataFrame of shape (n_samples, 30) or (n_samples, 31)
        Rows that `schema.Validation` accepted, with or without a target.

    Returns
    -------
    DataFrame of shape (n_samples, 2)
        `phishing_probability`, float64, and `label`, categorical: `phishing` where the pipeline's `predict` says 1,
        else `legitimate`. The index of `accepted`.
    """
    _, first, of_row = np.unique(vector_codes(accepted), return_index=True, return_inverse=True)
    X = to_X(accepted.iloc[first])
    y_score = model.predict_proba(X)[:, 1] if len(X) else np.empty(0)
    threshold = decision_threshold(model)
    y_pred = y_score >= threshold
    # At the threshold itself models differ, and rounding in the last digit decides: only they can tell.
    ties = np.isclose(y_score, threshold, rtol=0, atol=1e-9)
    if ties.any():
        y_pred[ties] = model.predict(X[ties]) == 1
    labels = pd.Categorical.from_codes(y_pred.astype("int8"), dtype=_LABELS)
    return pd.DataFrame({SCORE: y_score[of_row], LABEL: labels[of_row]}, index=accepted.index)
