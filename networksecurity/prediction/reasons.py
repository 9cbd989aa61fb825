"""Why a model gives a row its probability: for each feature, what another value of it would change.

The effect of a feature is the difference that its value makes, everything else left as it is, against a value drawn
from the rows behind the model. The features of an address are its parts (`address_parts`), for every kind of
model. `docs/serving.md` says what that means and what it does not.
"""

import numpy as np

from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.champion.stored_model import Parts
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.exceptions import TrackingError
from networksecurity.monitoring.profile import ReferenceProfile
from networksecurity.prediction.address_parts import AddressParts
from networksecurity.prediction.alternatives import FeatureValues, shares_of
from networksecurity.prediction.native import FastPipeline, prepare

N_REASONS = 5
"""Most reasons given for a prediction: the strongest."""
_DIGITS = 6
"""Decimal places of an effect that is given to people."""
_MAX_CHANGED_ROWS = 10_000
"""Changed rows scored at once: what bounds the memory."""


def explainer_of(registry: Registry, version: RegisteredVersion, parts: Parts) -> "Explainer":
    """Return what explains the predictions of a version that was loaded.

    Raises
    ------
    TrackingError
        There is no profile.
    """
    if parts.profile is None:
        raise TrackingError(
            f"version {version.version} of {version.name} has no reasons to give, because no profile of its rows was "
            "stored with it: ask without --explain, or train again"
        )
    return Explainer(
        prepare(parts.model, registry.load_probe(version)), alternatives_of(parts.profile, version.contract)
    )


def alternatives_of(profile: ReferenceProfile, contract: Contract = WEBSITES) -> AddressParts | FeatureValues:
    """Return what else a row could have held, as the profile of the rows behind a model has it."""
    if profile.examples:
        return AddressParts(profile.examples)
    return FeatureValues(shares_of(profile, contract), contract)


class Explainer:
    """Gives the reasons for a model's predictions.

    Parameters
    ----------
    alternatives : AddressParts or FeatureValues
        What else a row could have held; see `alternatives_of`.

    Notes
    -----
    The method is the prediction difference of Robnik-Šikonja and Kononenko, "Explaining classifications for individual
    instances", IEEE TKDE 20, 2008, in probabilities. SHAP values were considered: `shap` is fast
    and exact for most trees and for linear models, not for AdaBoost or a whole pipeline; probabilities, not log-odds,
    need background rows, which no version stores; and it needs numba, and has no one release for all Pythons that this
    package supports.

    Examples
    --------
    >>> from networksecurity.data.sample import make_phishing_websites
    >>> from networksecurity.data.schema import to_X_y
    >>> from networksecurity.data.validation import validate
    >>> from networksecurity.monitoring.profile import reference_profile
    >>> from networksecurity.prediction.native import prepare
    >>> from networksecurity.training.candidates import get_candidate, make_pipeline
    >>> rows = validate(make_phishing_websites(500, random_state=0)).accepted
    >>> X, y = to_X_y(rows)
    >>> model = prepare(make_pipeline(get_candidate("Decision Tree"), {"max_depth": 2}).fit(X, y), X)
    >>> explainer = Explainer(model, alternatives_of(reference_profile(rows, data_sha256="")))
    >>> for reason in explainer.explain(X.to_numpy()[:1])[0]:
    ...     print(f"{reason['feature']} {reason['value']}: {reason['effect']:+.3f}")
    URL_of_Anchor 1: -0.223
    SSLfinal_State 1: +0.035
    """

    def __init__(self, model: FastPipeline, alternatives: AddressParts | FeatureValues) -> None:
        self._model = model
        self._alternatives = alternatives

    def effects(self, X: np.ndarray) -> np.ndarray:
        """Return by how much each value raises the probability of phishing.

        The effect of feature j on row x is `p(x) - Σ_v share(v) · p(x with x_j = v)`, over all values v that the
        feature takes, a missing one included. It is 0 for a feature that the model ignores.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_columns)
            What the model is given: float64, NaN where a value is missing; where it is given text, object.

        Returns
        -------
        effects : ndarray of shape (n_samples, n_features), float64
            In [-1, 1]: positive where the value speaks for phishing, negative where it speaks for legitimate.
        """
        at_once = max(1, _MAX_CHANGED_ROWS // self._alternatives.most)
        parts = [self._effects(X[start : start + at_once]) for start in range(0, len(X), at_once)]
        return np.concatenate(parts) if parts else np.empty((0, len(self._alternatives.names)))

    def _effects(self, X: np.ndarray) -> np.ndarray:
        changed = self._alternatives.change(X)
        y_score = self._model.score(np.concatenate([X, changed.X]))
        differences = changed.share * (y_score[changed.row] - y_score[len(X) :])
        effects = np.zeros((len(X), len(self._alternatives.names)))
        np.add.at(effects, (changed.row, changed.feature), differences)
        return effects

    def explain(self, X: np.ndarray, n_reasons: int = N_REASONS) -> list[list[dict[str, object]]]:
        """Return the strongest reasons for the prediction of each row, the strongest first.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_columns)
            What the model is given: float64, NaN where a value is missing; where it is given text, object.
        n_reasons : int, default=5
            Most reasons of a row; features without an effect are left out.

        Returns
        -------
        reasons : list of length n_samples
            Each reason has `feature`, its plain `description`, the row's `value` (None if missing) and the `effect`,
            as in `effects`, to six decimal places.
        """
        effects = self.effects(X).round(_DIGITS)
        strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :n_reasons]
        return [
            [self._reason(x, j, of[j]) for j in order if of[j]]
            for x, of, order in zip(X, effects.tolist(), strongest.tolist(), strict=True)
        ]

    def _reason(self, x: np.ndarray, feature: int, effect: float) -> dict[str, object]:
        description, value = self._alternatives.describe(x, feature)
        name = self._alternatives.names[feature]
        return {"feature": name, "description": description, "value": value, "effect": effect}
