import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from networksecurity.data.addresses import parse_address, parse_addresses
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.exceptions import ConfigurationError
from networksecurity.training.address_features import AddressFeatures


@pytest.fixture(scope="module")
def sample():
    return make_addresses(6_000, random_state=0)


def test_the_same_seed_makes_the_same_addresses(sample):
    pd.testing.assert_frame_equal(sample, make_addresses(6_000, random_state=0))
    assert not sample.equals(make_addresses(6_000, random_state=1))


def test_every_address_is_normalized_and_under_a_reserved_name(sample):
    parsed = parse_addresses(sample["url"])
    assert parsed.normalized.equals(sample["url"].rename(None))
    for domain in parsed.registrable_domain.unique():
        reserved = domain.endswith((".example", ".test")) or domain.startswith(
            ("192.0.2.", "198.51.100.", "203.0.113.")
        )
        assert reserved, domain
    assert any(parse_address(url).is_ip for url in sample["url"])


def test_both_classes_are_as_frequent_and_domains_have_several_rows(sample):
    assert list(sample) == ["url", "label"]
    assert sample["label"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"phishing": 0.5, "legitimate": 0.5}, abs=0.05
    )
    assert 2 < len(sample) / parse_addresses(sample["url"]).registrable_domain.nunique() < 4


def test_a_model_learns_the_classes_but_not_perfectly(sample):
    train, test = sample[:4_000], sample[4_000:]
    seen = set(parse_addresses(train["url"]).registrable_domain)
    test = test[~parse_addresses(test["url"]).registrable_domain.isin(seen)]
    model = make_pipeline(AddressFeatures(), StandardScaler(), LogisticRegression(max_iter=1000))
    y_score = model.fit(train[["url"]], train["label"]).predict_proba(test[["url"]])[:, 1]
    assert 0.9 < roc_auc_score(test["label"], y_score) < 0.98


@pytest.mark.parametrize("wrong", [{"n_rows": 0}, {"n_rows": 1.5}, {"n_rows": True}, {"random_state": -1}])
def test_a_number_that_is_too_small_or_not_whole_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"must be a whole number >= \d, not"):
        make_addresses(**wrong)
