import pandas as pd
import pytest
from reading import configured, frames, opened
from stored import failing, in_quarantine, ingest, sample, sha256_of

from networksecurity.data import mongodb
from networksecurity.data.files import File
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, to_X_y
from networksecurity.data.validation import Validation
from networksecurity.exceptions import (
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
)
from networksecurity.prediction.scoring import BatchScorer, score
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.label_rule import LabelRule, with_rule


@pytest.fixture(scope="module")
def model(rows):
    return make_pipeline(get_candidate("Decision Tree"), {}).fit(*to_X_y(rows))


@pytest.fixture
def scores(mongod, collection):
    """Return the collection that predictions are written to, dropped afterwards."""
    scores = collection.database[f"{collection.name}_scores"]
    yield scores
    for name in (scores.name, f"{scores.name}_quarantine"):
        collection.database.drop_collection(name)


def score_new(model, target, into, version="1", since=None, on_progress=None, batch_rows=100):
    """Score what is new in a collection and return how many rows were read, and how far."""
    scorer = BatchScorer(model, name="phishing", version=version, max_rejected=1)
    rows = mongodb.parse(target, configured())
    with rows.batches(batch_rows, since=since) as new, opened(into) as output:
        output.write_predictions(map(scorer.add, new.frames), on_progress=on_progress)
        return new.n_rows, new.watermark


def key_of(document, version="1"):
    return {"row": document["_id"], "model": "phishing", "model_version": version}


def assert_scored(model, collection, scores, *versions):
    """Assert that each version has scored each valid row of a collection once, as it would by itself."""
    documents = list(collection.find())
    frame = Validation(max_rejected=1, with_target=False).add(pd.DataFrame(documents)[list(DOMAINS)])[0]
    expected = [
        key_of(documents[row], version)
        | {"phishing_probability": found.phishing_probability, "label": str(found.label)}
        for version in versions
        for row, found in zip(frame.index, score(model, frame).itertuples(), strict=True)
    ]
    found = [
        document["_id"] | {name: document[name] for name in ("phishing_probability", "label")}
        for document in scores.find()
    ]

    def order(document):
        return str(document)

    assert sorted(found, key=order) == sorted(expected, key=order)


def test_a_prediction_holds_score_label_and_model(model, target, collection, scores, write):
    ingest(write(sample(10)), target)
    assert score_new(model, target, f"{target}_scores") == (10, 1)
    document = scores.find_one({"_id.row.row": 3})
    assert list(document) == ["_id", "phishing_probability", "label", "label_by", "override", "model", "model_version"]
    assert document["_id"] == key_of(collection.find_one({"_id.row": 3}))
    assert (document["model"], document["model_version"]) == ("phishing", "1")
    assert_scored(model, collection, scores, "1")


def test_rows_that_are_left_to_a_person_are_stored_as_unsure(rows, target, collection, scores, write):
    tree = make_pipeline(get_candidate("Decision Tree"), {"max_depth": 3}, threshold=0.5).fit(*to_X_y(rows))
    banded = with_rule(tree, LabelRule(threshold=0.5, band=(0.05, 0.95)))
    ingest(write(sample()), target)
    score_new(banded, target, f"{target}_scores")
    assert set(scores.distinct("label")) == {"phishing", "legitimate", "unsure"}
    assert_scored(banded, collection, scores, "1")


def test_each_version_scores_each_row_once(model, target, collection, scores, write, small_batches):
    ingest(write(sample()), target)
    seen = []
    _, watermark = score_new(model, target, f"{target}_scores", on_progress=seen.append)
    assert seen == [80, 160, 240, 300]
    ingest(write(sample(70, random_state=1), "more.csv"), target)
    assert score_new(model, target, f"{target}_scores", since=watermark) == (70, 2)
    assert_scored(model, collection, scores, "1")
    score_new(model, target, f"{target}_scores", version="2")
    score_new(model, target, f"{target}_scores", version="2")
    assert_scored(model, collection, scores, "1", "2")


@pytest.mark.parametrize(
    ("command", "skip", "failure"),
    [
        ("insert", 0, {"closeConnection": True}),
        ("insert", 3, {"closeConnection": True}),
        ("insert", 6, {"errorCode": 91}),
        ("find", 1, {"closeConnection": True}),
    ],
)
def test_a_scoring_lost_on_the_way_is_completed_by_the_next(
    command, skip, failure, mongod, model, target, collection, scores, write, small_batches
):
    ingest(write(sample()), target)
    with failing(mongod, "lost", skip=skip, failCommands=[command], **failure), pytest.raises(SourceUnavailableError):
        score_new(model, target, f"{target}_scores?appName=lost")
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_rows_lost_while_they_are_scored_are_scored_by_the_next_run(
    mongod, model, target, collection, scores, write, small_batches
):
    ingest(write(sample()), target)
    with (
        failing(mongod, "lost", skip=2, failCommands=["getMore"], closeConnection=True),
        pytest.raises(SourceUnavailableError),
    ):
        score_new(model, f"{target}?appName=lost", f"{target}_scores")
    assert 0 < scores.count_documents({}) < 300
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_scores_written_without_an_answer_are_not_doubled(
    mongod, model, target, collection, scores, write, small_batches
):
    ingest(write(sample()), target)
    blocked = {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 800}
    with failing(mongod, "slow", skip=2, **blocked), pytest.raises(SourceUnavailableError, match="timed out"):
        score_new(model, target, f"{target}_scores?appName=slow&socketTimeoutMS=200")
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")


def test_a_row_that_was_changed_is_scored_as_it_is_now(model, target, collection, scores):
    documents = [{"_id": row, **cells_} for row, cells_ in enumerate(make_phishing_websites(20).to_dict("records"))]
    documents[4]["SFH"] = "x"
    collection.insert_many(documents)
    assert score_new(model, target, f"{target}_scores") == (20, None)
    (unscored,) = in_quarantine(scores).find()
    assert (unscored["_id"], unscored["values"]["SFH"], unscored["reasons"]) == (4, "x", ["SFH is not a whole number"])
    assert "Result" not in unscored["values"]
    assert scores.count_documents({}) == 19

    collection.update_many({}, {"$set": {"SFH": 1, "SSLfinal_State": -1}})
    score_new(model, target, f"{target}_scores")
    assert_scored(model, collection, scores, "1")
    assert not list(in_quarantine(scores).find())


def test_rows_of_a_file_are_scored_under_the_keys_of_ingest(model, target, collection, scores, write):
    path = write(sample(bad=[5]).assign(url="https://example.org"))
    file = sha256_of(path)
    scorer = BatchScorer(model, name="phishing", version="1", max_rejected=0.5)
    keyed = mongodb.with_keys(frames(File.at(str(path)), 100, exact_others=True), file)
    with opened(f"{target}_scores") as output:
        output.write_predictions(map(scorer.add, keyed))
    assert scores.count_documents({"url": "https://example.org", "_id.row.file": file}) == 299
    (unscored,) = in_quarantine(scores).find()
    assert unscored["_id"] == {"file": file, "row": 5}
    with pytest.raises(DataValidationError, match="a column _id"):
        list(mongodb.with_keys([pd.DataFrame({"_id": [1]})], "abc"))


def test_a_collection_of_rows_takes_no_predictions(model, target, collection, write):
    ingest(write(sample(10)), target)
    with pytest.raises(DataSourceError, match="holds documents that are no predictions"):
        score_new(model, target, target)
    assert collection.count_documents({}) == 10
