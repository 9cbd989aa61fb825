import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import SHOP, shop

from networksecurity.data.contracts import Table
from networksecurity.data.splitting import assign_folds, split
from networksecurity.exceptions import DataValidationError

CONTRACT = Table.parse(SHOP)


def judged(changes, contract=CONTRACT, **how):
    validation = contract.validation(max_rejected=1, **how)
    return validation.add(shop(6).astype(object).assign(**changes))


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("length", "long", "length is not a number"),
        ("length", np.inf, "length is not a number"),
        ("length", "", "length is missing"),
        ("length", 201, "length is not from 0 to 200"),
        ("depth", 1.5, "depth is not a whole number"),
        ("depth", "conflict: depth 1, Depth 2", "depth is spelled in two ways that differ"),
        ("tld", "com", "tld is not one of test, example"),
        ("tld", None, "tld is missing"),
        ("domain", None, "domain is missing"),
        ("status", "?", "status is missing"),
        ("status", "spam", "status is not one of phishing, legitimate"),
    ],
)
def test_a_row_with_a_bad_cell_is_rejected_with_its_reason(column, cell, reason):
    cells = shop(6)[column].astype(object)
    cells.iloc[2] = cell
    accepted, rejected = judged({column: cells})
    assert rejected["reasons"].to_dict() == {2: reason}
    assert len(accepted) == 5


def test_a_row_has_all_its_reasons_and_its_original_values():
    changes = {"length": ["x", *shop(6)["length"][1:]], "tld": ["com", *shop(6)["tld"][1:]]}
    _, rejected = judged(changes)
    assert rejected[["length", "tld", "reasons"]].values.tolist() == [
        ["x", "com", "length is not a number; tld is not one of test, example"]
    ]


def test_values_are_read_as_they_are_written():
    cells = {"length": [" 7 ", "1e2", 3, 4.0, "5", "6"], "depth": ["na", "?", None, "", "3.0", 4]}
    accepted, _ = judged(cells | {"title": [1.0, "1", " a ", None, "none", "b"]})
    assert accepted["length"].tolist() == [7, 100, 3, 4, 5, 6]
    assert accepted["depth"].isna().tolist() == [True] * 4 + [False] * 2
    assert accepted["title"].fillna("-").tolist() == ["1", "1", "a", "-", "-", "b"]
    assert accepted["status"].dtype == "int8"


def test_what_stands_for_a_missing_value_is_the_files_to_say():
    contract = Table.parse(SHOP.replace("keys: [url]", "missing: [-1, unknown]"))
    accepted, rejected = judged(
        {"depth": [-1, "-1.0", 2, 3, 4, 5], "title": ["unknown", *["a"] * 5], "length": [-1, *[1] * 5]}, contract
    )
    assert rejected["reasons"].tolist() == ["length is missing"]
    assert accepted["depth"].isna().tolist() == [True] + [False] * 4


def test_columns_are_known_by_any_of_their_names_and_others_are_left_out():
    validation = CONTRACT.validation()
    validation.add(shop(40).rename(columns={"length": "URL_Length", "tld": "TLD"}).assign(extra=1))
    report = validation.finish()
    assert report.renamed_columns == {"URL_Length": "length", "TLD": "tld"}
    assert report.dropped_columns == ["url", "extra"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            shop(5).drop(columns=["length", "tld"]),
            "not rows of shop: 2 of its 6 columns are missing .length, tld.; there",
        ),
        (shop(5).rename(columns={"tld": "Depth"}), "columns is missing .tld."),
        (
            shop(5).drop(columns="length").assign(**{"url length": 1, "urllength": 2}),
            "url length and urllength are both length: keep one of them",
        ),
    ],
)
def test_rows_of_other_columns_are_refused(frame, message):
    with pytest.raises(DataValidationError, match=message):
        CONTRACT.validate(frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (shop(0), "there are no rows"),
        (shop(5).assign(status="phishing"), "all 5 rows have status = phishing"),
        (shop(5).assign(length="x"), r"5 of 5 rows .* 5 times length is not a number, such as 'x'"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(frame, message):
    with pytest.raises(DataValidationError, match=message):
        CONTRACT.validate(frame)


def test_groups_are_the_columns_of_the_file_or_equal_rows():
    rows = CONTRACT.validate(shop(400)).accepted
    sides = split(rows, contract=CONTRACT)
    assert not set(sides.train["domain"]) & set(sides.test["domain"])
    folds = assign_folds(sides.train, contract=CONTRACT)
    assert (sides.train.assign(fold=folds).groupby("domain")["fold"].nunique() == 1).all()
    equal = Table.parse(SHOP.replace("group: domain\n", ""))
    rows = equal.validate(pd.concat([shop(400)] * 2, ignore_index=True)).accepted
    codes = equal.groups(rows)
    assert (codes[:400] == codes[400:]).all()
    assert equal.group == "feature vector"


def test_a_group_has_the_same_number_in_every_process():
    assert CONTRACT.groups(pd.DataFrame({"domain": ["a.example", "b.example"]})).tolist() == [
        12450965776702489419,
        3543930641222625881,
    ]


def test_stored_rows_are_valid_again():
    rows = CONTRACT.validate(shop(100)).accepted
    pd.testing.assert_frame_equal(CONTRACT.validate(CONTRACT.to_raw(rows)).accepted, rows)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.text(), st.none(), st.integers(), st.floats(), st.booleans()), min_size=1, max_size=5))
def test_whatever_stands_in_a_cell_is_accepted_or_rejected(cells):
    rows = pd.DataFrame({"length": 1.0, "depth": 1.0, "tld": "test", "title": "a"}, index=range(len(cells)))
    for name in rows:
        frame = rows.assign(**{name: pd.Series(cells, dtype=object)})
        accepted, rejected = CONTRACT.validation(with_target=False).add(frame)
        assert len(accepted) + len(rejected) == len(cells)
        assert rejected["reasons"].str.startswith(name).all()
