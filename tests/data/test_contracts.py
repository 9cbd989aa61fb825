import numpy as np
import pandas as pd
import pytest
import yaml
from made_tables import SHOP, shop
from pandas.api.types import is_numeric_dtype

from networksecurity.data.addresses.features import ADDRESS_FEATURES
from networksecurity.data.contracts import CONTRACTS, WEBSITES, Addresses, Table, file_of, get_contract, option_of
from networksecurity.data.schema import FEATURES
from networksecurity.exceptions import ConfigurationError, DataValidationError

ADDRESSES, TABLE = Addresses(), Table.parse(SHOP)
each = pytest.mark.parametrize("contract", [WEBSITES, ADDRESSES, TABLE], ids=lambda of: of.name)


def accepted_by(contract):
    return contract.validate(shop(60) if contract == TABLE else contract.make_sample(200)).accepted


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (WEBSITES, ("Result", "feature vector", "websites", False, "30 features of a website's address, page and")),
        (ADDRESSES, ("label", "registrable domain", "addresses", True, "a website's address (URL) alone")),
        (TABLE, ("status", "domain", "categories", True, "4 columns of the table shop")),
        (
            Table.parse(SHOP.replace("group: domain", "group: [domain, tld]").replace("dtype: str", "dtype: string")),
            ("status", "domain and tld", "categories", True, "4 columns of the table shop"),
        ),
        (
            Table.parse(
                "{contract: n, target: y, positive: 1, schema: {columns: {a: {dtype: float64}, y: {dtype: int64, "
                "isin: [0, 1]}}}}"
            ),
            ("y", "feature vector", "numbers", False, "1 columns of the table n"),
        ),
    ],
)
def test_what_a_contract_says_of_itself(contract, said):
    assert (contract.target, contract.group, contract.candidates, contract.alike) == said[:4]
    assert contract.subject.startswith(said[4])
    assert all(of.endswith(".") for of in contract.limits)
    assert {*contract.feature_groups} == (
        {"address", "page", "certificate", "registration", "ended services"} if contract == WEBSITES else set()
    )
    assert contract.domains == (FEATURES if contract == WEBSITES else {})


@each
def test_a_model_is_given_the_columns_of_its_contract(contract):
    accepted = accepted_by(contract)
    X, y = contract.to_X_y(accepted)
    assert tuple(X) == contract.columns
    assert contract.text_columns == {name for name in X if not is_numeric_dtype(X[name])}
    assert y.dtype == "int8"
    assert set(y.tolist()) == {0, 1}
    assert contract.schema.validate(accepted).equals(accepted)


@each
def test_by_default_a_twentieth_of_the_rows_may_be_rejected(contract):
    rows = (shop(100) if contract == TABLE else contract.make_sample(100)).astype(object)

    def judged(n_bad):
        validation = contract.validation()
        validation.add(rows.assign(**{contract.target: rows[contract.target].mask(np.arange(100) < n_bad)}))
        return validation.finish()

    assert [judged(n_bad).n_rejected for n_bad in (0, 5)] == [0, 5]
    with pytest.raises(DataValidationError, match="6 of 100 rows"):
        judged(6)


@each
def test_stored_rows_come_back_with_their_labels(contract):
    accepted = accepted_by(contract)
    raw, names = contract.to_raw(accepted), [column.name for column in contract.stored]
    labels = [contract.to_label(phishing=bool(of)) for of in contract.to_y(accepted)]
    assert raw[names[-1]].tolist() == labels
    pd.testing.assert_frame_equal(contract.validate(raw[names]).accepted[list(accepted)], accepted)


@each
def test_drift_watches_a_target_only_where_there_is_one(contract):
    accepted, names = accepted_by(contract), [column.name for column in contract.watched]
    assert list(contract.to_watched(accepted)) == names
    assert list(contract.to_watched(accepted.drop(columns=contract.target))) == names[:-1]


def test_the_suffix_of_an_address_is_watched_and_an_ip_literal_has_none():
    rows = pd.DataFrame({"url": ["http://a.example.co.uk/", "http://10.0.0.1/"], "label": ["bad", "good"]})
    seen = ADDRESSES.to_watched(ADDRESSES.validate(rows).accepted)
    assert seen["suffix"].fillna("none").tolist() == ["co.uk", "none"]


@each
def test_the_example_of_a_row_is_valid_and_has_what_a_request_needs(contract):
    example, form = contract.example_row, contract.row_schema
    accepted, rejected = contract.validation(with_target=False).add(pd.DataFrame([example]))
    assert (len(accepted), len(rejected)) == (1, 0)
    assert list(example) == list(contract.columns) == list(form["properties"]) == form["required"]
    assert form["not"] == {"required": ["rows"]}


def test_features_are_described_in_short():
    assert TABLE.descriptions == {"length": "characters of the address"}
    assert list(WEBSITES.descriptions) == list(FEATURES)
    assert list(ADDRESSES.descriptions) == list(ADDRESS_FEATURES)
    assert all(ADDRESS_FEATURES[name].startswith(f"{of}: ") for name, of in ADDRESSES.descriptions.items())


def test_the_example_of_a_website_is_nearly_legitimate():
    example = WEBSITES.example_row
    assert sum(example[name] == max(domain) for name, domain in FEATURES.items()) == 21
    assert [name for name, value in example.items() if value is None] == ["Page_Rank"]


def test_cells_as_clients_write_them_are_read_without_a_frame():
    cells = [max(of) for of in FEATURES.values()]
    read = WEBSITES.read_cells([None, "", str(cells[2]), *cells[3:]])
    np.testing.assert_array_equal(read, [np.nan, np.nan, *cells[2:]])
    assert [WEBSITES.read_cells([odd, *cells[1:]]) for odd in (True, 7, "x", [1])] == [None] * 4
    assert ADDRESSES.read_cells(["B.example.test"]) == ["http://b.example.test/"]
    assert ADDRESSES.read_cells(["?"]) is TABLE.read_cells([1, 2, "test", "a"]) is None


def test_rows_are_of_one_group_and_equal_where_their_contract_says_so():
    rows = pd.DataFrame(
        {"url": ["a.example.test/1", "b.example.test/2", "a.example.test/1"], "label": ["bad", "good", "bad"]}
    )
    accepted = ADDRESSES.validate(rows).accepted
    assert ADDRESSES.groups(accepted).tolist() == [ADDRESSES.groups(accepted)[0]] * 3
    assert ADDRESSES.distinct(accepted).tolist() == [0, 1, 0]
    accepted = TABLE.validate(shop(60)).accepted
    assert len(set(TABLE.groups(accepted).tolist())) == accepted["domain"].nunique()
    assert len(set(TABLE.distinct(accepted).tolist())) == len(accepted[list(TABLE.columns)].drop_duplicates())


def test_a_column_is_known_by_its_names_and_read_only_if_it_is_a_feature():
    assert [WEBSITES.is_own(name) for name in ("popUpWindow", "Result", "url")] == [True, False, False]
    assert [TABLE.is_own(name) for name in ("URL_length", "status", "url")] == [True, False, False]
    assert not ADDRESSES.is_own("url")
    assert [TABLE.canonical_name(name) for name in ("Domain", "url", "colour")] == ["domain", None, None]
    assert TABLE.spellings(["URL length", "length", "x"]) == {"length": ["URL length", "length"]}
    assert ADDRESSES.spellings(["link", "url"]) == {"url": ["url"]}
    assert ADDRESSES.spellings(["link", "website"])["url"] == ["link", "website"]


def test_examples_of_addresses_are_of_different_sites_and_name_nobody():
    rows = pd.DataFrame(
        {"url": [f"http://d{i // 2}.test/{i}" for i in range(100)] + ["http://x.test/?to=a@b.test"], "label": "bad"}
    )
    rows.loc[0, "label"] = "good"
    examples = ADDRESSES.examples(ADDRESSES.validate(rows).accepted)
    assert len({of.partition("//")[2].partition("/")[0] for of in examples}) == len(examples) == 32
    everything = ADDRESSES.examples(ADDRESSES.validate(rows.iloc[[0, 2, 100]]).accepted)
    assert sorted(everything) == ["http://d0.test/0", "http://d1.test/2"]
    assert WEBSITES.examples(accepted_by(WEBSITES)) == ()


def test_rows_to_probe_a_model_are_made_from_the_sample_or_from_examples():
    for contract in CONTRACTS.values():
        assert contract.make_sample(20).equals(contract.make_sample(20, random_state=0))
        assert not contract.make_sample(20).equals(contract.make_sample(20, random_state=1))
    assert len(WEBSITES.make_probe()) == len(ADDRESSES.make_probe()) == 200
    with pytest.raises(ConfigurationError, match="no built-in sample to make rows from"):
        TABLE.make_probe()
    examples = TABLE.to_X(TABLE.validate(shop(40)).accepted).fillna({"depth": 9, "title": "Home"})
    probe = TABLE.make_probe(examples)
    assert probe.isna().sum().to_dict() == {"length": 0, "depth": 1, "tld": 0, "title": 1}
    assert sorted(probe["length"]) == sorted(examples["length"])
    assert TABLE.make_probe(examples).equals(probe)
    assert len(TABLE.make_probe(examples.head(1))) == 1


def test_a_contract_is_written_down_and_told_from_others():
    said = yaml.safe_load(WEBSITES.document)
    assert {name: said[name] for name in ("contract", "target", "group")} == {
        "contract": "websites",
        "target": "Result",
        "group": "feature vector",
    }
    assert list(said["schema"]["columns"]) == [*FEATURES, "Result"]
    content = yaml.safe_load(SHOP)
    reordered = Table.parse(yaml.safe_dump(dict(reversed(content.items())), sort_keys=False))
    assert reordered.sha256 == TABLE.sha256
    assert Table.parse(TABLE.document) == TABLE != reordered
    assert [of.sha256[:12] for of in CONTRACTS.values()] == ["bb4720570742", "76baaa6b99e3"]  # stored with each model


def test_a_contract_is_named_by_what_the_option_takes():
    assert [file_of(of) for of in (WEBSITES, ADDRESSES, TABLE)] == ["websites", "addresses", "shop.yaml"]
    assert [option_of(of) for of in (WEBSITES, ADDRESSES, TABLE)] == [
        "",
        " --contract addresses",
        " --contract shop.yaml",
    ]
    assert option_of(Table.parse(SHOP.replace("contract: shop", "contract: yard"))) == " --contract yard.yaml"
    assert get_contract("addresses") == ADDRESSES
    assert get_contract("addresses", "1").positive == get_contract("websites", "1").positive == "1"
    assert WEBSITES.with_positive(None) is WEBSITES
