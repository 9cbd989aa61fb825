import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaError, SchemaErrors

from networksecurity.data import schema
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES, TARGET
from networksecurity.data.validation import validate


@pytest.fixture
def frame():
    return make_phishing_websites(200, random_state=0)


def with_cell(frame, row, column, value):
    changed = frame.astype(object)
    changed.at[row, column] = value
    return changed


def test_domains_are_those_of_the_data_set():
    assert len(FEATURES) == 30
    assert sum(len(domain) == 2 for domain in FEATURES.values()) == 22
    assert sum(domain == (-1, 0, 1) for domain in FEATURES.values()) == 8
    assert FEATURES["Redirect"] == (0, 1)
    assert [*FEATURES, TARGET] == list(DOMAINS)
    assert set(DOMAINS.values()) == {(-1, 1), (-1, 0, 1), (0, 1)}


def test_every_feature_and_each_of_its_values_is_described():
    assert list(schema.FEATURE_DESCRIPTIONS) == list(FEATURES)
    assert {name: tuple(of) for name, of in schema.VALUE_DESCRIPTIONS.items()} == FEATURES


def test_accepted_rows_have_these_columns_in_this_order_and_a_target(frame):
    rows = frame.astype("Int8")
    assert schema.PHISHING_WEBSITES.validate(rows).equals(rows)
    without_target = rows.assign(Result=pd.array([pd.NA] * len(rows), dtype="Int8"))
    for changed in (rows.assign(extra=1), rows[list(rows)[::-1]], rows.drop(columns="SFH"), without_target):
        with pytest.raises((SchemaError, SchemaErrors)):
            schema.PHISHING_WEBSITES.validate(changed)


def test_codes_of_labels_do_not_change():
    # Stored models answer with them.
    assert schema.LABELS == {0: "legitimate", 1: "phishing", 2: "unsure"}


@given(st.lists(st.sampled_from([-1, 1]), min_size=1))
def test_phishing_is_the_positive_class(labels):
    result = pd.Series(labels, dtype="Int8")
    y = schema.encode_target(result)
    assert y.tolist() == [int(label == -1) for label in labels]


def test_to_X_y_gives_floats_with_nan(frame):
    X, y = schema.to_X_y(validate(with_cell(frame, 0, "SFH", "na")).accepted)
    assert list(X) == list(FEATURES)
    assert set(X.dtypes) == {np.dtype("float64")}
    assert np.isnan(X.at[0, "SFH"])
    assert y.sum() == (frame[TARGET] == -1).sum()
