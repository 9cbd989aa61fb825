import pytest
from made_tables import SHOP, shop
from reading import configured, opened

from networksecurity.data import mongodb
from networksecurity.data.contracts import Table
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET
from networksecurity.data.validation import Validation
from networksecurity.exceptions import ConfigurationError, DataValidationError


@pytest.fixture
def place(target, collection):
    """Return a collection that holds 50 rows, three of them copies of the first."""
    rows = make_phishing_websites(50, random_state=0)
    rows.iloc[[10, 20]] = rows.iloc[0].to_numpy()
    rows.loc[30, [*FEATURES]] = rows.loc[0, [*FEATURES]]
    rows.loc[30, TARGET] = -rows.loc[0, TARGET]
    with opened(target) as connection:
        connection.ingest([Validation().add(rows)], sha256="abc", source="rows.csv")
        yield connection, rows
    collection.database.drop_collection(f"{collection.name}_feedback")


def label_of(target):
    return "phishing" if target == -1 else "legitimate"


def test_a_report_waits_and_changes_no_row(place):
    connection, rows = place
    before = connection.read()
    (name,) = connection.add_feedback(rows.head(1)[[*FEATURES]], label="phishing", by="jane", comment="a shop")
    (report,) = connection.list_feedback()
    assert (report.id, report.label, report.by, report.comment, report.status) == (
        name, "phishing", "jane", "a shop", "open"
    )  # fmt: skip
    assert report.features == rows.loc[0, [*FEATURES]].to_dict()
    after = connection.read()
    assert after.frame.equals(before.frame)
    assert after.watermark == before.watermark


def test_the_same_report_again_is_the_same_report(place):
    connection, rows = place
    first = connection.add_feedback(rows.head(2)[[*FEATURES]], label="phishing", by="jane")
    assert connection.add_feedback(rows.head(2)[[*FEATURES]], label="phishing", by="jane") == first
    assert connection.add_feedback(rows.head(1)[[*FEATURES]], label="phishing", by="joe") != first[:1]
    assert len(connection.list_feedback()) == 3


def test_an_accepted_report_is_a_new_row_and_overrides_its_copies(place):
    connection, rows = place
    before = connection.read()
    right = -rows.loc[0, TARGET]
    (name,) = connection.add_feedback(rows.head(1)[[*FEATURES]], label=label_of(right), by="jane")
    done = connection.accept_feedback(name, by="boss")
    assert done.n_overridden == 3  # the first and its two copies; the fourth had this label
    new = connection.read(since=before.watermark).frame
    assert len(new) == 1
    assert new.loc[0, [*FEATURES, TARGET]].to_dict() == {**rows.loc[0, [*FEATURES]].to_dict(), TARGET: right}
    everything = connection.read().frame
    assert len(everything) == 51
    same = (everything[[*FEATURES]] == rows.loc[0, [*FEATURES]]).all(axis=1)
    assert set(everything[TARGET][same]) == {right}
    others = everything[~same].reset_index(drop=True)
    was = before.frame[~(before.frame[[*FEATURES]] == rows.loc[0, [*FEATURES]]).all(axis=1)].reset_index(drop=True)
    assert others.equals(was)
    kept = connection.beside().find_one({"_id.file": "abc", "_id.row": 0})["corrected"]
    assert kept == {"feedback": name, "was": -right}


def test_accepting_again_changes_nothing_more(place):
    connection, rows = place
    (name,) = connection.add_feedback(rows.head(1)[[*FEATURES]], label="phishing", by="jane")
    connection.accept_feedback(name, by="boss")
    everything = connection.read().frame
    assert connection.accept_feedback(name, by="boss").n_overridden == 0
    assert connection.read().frame.equals(everything)
    (report,) = connection.list_feedback("accepted")
    assert report.decided_by == "boss"


def test_a_later_report_overrides_an_earlier_one(place):
    connection, rows = place
    for label in ("phishing", "legitimate"):
        (name,) = connection.add_feedback(rows.head(1)[[*FEATURES]], label=label, by="jane")
        connection.accept_feedback(name, by="boss")
    everything = connection.read().frame
    same = (everything[[*FEATURES]] == rows.loc[0, [*FEATURES]]).all(axis=1)
    assert set(everything[TARGET][same]) == {1}
    assert same.sum() == 6


def test_a_rejected_report_changes_no_row_and_stays_rejected(place):
    connection, rows = place
    before = connection.read().frame
    (name,) = connection.add_feedback(rows.head(1)[[*FEATURES]], label="phishing", by="jane")
    assert connection.reject_feedback(name, by="boss").status == "rejected"
    with pytest.raises(ConfigurationError, match=f"feedback {name} is rejected already, by boss"):
        connection.accept_feedback(name, by="boss")
    assert connection.read().frame.equals(before)
    assert connection.list_feedback("open") == []


def test_a_report_with_a_missing_value_finds_its_row(place):
    connection, rows = place
    gaps = rows.head(1).astype("Int8")
    gaps["SFH"] = None
    connection.ingest([Validation().add(gaps)], sha256="gaps", source="gaps.csv")
    right = label_of(-rows.loc[0, TARGET])
    (name,) = connection.add_feedback(gaps[[*FEATURES]], label=right, by="jane")
    assert connection.list_feedback()[0].features["SFH"] is None
    assert connection.accept_feedback(name, by="boss").n_overridden == 1


def test_an_accepted_report_about_a_row_of_a_table_keeps_its_group(target):
    table = Table.parse(SHOP)
    rows = shop(50)
    with mongodb.open(mongodb.parse_target(target, configured(), table)) as connection:
        connection.ingest([table.validation().add(rows)], sha256="abc", source="rows.csv")
        other = {"phishing": "legitimate", "legitimate": "phishing"}[rows.loc[0, "status"]]
        (name,) = connection.add_feedback(rows.head(1), label=other, by="jane")
        assert connection.accept_feedback(name, by="boss").n_overridden == 1
        new = connection.read(since=1).frame
        assert new[["domain", "status"]].to_numpy().tolist() == [[rows.loc[0, "domain"], other]]
        connection.beside("_feedback").drop()


def test_an_unknown_report_is_one_line(place):
    connection, _ = place
    with pytest.raises(ConfigurationError, match="there is no feedback nothing"):
        connection.accept_feedback("nothing", by="boss")


@pytest.mark.parametrize(("by", "comment"), [("", ""), (" ", ""), ("x" * 101, ""), ("jane", "x" * 1_001)])
def test_a_report_says_who_and_is_short(place, by, comment):
    connection, rows = place
    with pytest.raises(DataValidationError, match="the name of who makes it"):
        connection.add_feedback(rows.head(1), label="phishing", by=by, comment=comment)


def test_a_report_about_a_row_that_is_not_valid_is_refused_as_a_whole(place):
    connection, rows = place
    bad = rows.head(2).astype(object)
    bad.loc[1, "SFH"] = 7
    with pytest.raises(DataValidationError, match="1 of 2 rows are not valid: row 1: SFH is not one of -1, 0, 1"):
        connection.add_feedback(bad, label="phishing", by="jane")
    assert connection.list_feedback() == []
