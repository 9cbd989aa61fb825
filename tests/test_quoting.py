"""A message quotes at most 200 characters of anybody's data, and 100 of an option."""

import json

import pandas as pd
import pytest
from formats import to_arff, to_parquet, to_xlsx, to_zip
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from made_tables import SHOP, shop
from reading import configured

from networksecurity.data import mongodb, sources
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import Addresses, Table, Websites, get_contract
from networksecurity.data.labels import Recoding
from networksecurity.data.mongodb.reading import parse_since
from networksecurity.data.overrides.override import parse_until
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.tables.draft import draft_table
from networksecurity.data.tables.file import parse_table
from networksecurity.exceptions import MOST_QUOTED, MOST_QUOTED_OF_AN_OPTION, NetworkSecurityException
from networksecurity.prediction.rows import predict
from networksecurity.training.candidates import get_candidate

LONG = "¤" * 3_000
TABLE = Table.parse(SHOP)
CONTRACTS = {
    "websites": (Websites(), make_phishing_websites(20).astype("str")),
    "websites, positive": (Websites(positive="1"), make_phishing_websites(20).astype("str")),
    "addresses": (Addresses(), make_addresses(20)),
    "a table": (TABLE, shop(20).astype("str")),
}
WRITERS = {
    ".csv": lambda frame: frame.to_csv(index=False).encode(),
    ".tsv": lambda frame: frame.to_csv(index=False, sep="\t").encode(),
    ".json": lambda frame: frame.to_json(orient="records").encode(),
    ".arff": lambda frame: to_arff(frame.map(lambda cell: json.dumps(str(cell), ensure_ascii=False))),
    ".xlsx": lambda frame: to_xlsx([list(frame), *frame.to_numpy().tolist()]),
    ".parquet": to_parquet,
    ".zip": lambda frame: to_zip(**{f"{LONG}__csv": frame.to_csv(index=False), f"b{LONG}__csv": "a"}),
}


@fuzzed()
@given(data=st.data())
def test_a_file_of_long_names_and_cells_is_refused_in_few_words(data, tmp_path):
    kind = data.draw(st.sampled_from(list(WRITERS)))
    contract, rows = CONTRACTS[data.draw(st.sampled_from(list(CONTRACTS)))]
    columns = data.draw(st.lists(st.sampled_from(list(rows)), max_size=31, unique=True))
    rows = rows.assign(**{name: [f"{n}{LONG}{name}" for n in range(len(rows))] for name in columns})
    renamed = data.draw(st.lists(st.sampled_from(list(rows)), max_size=10, unique=True))
    rows = rows.rename(columns={name: name + LONG for name in renamed})
    path = tmp_path / f"rows{kind}"
    path.write_bytes(WRITERS[kind](rows))
    said = refusal(lambda: judge(sources.parse(str(path), configured(), contract).read().frame, contract))
    assert said.count("¤") <= MOST_QUOTED
    assert "\n" not in said


def judge(frame, contract):
    validation = contract.validation()
    validation.add(frame)
    validation.finish()


def refusal(call):
    """Return what a call is refused with; nothing if it is not."""
    try:
        call()
    except NetworkSecurityException as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    "row",
    [
        {LONG: 1},
        {"url": LONG},
        {f"url{LONG}": 1},
        dict.fromkeys(make_phishing_websites(1).columns, LONG),
        dict.fromkeys(["length", "l_ength", LONG], 1),
        dict.fromkeys(["length", "depth", "tld", "title"], LONG),
        {f"x{n}{LONG}": 1 for n in range(100)},
    ],
)
@pytest.mark.parametrize("contract", [Websites(), Addresses(), TABLE], ids=lambda contract: contract.name)
def test_a_request_of_long_names_and_cells_is_answered_in_few_words(contract, row):
    try:
        [found] = predict(None, [row], contract=contract)
        said = "; ".join(found["reasons"])
    except NetworkSecurityException as exc:
        said = str(exc)
    assert said
    assert said.count("¤") <= MOST_QUOTED


@pytest.mark.parametrize(
    "parse",
    [
        lambda text: sources.parse(text, configured()),
        lambda text: sources.parse(f"sample:{text}", configured()),
        lambda text: mongodb.parse_target(text, configured()),
        get_contract,
        get_candidate,
        parse_since,
        lambda text: parse_until(text, pd.Timestamp("2026-01-01", tz="UTC")),
        lambda text: Recoding(text).read(pd.Series(["a", "b"])),
        lambda text: draft_table(shop(9), name="shop", target=text, positive="phishing"),
        lambda text: draft_table(shop(9), name="shop", target="status", positive=text),
        lambda text: draft_table(shop(9), name="shop", target="status", positive="phishing", group=[text]),
    ],
)
def test_a_long_option_is_refused_in_few_words(parse):
    with pytest.raises(NetworkSecurityException) as caught:
        parse(LONG)
    assert 0 < str(caught.value).count("¤") <= MOST_QUOTED_OF_AN_OPTION


@pytest.mark.parametrize("word", ["shop", "status", "phishing", "length", "float64", "in_range", "min_value", "isin"])
@pytest.mark.parametrize("text", [LONG, f"[{LONG}]", f"{{{LONG}: 1}}", f"!!int {LONG}"])
def test_a_description_of_long_words_is_refused_in_few_words(word, text):
    assert refusal(lambda: parse_table(SHOP.replace(word, text))).count("¤") <= MOST_QUOTED
