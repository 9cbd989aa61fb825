import mlflow
import numpy as np
import pandas as pd
import pytest

from networksecurity.data import splitting
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, to_X, to_X_y
from networksecurity.data.storage import Storage
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring.profile import reference_profile
from networksecurity.prediction import scoring
from networksecurity.prediction.native import prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.tracking.model import probe_rows
from networksecurity.training import candidates, search
from networksecurity.training.label_rule import rule_of
from networksecurity.training.threshold import choose_threshold


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


@pytest.mark.parametrize(
    ("name", "n_estimators", "at"),
    [("Random Forest", 8, 0.5), ("Extra Trees", 8, 0.25), ("Gradient Boosting", 2, None)],
)
def test_a_row_at_the_threshold_is_phishing_in_every_way_to_predict(sides, tmp_path, name, n_estimators, at):
    (X, y), test = to_X_y(sides.train), to_X(sides.test)
    candidate, params = candidates.get_candidate(name), {"n_estimators": n_estimators}
    if at is None:  # the probabilities of this model are no round numbers: that of some row
        at = float(np.sort(search.fit_best(candidate, params, X, y).predict_proba(test)[:, 1])[len(test) // 2])
    model = search.fit_best(candidate, params, X, y, threshold=at)
    y_score = model.predict_proba(test)[:, 1]
    assert (y_score == at).any()
    expected = (y_score >= at).tolist()

    storage = Storage(str(tmp_path))
    stored = storage.get_model(storage.put_model(model))
    mlflow.sklearn.save_model(
        model,
        tmp_path / "model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        pip_requirements=[],
    )
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    for one in (model, stored):
        assert rule_of(one).threshold == at
        assert (one.predict(test) == 1).tolist() == expected
        assert (scoring.score(one, sides.test)["label"] == "phishing").tolist() == expected
    assert (served.predict(test) == 1).tolist() == expected


def test_the_costs_reported_for_the_default_threshold_are_those_of_the_fitted_winner(sides):
    (X, y), (test, y_test) = to_X_y(sides.train), to_X_y(sides.test)
    model = search.fit_best(candidates.get_candidate("Random Forest"), {"n_estimators": 8}, X, y)
    y_score = model.predict_proba(test)[:, 1]
    assert (y_score == 0.5).any()
    choice = choose_threshold(y_test, y_score)
    assert choice.expected_cost_at_default == pytest.approx(np.mean(model.predict(test) != y_test))


def test_each_distinct_vector_is_predicted_once(sides):
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


def test_no_rows_give_no_predictions(sides):
    found = scoring.score(fitted(sides, "Decision Tree"), sides.test[:0])
    assert list(found) == ["phishing_probability", "label"]
    assert found.empty


def test_the_target_does_not_change_predictions(sides):
    model = fitted(sides, "Decision Tree")
    pd.testing.assert_frame_equal(
        scoring.score(model, sides.test), scoring.score(model, sides.test.drop(columns=TARGET)[list(FEATURES)])
    )


def test_a_threshold_is_part_of_the_pipeline(sides, threshold):
    model = fitted(sides, "Logistic Regression", threshold)
    X = to_X(sides.test)
    assert rule_of(model).threshold == threshold
    assert (model.predict(X) == 1).tolist() == (model.predict_proba(X)[:, 1] >= threshold).tolist()
    assert type(candidates.get_classifier(model)).__name__ == "LogisticRegression"
    plain = fitted(sides, "Logistic Regression")
    assert (model.predict_proba(X) == plain.predict_proba(X)).all()


# --- rows in batches -------------------------------------------------------------------------------------------------


@pytest.fixture
def raw():
    frame = make_phishing_websites(60, random_state=2).astype(object)
    frame.loc[[3, 40], "SFH"] = ["x", 9]
    return frame.assign(url=[f"https://example.org/{row}" for row in range(60)])


def scoring_of(model, max_rejected=0.5):
    return scoring.BatchScorer(model, name="phishing", version="3", max_rejected=max_rejected)


def test_batches_are_scored_like_the_whole_and_counted(sides, raw):
    model = fitted(sides, "Decision Tree")
    batches = scoring_of(model)
    parts = list(batches.over([raw[:20], raw[20:]]))
    predictions, rejected = (pd.concat(frames) for frames in zip(*parts, strict=True))
    whole, _ = scoring_of(model).add(raw)
    pd.testing.assert_frame_equal(predictions, whole)
    assert predictions["row"].tolist() == [row for row in range(60) if row not in {3, 40}]
    assert (predictions["url"] == raw["url"][predictions["row"]]).all()
    assert rejected[["row", "url", "SFH", "reasons"]].to_numpy().tolist() == [
        [3, "https://example.org/3", "x", "SFH is not a whole number"],
        [40, "https://example.org/40", "9", "SFH is not one of -1, 0, 1"],
    ]
    n_phishing = int((predictions["label"] == "phishing").sum())
    assert 0 < n_phishing < 58
    assert batches.finish() == scoring.ScoringReport(
        n_rows=60,
        n_scored=58,
        n_phishing=n_phishing,
        n_rejected=2,
        rejections={"SFH is not a whole number": 1, "SFH is not one of -1, 0, 1": 1},
    )


def test_a_source_with_too_many_invalid_rows_is_refused_at_its_end(sides, raw):
    batches = scoring_of(fitted(sides, "Decision Tree"), max_rejected=0.02).over([raw[:20], raw[20:]])
    assert len(next(batches)[0]) == 19
    assert len(next(batches)[0]) == 39
    with pytest.raises(DataValidationError, match="2 of 60 rows"):
        next(batches)


@pytest.mark.parametrize(
    "name", ["row", "label", "phishing_probability", "model", "model_version", "reasons", "override"]
)
def test_a_column_named_like_one_of_a_prediction_gets_another_name(name, sides, raw):
    scorer = scoring_of(fitted(sides, "Decision Tree"))
    scored, rejected = scorer.add(raw.assign(**{name: "mine"}))
    assert set(scored[f"given_{name}"]) == set(rejected[f"given_{name}"]) == {"mine"}
    assert scored.columns.is_unique
    assert rejected.columns.is_unique
    assert scorer.finish().renamed == {name: f"given_{name}"}
    pd.testing.assert_frame_equal(
        scored.drop(columns=f"given_{name}"), scoring_of(fitted(sides, "Decision Tree")).add(raw)[0]
    )


def test_a_name_that_is_taken_is_given_to_no_other_column(sides, raw):
    with pytest.raises(DataValidationError, match="given_label would be there twice: rename it, or label, in the rows"):
        scoring_of(fitted(sides, "Decision Tree")).add(raw.assign(label=1, given_label=2))


def test_rows_without_a_feature_are_refused(sides, raw):
    with pytest.raises(DataValidationError, match="1 missing: SFH"):
        scoring_of(fitted(sides, "Decision Tree")).add(raw.drop(columns="SFH"))


# --- with reasons -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained(rows):
    """Return a model and its explainer."""
    model = candidates.make_pipeline(candidates.CANDIDATES["Decision Tree"], {"max_depth": 5}).fit(*to_X_y(rows))
    return model, Explainer(prepare(model, probe_rows()), alternatives_of(reference_profile(rows, data_sha256="")))


def with_reasons(explained, frames):
    model, explainer = explained
    scorer = scoring.BatchScorer(model, name="phishing", version="1", max_rejected=0.5, explainer=explainer)
    return pd.concat([scored for scored, _ in scorer.over(frames)])


def test_each_prediction_has_its_reasons(explained):
    frame = make_phishing_websites(300, random_state=3).astype(object)
    frame.loc[7, "SFH"] = "abc"
    found = with_reasons(explained, [frame[:100], frame[100:]])
    assert found["row"].tolist() == [i for i in range(300) if i != 7]
    expected = explained[1].explain(to_X(frame.drop(index=7).drop(columns=TARGET).astype("Int8")).to_numpy())
    for reasons, others in zip(found["explanation"], expected, strict=True):
        assert reasons == [{key: of[key] for key in ("feature", "value", "effect")} for of in others]


def test_equal_rows_are_explained_once_and_not_all_are_kept(explained, monkeypatch):
    frame = make_phishing_websites(100, random_state=3)
    n_distinct = len(frame[list(FEATURES)].drop_duplicates())
    asked = []
    explain = Explainer.explain
    monkeypatch.setattr(Explainer, "explain", lambda self, X: (asked.append(len(X)), explain(self, X))[1])
    twice = pd.concat([frame, frame], ignore_index=True)
    found = with_reasons(explained, [twice, twice.set_axis(twice.index + 200)])
    assert asked == [n_distinct, 0]
    assert found["explanation"].iloc[:100].tolist() == found["explanation"].iloc[300:].tolist()
    monkeypatch.setattr(scoring, "_MAX_KEPT", 10)
    with_reasons(explained, [twice, twice.set_axis(twice.index + 200)])
    assert asked[2:] == [n_distinct, n_distinct]


def test_a_column_gives_way_to_the_reasons_only_where_they_are_added(explained):
    frame = make_phishing_websites(10, random_state=3).assign(explanation="mine")
    assert set(with_reasons(explained, [frame])["given_explanation"]) == {"mine"}
    scorer = scoring.BatchScorer(explained[0], name="phishing", version="1", max_rejected=0.5)
    assert set(scorer.add(frame)[0]["explanation"]) == {"mine"}
