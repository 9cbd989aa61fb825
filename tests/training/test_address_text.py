import numpy as np
import pandas as pd
import pytest

from networksecurity.exceptions import AddressError
from networksecurity.training.address_text import AddressText


def test_a_column_of_addresses_becomes_normalized_texts():
    frame = pd.DataFrame({"url": ["HTTP://Example.com", "hxxps://evil[.]example/A"]})
    texts = AddressText().fit_transform(frame)
    assert texts.tolist() == ["example.com/", "evil.example/A"]
    assert AddressText().transform(frame.to_numpy(object)).tolist() == texts.tolist()


def test_a_text_that_is_no_address_is_named_by_its_row():
    with pytest.raises(AddressError, match="row 1 is no address: it is missing"):
        AddressText().fit_transform(pd.DataFrame({"url": ["http://example.com", None]}))


@pytest.mark.parametrize("X", [pd.DataFrame({"url": ["a.com"], "b": ["c"]}), np.array([["a.com", "b.com"]])])
def test_more_than_one_column_is_refused(X):
    with pytest.raises(ValueError, match="expected one column of addresses, found 2"):
        AddressText().fit(X)


def test_another_column_than_in_training_is_refused():
    fitted = AddressText().fit(pd.DataFrame({"url": ["http://example.com"]}))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(pd.DataFrame({"link": ["http://example.com"]}))
