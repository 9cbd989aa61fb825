"""Addresses in a collection: written, read, set aside, corrected and scored as websites are."""

import pandas as pd
import pytest
from reading import configured

from networksecurity.data import mongodb
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import WEBSITES, Addresses
from networksecurity.data.mongodb import server
from networksecurity.exceptions import DataSourceError, DataValidationError
from networksecurity.prediction.scoring import BatchScorer
from networksecurity.training.candidates import get_candidate, make_pipeline

ADDRESSES = Addresses()


@pytest.fixture
def place(target):
    with mongodb.open(mongodb.parse_target(target, configured(), ADDRESSES)) as opened:
        yield opened
        for suffix in ("_watches", "_feedback"):
            opened.beside(suffix).drop()


def ingest(opened, frame, name="a.csv", contract=ADDRESSES):
    judged = [contract.validation().add(part) for _, part in frame.groupby(frame.index // 100)]
    return opened.ingest(judged, sha256=name, source=name)


def with_bad(frame):
    frame = frame.copy()
    frame.loc[[3, 150], "url"] = "?"
    frame.loc[7, "label"] = "perhaps"
    return frame


@pytest.mark.usefixtures("small_batches")
def test_what_is_read_is_what_was_accepted(place):
    frame = with_bad(make_addresses(300))
    done = ingest(place, frame)
    assert (done.n_inserted, done.n_quarantined) == (297, 3)
    again = ingest(place, frame)
    assert (again.n_inserted, again.n_already_there, again.n_quarantined) == (0, 297, 3)
    read = place.read()
    assert read.watermark == 2
    assert read.frame.dtypes.astype(str).to_dict() == {"url": "str", "label": "str"}
    expected = ADDRESSES.validate(frame).accepted.reset_index(drop=True)
    pd.testing.assert_frame_equal(ADDRESSES.validate(read.frame).accepted, expected)


def test_what_is_new_is_read_alone(place):
    ingest(place, make_addresses(100))
    before = place.read().watermark
    ingest(place, make_addresses(50, random_state=1), "b.csv")
    new = place.read(since=before)
    accepted = ADDRESSES.validate(new.frame).accepted
    expected = ADDRESSES.validate(make_addresses(50, random_state=1)).accepted
    pd.testing.assert_frame_equal(accepted, expected)
    assert place.read(since=new.watermark).frame.empty


def test_a_label_is_a_word_whatever_the_file_called_it(place):
    frame = make_addresses(60)
    numbers = frame.assign(label=frame["label"].map({"phishing": 1, "legitimate": 0}))
    ingest(place, numbers, contract=Addresses(positive="1"))
    assert place.read().frame["label"].tolist() == frame["label"].tolist()


@pytest.mark.usefixtures("small_batches")
def test_documents_of_other_programs_may_spell_a_column_otherwise(place, collection):
    collection.insert_many([{"_id": n, "URL": f"http://a.test/{n}", "type": "bad"} for n in range(50)])
    collection.insert_many([{"_id": n, "link": f"b.test/{n}", "class": "good", "more": 1} for n in range(50, 100)])
    collection.insert_one({"_id": 100, "url": "c.test", "domain": "ignored.test", "type": "bad"})
    collection.insert_one({"_id": 101, "url": 7, "type": None})
    accepted, rejected = ADDRESSES.validation().add(place.read().frame)
    assert accepted["url"].tolist() == [
        *(f"http://a.test/{n}" for n in range(50)),
        *(f"http://b.test/{n}" for n in range(50, 100)),
        "http://c.test/",
    ]
    assert accepted["label"].tolist() == [1] * 50 + [0] * 50 + [1]
    assert rejected["url"].tolist() == ["7"]


def test_rows_set_aside_are_corrected(place):
    ingest(place, with_bad(make_addresses(300)))
    aside = place.quarantined()
    assert aside[["row", "url", "label"]].to_numpy().tolist()[0] == [3, "?", make_addresses(300)["label"][3]]
    assert place.count_quarantined()["reason"].tolist() == [
        "url: there is no host",
        "label: neither phishing nor legitimate",
    ]
    before = place.read().watermark
    corrected = aside.assign(url="http://corrected.test/", label=["bad", "perhaps", "good"])
    done = place.resubmit(corrected, sha256="corrected", source="corrected.csv")
    assert (done.n_inserted, done.n_quarantined) == (2, 1)
    assert place.read(since=before).frame["url"].tolist() == ["http://corrected.test/"] * 2
    assert place.quarantined()["row"].tolist() == [7]
    assert len(place.read().frame) == 299


def test_rows_of_another_contract_are_refused(place, target):
    ingest(place, make_addresses(20))
    with mongodb.open(mongodb.parse_target(target, configured())) as opened:
        rows = WEBSITES.make_sample(50)
        with pytest.raises(DataSourceError, match="holds rows of addresses, not of websites: name another collection"):
            opened.ingest([WEBSITES.validation().add(rows)], sha256="w", source="w.csv")
        with pytest.raises(DataSourceError, match="holds no column of websites, only _id, url, label, ingestion"):
            opened.read()
    assert len(place.read().frame) == 20


def test_a_collection_of_websites_takes_no_addresses(place, target):
    with mongodb.open(mongodb.parse_target(target, configured())) as opened:
        opened.ingest([WEBSITES.validation().add(WEBSITES.make_sample(50))], sha256="w", source="w.csv")
        opened.beside("_ingestions").update_many({}, {"$unset": {"contract": ""}})  # as earlier versions wrote it
    with pytest.raises(DataSourceError, match="holds rows of websites, not of addresses"):
        ingest(place, make_addresses(20))
    with pytest.raises(DataValidationError, match="these are not addresses"):
        ADDRESSES.validate(place.read().frame)


def test_each_contract_has_its_own_collection(mongod):
    settings = configured(mongodb_uri=mongod.uri, mongodb_database="d")
    named = configured(mongodb_uri=f"{mongod.uri}/d.rows")
    for contract, default, beside in (
        (WEBSITES, "phishing_websites", "rows"),
        (ADDRESSES, "phishing_addresses", "rows_addresses"),
    ):
        assert mongodb.parse_target("mongodb", settings, contract).name == default
        assert mongodb.parse_target("mongodb", named, contract).name == beside
        assert mongodb.parse_target(f"{mongod.uri}/d", settings, contract).name == default
        assert mongodb.parse_target(f"{mongod.uri}/d.mine", settings, contract).name == "mine"
    assert server.resolve("rows.csv", settings, ADDRESSES) is None


def test_addresses_are_scored_from_a_collection_to_another(place, target):
    frame = make_addresses(300)
    ingest(place, frame)
    place.beside().insert_one({"_id": "odd", "url": "?", "label": "bad"})
    X, y = ADDRESSES.to_X_y(ADDRESSES.validate(frame).accepted)
    model = make_pipeline(get_candidate("Decision Tree", "addresses"), {"max_depth": 3}).fit(X, y)
    scorer = BatchScorer(model, name="m", version="1", max_rejected=0.5, contract=ADDRESSES)
    with (
        mongodb.open(mongodb.parse_target(f"{target}_scores", configured(), ADDRESSES)) as scores,
        place.batches(100) as batches,
    ):
        assert batches.n_rows == 301
        scores.write_predictions(scorer.over(batches.frames))
        found = list(scores.beside().find(sort={"_id": 1}))
        assert [of["url"] for of in found] == X["url"].tolist()
        assert [of["phishing_probability"] for of in found] == model.predict_proba(X)[:, 1].tolist()
        (aside,) = scores.beside("_quarantine").find()
        assert aside == {"_id": "odd", "values": {"url": "?"}, "reasons": ["url: there is no host"]}
        for suffix in ("", "_quarantine"):
            scores.beside(suffix).drop()


def test_accepted_feedback_is_a_row_and_overrides_the_label_of_the_same_address(place):
    frame = pd.DataFrame({"url": ["hxxp://A[.]test", "http://a.test:80/", "http://b.test/"], "label": ["bad"] * 3})
    ingest(place, frame)
    before = place.read().watermark
    said = pd.DataFrame({"link": ["a.test"]})
    (name,) = place.add_feedback(said, label="legitimate", by="jane", comment="ours")
    assert place.add_feedback(said, label="legitimate", by="jane", comment="ours") == [name]
    (report,) = place.list_feedback("open")
    assert report.features == {"url": "http://a.test/"}
    assert len(place.read().frame) == 3  # until a person has decided
    done = place.accept_feedback(name, by="boss")
    assert (done.n_overridden, place.accept_feedback(name, by="boss").n_overridden) == (2, 0)
    assert place.read(since=before).frame.to_dict("list") == {"url": ["http://a.test/"], "label": ["legitimate"]}
    labels = dict(place.read().frame.groupby("url")["label"].agg(set))
    assert labels == {"http://a.test/": {"legitimate"}, "http://b.test/": {"phishing"}}
    assert place.beside().find_one({"_id.row": 0})["corrected"] == {"feedback": name, "was": "phishing"}


def test_feedback_about_what_is_no_address_is_refused(place):
    with pytest.raises(DataValidationError, match="1 of 1 rows are not valid: row 0: url: the scheme is not http"):
        place.add_feedback(pd.DataFrame({"url": ["ftp://a.test/"]}), label="phishing", by="jane")
    assert place.list_feedback() == []
