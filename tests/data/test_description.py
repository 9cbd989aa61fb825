import numpy as np
import pandas as pd

from networksecurity.data.contracts import WEBSITES, Table
from networksecurity.data.description import describe
from networksecurity.data.schema import FEATURES, TARGET


def test_copies_conflicts_and_gaps_are_counted():
    frame = pd.DataFrame(1, index=range(6), columns=[*FEATURES, TARGET])
    frame.loc[[1, 2], TARGET] = -1  # rows 0 to 3 are equal, two of each class
    frame.loc[4, "SFH"] = -1
    frame.loc[5, "SFH"] = None
    found = describe(WEBSITES.validate(frame).accepted, WEBSITES)
    assert (found.n_rows, found.n_phishing, found.n_groups) == (6, 2, 3)
    assert (found.n_copies, found.n_conflicts, found.n_in_conflict) == (3, 1, 4)
    (sfh,) = (column for column in found.columns if column.name == "SFH")
    assert (sfh.n_missing, sfh.n_distinct) == (1, 2)
    assert sfh.counts == {"-1": (1, 0), "1": (2, 2)}


def test_numbers_have_quartiles_by_class_and_words_are_counted():
    contract = Table.parse(
        "contract: shop\ntarget: status\npositive: phishing\nschema:\n  schema_type: dataframe\n  columns:\n"
        "    length: {dtype: float64, nullable: true}\n    tld: {dtype: str}\n"
        "    status: {dtype: str, isin: [phishing, legitimate]}\n"
    )
    lengths = np.arange(40.0)
    status = np.where(lengths < 20, "legitimate", "phishing")
    frame = pd.DataFrame({"length": lengths, "tld": ["a", "b"] * 20, "status": status})
    length, tld = describe(contract.validate(frame).accepted, contract).columns
    assert length.quartiles == {"legitimate": (4.75, 9.5, 14.25), "phishing": (24.75, 29.5, 34.25)}
    assert length.counts == {}
    assert tld.counts == {"a": (10, 10), "b": (10, 10)}
