import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from networksecurity.data.addresses.features import ADDRESS_FEATURES
from networksecurity.data.contracts.addresses import Addresses
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.exceptions import AddressError
from networksecurity.training.address_features import AddressFeatures

NAMES = list(ADDRESS_FEATURES)


def features(*urls):
    frame = pd.DataFrame({"url": urls})
    return AddressFeatures().set_output(transform="pandas").fit_transform(frame)


def feature(name, url):
    return features(url)[name].item()


# Every feature, with an address for which it is not zero and what it must be there.
SHOWN = {
    "length": ("http://example.com", 19),
    "https": ("https://example.com", 1),
    "port": ("http://example.com:8080/", 1),
    "userinfo": ("http://bank.com@evil.example/", 1),
    "at_signs": ("http://evil.example/?a@b%40c", 2),
    "escapes": ("http://evil.example/%2f%41?%20", 3),
    "mail_address": ("http://evil.example/?to=some.one@mail.example", 1),
    "host_length": ("http://example.com/a", 11),
    "host_dots": ("http://a.b.example.com/", 3),
    "host_hyphens": ("http://a-b.c-d.example/x-y", 2),
    "host_digits": ("http://a12.b3.example/45", 3),
    "host_digit_share": ("http://a1.b/", 0.25),
    "host_entropy": ("http://aabb.bbaa/", 1.392147223664533),
    "host_longest_label": ("http://a.bcd-e.example/", 7),
    "host_digit_run": ("http://a12.b345.example/6789", 3),
    "host_words": ("http://secure-login.example/account", 2),
    "host_http": ("http://https-bank.example/", 1),
    "ip": ("http://3232235777/", 1),
    "punycode": ("http://\u0440\u0430ypal.example/", 1),
    "lookalike_letters": ("http://\u0440\u0430ypal.example/", 2),
    "www": ("http://www.example.com/", 1),
    "www_elsewhere": ("http://bank.www.example.com/", 1),
    "subdomains": ("http://www.a.b.example.co.uk/", 2),
    "subdomain_length": ("http://www.a.b.example.co.uk/", 7),
    "subdomain_suffix": ("http://bank.com.evil.example/", 1),
    "subdomain_brands": ("http://paypal.com.evil.example/", 1),
    "name_length": ("http://www.evil-name.co.uk/", 9),
    "name_hyphens": ("http://a-b.evil-na-me.example/", 2),
    "name_digits": ("http://12.evil34.example/", 2),
    "name_vowel_share": ("http://beat.example/", 0.5),
    "name_consonant_run": ("http://bxtrae.example/", 4),
    "name_is_brand": ("http://www.paypal.co.uk/", 1),
    "name_brands": ("http://paypal-apple.example/", 2),
    "name_disguised_brand": ("http://paypa1.example/", 1),
    "suffix_length": ("http://a.example.co.uk/", 5),
    "suffix_com": ("http://a.example.com/", 1),
    "suffix_org_net": ("http://a.example.org/", 1),
    "suffix_institution": ("http://a.example.ac.uk/", 1),
    "suffix_country": ("http://a.example.co.uk/", 1),
    "suffix_cheap": ("http://a.example.xyz/", 1),
    "suffix_hosting": ("http://someone.blogspot.com/", 1),
    "shortener": ("http://bit.ly/a", 1),
    "path_length": ("http://example.com/a/b?c", 4),
    "path_depth": ("http://example.com/a/b?/", 1),
    "path_root": ("http://example.com", 1),
    "path_digit_share": ("http://example.com/a12", 0.5),
    "path_capitals": ("http://example.com/aBC?D", 2),
    "path_hyphens": ("http://ex-ample.com/a-b?-", 1),
    "path_underscores": ("http://example.com/a_b?_", 1),
    "path_dots": ("http://example.com/a.b?.", 1),
    "path_entropy": ("http://example.com/aaa/a/", 0.9852281360342515),
    "path_longest_word": ("http://example.com/a/bC1-d", 3),
    "path_hex_run": ("http://example.com/xdeadBEEF1", 9),
    "path_double_slash": ("http://example.com/a//b", 1),
    "path_words": ("http://example.com/Login?account=1#secure", 3),
    "path_brands": ("http://example.com/PayPal/apple", 2),
    "path_host": ("http://evil.example/bank.com/", 1),
    "path_php": ("http://example.com/a.PHP?b", 1),
    "path_html": ("http://example.com/a.htm#b", 1),
    "path_program": ("http://example.com/a.exe", 1),
    "path_wordpress": ("http://example.com/wp-content/a", 1),
    "path_hidden": ("http://example.com/~user/", 1),
    "query_length": ("http://example.com/a?b=c", 3),
    "query_parameters": ("http://example.com/?a=1&b=2", 2),
    "query_digit_share": ("http://example.com/?a=12", 0.5),
    "query_entropy": ("http://example.com/?aabb", 1),
    "query_redirect": ("http://example.com/?a=1&next=b", 1),
    "fragment_length": ("http://example.com/#abc", 3),
}


def test_every_feature_is_shown_and_explained():
    assert list(SHOWN) == NAMES == AddressFeatures().get_feature_names_out().tolist()
    assert 40 <= len(NAMES) <= 70
    descriptions = Addresses().descriptions
    assert list(descriptions) == NAMES
    assert len(set(descriptions.values())) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_has_its_value(name):
    url, expected = SHOWN[name]
    assert feature(name, url) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("port", "http://example.com:80/"),
        ("port", "http://[::1]/"),
        ("userinfo", "http://example.com/a@b"),
        ("ip", "http://1.example/"),
        ("www_elsewhere", "http://www.example.com/"),
        ("subdomains", "http://www.example.co.uk/"),
        ("subdomains", "http://192.168.1.1/"),
        ("subdomain_suffix", "http://www.example.com/"),
        ("name_brands", "http://paypal.com/"),
        ("name_disguised_brand", "http://paypal1.example/"),
        ("path_brands", "http://paypal.com/paypal"),
        ("path_root", "http://example.com/?a"),
        ("path_php", "http://example.com/.phpa"),
        ("suffix_hosting", "http://example.co.uk/"),
        ("lookalike_letters", "http://xn--99999999999.example/"),
    ],
)
def test_a_feature_is_zero_where_its_sign_is_not(name, url):
    assert feature(name, url) == 0


def test_all_spellings_of_an_address_have_the_same_features():
    rows = features("https://evil.example/A", "HTTPS://EVIL.example:443/A", "hxxps://evil[.]example/A")
    assert (rows == rows.iloc[0]).all(axis=None)


def test_a_text_that_is_no_address_is_named_by_its_row():
    with pytest.raises(AddressError, match="row 1 is no address: the scheme is not http or https"):
        features("http://example.com", "ftp://example.com")


def test_an_array_is_read_as_a_frame_and_needs_no_fit():
    urls = ["http://example.com/a", "https://paypal.com.evil.example/"]
    expected = features(*urls).to_numpy()
    assert (AddressFeatures().transform(np.array(urls, dtype=object).reshape(-1, 1)) == expected).all()
    assert (AddressFeatures().transform(np.array(urls).reshape(-1, 1)) == expected).all()
    assert (AddressFeatures().transform(pd.DataFrame({"url": urls})) == expected).all()
    assert AddressFeatures().transform(np.empty((0, 1), dtype=object)).shape == (0, len(NAMES))


def test_rows_do_not_depend_on_the_rows_beside_them():
    urls = [f"http://{'a' * (n % 7 + 1)}{n}.example/{'b' * (n % 5)}?{n}" for n in range(40_000)]
    many = features(*urls)
    some = [0, 1, 32_767, 32_768, 39_999]
    assert (many.iloc[some].to_numpy() == features(*[urls[row] for row in some]).to_numpy()).all()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_any_address_has_finite_features(paths):
    rows = features(*[f"http://example.com/{path[:2000]}" for path in paths])
    assert np.isfinite(rows.to_numpy()).all()
    assert (rows.to_numpy() >= 0).all()


def test_it_is_cloned_and_stored_without_pickle():
    X = pd.DataFrame({"url": ["http://example.com/", "http://evil.example/login"]})
    model = make_pipeline(clone(AddressFeatures()), DecisionTreeClassifier(random_state=0)).fit(X, [0, 1])
    again = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    assert again.predict(X).tolist() == [0, 1]
    assert again[0].feature_names_in_.tolist() == ["url"]


def test_all_real_addresses_have_features(real_addresses):
    rows = features(*pd.read_csv(real_addresses)["url"])
    assert np.isfinite(rows.to_numpy()).all()
    constant = set(rows.columns[rows.nunique() == 1])
    assert constant == {"userinfo"}
