"""A pipeline that checks its own input, for places in which this package's `validate` does not.

It is made of scikit-learn's own steps: a model then loads wherever scikit-learn is, without code of this package, and
skops trusts it. A transformer of ours would be faster (this one takes 10 ms for a request), but MLflow would have to
carry this package along with the model.
"""

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from networksecurity.data.contracts import WEBSITES, Contract

_STEPS = ("numbers", "domain", "values")


def with_domain_check(model: Pipeline, contract: Contract = WEBSITES) -> Pipeline:
    """Return a fitted pipeline that refuses values outside the columns' domains, and then answers as `model`.

    The same values reach the first step of `model`, in float64: `numbers` converts whole numbers and None, `domain`
    replaces a value by its place in the feature's domain, and `values` maps that back, exactly.

    Parameters
    ----------
    model : Pipeline
        Fitted on a frame of the contract's columns.
    contract : Contract, default=WEBSITES
        One that has `domains`.

    Returns
    -------
    checked : Pipeline
        Its predictions raise ValueError, with the column's number (from 0), for a value outside the domain.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.schema import to_X_y
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> X, y = to_X_y(make_phishing_websites(200, random_state=0))
    >>> checked = with_domain_check(make_pipeline(get_candidate("Decision Tree")).fit(X, y))
    >>> checked.predict(X.assign(SFH=7))
    Traceback (most recent call last):
    ...
    ValueError: Found unknown categories [np.float64(7.0)] in column 15 during transform
    """
    domains = [np.sort(np.asarray(domain, dtype=float)) for domain in contract.domains.values()]
    lowest = np.array([domain[0] for domain in domains])
    step = np.array([domain[1] - domain[0] for domain in domains])
    # A scaler of mean m and deviation s returns (place - m) / s; these two rows have those for lowest + step * place.
    rows = pd.DataFrame([-(lowest + 1) / step, -(lowest - 1) / step], columns=list(contract.domains))
    known = pd.DataFrame([lowest], columns=list(contract.domains))
    fitted = (
        StandardScaler(with_mean=False, with_std=False).set_output(transform="pandas").fit(known),
        OrdinalEncoder(categories=[np.append(domain, np.nan) for domain in domains])
        .set_output(transform="pandas")
        .fit(known),
        StandardScaler().set_output(transform="pandas").fit(rows),
    )
    return Pipeline([*zip(_STEPS, fitted, strict=True), *model.steps])


def without_domain_check(pipeline: Pipeline) -> Pipeline:
    """Return the model behind the check; a pipeline without one is returned as it is.

    This package validates rows before it predicts them, and does not pay for the check twice.
    """
    return pipeline[len(_STEPS) :] if tuple(pipeline.named_steps)[: len(_STEPS)] == _STEPS else pipeline
