import re

import numpy as np
import pandas as pd
import pytest
import yaml
from made_tables import integers, mixed, shop, words

from networksecurity.data.contracts import Table
from networksecurity.data.tables.draft import draft_table, draw_rows, table_name
from networksecurity.exceptions import ConfigurationError


def drafted(rows, **options):
    options = {"name": "shop", "target": "status", "positive": "phishing"} | options
    return draft_table(rows, **options)


def line_of(draft, column):
    """Return what the draft says of a column."""
    return next(line.strip() for line in draft.splitlines() if line.lstrip(" -").startswith(column))


@pytest.mark.parametrize(
    ("rows", "options", "n_columns", "texts", "keys"),
    [
        (shop(1_000), {"group": ["domain"]}, 4, {"tld", "title"}, ("url",)),
        (integers(1_000), {"target": "phishing", "positive": "1"}, 110, set(), ("tls_ssl_certificate",)),
        (
            mixed(1_000),
            {"target": "label", "positive": "0", "group": ["Domain"]},
            49,
            {"TLD"},
            ("FILENAME", "URL", "Title"),
        ),
        (words(1_000), {}, 87, set(), ("url",)),
    ],
    ids=["shop", "integers", "mixed", "words"],
)
def test_a_draft_accepts_the_rows_that_it_was_made_from(rows, options, n_columns, texts, keys):
    contract = Table.parse(drafted(rows, **options))
    validated = contract.validate(rows, max_rejected=0)
    assert len(validated.accepted) == len(rows)
    assert (len(contract.columns), contract.text_columns, contract.table.keys) == (n_columns, texts, keys)
    is_phishing = rows[contract.target].astype("str") == contract.to_label(phishing=True)
    assert contract.to_y(validated.accepted).tolist() == is_phishing.astype(int).tolist()
    X = contract.to_X(validated.accepted)
    assert all(X[name].dtype == "float64" for name in set(contract.columns) - texts)


def test_a_draft_says_why_a_column_is_not_given_to_a_model():
    rows = shop(100).assign(number=np.arange(5, 105), Index=np.arange(0, 700, 7), empty=None, fixed=7, one="x")
    draft = drafted(rows)
    assert line_of(draft, "number") == "- number  # a row number: a whole number of its own in every row"
    assert line_of(draft, "Index") == "- Index  # a row number: a whole number of its own in every row"
    assert line_of(draft, "empty") == "- empty  # no row has a value"
    assert line_of(draft, "fixed") == "- fixed  # 7 in every row"
    assert line_of(draft, "one") == "- one  # x in every row"
    assert line_of(draft, "url") == "- url  # text, 100 different in 100 rows"
    assert "# group: [domain]  # advised, for it holds hosts" in draft
    advised = Table.parse(draft.replace("# group", "group"))
    assert (advised.group, advised.canonical_name("domain"), "domain" in advised.table.keys) == (
        "domain",
        "domain",
        False,
    )
    assert "# group: [COLUMN]" in drafted(rows.drop(columns="domain"))
    assert "# group: [COLUMN]" in drafted(rows.assign(domain="no host"))


def test_the_checks_that_a_draft_proposes_accept_its_rows_and_no_others():
    rows = shop(300).assign(share=np.linspace(1e-5, 0.125, 300))
    lines = drafted(rows, group=["domain"]).splitlines()
    assert "    tld: {dtype: str}  # isin: [test, example]" in lines
    assert "    share: {dtype: float64}  # in_range: {min_value: 1.0e-05, max_value: 0.125}" in lines
    checked = [re.sub(r"^(    .*)\}  # (\w+: [\[{].*?[\]}]).*$", r"\1, \2}", line) for line in lines]
    contract = Table.parse("\n".join(checked))
    assert [len(contract.table.features[name].checks) for name in ("length", "tld", "share")] == [1, 1, 1]
    assert len(contract.validate(rows, max_rejected=0).accepted) == 300
    wrong = rows.head(2).assign(tld=["com", "test"], share=[0.1, 0.126])
    _, rejected = contract.validation().add(wrong)
    assert rejected["reasons"].tolist() == ["tld is not one of test, example", "share is not from 1e-05 to 0.125"]


def test_a_large_source_is_drafted_from_rows_drawn_of_all_of_it():
    rows = shop(3_000).sort_values("status").assign(number=np.arange(3_000))
    drawn, n_rows = draw_rows((rows[start : start + 700] for start in range(0, 3_000, 700)), most=900)
    assert (len(drawn), n_rows, drawn.index.is_unique) == (900, 3_000, True)
    assert 0.3 < (drawn["status"] == "phishing").mean() < 0.7
    draft = drafted(drawn, n_rows=n_rows)
    assert draft.startswith("# A first draft, made from 900 rows, drawn at random from 3,000.")
    assert line_of(draft, "number") == "- number  # a row number: a whole number of its own in every row"
    small, n_rows = draw_rows([rows[:400], rows[400:800]], most=900)
    pd.testing.assert_frame_equal(small, rows[:800])


def test_missing_cells_are_allowed_where_there_are_any():
    rows = shop(200)
    columns = yaml.safe_load(drafted(rows))["schema"]["columns"]
    allowed = {name for name, column in columns.items() if column.get("nullable")}
    assert allowed == {name for name in columns if rows[name].isna().any()} == {"depth", "title"}


def test_the_only_negative_number_is_asked_about():
    draft = drafted(integers(500), target="phishing", positive="1")
    assert "# missing: [-1]  # the only negative number of qty_0, qty_3, qty_6" in draft
    told = Table.parse(draft.replace("# missing: [-1]", "missing: [-1]"))
    assert told.table.missing == {"-1"}
    assert told.validate(integers(500), max_rejected=0).accepted["qty_0"].isna().any()
    signs = integers(500).assign(sign=np.resize([-1, 0, 1], 500))[["sign", "phishing"]]
    assert "missing" not in drafted(signs, target="phishing", positive="1")


def test_a_few_cells_that_are_no_numbers_are_rejected_and_said():
    rows = shop(100).astype({"length": object})
    rows.loc[[3, 4], "length"] = "long"
    draft = drafted(rows)
    assert line_of(draft, "length").endswith("2 rejected, no numbers: long")
    assert Table.parse(draft).validate(rows).report.rejections == {"length is not a number": 2}
    rows.loc[:19, "length"] = "long"
    assert "length" in Table.parse(drafted(rows)).table.keys


def test_names_and_words_that_mean_something_in_yaml_are_read_as_they_are():
    rows = shop(100).rename(columns={"tld": "no", "length": "a: b # c", "depth": "'1, {2}'"})
    rows["no"] = np.resize(["true", "[x", "#\x07\nwhat"], 100)
    rows["status"] = rows["status"].map({"phishing": "yes", "legitimate": "no"})
    contract = Table.parse(drafted(rows, positive="Yes"))
    assert set(contract.columns) == {"no", "a: b # c", "'1, {2}'", "title"}
    assert contract.to_label(phishing=True) == "yes"
    assert len(contract.validate(rows, max_rejected=0).accepted) == 100


def test_columns_are_found_however_they_are_spelled_and_labels_too():
    rows = shop(100)
    rows.loc[:2, "status"] = rows.loc[:2, "status"].str.title()
    contract = Table.parse(drafted(rows, target="Status", positive="PHISHING", group=["DOMAIN"]))
    assert (contract.target, contract.group) == ("status", "domain")
    assert len(contract.validate(rows, max_rejected=0).accepted) == 100


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: rows, {"target": "state"}, "there is no column 'state'; there are domain, url, length"),
        (lambda rows: rows, {"group": ["host"]}, "there is no column 'host'"),
        (lambda rows: rows, {"group": ["status"]}, "the target 'status' is also the group"),
        (lambda rows: rows, {"positive": "bad"}, "no row has status = bad: its values are "),
        (lambda rows: rows.assign(status="phishing"), {}, r"needs two values: there are 1 \(phishing\)$"),
        (lambda rows: rows.assign(status=None), {}, "needs two values: there are none$"),
        (lambda rows: rows, {"target": "title", "positive": "Shop"}, r"needs two values: there are 3 \("),
        (lambda rows: rows, {"target": "url"}, r"there are 60 \(http.* and 52 more\)$"),
        (lambda rows: rows.assign(Status_="x"), {}, "'status' and 'Status_' have the same name"),
        (lambda rows: pd.concat([rows, rows[["url"]]], axis=1), {}, "'url' and 'url' have the same name"),
        (lambda rows: rows.head(0), {}, "there are no rows"),
        (lambda rows: rows[["url", "status"]], {}, r"no column is left to learn from: url \(text, 60"),
        (lambda rows: rows[["status"]], {}, "no column is left to learn from: there is no other"),
        (lambda rows: rows.rename(columns={"tld": "a\x07"}), {}, "is not the name of a column|special characters"),
    ],
)
def test_rows_that_no_contract_can_be_drafted_from_are_refused_in_a_line(change, options, message):
    with pytest.raises(ConfigurationError, match=message) as refused:
        drafted(change(shop(60)), **options)
    assert "\n" not in str(refused.value)


def test_of_long_labels_200_characters_are_quoted():
    rows = shop(60).assign(status=[letter * 3_000 for letter in "abcdef" * 10])
    with pytest.raises(ConfigurationError, match="there are 6") as refused:
        drafted(rows)
    assert len(str(refused.value)) < 260


@pytest.mark.parametrize("stem", ["rows", "Ünder wöod", "", "addresses", "9", "x" * 100, "..-"])
def test_a_table_is_named_so_that_its_contract_can_be_read(stem):
    assert Table.parse(drafted(shop(60), name=table_name(stem))).name == table_name(stem)


def test_numbers_that_are_text_are_numbers():
    rows = shop(100).assign(depth=pd.Series([" 1 ", "2.5", "NA", "?"] * 25))
    assert (
        line_of(drafted(rows), "depth")
        == "depth: {dtype: float64, nullable: true}  # in_range: {min_value: 1.0, max_value: 2.5}; 50 missing"
    )
