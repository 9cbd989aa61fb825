"""Drift of addresses: their features by decile, the public suffix by word, the label."""

import numpy as np
import pandas as pd
import pytest

from networksecurity.data.addresses.features import ADDRESS_FEATURES
from networksecurity.data.contracts import Addresses
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring.drift import Y_SCORE, Thresholds, compare
from networksecurity.monitoring.profile import (
    N_WORDS,
    Clustering,
    ReferenceProfile,
    clustering,
    count_codes,
    reference_profile,
)

ADDRESSES = Addresses()
ABOUT = {"data_sha256": "abc", "contract": ADDRESSES}


def accepted(frame, with_target=True):
    return ADDRESSES.validation(with_target=with_target).add(frame)[0]


def own_domains(n_rows, random_state):
    """Return addresses each under a domain of its own, half of them phishing."""
    rng = np.random.default_rng(random_state)
    words = ["".join(rng.choice(list("abcdefghij"), 10)) for _ in range(n_rows)]
    urls = [f"https://{word}.{rng.choice(['com', 'net', 'de'])}/{word[: rng.integers(10)]}" for word in words]
    return pd.DataFrame({"url": urls, "label": np.where(rng.random(n_rows) < 0.5, "bad", "good")})


@pytest.fixture(scope="module")
def profile():
    return reference_profile(accepted(own_domains(6_000, 1)), **ABOUT)


@pytest.fixture
def frame():
    return own_domains(1_000, 2)


def check(profile, frame, **options):
    return compare(profile, accepted(frame, "label" in frame), contract=ADDRESSES, **options)


def of(report, name):
    return next(column for column in report.columns if column.name == name)


def test_a_profile_counts_features_suffixes_and_labels(profile):
    assert list(profile.counts) == [*ADDRESS_FEATURES, "suffix", "label"]
    assert profile.words == {"suffix": tuple(profile.words["suffix"])}
    assert set(profile.words["suffix"]) == {"com", "net", "de"}
    assert profile.design_effect == 1
    for name in ADDRESS_FEATURES:
        assert len(profile.counts[name]) <= len(profile.edges[name]) + 1 == len(profile.middles[name])
        assert sum(profile.counts[name].values()) == 6_000


def test_bins_hold_about_a_tenth_of_the_rows_each():
    frame = pd.DataFrame({"url": [f"http://a{n}.com/{'x' * (n % 1000)}" for n in range(5_000)], "label": "bad"})
    frame.loc[0, "label"] = "good"
    profile = reference_profile(accepted(frame), **ABOUT)
    counts = [profile.counts["path_length"][of_bin] for of_bin in range(10)]
    assert min(counts) >= 450
    assert max(counts) <= 550
    assert profile.middles["path_length"] == pytest.approx(np.arange(50, 1_000, 100), abs=3)
    assert profile.label("path_length", 0).startswith("up to 10")
    low, high = profile.edges["path_length"][:2]
    assert profile.label("path_length", 1) == f"above {low:g} and up to {high:g}"
    assert profile.label("path_length", 9).startswith("above 9")


def test_addresses_of_the_same_kind_have_not_drifted(profile, frame):
    report = check(profile, frame)
    assert report.verdict == "no_drift"
    assert report.reason == f"none of {len(ADDRESS_FEATURES) + 2} columns drifted"


def test_longer_paths_are_drift_and_said_so(profile, frame):
    frame["url"] += np.where(frame.index < 300, "xxxxxxxxxxxxxxxxxxxx", "")
    report = check(profile, frame)
    assert "path_length" in report.drifted
    assert "https" not in report.drifted
    assert "values that the reference never held" not in of(report, "path_length").reason
    assert "the value above 9 makes up" in of(report, "path_length").reason


def test_a_suffix_that_was_never_seen_is_drift(profile, frame):
    frame["url"] = frame["url"].mask(
        frame.index < 60, frame["url"].str.replace(r"\.(com|net|de)/", ".xyz/", regex=True)
    )
    report = check(profile, frame)
    assert of(report, "suffix").verdict == "drift"
    assert "never held: any other word in 60 rows" in of(report, "suffix").reason


def test_a_shift_between_known_suffixes_is_drift(profile, frame):
    frame["url"] = frame["url"].mask(frame.index < 300, frame["url"].str.replace(r"\.(com|net)/", ".de/", regex=True))
    assert "the value de makes up" in of(check(profile, frame), "suffix").reason


def test_the_most_frequent_suffixes_are_counted_one_by_one(profile):
    suffixes = ["com", "net", "org", "de", "fr", "it", "es", "nl", "pl", "se", "no", "fi", "dk", "be", "at", "ch", "cz"]
    suffixes += ["ru", "ua", "jp", "cn", "in", "br", "mx"]
    urls = [f"http://a{n}.{suffix}/" for i, suffix in enumerate(suffixes) for n in range(30 - i)]
    frame = pd.DataFrame({"url": urls, "label": "bad"})
    frame.loc[0, "label"] = "good"
    found = reference_profile(accepted(frame), **ABOUT)
    assert found.words["suffix"] == tuple(suffixes[:N_WORDS])
    assert found.counts["suffix"][N_WORDS] == sum(30 - i for i in range(N_WORDS, len(suffixes)))


def test_ip_literals_have_no_suffix_and_more_of_them_are_drift(profile, frame):
    frame["url"] = frame["url"].mask(frame.index < 100, "http://203.0.113." + frame.index.astype(str) + "/")
    report = check(profile, frame)
    assert {"ip", "suffix"} <= set(report.drifted)
    assert of(report, "suffix").missing_new == 0.1


def large_domains(n_domains, random_state):
    """Return 15 addresses of each domain, all of them with one of three paths."""
    rng = np.random.default_rng(random_state)
    words = ["".join(rng.choice(list("abcdefghij"), 10)) for _ in range(n_domains)]
    paths = rng.choice(["shop/basket", "en/news/today.html", "x"], n_domains)
    urls = [f"https://{word}.com/{path}?{i}" for word, path in zip(words, paths, strict=True) for i in range(15)]
    return pd.DataFrame({"url": urls, "label": np.repeat(np.where(rng.random(n_domains) < 0.5, "bad", "good"), 15)})


def test_other_large_domains_of_the_same_kind_have_not_drifted():
    profile = reference_profile(accepted(large_domains(400, 1)), **ABOUT)
    effect, of_missing = profile.clustering["path_length"]
    assert ({round(of) for of in effect.effects.values()}, of_missing) == ({15}, Clustering())
    as_rows_alone = profile.model_copy(update={"clustering": {}, "design_effect": 1})
    for random_state in range(2, 6):
        new = large_domains(70, random_state)
        assert check(profile, new).verdict == "no_drift"
        assert check(as_rows_alone, new).verdict == "drift"


def test_a_change_in_many_large_domains_is_drift():
    profile = reference_profile(accepted(large_domains(400, 1)), **ABOUT)
    new = large_domains(70, 2)
    new["url"] = new["url"].str.replace("shop/basket", "a/path/that/is/longer")
    assert "path_length" in check(profile, new).drifted


def test_the_effects_of_groups_are_those_of_leaving_one_out():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 300)
    codes = np.where(rng.random(300) < 0.5, groups % 3, rng.integers(0, 3, 300))
    table = pd.crosstab(groups, codes).to_numpy()
    shares, (n_groups, n_values) = table.sum(axis=0) / 300, table.shape
    without = np.array([np.delete(table, i, axis=0).sum(axis=0) for i in range(n_groups)])
    changes = without / without.sum(axis=1, keepdims=True) - shares
    variance = (changes**2).sum(axis=0) * (n_groups - 1) / n_groups
    each = variance / (shares * (1 - shares) / 300)
    found = clustering(codes, groups)
    assert [*found.effects.values()] == pytest.approx(each)
    assert 1 < found.spread < n_values - 1
    assert clustering(np.zeros(300), groups) == clustering(codes, np.zeros(300)) == Clustering()


def test_a_flood_of_addresses_under_one_domain_counts_as_one_site(profile, frame):
    flood = own_domains(5_000, 3)
    flood["url"] = "https://abcdefghij.com/" + flood["url"].str.rpartition("/")[2]
    report = check(profile, pd.concat([frame, flood], ignore_index=True))
    assert (report.verdict, report.n_rows) == ("no_drift", 6_000)


def test_the_label_is_compared_where_there_is_one(profile, frame):
    assert "label" in check(profile, frame.assign(label="bad")).drifted
    report = check(profile, frame.drop(columns="label"))
    assert of(report, "label").verdict == "not_compared"
    assert report.verdict == "no_drift"


def test_scores_of_learned_domains_are_left_out(frame):
    rows = accepted(own_domains(6_000, 1))
    y_score = np.random.default_rng(0).random(6_000)
    profile = reference_profile(rows, y_score=y_score, **ABOUT)
    new = accepted(frame)
    learned = ADDRESSES.groups(new.head(600))
    scores = np.where(np.arange(1_000) < 600, 0.0, np.random.default_rng(1).random(1_000))
    found = compare(profile, new, y_score=scores, learned=learned, contract=ADDRESSES)
    assert (found.verdict, found.n_learned) == ("no_drift", 600)
    assert compare(profile, new, y_score=scores, contract=ADDRESSES).drifted == (Y_SCORE,)


def test_a_profile_of_an_older_version_is_still_compared():
    old = {"data_sha256": "a", "n_rows": 2, "design_effect": 1.0, "counts": {"port": {"1": 2}}, "missing": {"port": 0}}
    profile = ReferenceProfile.model_validate(old)
    codes = profile.codes("port", pd.Series([1, -1, None], dtype="Int8"))
    assert count_codes(codes) == ({-1: 1, 1: 1}, 1)


def test_too_few_rows_and_too_few_scores_are_said_so(profile, frame):
    assert check(profile, frame, thresholds=Thresholds(min_rows=2_000)).verdict == "too_few_rows"
    assert check(profile, frame.head(0)).reason.startswith("0 rows are too few")
    with pytest.raises(DataValidationError, match="came with 3 scores"):
        check(profile, frame, y_score=np.zeros(3))
