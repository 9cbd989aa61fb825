import pytest
from made_tables import SHOP, integers, mixed

from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import CONTRACTS, Table
from networksecurity.data.look_alikes import look_alike
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import DataValidationError

WEBSITES = make_phishing_websites(100, random_state=0)
ADDRESSES = make_addresses(100)


def refused(contract, rows, **options):
    """Return the message with which a contract refuses rows."""
    with pytest.raises(DataValidationError) as caught:
        contract.validation(**options).add(rows)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("asked", "rows", "found"),
    [
        (CONTRACTS["websites"], ADDRESSES, "addresses"),
        (CONTRACTS["websites"], mixed(50), "addresses"),
        (CONTRACTS["addresses"], WEBSITES, "websites"),
        (Table.parse(SHOP), WEBSITES, "websites"),
        (Table.parse(SHOP), ADDRESSES, "addresses"),
    ],
)
def test_rows_of_another_contract_are_refused_with_its_name(asked, rows, found):
    assert refused(asked, rows).endswith(f". This looks like `{found}`: --contract {found}")


def test_rows_without_a_label_are_recognised_where_none_is_needed():
    features = WEBSITES.drop(columns="Result")
    assert "This looks like" not in refused(CONTRACTS["addresses"], features)
    assert refused(CONTRACTS["addresses"], features, with_target=False).endswith("--contract websites")
    urls = ADDRESSES[["url"]].rename(columns={"url": "URL"})
    assert look_alike(urls, instead_of="shop", with_target=False).endswith("--contract addresses")


def test_a_column_that_is_only_called_after_addresses_is_not_taken_for_one():
    numbers = integers(50).assign(domain=7, status="bad")
    titles = numbers.assign(domain="Sign in", link=None)
    for rows in (numbers, titles):
        assert "This looks like" not in refused(Table.parse(SHOP), rows)
    assert refused(Table.parse(SHOP), titles.assign(link="a.example/b")).endswith("--contract addresses")


def test_nothing_is_said_of_rows_that_no_contract_fits_or_that_lack_little():
    assert "This looks like" not in refused(CONTRACTS["addresses"], integers(50))
    lacking = WEBSITES.drop(columns="port").assign(url="http://a.example/", label="phishing")
    assert "This looks like" not in refused(CONTRACTS["websites"], lacking)
