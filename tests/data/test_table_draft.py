import numpy as np
import pandas as pd
import pytest
import yaml
from made_tables import integers, mixed, shop, words

from networksecurity.data.contracts import Table
from networksecurity.data.table_draft import draft_table, table_name
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
    assert "# group: [COLUMN]" in draft


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
    assert line_of(drafted(rows), "depth") == "depth: {dtype: float64, nullable: true}  # from 1 to 2.5; 50 missing"
