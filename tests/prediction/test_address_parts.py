import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from networksecurity.data.addresses import parse_address, parse_addresses
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import Addresses
from networksecurity.exceptions import AddressError
from networksecurity.monitoring.profile import ReferenceProfile, reference_profile
from networksecurity.prediction import native
from networksecurity.prediction.address_parts import PARTS, AddressParts, put_together, take_apart
from networksecurity.prediction.native import FastPipeline, prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import ADDRESS_CANDIDATES, make_pipeline

ADDRESSES = Addresses()
ODD = [
    "http://bank.example@203.0.113.7:81/a?b#c",
    "https://[2001:db8::1]/",
    "http://com/",
    "https://a.b.c.example.test/x%40y?z=1",
]


@pytest.fixture(scope="module")
def accepted():
    return ADDRESSES.validate(make_addresses(600, random_state=1)).accepted


@pytest.fixture(scope="module")
def profile(accepted):
    return reference_profile(accepted, data_sha256="", contract=ADDRESSES)


def fitted(accepted, name):
    params = {"n_estimators": 8} if "n_estimators" in ADDRESS_CANDIDATES[name].param_grid else {}
    return make_pipeline(ADDRESS_CANDIDATES[name], params).fit(*ADDRESSES.to_X_y(accepted))


def by_brute_force(model, url, examples):
    """Return the effects on one address: the mean over all examples, whose parts are tried one by one."""

    def score(texts):
        read = parse_addresses(pd.Series(texts, dtype=object)).normalized.fillna(url)
        return model.predict_proba(pd.DataFrame({"url": read}))[:, 1]

    parts = take_apart(parse_address(url))
    others = [take_apart(parse_address(example)) for example in examples]
    (before,) = score([url])
    return [before - score([put_together({**parts, name: of[name]}) for of in others]).mean() for name in PARTS]


@pytest.mark.parametrize("name", ["Decision Tree", "Random Forest", "Logistic Regression", "Character N-grams"])
def test_effects_are_those_of_trying_the_parts_of_every_example(accepted, profile, name, monkeypatch):
    monkeypatch.setattr(native, "_crossover", lambda *_: 10**9)  # timed for nothing
    model = fitted(accepted, name)
    urls = [*accepted["url"].iloc[[3, 400]], *ODD]
    X = np.array(urls, dtype=object).reshape(-1, 1)
    found = Explainer(prepare(model, probe_rows(ADDRESSES)), alternatives_of(profile)).effects(X)
    assert found.shape == (len(urls), len(PARTS))
    for effects, url in zip(found, urls, strict=True):
        np.testing.assert_allclose(effects, by_brute_force(model, url, profile.examples), rtol=0, atol=1e-9)


def test_reasons_name_the_part_and_what_stands_there(profile):
    def score(X):
        return np.array([0.9 if "login" in text else 0.1 for text in X[:, 0]])

    explainer = Explainer(FastPipeline(None, 0.5, 0, "", score, score), alternatives_of(profile))
    addresses = ["https://a.example.test/login", "http://login.example.test/", "http://a.example.test/"]
    found = explainer.explain(np.array(addresses, dtype=object).reshape(-1, 1))
    assert [reason["feature"] for reason in found[0]] == ["path"]
    assert (found[0][0]["description"], found[0][0]["value"]) == ("path", "/login")
    assert 0 < found[0][0]["effect"] <= 0.8
    assert found[1][0]["feature"] == "domain" if found[1][0]["value"] == "example.test" else "subdomains"
    assert all(reason["effect"] <= 0 for reason in found[2])  # nothing in it speaks for phishing


def test_a_part_that_an_address_lacks_has_no_value(profile):
    parts = AddressParts(profile.examples)
    x = np.array(["http://example.test/"], dtype=object)
    values = {name: parts.describe(x, feature)[1] for feature, name in enumerate(PARTS)}
    assert values == dict.fromkeys(PARTS) | {"scheme": "http", "domain": "example.test", "path": "/"}


@pytest.mark.parametrize("url", [*ODD, *make_addresses(50)["url"]])
def test_an_address_is_the_sum_of_its_parts(url):
    address = parse_address(url)
    assert put_together(take_apart(address)) == address.normalized


@given(st.text())
def test_any_address_can_be_explained(text):
    try:
        url = parse_address(text).normalized
    except AddressError:
        return
    parts = AddressParts([*ODD, "https://www.example.test/a/b"])
    changed = parts.change(np.array([[url]], dtype=object))
    assert len(changed.X) <= parts.most
    assert parse_addresses(pd.Series(changed.X[:, 0], dtype=object)).reason.isna().all()


def test_a_combination_that_is_no_address_counts_as_no_change():
    long = ".".join(["a" * 60] * 3 + ["a" * 20])
    parts = AddressParts([f"http://{long}.example.test/"])
    changed = parts.change(np.array([[f"http://b.{'d' * 63}.test/"]], dtype=object))
    assert [PARTS[parts.names[feature]] for feature in changed.feature] == ["registrable domain"]


def test_examples_are_of_distinct_domains_and_hold_no_mail_address(accepted):
    more = ["http://victims.test/?to=jane@bank.example", "http://victims.test/?to=jane%40bank.example"]
    rows = ADDRESSES.validate(pd.DataFrame({"url": more, "label": ["bad", "good"]})).accepted
    found = ADDRESSES.examples(pd.concat([accepted, rows], ignore_index=True))
    domains = [parse_address(url).registrable_domain for url in found]
    assert len(found) == len(set(domains)) == 32
    assert "victims.test" not in domains
    assert found == ADDRESSES.examples(accepted.sample(frac=1, random_state=0))


def test_a_profile_of_addresses_survives_json(profile):
    assert ReferenceProfile.model_validate_json(profile.model_dump_json()) == profile
