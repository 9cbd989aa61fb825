import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read

from networksecurity.data.files.formulas import csv_for_people, neutralised, restored

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "-"]
HARMLESS = ["-1", "+1.5", "1e-3", "a=b", "'quoted'", " =1", "", "http://a.test/?x=-1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_looks_like_a_formula_is_neutralised(text):
    assert neutralised(pd.DataFrame({"key": [text]}))["key"].tolist() == [f"'{text}"]


@pytest.mark.parametrize("text", HARMLESS)
def test_any_other_text_is_left_alone(text):
    assert neutralised(pd.DataFrame({"key": [text]}))["key"].tolist() == [text]


@given(st.lists(st.text("'=+-@\t\r1.e x", max_size=4)))
def test_what_was_neutralised_comes_back_unchanged(texts):
    frame = pd.DataFrame({"=key": pd.Series(texts, dtype="str"), "number": pd.Series([-1] * len(texts), dtype="int64")})
    pd.testing.assert_frame_equal(restored(neutralised(frame)), frame)


@pytest.mark.parametrize("ours", [["row", "reasons"], ["row", "phishing_probability", "model", "model_version"]])
def test_only_tables_of_ours_are_restored(ours, tmp_path):
    keys = [*FORMULAS, "in\rside", 'a "b"', *HARMLESS[3:6]]
    frame = pd.DataFrame({"key": keys} | dict.fromkeys(ours, "x"))
    (tmp_path / "rows.csv").write_bytes(csv_for_people(frame))
    assert read(tmp_path / "rows.csv")["key"].tolist() == keys
    frame[["key"]].assign(key=["'=1"] * len(keys)).to_csv(tmp_path / "rows.csv", index=False)
    assert set(read(tmp_path / "rows.csv")["key"]) == {"'=1"}
