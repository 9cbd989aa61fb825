"""The built-in sample is legal, repeatable and a fair stand-in for the real data."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from networksecurity.data.sample import LatentClassModel, make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET
from networksecurity.exceptions import ConfigurationError

PROJECT_FOLDER = Path(__file__).parents[2]
PARAMETERS = json.loads((PROJECT_FOLDER / "networksecurity/data/sample_parameters.json").read_text("utf-8"))
CLASSES = PARAMETERS["classes"]
REAL_F1 = PARAMETERS["real_data"]["f1_score"]
REAL_PHISHING_SHARE = 4898 / 11055


@pytest.fixture(scope="module")
def fit_sample():
    """Return what `scripts/fit_sample.py` defines."""
    return runpy.run_path(str(PROJECT_FOLDER / "scripts/fit_sample.py"))


@pytest.fixture(scope="module")
def sample():
    return make_phishing_websites()


def turned_signs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    matrix = frame.corr()
    return [
        (one, other)
        for one, others in PARAMETERS["real_data"]["correlations"].items()
        for other, correlation in others.items()
        if not matrix.loc[one, other] * correlation > 0
    ]


def test_default_sample_is_a_complete_data_set(sample):
    assert sample.shape == (11055, 31)
    assert list(sample.columns) == [*FEATURES, TARGET]
    assert (sample.dtypes == np.dtype("int8")).all()
    assert {name: set(sample[name]) for name in FEATURES} == {name: set(domain) for name, domain in FEATURES.items()}
    assert set(sample[TARGET]) == {-1, 1}


@settings(max_examples=30)
@given(n_samples=st.integers(1, 3000), random_state=st.integers(0, 2**64))
def test_any_size_and_seed_give_legal_rows_in_balance(n_samples, random_state):
    frame = make_phishing_websites(n_samples, random_state=random_state)
    assert len(frame) == n_samples
    assert all(frame[name].isin(domain).all() for name, domain in FEATURES.items())
    # By less than one row, which is less than a point from 100 rows on.
    assert abs((frame[TARGET] == -1).sum() - n_samples * REAL_PHISHING_SHARE) < 1


def test_single_rows_are_phishing_as_often_as_the_data_says():
    phishing = [make_phishing_websites(1, random_state=seed)[TARGET].item() == -1 for seed in range(500)]
    assert np.mean(phishing) == pytest.approx(REAL_PHISHING_SHARE, abs=0.08)


def test_rows_depend_on_size_and_seed_alone(sample):
    np.random.seed(1)  # noqa: NPY002 - the global state is what must not matter
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    pd.testing.assert_frame_equal(make_phishing_websites(11055, random_state=0), sample)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert not make_phishing_websites(random_state=1).equals(sample)


def test_labels_stand_in_no_order(sample):
    shares = [(part == -1).mean() for part in np.array_split(sample[TARGET].to_numpy(), 10)]
    assert shares == pytest.approx([REAL_PHISHING_SHARE] * 10, abs=0.08)


@pytest.mark.parametrize("n_samples", [0, -5, 1.5, 100.0, "100", None, True])
def test_impossible_size_is_refused(n_samples):
    with pytest.raises(ConfigurationError, match=r"n_samples of the built-in sample must be a whole number >= 1, not"):
        make_phishing_websites(n_samples)


@pytest.mark.parametrize("random_state", [-1, 0.5, None, "0"])
def test_impossible_seed_is_refused(random_state):
    with pytest.raises(ConfigurationError, match=r"random_state .* must be a whole number >= 0, not"):
        make_phishing_websites(10, random_state=random_state)


def test_numpy_integers_are_whole_numbers():
    expected = make_phishing_websites(10, random_state=3)
    pd.testing.assert_frame_equal(make_phishing_websites(np.int64(10), random_state=np.uint8(3)), expected)


@pytest.mark.parametrize("random_state", range(5))
def test_notable_correlations_keep_their_sign(random_state):
    assert turned_signs(make_phishing_websites(random_state=random_state)) == []


def test_correlation_check_sees_inverted_labels(sample):
    turned = turned_signs(sample.assign(**{TARGET: -sample[TARGET]}))
    assert len(turned) == sum(TARGET in others for others in PARAMETERS["real_data"]["correlations"].values()) > 10


@pytest.mark.parametrize("label", CLASSES)
def test_parameters_are_probabilities(label):
    part = CLASSES[label]
    assert sum(part["weights"]) == pytest.approx(1, abs=0.005)
    for name, domain in FEATURES.items():
        assert list(part["probabilities"][name]) == [str(value) for value in domain]
        by_value = np.array(list(part["probabilities"][name].values()))
        assert by_value.shape == (len(domain), len(part["weights"]))
        assert (by_value > 0).all()
        assert by_value.sum(axis=0) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("label", CLASSES)
def test_no_component_memorises_a_row(label):
    part = CLASSES[label]
    assert min(part["weights"]) * part["rows"] >= 5
    likeliest_vector = np.prod([np.max(list(p.values()), axis=0) for p in part["probabilities"].values()], axis=0)
    assert likeliest_vector.max() < 0.5


def test_draw_follows_its_parameters():
    """Two components that can be told apart by eye, written with rounded figures."""

    def part(rows, first, second):
        share = {name: {str(v): [1.0, 1.0] for v in domain} for name, domain in FEATURES.items()}
        share["SSLfinal_State"] = {"-1": [first, 0.0], "0": [0.0, 0.0], "1": [0.0, second]}
        return {"rows": rows, "weights": [0.333, 0.999], "probabilities": share}

    model = LatentClassModel.from_json(json.dumps({"classes": {"-1": part(1, 0.9, 0.7), "1": part(3, 0.5, 0.2)}}))
    frame = model.draw(40_000, np.random.default_rng(0))
    assert (frame[TARGET] == -1).sum() == 10_000
    for _, rows in frame.groupby(TARGET):
        assert rows["SSLfinal_State"].value_counts(normalize=True).to_dict() == pytest.approx(
            {-1: 0.25, 1: 0.75}, abs=0.02
        )
        assert rows["URL_Length"].value_counts(normalize=True).to_list() == pytest.approx([1 / 3] * 3, abs=0.02)
        assert abs(rows[["SSLfinal_State", "URL_Length"]].corr().iloc[0, 1]) < 0.03


def test_five_models_find_the_sample_as_hard_as_the_real_data(fit_sample, sample):
    f1 = fit_sample["grouped_f1"](sample, fit_sample["models"]())
    assert f1 == pytest.approx(REAL_F1, abs=0.03)
    for better in REAL_F1:
        for worse in REAL_F1:
            if REAL_F1[better] - REAL_F1[worse] > 0.01:
                assert f1[better] > f1[worse], f"{better} beats {worse} on the real data and not on the sample"


def test_one_component_is_the_smoothed_table_of_frequencies(fit_sample, sample):
    phishing = sample[sample[TARGET] == -1]
    part = fit_sample["fit_class"](phishing, 1, 1, np.random.default_rng(0))
    assert part["rows"] == len(phishing)
    assert part["weights"] == [1.0]
    for name, domain in FEATURES.items():
        frequencies = [(phishing[name] == value).mean() for value in domain]
        assert np.ravel(list(part["probabilities"][name].values())) == pytest.approx(frequencies, abs=0.001)


def test_more_components_explain_more(fit_sample, sample):
    def log_likelihood(n_components):
        legitimate = sample[sample[TARGET] == 1].head(1_500)
        return fit_sample["fit_class"](legitimate, n_components, 2, np.random.default_rng(0))["log_likelihood"]

    assert log_likelihood(1) + 1 < log_likelihood(4) < log_likelihood(16)


def test_the_fit_writes_the_file_that_the_package_reads(fit_sample):
    assert json.loads(fit_sample["OUTPUT"].read_text("utf-8")) == PARAMETERS


def test_fit_refuses_other_data(fit_sample, sample, tmp_path):
    path = tmp_path / "other.csv"
    sample.drop(columns="SSLfinal_State").to_csv(path, index=False)
    with pytest.raises(SystemExit, match="has no column SSLfinal_State"):
        fit_sample["main"]([str(path)])
    sample.assign(Redirect=-1).to_csv(path, index=False)
    with pytest.raises(SystemExit, match="outside the domain in Redirect"):
        fit_sample["main"]([str(path)])


def test_committed_statistics_are_those_of_the_real_data(fit_sample, real_data):
    real = fit_sample["read"](real_data)
    assert {label: part["rows"] for label, part in CLASSES.items()} == {
        str(label): rows for label, rows in real[TARGET].value_counts().items()
    }
    assert fit_sample["notable_correlations"](real) == PARAMETERS["real_data"]["correlations"]
    quick = {name: fit_sample["models"]()[name] for name in ("Decision Tree", "Logistic Regression")}
    assert fit_sample["grouped_f1"](real, quick) == pytest.approx({name: REAL_F1[name] for name in quick}, abs=0.005)


def test_sample_is_no_copy_of_the_real_data(fit_sample, sample, real_data):
    real, features = fit_sample["read"](real_data), list(FEATURES)
    known = len(sample.merge(real[features].drop_duplicates(), on=features))
    assert known < 0.35 * len(sample)
