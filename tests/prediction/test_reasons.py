import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURE_DESCRIPTIONS, FEATURES, to_X, to_X_y
from networksecurity.data.validation import validate
from networksecurity.monitoring.profile import reference_profile
from networksecurity.prediction import native, reasons
from networksecurity.prediction.alternatives import FeatureValues, Shares, shares_of
from networksecurity.prediction.native import FastPipeline, prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import CANDIDATES, make_pipeline


@pytest.fixture(scope="module")
def learned():
    """Return accepted rows, every twentieth value missing except in one feature."""
    rows = validate(make_phishing_websites(1200, random_state=0)).accepted
    gaps = np.random.default_rng(0).random((len(rows), len(FEATURES))) < 0.05
    gaps[:, list(FEATURES).index("Redirect")] = False
    return rows.assign(**{name: rows[name].mask(gaps[:, j]) for j, name in enumerate(FEATURES)})


@pytest.fixture(scope="module")
def shares(learned):
    return shares_of(reference_profile(learned, data_sha256=""))


def fitted(rows, name, **options):
    params = {"n_estimators": 8} if "n_estimators" in CANDIDATES[name].param_grid else {}
    return make_pipeline(CANDIDATES[name], params, **options).fit(*to_X_y(rows))


def by_brute_force(model, x, accepted):
    """Return the effects on one row: the mean over all rows behind the model, whose values are tried one by one."""
    before = model.predict_proba(x)[0, 1]
    background = to_X(accepted)
    effects = []
    for name in FEATURES:
        changed = x.iloc[[0] * len(background)].assign(**{name: background[name].to_numpy()})
        effects.append(before - model.predict_proba(changed)[:, 1].mean())
    return effects


@pytest.mark.parametrize(
    ("name", "imputer"), [*((name, "most_frequent") for name in CANDIDATES), ("Gradient Boosting", "knn")]
)
def test_effects_are_those_of_trying_every_row_behind_the_model(learned, name, imputer, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10**9)  # timed for nothing
    model = fitted(learned, name, imputer=imputer)
    few = learned.head(100 if imputer == "most_frequent" else 20)
    explainer = Explainer(prepare(model, probe_rows()), alternatives_of(reference_profile(few, data_sha256="")))
    X = to_X(learned).iloc[[3, 700]]
    found = explainer.effects(X.to_numpy())
    for i in range(len(X)):
        np.testing.assert_allclose(found[i], by_brute_force(model, X.iloc[[i]], few), rtol=0, atol=1e-12)


def test_the_shares_of_a_feature_count_missing_values_and_add_up_to_one(learned, shares):
    assert list(shares) == list(FEATURES)
    for name, of in shares.items():
        assert of.shares.sum() == pytest.approx(1, abs=1e-12)
        expected = learned[name].value_counts(normalize=True, dropna=False)
        assert of.shares[np.isnan(of.values)].sum() == pytest.approx(learned[name].isna().mean())
        for value, share in zip(of.values, of.shares, strict=True):
            assert np.isnan(value) or share == pytest.approx(expected[value])
    assert not np.isnan(shares["Redirect"].values).any()


def linear(weights):
    """Return a model that adds up weighted features, missing ones as 0, and takes any number of them."""

    def score(X):
        return 0.5 + np.nan_to_num(X) @ weights

    return FastPipeline(None, 0.5, 0, "", score, score)


CELLS = st.sampled_from([-1.0, 0.0, 1.0, np.nan])


@given(
    row=arrays(float, 4, elements=CELLS),
    weights=arrays(float, 4, elements=st.floats(-0.1, 0.1)),
    parts=arrays(int, (4, 4), elements=st.integers(1, 9)),
    ignored=st.integers(0, 3),
)
@hypothesis_settings(max_examples=100)
def test_a_linear_model_is_explained_by_its_weights_and_an_ignored_feature_by_nothing(row, weights, parts, ignored):
    weights[ignored] = 0
    values = np.array([-1, 0, 1, np.nan])
    shares = {name: Shares(values, of / of.sum()) for name, of in zip(FEATURES, parts, strict=False)}
    (found,) = Explainer(linear(weights), FeatureValues(shares)).effects(row[None])
    means = np.array([of.shares @ np.nan_to_num(values) for of in shares.values()])
    np.testing.assert_allclose(found, weights * (np.nan_to_num(row) - means), rtol=0, atol=1e-12)
    assert found[ignored] == 0


def test_a_feature_that_a_forest_ignores_has_no_effect(learned, shares):
    constant = learned.assign(SFH=np.int8(1))
    model = prepare(fitted(constant, "Random Forest"), probe_rows())
    found = Explainer(model, FeatureValues(shares)).effects(to_X(learned.head(50)).to_numpy())
    ignored = list(FEATURES).index("SFH")
    assert (found[:, ignored] == 0).all()
    assert (np.delete(found, ignored, axis=1) != 0).any(axis=0).mean() > 0.5


def test_a_value_that_the_profile_never_held_is_compared_with_those_it_holds():
    shares = {"SFH": Shares(np.array([-1.0, 1.0]), np.array([0.25, 0.75]))}
    assert Explainer(linear(np.array([0.2])), FeatureValues(shares)).effects(np.array([[0.0]])) == pytest.approx(-0.1)


def test_many_rows_are_explained_in_parts_as_each_alone(learned, shares, monkeypatch):
    fast = prepare(fitted(learned, "Gradient Boosting"), probe_rows())
    X = to_X(learned.head(30)).to_numpy()
    explainer = Explainer(fast, FeatureValues(shares))
    alone = np.concatenate([explainer.effects(X[[i]]) for i in range(len(X))])
    sizes = []
    scored = FastPipeline.score
    monkeypatch.setattr(FastPipeline, "score", lambda model, X: (sizes.append(len(X)), scored(model, X))[1])
    monkeypatch.setattr(reasons, "_MAX_CHANGED_ROWS", 700)
    np.testing.assert_allclose(explainer.effects(X), alone, rtol=0, atol=1e-12)
    assert len(sizes) > 2
    assert max(sizes) <= 700
    assert explainer.explain(np.empty((0, len(FEATURES)))) == []


def test_the_strongest_reasons_come_first_with_their_description_and_value(learned, shares):
    explainer = Explainer(prepare(fitted(learned, "Random Forest"), probe_rows()), FeatureValues(shares))
    X = to_X(learned.head(40))
    effects = explainer.effects(X.to_numpy())
    for i, found in enumerate(explainer.explain(X.to_numpy(), 4)):
        expected = [j for j in np.argsort(-np.abs(effects[i]))[:4] if abs(effects[i][j]) > 1e-6]
        assert [reason["effect"] for reason in found] == pytest.approx(effects[i][expected].tolist(), abs=1e-6)
        for reason in found:
            assert reason["description"] == FEATURE_DESCRIPTIONS[reason["feature"]]
            value = X.iloc[i][reason["feature"]]
            assert reason["value"] is None if np.isnan(value) else reason["value"] == value
    missing = np.full((1, len(FEATURES)), np.nan)
    assert {reason["value"] for reason in explainer.explain(missing)[0]} == {None}


def test_features_without_an_effect_are_no_reasons():
    shares = {name: Shares(np.array([-1.0, 1.0]), np.array([0.5, 0.5])) for name in ("SFH", "port")}
    found = Explainer(linear(np.array([0.1, 0])), FeatureValues(shares)).explain(np.array([[1.0, 1.0]]))
    assert [[(reason["feature"], reason["effect"]) for reason in of] for of in found] == [[("SFH", 0.1)]]
