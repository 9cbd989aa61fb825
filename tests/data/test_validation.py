import itertools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from networksecurity.data import schema, validation
from networksecurity.data.contracts import Websites
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES, TARGET
from networksecurity.data.validation import Validation, validate
from networksecurity.exceptions import DataValidationError

BAD_CELLS = ["abc", 1.7, 2**40, 7, True, float("inf"), "1.5", "-2", "1 1", [1], {"a": 1}]


@pytest.fixture
def frame():
    return make_phishing_websites(200, random_state=0)


def with_cell(frame, row, column, value):
    changed = frame.astype(object)
    changed.at[row, column] = value
    return changed


def test_real_data_is_accepted_whole(real_data):
    validated = validate(pd.read_csv(real_data))
    assert validated.report.n_accepted == 11_055
    assert validated.rejected.empty
    assert validated.report.n_missing == {}
    assert validated.report.phishing_share == pytest.approx(4_898 / 11_055)
    assert set(map(str, validated.accepted.dtypes)) == {"Int8"}


def test_every_known_spelling_of_the_columns_is_accepted(frame):
    renamed_copy = frame.set_axis(schema._RENAMED_COPY, axis="columns").rename_axis("Index").reset_index()
    prefixed = frame.rename(
        columns={
            "having_IP_Address": "having_IPhaving_IP_Address",
            "URL_Length": "URLURL_Length",
            "Domain_registeration_length": "Domain_registration_length",
            "popUpWidnow": "popUpWindow",
            "port": "port_no",
            TARGET: "CLASS_LABEL",
        }
    )
    prefixed.insert(0, "Unnamed: 0", range(len(frame)))
    expected = validate(frame).accepted
    for spelled in (renamed_copy, prefixed, frame.rename(columns=str.upper), frame[frame.columns[::-1]]):
        pd.testing.assert_frame_equal(validate(spelled).accepted, expected)
    assert validate(renamed_copy).report.dropped_columns == ["Index"]
    assert validate(prefixed).report.renamed_columns["CLASS_LABEL"] == TARGET


def make_names(name):
    """Return what R's read.csv makes of a column's name."""
    return re.sub(r"[^\w.]", ".", name)


@pytest.mark.parametrize(
    "rename", [make_names, str.lower, lambda name: name.replace("_", " "), lambda name: f" {name}."]
)
@pytest.mark.parametrize("names", [list(DOMAINS), schema._RENAMED_COPY], ids=["course", "Kaggle"])
def test_a_column_is_known_by_its_letters_and_digits(frame, names, rename):
    accepted = validate(frame.set_axis([rename(name) for name in names], axis="columns")).accepted
    pd.testing.assert_frame_equal(accepted, validate(frame).accepted)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        *((name, "a row number") for name in ("Unnamed: 0.1", "level_0", "S.No", "Sr. No.", "row_id", "#", "X", "")),
        *((name, "a key") for name in ("url", "Domain", "domain_name")),
        *((name, "an earlier prediction") for name in ("predicted_column", "phishing_probability")),
    ],
)
def test_a_column_that_is_no_feature_is_left_out_and_said(frame, column, why):
    validated = validate(frame.assign(**{column: range(200)}))
    pd.testing.assert_frame_equal(validated.accepted, validate(frame).accepted)
    assert validated.report.dropped_columns == [column]
    assert validated.report.notes == [f"columns that are no features were left out: {column} ({why})"]


def test_what_predictions_hold_beside_the_probability_is_left_out_with_it(frame):
    scored = frame.assign(label="phishing", model="m", model_version="1")
    assert validate(scored).report.dropped_columns == ["label", "model", "model_version"]
    with pytest.raises(DataValidationError, match="2 unknown: label, model"):
        validate(scored.drop(columns="model_version"))


@pytest.mark.parametrize("marker", ["na", "", "NaN", "None", "?", " NA ", None, float("nan"), pd.NA])
def test_a_missing_feature_is_legal(frame, marker):
    validated = validate(with_cell(frame, 3, "SFH", marker))
    assert validated.rejected.empty
    assert validated.accepted["SFH"].isna().tolist() == [row == 3 for row in range(200)]
    assert validated.report.n_missing == {"SFH": 1}


@pytest.mark.parametrize("bad", BAD_CELLS, ids=repr)
def test_a_bad_cell_rejects_its_row_and_is_kept(frame, bad):
    validated = validate(with_cell(frame, 3, "SFH", bad))
    assert validated.rejected.index.tolist() == [3]
    assert str(validated.rejected["SFH"].item()) == str(bad)
    assert validated.rejected["reasons"].item().startswith("SFH is not")
    assert (
        validated.rejected.drop(columns=["SFH", "reasons"])
        .astype(int)
        .equals(frame.loc[[3]].drop(columns="SFH").astype(int))
    )
    assert validated.accepted.index.tolist() == [row for row in range(200) if row != 3]


WRITTEN = {"words": ("bad", "Good"), "booleans": (True, False), "numbers": (0, 1), "floats": ("0.0", "1.0")}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_target_written_in_another_way_is_refused_and_said_how_to_read(frame, written):
    phishing, legitimate = WRITTEN[written]
    other = frame.assign(**{TARGET: frame[TARGET].map({-1: phishing, 1: legitimate})})
    with pytest.raises(DataValidationError, match="say which value means phishing, such as --positive "):
        validate(other)
    validated = Websites(positive=str(phishing)).validate(other)
    pd.testing.assert_frame_equal(validated.accepted, validate(frame).accepted)
    with pytest.raises(DataValidationError, match="the labels seem inverted"):
        Websites(positive=str(legitimate)).validate(other)


def test_a_target_that_is_said_to_be_phishing_has_one_other_value(frame):
    other = frame.assign(**{TARGET: ["bad", "good", "unsure", "na"] * 50})
    with pytest.raises(DataValidationError, match=r"besides 'bad', .* several values \('good', 'unsure'\)"):
        Websites(positive="bad").validate(other)
    validated = Websites(positive="bad").validate(other[other[TARGET] != "unsure"], max_rejected=0.5)
    assert validated.rejected["reasons"].unique().tolist() == ["Result is missing"]
    assert validated.rejected[TARGET].unique().tolist() == ["na"]


@pytest.mark.parametrize(
    "change",
    [
        {"x" * 5000 + str(n): 1 for n in range(20)},
        {"SFH": "y" * 5000, "port": ["z" * 5000 + str(row) for row in range(200)], TARGET: "w" * 5000},
    ],
    ids=["names", "cells"],
)
def test_a_refusal_quotes_little_of_the_data(frame, change):
    with pytest.raises(DataValidationError) as caught:
        validate(frame.assign(**change))
    assert sum(map(str(caught.value).count, "xyzw")) <= 220


@pytest.mark.parametrize("marker", ["na", None])
def test_a_missing_target_rejects_its_row(frame, marker):
    validated = validate(with_cell(frame, 5, TARGET, marker))
    assert validated.rejected["reasons"].tolist() == ["Result is missing"]
    assert validated.report.rejections == {"Result is missing": 1}


def test_a_row_has_all_its_reasons(frame):
    bad = with_cell(with_cell(with_cell(frame, 5, TARGET, "x"), 5, "port", 0), 9, "port", 0)
    validated = validate(bad)
    assert validated.rejected["reasons"].to_dict() == {
        5: "port is not one of -1, 1; Result is not a whole number",
        9: "port is not one of -1, 1",
    }
    assert validated.report.rejections == {"port is not one of -1, 1": 2, "Result is not a whole number": 1}


def test_missing_and_unknown_columns_are_named(frame):
    with pytest.raises(DataValidationError, match="1 missing: Favicon; 2 unknown: NumDots, UrlLength2"):
        validate(frame.drop(columns="Favicon").assign(NumDots=1, UrlLength2=2))


def test_another_data_set_is_refused_by_its_columns():
    other = pd.DataFrame({"NumDots": [1], "UrlLength": [2], "AtSymbol": [0], "Phising": [1]})
    with pytest.raises(DataValidationError, match=r"missing: having_IP_Address, .* and \d+ more"):
        validate(other)


def test_two_columns_of_one_meaning_are_refused(frame):
    with pytest.raises(DataValidationError, match=r"1 duplicated: port_no \(port\)"):
        validate(frame.assign(port_no=1))


def test_a_frame_without_rows_is_refused(frame):
    with pytest.raises(DataValidationError, match="there are no rows"):
        validate(frame.head(0))


@pytest.mark.parametrize("label", [-1, 1])
def test_rows_of_one_class_are_refused(frame, label):
    with pytest.raises(DataValidationError, match=f"both classes are needed .* have Result = {label}"):
        validate(frame.assign(Result=label))


def test_too_many_rejected_rows_are_an_error_with_columns_counts_and_values(frame):
    bad = frame.astype(object)
    bad.loc[:19, "SFH"] = "abc"
    bad.loc[:4, "port"] = 9
    with pytest.raises(DataValidationError) as raised:
        validate(bad)
    message = str(raised.value)
    assert "20 of 200 rows (10.0%)" in message
    assert "SFH has 20 (such as 'abc'; allowed: -1, 0, 1)" in message
    assert "port has 5 (such as 9; allowed: -1, 1)" in message
    assert validate(bad, max_rejected=0.1).report.n_rejected == 20
    assert str(pickle.loads(pickle.dumps(raised.value))) == message


def test_rows_that_are_all_rejected_are_refused(frame):
    with pytest.raises(DataValidationError, match="no row is left"):
        validate(frame.assign(SFH="abc"), max_rejected=1.0)


def test_inverted_labels_are_recognised(frame):
    with pytest.raises(DataValidationError, match="labels seem inverted: their correlations with Result are SSL"):
        validate(frame.assign(Result=-frame[TARGET]))


def test_one_inverted_column_does_not_mean_inverted_labels(frame):
    assert validate(frame.assign(SSLfinal_State=-frame["SSLfinal_State"])).rejected.empty


def test_inverted_labels_of_the_real_data_are_recognised(real_data):
    frame = pd.read_csv(real_data)
    with pytest.raises(DataValidationError, match="inverted"):
        validate(frame.assign(Result=-frame[TARGET]))


def in_batches(frame, *sizes, **options):
    validation = Validation(**options)
    starts = [0, *np.cumsum(sizes).tolist(), len(frame)]
    parts = [validation.add(frame[start:end]) for start, end in itertools.pairwise(starts)]
    return [pd.concat(side) for side in zip(*parts, strict=True)], validation.finish()


@pytest.mark.parametrize("sizes", [(), (1,), (100,), (3, 1, 150), (0, 200)])
def test_batches_are_judged_as_the_whole(frame, sizes):
    bad = with_cell(with_cell(with_cell(frame, 3, "SFH", "x"), 150, "port", 7), 151, "port", "na")
    whole = validate(bad)
    (accepted, rejected), report = in_batches(bad, *sizes)
    assert report == whole.report
    pd.testing.assert_frame_equal(accepted, whole.accepted)
    pd.testing.assert_frame_equal(rejected, whole.rejected)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(Result=-frame[TARGET]),
        lambda frame: frame.assign(Result=1),
        lambda frame: frame.assign(SFH=["abc", 9] * 100),
        lambda frame: frame.head(0),
        lambda frame: frame.assign(NumDots=1),
    ],
)
def test_what_only_all_rows_tell_is_refused_at_the_end(frame, change):
    with pytest.raises(DataValidationError) as whole:
        validate(change(frame))
    with pytest.raises(DataValidationError) as batches:
        in_batches(change(frame), 70, 70)
    assert str(batches.value) == str(whole.value)


def test_a_batch_alone_may_be_of_one_class_or_all_bad(frame):
    frame = frame.sort_values(TARGET, ignore_index=True).astype(object)
    frame.loc[:4, "SFH"] = "abc"
    _, report = in_batches(frame, 5, 20, 100)
    assert (report.n_rejected, report.n_accepted) == (5, 195)


def test_correlations_are_those_of_pandas(frame):
    table = pd.crosstab(frame["SSLfinal_State"], frame[TARGET])
    assert validation._correlation((-1, 0, 1), table.to_numpy()) == pytest.approx(
        frame["SSLfinal_State"].corr(frame[TARGET])
    )


@pytest.mark.parametrize("dtype", ["int8", "int64", "float64", "Int8", "Float64", "str", "object", "category"])
def test_the_dtype_of_the_columns_does_not_matter(frame, dtype):
    pd.testing.assert_frame_equal(validate(frame.astype(dtype)).accepted, validate(frame).accepted)


def test_a_bool_column_is_not_read_as_numbers(frame):
    with pytest.raises(DataValidationError, match="port has 200"):
        validate(frame.assign(port=frame["port"] == 1))


cells = st.sampled_from([-1, 0, 1, "-1", "0", "1", "1.0", 1.0, None, "na", "abc", 1.7, 2**40, True, -128, "", "?"])


def expected(cell, domain):
    """What a cell is, written the slow and obvious way: its value, None for missing, or "bad"."""
    if cell is None or cell in ("na", "", "?"):
        return None
    if isinstance(cell, bool):
        return "bad"
    try:
        number = float(cell)
    except ValueError:
        return "bad"
    return int(number) if number in domain else "bad"


SAMPLE = make_phishing_websites(200, random_state=0).astype(object)


@given(st.lists(st.tuples(cells, cells, cells), min_size=20, max_size=30))
@hypothesis_settings(max_examples=25)
def test_each_cell_is_a_member_missing_or_a_reason(rows):
    frame = SAMPLE.copy()
    for row, (two_valued, three_valued, target) in enumerate(rows):
        frame.at[row, "port"], frame.at[row, "SFH"], frame.at[row, TARGET] = two_valued, three_valued, target
    validated = validate(frame, max_rejected=1.0)
    assert sorted([*validated.accepted.index, *validated.rejected.index]) == list(range(200))
    for row, row_cells in enumerate(rows):
        outcome = [expected(cell, DOMAINS[name]) for cell, name in zip(row_cells, ("port", "SFH", TARGET), strict=True)]
        if "bad" in outcome or outcome[2] is None:
            assert row in validated.rejected.index
        else:
            found = validated.accepted.loc[row, ["port", "SFH", TARGET]]
            assert [None if pd.isna(value) else value for value in found] == outcome


@pytest.mark.parametrize("others", [{}, {"url": "x", "id": 7, TARGET: "no label"}])
def test_rows_to_predict_need_features_only(frame, others):
    validation = Validation(with_target=False)
    accepted, rejected = validation.add(with_cell(frame.drop(columns=TARGET), 3, "SFH", 5).assign(**others))
    report = validation.finish()
    assert list(accepted) == list(FEATURES)
    assert list(rejected) == [*FEATURES, "reasons"]
    assert rejected["reasons"].to_dict() == {3: "SFH is not one of -1, 0, 1"}
    pd.testing.assert_frame_equal(accepted, validate(frame.drop(index=3)).accepted.drop(columns=TARGET))
    assert report.phishing_share is None
    assert (report.n_accepted, report.n_rejected) == (199, 1)
    assert sorted(report.dropped_columns) == sorted(others)


def test_rows_to_predict_are_refused_by_what_is_missing(frame):
    with pytest.raises(DataValidationError, match=r"\(30 features\); 1 missing: SFH"):
        Validation(with_target=False).add(frame.drop(columns="SFH"))
