import pandas as pd
import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from networksecurity.data.addresses.rows import AddressRows, AddressValidation, hashed
from networksecurity.data.contracts import Addresses, get_contract
from networksecurity.data.splitting import assign_folds, split
from networksecurity.exceptions import ConfigurationError, DataValidationError

ROWS = pd.DataFrame(
    {
        "URL": ["http://a.test/1", "http://a.test/2", "hxxp://b[.]example/x", "https://c.example/"],
        "Status": ["phishing", "BAD", "Legitimate", "benign"],
        "id": [1, 2, 3, 4],
    }
)


def test_columns_and_labels_are_read_under_the_names_in_use():
    found = Addresses().validate(ROWS)
    assert found.accepted.to_dict("list") == {
        "url": ["http://a.test/1", "http://a.test/2", "http://b.example/x", "https://c.example/"],
        "domain": ["a.test", "a.test", "b.example", "c.example"],
        "label": [1, 1, 0, 0],
    }
    assert found.report.renamed_columns == {"URL": "url", "Status": "label"}
    assert (found.report.dropped_columns, found.report.n_refanged) == (["id"], 1)
    AddressRows.validate(found.accepted)


@pytest.mark.parametrize(("positive", "expected"), [("1", [1, 0]), ("0", [0, 1]), ("1.0", [1, 0])])
@pytest.mark.parametrize("labels", [[1, 0], ["1", "0"], [1.0, 0.0], [" 1 ", "0.0"]])
def test_numbers_mean_what_the_user_says(labels, positive, expected):
    rows = pd.DataFrame({"url": ["a.test", "b.test"], "label": labels})
    assert Addresses(positive=positive).validate(rows).accepted["label"].tolist() == expected


def test_numbers_are_not_guessed():
    rows = pd.DataFrame({"url": ["a.test", "b.test"], "label": [1, 0]})
    with pytest.raises(DataValidationError, match="2 times label: neither phishing nor legitimate.*--positive VALUE"):
        Addresses().validate(rows)


def test_a_third_value_of_the_label_is_refused():
    rows = pd.DataFrame({"url": ["a.test", "b.test", "c.test"], "label": ["x", "y", "z"]})
    with pytest.raises(DataValidationError, match="besides 'x', which means phishing, .* several values .'y', 'z'."):
        Addresses(positive="x").validate(rows)


def test_rows_that_are_not_valid_are_set_aside_with_their_original_values_and_a_reason():
    rows = pd.DataFrame(
        {"link": ["ftp://a.test", None, "c.test", "d.test", "e.test"], "type": ["bad", "bad", "good", "what", None]},
        index=[3, 5, 7, 9, 11],
    )
    accepted, rejected = AddressValidation().add(rows)
    assert accepted.index.tolist() == [7]
    assert rejected["reasons"].to_dict() == {
        3: "url: the scheme is not http or https",
        5: "url: it is missing",
        9: "label: neither phishing nor legitimate",
        11: "label: it is missing",
    }
    assert rejected["url"].tolist()[0] == "ftp://a.test"
    assert list(rejected) == ["url", "label", "reasons"]


def test_duplicates_and_conflicts_are_counted_over_all_batches():
    validation = AddressValidation()
    validation.add(pd.DataFrame({"url": ["http://a.test", "b.test"], "label": ["bad", "good"]}))
    validation.add(pd.DataFrame({"url": ["HTTP://A.test/", "b.test"], "label": ["good", "good"]}))
    report = validation.finish()
    assert (report.n_rows, report.n_duplicates, report.n_conflicts) == (4, 2, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"url": [], "label": []}, "there are no rows"),
        (
            {"url": ["a.test"], "label": ["bad"]},
            "both classes are needed to learn from: all 1 rows have label = phishing",
        ),
        ({"text": ["a.test"], "label": ["bad"]}, "no column is called url, .* there are text, label"),
        ({"url": ["a.test"], "y": ["bad"]}, "no column is called label, .* there are url, y"),
        (
            {"link": ["a.test"], "domain": ["a.test"], "label": ["bad"]},
            "several columns could be the url: link, domain",
        ),
        ({"url": ["?", "a.test"], "label": ["bad", "good"]}, r"1 of 2 rows .50.0%.*1 times url: .*such as '\?'"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused_in_one_line(rows, message):
    with pytest.raises(DataValidationError, match=message) as refusal:
        Addresses().validate(pd.DataFrame(rows))
    assert "\n" not in str(refusal.value)


def test_the_column_called_url_wins_over_others_that_could_be_it():
    rows = pd.DataFrame({"domain": ["x.test"] * 2, "url": ["a.test", "b.test"], "label": ["bad", "good"]})
    assert Addresses().validate(rows).accepted["domain"].tolist() == ["a.test", "b.test"]


def test_addresses_of_one_domain_are_on_one_side_and_in_one_fold():
    contract = Addresses()
    rows = contract.validate(contract.make_sample(3_000)).accepted
    sides = split(rows, contract=contract)
    assert not set(sides.train["domain"]) & set(sides.test["domain"])
    assert sides.report.shared_vectors == 0
    folds = assign_folds(sides.train, contract=contract)
    assert (sides.train["domain"].groupby(folds).nunique().sum()) == sides.train["domain"].nunique()


# As from `printf a.test | b2sum -l 64`.
def test_a_group_is_the_same_number_in_every_process():
    assert hashed(pd.Series(["a.test", "b.test", "a.test"])).tolist() == [
        11398631284297033239,
        1735246329789658636,
        11398631284297033239,
    ]


@fuzzed()
@given(st.lists(st.one_of(st.text(), st.none(), st.integers(), st.floats()), min_size=1, max_size=5))
def test_whatever_stands_in_a_cell_is_accepted_or_rejected(cells):
    accepted, rejected = AddressValidation(with_target=False).add(pd.DataFrame({"url": pd.Series(cells, dtype=object)}))
    assert len(accepted) + len(rejected) == len(cells)
    assert rejected["reasons"].str.startswith("url: ").all()


@pytest.mark.parametrize(
    ("name", "positive", "message"),
    [
        ("adresses", None, "there is no contract 'adresses'; known are websites, addresses"),
    ],
)
def test_a_contract_that_cannot_be_is_refused(name, positive, message):
    with pytest.raises(ConfigurationError, match=message):
        get_contract(name, positive)
