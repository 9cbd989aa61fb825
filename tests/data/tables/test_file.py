import pandera.pandas as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import SHOP

from networksecurity.data.contracts import Addresses, Table, get_contract
from networksecurity.data.tables.file import parse_table
from networksecurity.exceptions import ConfigurationError


def without(line):
    return "\n".join(each for each in SHOP.splitlines() if not each.strip().startswith(line))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "it does not describe a table: it needs contract, target, positive and schema"),
        ("a: [", "it is not YAML"),
        ("a: &x 1\nb: *x", "anchors and references .* are not supported"),
        (SHOP + "colour: red", "colour is no key of a contract; known are contract, target, positive, group"),
        (without("positive"), "positive is missing"),
        (SHOP.replace("contract: shop", "contract: My Shop"), "contract, the name, must be up to 40 lower-case"),
        (SHOP.replace("contract: shop", "contract: addresses"), "a table cannot be called addresses"),
        (SHOP.replace("target: status", "target: state"), "the target 'state' is not among the columns of the schema"),
        (SHOP.replace("[phishing, legitimate]", "[phishing]"), r"needs two values \(isin\): there are 1 \(phishing\)"),
        (SHOP.replace("[phishing, legitimate]", "[phishing, spam, good]"), "there are 3 .phishing, spam, good."),
        (SHOP.replace("[phishing, legitimate]", "[phishing, PHISHING]"), "there are 2 .phishing, PHISHING."),
        (
            SHOP.replace("[phishing, legitimate]", "[phishing, PHISHING, good]"),
            "there are 3 .phishing, PHISHING, good.",
        ),
        (SHOP.replace(", isin: [phishing, legitimate]", ""), "needs two values .isin.: there are none"),
        (SHOP.replace("positive: phishing", "positive: bad"), "positive is 'bad', and the target status is phishing"),
        (SHOP.replace("group: domain", "group: status"), "the target 'status' is also among the group"),
        (SHOP.replace("keys: [url]", "keys: [tld]"), "tld: a key is not given to a model"),
        (SHOP.replace("  length: [url length]", "  size: [url length]"), "aliases: size is no column of the table"),
        (SHOP.replace("[url length]", "[Depth]"), "'Depth' is the name of two columns: depth, length"),
        (SHOP.replace("length: [url length]", "depth: [Length]"), "'Length' is the name of two columns: length, depth"),
        (SHOP.replace("min_value: 0, max_value: 200", "min_value: 9, max_value: 2"), "Pandera cannot read the schema"),
        (SHOP.replace("in_range", "in_rage"), "column length: in_rage is not supported; checks are isin, notin"),
        (SHOP.replace("dtype: int64", "dtype: 'datetime64[ns]'"), "depth: datetime64.ns. is neither a number nor text"),
        (
            SHOP.replace("int64, nullable", "int64, str_length: {max_value: 3}, nullable"),
            "str_length is no check of num",
        ),
        (SHOP.replace("isin: [test, example]", "greater_than: 3"), "column tld: greater_than is no check of text"),
        (SHOP.replace("isin: [test, example]", "isin: [1, 2]"), "column tld: words are needed in 'one of 1, 2'"),
        (SHOP.replace("isin: [test, example]", "isin: []"), "column tld: words are needed in 'one of '"),
        (
            SHOP.replace("int64, nullable", "int64, isin: [a, 2], nullable"),
            "depth: numbers are needed in 'one of a, 2'",
        ),
        (
            SHOP.replace("int64, nullable", "int64, less_than: .inf, nullable"),
            "depth: numbers are needed in 'less than inf",
        ),
        (SHOP.replace("int64, nullable", "int64, isin: [1.5], nullable"), "depth: no number is one of 1.5"),
        (
            SHOP.replace("int64, nullable", "int64, greater_than: 5, less_than: 3, nullable"),
            "column depth: no number is greater than 5 and less than 3",
        ),
        (SHOP.replace("dtype: int64", "dtype: inf64"), "Pandera cannot read the schema"),
        (SHOP.replace("depth: {dtype: int64, nullable: true}", "depth: 3"), "column depth: a dtype is needed"),
        (SHOP.replace("depth:", "'  ':"), "'  ' is not the name of a column: put it in quotes"),
        (SHOP.replace("depth:", f"? {'x' * 201}\n    :"), "'x{40}' is not the name of a column: put it in quotes"),
        (SHOP.replace("schema_type: dataframe", "checks: {}"), "schema: checks is not supported"),
        (SHOP.split("  columns")[0], "schema.columns is missing"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_in_a_line(document, message):
    with pytest.raises(ConfigurationError, match=message) as refused:
        parse_table(document)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "checks",
    [
        "in_range: {min_value: 0.2, max_value: 1.5}",
        "greater_than: 0, less_than: 1.5",
        "isin: [-1, 0, 1], notin: [0]",
        "less_than_or_equal_to: -2",
    ],
)
def test_checks_that_some_number_passes_contradict_nothing(checks):
    assert parse_table(SHOP.replace("int64, nullable", f"int64, {checks}, nullable")).features["depth"].checks


def test_a_file_that_is_too_large_wrong_or_not_there_is_refused(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_text("#" * 1_000_001)
    with pytest.raises(ConfigurationError, match="is larger than 1,000,000 bytes"):
        get_contract(str(large))
    large.write_text("a: [")
    with pytest.raises(ConfigurationError, match=r"^/.*large\.yaml: it is not YAML"):
        get_contract(str(large))
    with pytest.raises(ConfigurationError, match=r"there is no file .*none\.yml"):
        get_contract(str(tmp_path / "none.yml"))


def test_comments_order_and_descriptions_make_no_other_contract():
    described = Table.parse(SHOP.replace("characters of the address", "its length"))
    assert Table.parse(f"# mine\n{SHOP}") == Table.parse(SHOP) != described
    assert described.sha256 == Table.parse(SHOP).sha256
    assert Table.parse(SHOP.replace("200", "201")).sha256 != described.sha256


def test_letters_of_any_language_are_kept_as_they_are_written():
    assert "Länge der Adresse" in Table.parse(SHOP.replace("characters of the address", "Länge der Adresse")).text


def test_a_document_that_was_written_by_pandera_is_read():
    schema = Table.parse(SHOP).schema.remove_columns(["domain", "status"])
    written = yaml.safe_load(schema.add_columns({"status": pa.Column(str, pa.Check.isin(["phishing", "x"]))}).to_yaml())
    about = {"contract": "shop", "target": "status", "positive": "phishing"}
    contract = Table.parse(yaml.safe_dump({**about, "schema": written}, sort_keys=False))
    assert contract.columns == ("length", "depth", "tld", "title")
    assert contract.text_columns == {"tld", "title"}


def test_a_contract_says_what_it_is():
    contract = Table.parse(SHOP)
    assert (contract.name, contract.target, contract.group, contract.candidates) == (
        "shop",
        "status",
        "domain",
        "categories",
    )
    assert [(column.name, column.kind) for column in contract.stored] == [
        ("length", "number"),
        ("depth", "number"),
        ("tld", "category"),
        ("title", "category"),
        ("domain", "text"),
        ("status", "category"),
    ]
    assert contract.to_label(phishing=True) == "phishing"
    with pytest.raises(ConfigurationError, match="the file of shop says that status = phishing is phishing"):
        contract.with_positive("bad")
    with pytest.raises(ConfigurationError, match="shop has no built-in sample: give its rows"):
        contract.make_sample(10)
    assert contract != Addresses()


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda of: st.lists(of) | st.dictionaries(st.text(max_size=5), of),
    )
)
def test_whatever_a_schema_holds_it_is_read_or_refused_in_a_line(found):
    columns = {"status": {"dtype": "str", "isin": ["phishing", "x"]}, "a": found}
    content = {**yaml.safe_load(SHOP), "group": [], "keys": [], "aliases": {}, "schema": {"columns": columns}}
    try:
        found = Table.parse(yaml.safe_dump(content)).columns
    except ConfigurationError as exc:
        found = str(exc)
    assert "\n" not in found
