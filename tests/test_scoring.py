import numpy as np
import pandas as pd
import pytest

from networksecurity import candidates, scoring, splitting
from networksecurity.schema import FEATURES, TARGET, to_X, to_X_y


@pytest.fixture(scope="module")
def sides(rows):
    return splitting.split(rows)


@pytest.fixture(params=[0.5, 0.2, 1.0])
def threshold(request):
    return request.param


def fitted(sides, name, threshold=0.5, **params):
    return candidates.make_pipeline(candidates.get_candidate(name), params, threshold=threshold).fit(
        *to_X_y(sides.train)
    )


@pytest.mark.parametrize("name", [name for name in candidates.CANDIDATES if "Boosting" not in name])
def test_predictions_are_those_of_the_pipeline(sides, name, threshold):
    model = fitted(sides, name, threshold)
    test = pd.concat([sides.test, sides.test[::-1]])
    found = scoring.score(model, test)
    X = to_X(test)
    # Up to the order in which another number of rows is added up.
    np.testing.assert_allclose(found["phishing_probability"], model.predict_proba(X)[:, 1], rtol=0, atol=1e-12)
    assert (found["label"] == "phishing").tolist() == (model.predict(X) == 1).tolist()
    assert found.index.equals(test.index)


def test_a_tie_is_what_the_pipeline_makes_of_it(sides):
    model = fitted(sides, "Random Forest", n_estimators=2)
    found = scoring.score(model, sides.test)
    ties = found["phishing_probability"] == 0.5
    assert ties.any()
    assert (found["label"][ties] == "phishing").tolist() == (model.predict(to_X(sides.test))[ties] == 1).tolist()


def test_each_vector_is_asked_for_once(sides):
    asked = []

    class Model:
        def __getitem__(self, _):
            return self

        def predict_proba(self, X):
            asked.append(len(X))
            return np.tile([0.9, 0.1], (len(X), 1))

    found = scoring.score(Model(), pd.concat([sides.test] * 3))
    assert asked == [sides.report.n_test_vectors]
    assert len(found) == 3 * len(sides.test)


def test_no_rows_no_predictions(sides):
    found = scoring.score(fitted(sides, "Decision Tree"), sides.test[:0])
    assert list(found) == ["phishing_probability", "label"]
    assert found.empty


def test_the_target_plays_no_part(sides):
    model = fitted(sides, "Decision Tree")
    pd.testing.assert_frame_equal(
        scoring.score(model, sides.test), scoring.score(model, sides.test.drop(columns=TARGET)[list(FEATURES)])
    )


def test_a_threshold_is_part_of_the_pipeline(sides, threshold):
    model = fitted(sides, "Logistic Regression", threshold)
    X = to_X(sides.test)
    assert candidates.decision_threshold(model) == threshold
    assert (model.predict(X) == 1).tolist() == (model.predict_proba(X)[:, 1] >= threshold).tolist()
    assert type(candidates.get_classifier(model)).__name__ == "LogisticRegression"
    plain = fitted(sides, "Logistic Regression")
    assert (model.predict_proba(X) == plain.predict_proba(X)).all()
