import pytest
import yaml
from made_tables import SHOP, shop

from networksecurity.data.contracts import WEBSITES, Addresses, Table
from networksecurity.settings import settings

INFER = ("contract", "infer", "rows.csv", "--target", "status", "--positive", "phishing")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Change to a folder with a table's rows, and the file that describes them."""
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    shop(400).to_csv("rows.csv", index=False)
    (tmp_path / "shop.yaml").write_text(SHOP)
    yield tmp_path
    settings.cache_clear()


def test_a_draft_is_written_and_accepts_the_rows(command, folder):
    code, out, _ = command(*INFER, "--group", "domain", "--output", "my table.yaml")
    assert code == 0
    assert "numbers     2: length, depth\ntext        2: tld, title\nkeys        1: url\n" in out
    assert Table.at(folder / "my table.yaml").name == "my-table"
    code, out, _ = command("contract", "check", "my table.yaml", "--source", "rows.csv")
    assert (code, out.splitlines()[-1].split(": ")[1]) == (0, "400 rows accepted, 0 rejected")


def test_without_output_the_draft_is_printed(command):
    code, out, _ = command(*INFER)
    assert (code, Table.parse(out).name) == (0, "rows")


def test_a_draft_never_overwrites_a_file(command, folder):
    code, _, err = command(*INFER, "--output", "shop.yaml")
    assert (code, err) == (1, "error: shop.yaml exists already and is not overwritten: name another file\n")
    assert (folder / "shop.yaml").read_text() == SHOP


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--output", "table.txt"), 2, "table.txt: its name must end in .yaml or .yml"),
        (("--output", "none/table.yaml"), 1, "none/table.yaml cannot be written: No such file or directory"),
        (("--group", "host"), 1, "there is no column 'host'; there are domain, url"),
    ],
)
def test_what_cannot_be_drafted_or_written_is_an_error_of_one_line(command, options, code, message):
    found, out, err = command(*INFER, *options)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_check_counts_why_rows_are_rejected(command):
    rows = shop(400)
    rows.loc[:4, "tld"] = "com"
    rows.loc[4, "length"] = -3
    rows.to_csv("rows.csv", index=False)
    code, out, _ = command("contract", "check", "shop.yaml", "--source", "rows.csv")
    assert code == 0
    assert "rows.csv: 395 rows accepted, 5 rejected" in out
    counts = [line.split() for line in out.splitlines() if " is not " in line]
    assert [(line[0], line[-1]) for line in counts] == [("tld", "5"), ("length", "1")]


def test_check_fails_where_a_training_would(command):
    shop(400).assign(tld="com").to_csv("rows.csv", index=False)
    code, out, err = command("contract", "check", "shop.yaml", "--source", "rows.csv")
    assert code == 1
    assert "0 rows accepted, 400 rejected" in out
    assert err.startswith("error: 400 of 400 rows (100.0%) are not valid")
    assert command("contract", "check", "shop.yaml")[0] == 0


def test_check_judges_rows_of_the_other_contracts_too(command):
    code, out, _ = command("contract", "check", "addresses", "--source", "sample:200")
    assert (code, out.splitlines()[-1]) == (0, "sample:200: 200 rows accepted, 0 rejected")
    assert "group       registrable domain" in out


@pytest.mark.parametrize("contract", [WEBSITES, Addresses(), Table.parse(SHOP)], ids=lambda contract: contract.name)
def test_show_prints_the_document_of_a_contract(command, contract):
    code, out, _ = command("contract", "show", "shop.yaml" if contract.name == "shop" else contract.name)
    assert (code, out) == (0, contract.document)
    assert yaml.safe_load(out)["target"] == contract.target
