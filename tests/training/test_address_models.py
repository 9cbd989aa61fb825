import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from networksecurity.data.addresses.features import ADDRESS_FEATURES
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.storage import Storage
from networksecurity.training.address_models import character_ngrams, ngrams_and_boosting


@pytest.fixture(scope="module")
def rows():
    return make_addresses(1_500, random_state=0)


def linear(max_features):
    return Pipeline(
        [("ngrams", character_ngrams(max_features)), ("classifier", LogisticRegression(solver="liblinear"))]
    )


@pytest.fixture(scope="module", params=[linear, ngrams_and_boosting])
def fitted(rows, request):
    return request.param(max_features=500).fit(rows[["url"]][:1_000], rows["label"][:1_000] == "phishing")


def test_it_tells_made_up_addresses_apart(rows, fitted):
    y_score = fitted.predict_proba(rows[["url"]][1_000:])[:, 1]
    assert roc_auc_score(rows["label"][1_000:] == "phishing", y_score) > 0.9


def test_it_is_stored_without_pickle_and_answers_as_before(rows, fitted, tmp_path):
    storage = Storage(str(tmp_path))
    again = storage.get_model(storage.put_model(fitted))
    assert (again.predict_proba(rows[["url"]]) == fitted.predict_proba(rows[["url"]])).all()


def test_spellings_of_one_address_have_one_verdict(fitted):
    urls = [["http://Login-Bank.example/a%2fb"], ["hxxp://login-bank[.]example:80/a%2Fb"]]
    one, other = fitted.predict_proba(pd.DataFrame(urls, columns=["url"]))[:, 1]
    assert one == other


def test_ngrams_and_weighted_features_stand_side_by_side(rows):
    union = character_ngrams(500).fit(rows[["url"]])
    names = union.get_feature_names_out()
    X = union.transform(rows[["url"]])
    assert [name for name in names if name.startswith("features__")] == [
        f"features__{name}" for name in ADDRESS_FEATURES
    ]
    assert X.shape == (len(rows), 500 + len(ADDRESS_FEATURES))
    assert X[:, 500:].min() == 0
    assert X[:, 500:].max() == pytest.approx(0.3)
    assert np.sqrt(X[:, :500].power(2).sum(axis=1)) == pytest.approx(1)


def test_its_strengths_can_be_searched(rows):
    grid = {"ngrams__classifier__C": (3, 30), "boosting__classifier__max_iter": (5,)}
    search = GridSearchCV(ngrams_and_boosting(500), grid, cv=2, scoring="f1")
    search.fit(rows[["url"]][:400], rows["label"][:400] == "phishing")
    assert search.best_score_ > 0.7
