"""The built-in sample: any number of synthetic rows that behave like the real data.

The rows are drawn from a latent class model: within each class of `Result` a mixture of components, in each of which
the features are independent categoricals. `sample_parameters.json` holds its probabilities, fitted on the real data by
`scripts/fit_sample.py`, and no row of the real data.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from numbers import Integral
from typing import Self

import numpy as np
import pandas as pd

from networksecurity.data.schema import FEATURES, TARGET
from networksecurity.exceptions import ConfigurationError

PARAMETERS = "sample_parameters.json"
"""The file of probabilities, beside this module."""

_LABELS = (-1, 1)


@dataclass(frozen=True)
class LatentClassModel:
    """A joint distribution of label and features: per label, a mixture of independent categoricals."""

    phishing_share: float
    """Probability that `Result` is -1, between 0 and 1."""
    weights: dict[int, np.ndarray]
    """Per label, the probability of each of its components given the label, of shape (n_components,)."""
    edges: dict[str, np.ndarray]
    """Per feature, the cumulated probabilities of its values but the last, of shape (n_components of all labels,
    n_values - 1). Components stand label after label, -1 first."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a model as `scripts/fit_sample.py` writes it.

        Probabilities are normalised here, because they are written with three significant digits.

        Parameters
        ----------
        text : str
            A JSON object: under `classes`, per label, `rows`, `weights` and `probabilities` by feature and value.
        """
        classes = json.loads(text)["classes"]
        rows = {label: classes[str(label)]["rows"] for label in _LABELS}
        weights = {label: np.array(classes[str(label)]["weights"]) for label in _LABELS}
        edges = {}
        for name, domain in FEATURES.items():
            tables = [classes[str(label)]["probabilities"][name] for label in _LABELS]
            probabilities = np.hstack([[table[str(value)] for value in domain] for table in tables]).T
            cumulated = probabilities.cumsum(axis=1) / probabilities.sum(axis=1, keepdims=True)
            edges[name] = cumulated[:, :-1].astype(np.float32)
        return cls(
            phishing_share=rows[-1] / sum(rows.values()),
            weights={label: weight / weight.sum() for label, weight in weights.items()},
            edges=edges,
        )

    def draw(self, n_samples: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows.

        The number of phishing rows is its expectation, rounded up or down at random; all else is drawn independently
        row by row.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness, advanced by the call.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, 31)
            The features in the schema's order, then `Result`; int8.
        """
        # Were the labels drawn one by one, every thirtieth sample of 11,055 rows would miss the balance by a point.
        n_phishing = int(n_samples * self.phishing_share + rng.random())
        label = np.ones(n_samples, dtype=np.int8)
        label[:n_phishing] = -1
        rng.shuffle(label)

        component = np.empty(n_samples, dtype=np.intp)
        offset = 0
        for value, weights in self.weights.items():
            members = label == value
            component[members] = offset + rng.choice(len(weights), size=np.count_nonzero(members), p=weights)
            offset += len(weights)

        table = np.empty((n_samples, len(FEATURES) + 1), dtype=np.int8, order="F")
        for column, (name, domain) in enumerate(FEATURES.items()):
            uniform = rng.random(n_samples, dtype=np.float32)
            position = np.zeros(n_samples, dtype=np.int8)
            for edge in self.edges[name].T:
                position += uniform >= edge[component]
            table[:, column] = np.array(domain, dtype=np.int8)[position]
        table[:, -1] = label
        return pd.DataFrame(table, columns=[*FEATURES, TARGET], copy=False)


@cache
def _built_in() -> LatentClassModel:
    return LatentClassModel.from_json(parameters_file().read_text("utf-8"))


def parameters_file() -> Traversable:
    """Return the file of the model's probabilities."""
    return resources.files("networksecurity.data").joinpath(PARAMETERS)


def make_phishing_websites(n_samples: int = 11055, *, random_state: int = 0) -> pd.DataFrame:
    """Make synthetic rows that stand in for UCI "Phishing Websites".

    They have its domains, class balance, correlations and difficulty, but are not observations: a score on them tells
    nothing about real websites. Equal vectors are rarer than in the real data.

    Parameters
    ----------
    n_samples : int, default=11055
        Number of rows, at least 1; the default is the size of the real data.
    random_state : int, default=0
        Seed, at least 0. The same `n_samples` and seed give the same rows; with another `n_samples` the same seed
        gives unrelated rows, so a larger sample does not begin with the smaller one.

    Returns
    -------
    pandas.DataFrame of shape (n_samples, 31)
        The features in the schema's order, then `Result` (-1 phishing, 1 legitimate); int8, nothing missing.

    Raises
    ------
    ConfigurationError
        `n_samples` or `random_state` is not a whole number or is too small.

    Examples
    --------
    >>> rows = make_phishing_websites(1000, random_state=0)
    >>> rows.shape
    (1000, 31)
    >>> rows["Result"].value_counts().to_dict()
    {1: 557, -1: 443}
    """
    for name, value, least in (("n_samples", n_samples, 1), ("random_state", random_state, 0)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name} of the built-in sample must be a whole number >= {least}, not {value!r}")
    return _built_in().draw(int(n_samples), np.random.default_rng(int(random_state)))


def is_synthetic(source: str) -> bool:
    """Return whether a source, as typed or as `shown` and stored, is the built-in sample."""
    return source == "sample" or source.startswith("sample:")
