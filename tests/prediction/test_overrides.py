import shutil
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from overriding import NOW, override
from served import ROW, running

from networksecurity.data.contracts import Addresses
from networksecurity.data.overrides.override import Overrides, row_value
from networksecurity.data.overrides.store import override_store
from networksecurity.data.schema import CLASS_LABELS, FEATURES
from networksecurity.prediction.checking import check_addresses
from networksecurity.prediction.native import prepare
from networksecurity.prediction.rows import predict
from networksecurity.prediction.scoring import BatchScorer
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import get_candidate
from networksecurity.training.search import fit_best

OTHER = dict(zip(CLASS_LABELS.values(), reversed(CLASS_LABELS.values()), strict=True))


def of_row(row, label, **about):
    value = row_value([float("nan") if row[name] is None else float(row[name]) for name in FEATURES])
    return override(value, label, contract="websites", covers="row", **about)


@pytest.fixture
def place(place, tmp_path):
    """Return settings of a service with a storage of its own."""
    return place.model_copy(update={"storage": str(tmp_path / "storage")})


@pytest.fixture
def store(place):
    return override_store(place)


def far(**about):
    return {"at": NOW, "until": NOW.replace(year=NOW.year + 50), **about}


def test_the_service_applies_what_a_person_has_set_without_a_restart(place, store):
    with running(place) as service:
        (by_model,) = service.predict(ROW)["predictions"]
        assert by_model["by"] == "model"
        assert "override" not in by_model
        assert service("GET", "/model").json()["overrides"] == 0
        one = of_row(ROW, OTHER[by_model["label"]], **far())
        store.add([one])
        service.model_in_use.refresh()
        other = {**ROW, "SFH": -1, "id": 2}
        found, unlike, bad = service.predict({"rows": [ROW, other, {**ROW, "SFH": 7}]})["predictions"]
        assert (found["label"], found["by"]) == (one.label, "override")
        assert found["phishing_probability"] == by_model["phishing_probability"]
        assert found["override"]["reason"] == "our own"
        assert found["override"]["until"].startswith(f"{one.until:%Y-%m-%d}")
        assert (unlike["by"], bad["by"]) == ("model", None)
        assert service("GET", "/model").json()["overrides"] == 1
        store.remove(one.id, at=NOW, by="joe")
        service.model_in_use.refresh()
        assert service.predict(ROW)["predictions"] == [by_model]


def test_the_service_stops_at_the_end_of_an_override_between_two_checks(place, store):
    with running(place) as service:
        (by_model,) = service.predict(ROW)["predictions"]
        one = of_row(ROW, OTHER[by_model["label"]], at=NOW - timedelta(days=100), until=NOW)
        service.model_in_use.overrides = Overrides.of("websites", [one])
        assert service.predict(ROW)["predictions"] == [by_model]


def test_overrides_that_cannot_be_read_are_a_problem_and_the_known_ones_stay(place, store, caplog):
    with running(place) as service:
        (by_model,) = service.predict(ROW)["predictions"]
        store.add([of_row(ROW, OTHER[by_model["label"]], **far())])
        service.model_in_use.refresh()
        store.path.write_bytes(b"damaged" * 1000)
        service.model_in_use.refresh()
        assert service.predict(ROW)["predictions"][0]["by"] == "override"
        assert "the overrides cannot be read" in service("GET", "/ready").json()["problem"]
        shutil.rmtree(place.storage)
        service.model_in_use.refresh()
        assert service.predict(ROW)["predictions"] == [by_model]
        assert service("GET", "/ready").json()["problem"] is None


def test_explanations_stay_those_of_the_model(place, store):
    with running(place) as service:
        (plain,) = service.predict({"rows": [ROW], "explain": True})["predictions"]
        store.add([of_row(ROW, OTHER[plain["label"]], **far())])
        service.model_in_use.refresh()
        (found,) = service.predict({"rows": [ROW], "explain": True})["predictions"]
        assert found["explanation"] == plain["explanation"]


def test_scored_rows_say_whose_label_it_is(outcome, rows):
    raw = rows.drop(columns="Result").iloc[:50].astype(object).where(lambda frame: frame.notna(), None)
    raw = pd.concat([raw, raw.iloc[[7]]], ignore_index=True)
    plain = BatchScorer(outcome.model, name="m", version="1", max_rejected=0)
    expected, _ = plain.add(raw)
    assert set(expected["label_by"]) == {"model"}
    assert expected["override"].isna().all()
    assert plain.finish().n_overridden == 0

    label = OTHER[expected["label"][7]]
    one = of_row(raw.iloc[7].to_dict(), label)
    scorer = BatchScorer(
        outcome.model, name="m", version="1", max_rejected=0, overrides=Overrides.of("websites", [one])
    )
    found, _ = scorer.add(raw)
    same = (raw[list(FEATURES)].astype("str") == raw.iloc[7][list(FEATURES)].astype("str")).all(axis=1)
    assert found["label_by"].tolist() == np.where(same, "override", "model").tolist()
    assert set(found["label"][same]) == {label}
    assert set(found["override"][same]) == {"our own"}
    untouched = ["row", "phishing_probability", "model", "model_version"]
    pd.testing.assert_frame_equal(found[untouched], expected[untouched])
    pd.testing.assert_frame_equal(found[~same], expected[~same])
    report = scorer.finish()
    assert report.n_overridden == same.sum() >= 2
    assert report.n_phishing == (found["label"] == "phishing").sum()


@pytest.fixture(scope="module")
def address_model():
    contract = Addresses()
    accepted = contract.validate(contract.make_sample(800)).accepted
    return fit_best(get_candidate("Decision Tree", "addresses"), {}, *contract.to_X_y(accepted))


def test_addresses_get_the_same_answer_in_the_service_in_batch_and_by_the_command(address_model):
    contract, urls = Addresses(), ["http://www.example.com/a", "hxxp://example[.]org/", "no address"]
    plain = check_addresses(address_model, urls)
    about = {"until": NOW.replace(year=2099)}
    set_by_hand = Overrides.of("addresses", [override("example.com", OTHER[plain[0].label], **about)])
    found = check_addresses(address_model, urls, set_by_hand)
    assert found[1:] == plain[1:]
    assert (found[0].label, found[0].by, found[0].override) == (OTHER[plain[0].label], "override", "our own")
    assert found[0].phishing_probability == plain[0].phishing_probability
    assert found[0].to_line().endswith("(set by hand until 2099-01-01: our own)")

    fast = prepare(address_model, probe_rows(contract))
    served = predict(fast, [{"url": url} for url in urls], contract=contract, overrides=set_by_hand, now=NOW)
    assert [(of["label"], of["by"]) for of in served] == [(of.label, of.by) for of in found]
    scorer = BatchScorer(address_model, name="m", version="1", max_rejected=1, contract=contract, overrides=set_by_hand)
    scored, _ = scorer.add(pd.DataFrame({"url": urls}))
    assert scored[["label", "label_by"]].values.tolist() == [[of.label, of.by] for of in found[:2]]
