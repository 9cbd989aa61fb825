import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chi2_contingency, false_discovery_control
from sklearn.ensemble import ExtraTreesClassifier

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import DOMAINS, FEATURES, TARGET, to_X, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring.drift import (
    Y_SCORE,
    ColumnDrift,
    DriftReport,
    Thresholds,
    _homogeneity,
    _psi,
    compare,
)
from networksecurity.monitoring.profile import ReferenceProfile, design_effect, reference_profile

COUNTS = st.integers(0, 5_000)


def sample(n_rows, random_state):
    return validate(make_phishing_websites(n_rows, random_state=random_state)).accepted


@pytest.fixture(scope="module")
def reference():
    return sample(8_000, random_state=1)


@pytest.fixture(scope="module")
def profile(reference):
    return reference_profile(reference, data_sha256="abc")


@pytest.fixture
def rows():
    return sample(1_000, random_state=2)


def of(report, name):
    return next(column for column in report.columns if column.name == name)


def first_rows(rows, share):
    return np.arange(len(rows)) < share * len(rows)


# --------------------------------------------------------------------------------------------------------- the profile


def test_a_profile_counts_every_column(reference, profile):
    assert (profile.n_rows, profile.data_sha256, profile.score_counts) == (8_000, "abc", None)
    assert list(profile.counts) == list(profile.missing) == list(DOMAINS)
    for name in DOMAINS:
        assert profile.counts[name] == reference[name].value_counts().to_dict()


def test_a_profile_counts_missing_values(reference):
    gone = reference.assign(port=reference["port"].mask(first_rows(reference, 0.25)))
    profile = reference_profile(gone, data_sha256="abc")
    assert profile.missing["port"] == 2_000
    assert sum(profile.counts["port"].values()) == 6_000


def test_a_profile_survives_json(reference):
    y_score = np.linspace(0, 1, len(reference))
    profile = reference_profile(reference, data_sha256="abc", y_score=y_score)
    assert ReferenceProfile.model_validate_json(profile.model_dump_json()) == profile


def test_a_profile_that_does_not_add_up_is_refused(profile):
    broken = json.loads(profile.model_dump_json())
    del broken["counts"]["port"]
    with pytest.raises(ValidationError, match="port do not add up to 8000"):
        ReferenceProfile.model_validate(broken)


def test_scores_are_counted_in_ten_bins(reference):
    y_score = [0, 0.05, 0.1, 0.55, 0.99, 1]
    profile = reference_profile(reference, data_sha256="abc", y_score=y_score)
    assert profile.score_counts == (2, 1, 0, 0, 0, 1, 0, 0, 0, 2)
    labelled = reference_profile(reference, data_sha256="abc", y_score=y_score, y_true=[0, 1, 0, 1, 1, 1])
    assert labelled.score_counts == profile.score_counts
    assert labelled.score_phishing == (1, 0, 0, 0, 0, 1, 0, 0, 0, 2)


@pytest.mark.parametrize("y_score", [[], [0.5, 1.1], [-0.1], [0.2, float("nan")]])
def test_scores_that_are_no_probabilities_are_refused(reference, y_score):
    with pytest.raises(DataValidationError, match="between 0 and 1"):
        reference_profile(reference, data_sha256="abc", y_score=y_score)


def test_no_rows_make_no_profile(reference):
    with pytest.raises(DataValidationError, match="needs rows"):
        reference_profile(reference.head(0), data_sha256="abc")


def test_the_design_effect_is_the_mean_number_of_copies(reference):
    one, other = reference.iloc[:1], reference.drop_duplicates(list(FEATURES)).iloc[-1:]
    assert design_effect(vector_codes(reference.drop_duplicates(list(FEATURES)))) == 1
    assert design_effect(vector_codes(pd.concat([one] * 3 + [other]))) == pytest.approx((3 * 3 + 1) / 4)


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_rows_of_the_same_distribution_have_not_drifted(profile, rows):
    report = compare(profile, rows)
    assert report.verdict == "no_drift"
    assert report.reason == "none of 31 columns drifted"
    assert (report.n_rows, report.n_reference, report.data_sha256) == (1_000, 8_000, "abc")
    assert [column.name for column in report.columns] == list(DOMAINS)
    assert {column.verdict for column in report.columns} == {"no_drift"}


def test_shifted_shares_are_drift(profile, rows):
    rows["Favicon"] = rows["Favicon"].mask(first_rows(rows, 0.3), -1)
    report = compare(profile, rows)
    assert (report.verdict, report.drifted) == ("drift", ("Favicon",))
    assert report.reason == "1 of 31 columns drifted: Favicon"
    favicon = of(report, "Favicon")
    assert favicon.psi > 0.1
    assert favicon.p_value < favicon.p_corrected < 1e-9
    assert favicon.reason.startswith("the value -1 makes up 43.2%, 18.7% of the reference")


def test_new_missing_values_are_drift(profile, rows):
    rows["port"] = rows["port"].mask(first_rows(rows, 0.2))
    port = of(compare(profile, rows), "port")
    assert port.verdict == "drift"
    assert (port.missing_reference, port.missing_new) == (0, 0.2)
    assert port.missing_p_corrected < 1e-9
    assert port.reason.startswith("20.0% of the rows have no value, 0.0% of the reference")


def test_values_that_are_no_longer_missing_are_drift(reference, rows):
    gone = reference.assign(port=reference["port"].mask(first_rows(reference, 0.2)))
    assert compare(reference_profile(gone, data_sha256="abc"), rows).drifted == ("port",)


def test_a_few_missing_values_are_tolerated(profile):
    rows = sample(20_000, random_state=2)
    rows["port"] = rows["port"].mask(first_rows(rows, 0.04))
    report = compare(profile, rows)
    assert of(report, "port").missing_p_corrected < 1e-9
    assert report.verdict == "no_drift"
    assert compare(profile, rows, thresholds=Thresholds(missing=0.03)).drifted == ("port",)


def test_a_column_without_values_is_drift(profile, rows):
    rows["port"] = pd.array([pd.NA] * len(rows), dtype="Int8")
    port = of(compare(profile, rows), "port")
    assert (port.verdict, port.missing_new, port.psi, port.p_value) == ("drift", 1, None, None)


def test_a_column_without_values_on_both_sides_is_not_compared(reference, rows):
    nothing = {"port": pd.NA}
    gone = reference_profile(reference.assign(**nothing).astype({"port": "Int8"}), data_sha256="abc")
    report = compare(gone, rows.assign(**nothing).astype({"port": "Int8"}))
    assert report.verdict == "no_drift"
    assert of(report, "port").verdict == "not_compared"


def test_unseen_values_are_drift(reference, rows):
    known = reference[reference["SFH"] != 0]
    seldom, often = first_rows(rows, 0.005), first_rows(rows, 0.04)
    rows["SFH"] = rows["SFH"].mask(rows["SFH"] == 0, -1)
    profile = reference_profile(known, data_sha256="abc")
    assert of(compare(profile, rows), "SFH").unseen == {}
    assert of(compare(profile, rows.assign(SFH=rows["SFH"].mask(seldom, 0))), "SFH").unseen == {0: 5}
    found = of(compare(profile, rows.assign(SFH=rows["SFH"].mask(often, 0))), "SFH")
    assert found.verdict == "drift"
    assert found.unseen == {0: 40}
    assert found.unseen_p_corrected < 1e-6
    assert "never held: 0 in 40 rows" in found.reason


def test_a_constant_column_is_compared(reference, rows):
    constant = {"Iframe": pd.array([1], dtype="Int8")[0]}
    profile = reference_profile(reference.assign(**constant).astype({"Iframe": "Int8"}), data_sha256="abc")
    iframe = of(compare(profile, rows.assign(**constant).astype({"Iframe": "Int8"})), "Iframe")
    assert (iframe.verdict, iframe.statistic, iframe.p_value, iframe.psi) == ("no_drift", 0, 1, 0)
    assert of(compare(profile, rows), "Iframe").verdict == "drift"


def test_too_few_rows_are_not_compared(profile, rows):
    report = compare(profile, rows.head(499))
    assert (report.verdict, report.columns, report.drifted) == ("too_few_rows", (), ())
    assert "499" in report.reason
    assert "500" in report.reason
    assert report.to_frame().empty
    assert compare(profile, rows.head(0)).verdict == "too_few_rows"
    assert compare(profile, rows.tail(499), thresholds=Thresholds(min_rows=100)).verdict == "no_drift"


@pytest.mark.parametrize(
    "without", [lambda rows: rows.drop(columns=TARGET), lambda rows: rows.assign(**{TARGET: None})]
)
def test_rows_without_a_target_are_compared_by_their_features(profile, rows, without):
    report = compare(profile, without(rows))
    assert report.verdict == "no_drift"
    assert report.reason == "none of 30 columns drifted; the target was left out: the new rows have none"
    assert of(report, TARGET).verdict == "not_compared"
    assert of(report, TARGET).p_value is None


def test_the_target_is_compared(profile, rows):
    rows[TARGET] = rows[TARGET].mask(first_rows(rows, 0.4), -1)
    assert TARGET in compare(profile, rows).drifted


def test_rows_without_a_feature_are_refused(profile, rows):
    with pytest.raises(DataValidationError, match="lack 1 feature: give them port"):
        compare(profile, rows.drop(columns="port"))


# -------------------------------------------------------------------------------------------------------------- scores


@pytest.fixture(scope="module")
def scored_profile(reference):
    y_score = np.random.default_rng(0).beta(0.5, 0.5, 2_000)
    return reference_profile(reference, data_sha256="abc", y_score=y_score)


def test_scores_of_the_same_distribution_have_not_drifted(scored_profile, rows):
    report = compare(scored_profile, rows, y_score=np.random.default_rng(1).beta(0.5, 0.5, len(rows)))
    assert report.verdict == "no_drift"
    assert report.reason == "none of 32 columns drifted"


def test_scores_of_another_distribution_have_drifted(scored_profile, rows):
    report = compare(scored_profile, rows, y_score=np.random.default_rng(1).beta(0.5, 1.5, len(rows)))
    assert report.drifted == (Y_SCORE,)
    assert "a score of 0.0 to 0.1 makes up" in of(report, Y_SCORE).reason


def test_scores_have_a_threshold_of_their_own(scored_profile, rows):
    y_score = np.random.default_rng(1).beta(0.5, 1.5, len(rows))
    assert compare(scored_profile, rows, y_score=y_score, thresholds=Thresholds(score_psi=5)).verdict == "no_drift"


@pytest.mark.parametrize("scored", ["reference", "new"])
def test_scores_of_one_side_only_are_not_compared(profile, scored_profile, rows, scored):
    given_profile, y_score = (scored_profile, None) if scored == "reference" else (profile, np.full(len(rows), 0.5))
    report = compare(given_profile, rows, y_score=y_score)
    assert of(report, Y_SCORE).verdict == "not_compared"
    assert "the scores were left out" in report.reason


def test_rows_that_the_model_has_learned_from_are_left_out_of_the_scores(scored_profile, rows):
    y_score = np.random.default_rng(1).beta(0.5, 0.5, len(rows))
    codes = vector_codes(rows)
    learned = np.unique(codes[first_rows(rows, 0.4)])
    own = np.isin(codes, learned)
    assert 400 <= own.sum() < 1_000
    y_score[own] = y_score[own].round()  # a model that has memorised them is sure
    assert compare(scored_profile, rows, y_score=y_score).drifted == (Y_SCORE,)
    report = compare(scored_profile, rows, y_score=y_score, learned=learned)
    assert report.verdict == "no_drift"
    assert report.n_learned == own.sum()
    assert report.reason == (
        f"none of 32 columns drifted; the scores of {own.sum()} rows that the model has learned from were left out"
    )
    y_score[~own] = 0.95
    assert compare(scored_profile, rows, y_score=y_score, learned=learned).drifted == (Y_SCORE,)


def test_a_check_of_rows_that_the_model_has_all_learned_from_says_so_and_ends_well(scored_profile, rows):
    report = compare(scored_profile, rows, y_score=np.zeros(len(rows)), learned=vector_codes(rows))
    assert report.verdict == "no_drift"
    assert report.n_learned == 1_000
    assert report.reason == (
        "none of 31 columns drifted; the scores were left out: the model has learned from all 1,000 new rows"
    )
    assert of(report, Y_SCORE).verdict == "not_compared"


def test_the_rows_behind_a_model_raise_no_alarm_when_they_are_ingested():
    rows = sample(3_000, random_state=4)
    sides = split(rows)
    model = ExtraTreesClassifier(16, random_state=0).fit(*to_X_y(sides.train))

    def y_score(rows):
        return model.predict_proba(to_X(rows))[:, 1]

    profile = reference_profile(rows, data_sha256="abc", y_score=y_score(sides.test))
    assert compare(profile, rows, y_score=y_score(rows)).drifted == (Y_SCORE,)
    report = compare(profile, rows, y_score=y_score(rows), learned=np.unique(vector_codes(sides.train)))
    assert (report.verdict, report.n_learned) == ("no_drift", sides.report.n_train)


def test_each_row_needs_one_score(scored_profile, rows):
    with pytest.raises(DataValidationError, match="1000 rows to compare came with 3 scores"):
        compare(scored_profile, rows, y_score=np.zeros(3))


# ------------------------------------------------------------------------------- significance, effect size, correction


def test_both_criteria_are_needed(profile, rows):
    rows["Favicon"] = rows["Favicon"].mask(first_rows(rows, 0.3), -1)
    assert compare(profile, rows, thresholds=Thresholds(psi=1)).verdict == "no_drift"
    assert compare(profile, rows, thresholds=Thresholds(alpha=1e-300)).verdict == "no_drift"
    assert "a PSI under 1 does not matter" in of(compare(profile, rows, thresholds=Thresholds(psi=1)), "Favicon").reason


def test_a_large_sample_alone_is_no_drift(profile):
    rows = sample(200_000, random_state=3)
    rows["Favicon"] = rows["Favicon"].mask(first_rows(rows, 0.04), -1)
    favicon = of(compare(profile, rows), "Favicon")
    assert favicon.verdict == "no_drift"
    independent = compare(profile.model_copy(update={"design_effect": 1.0}), rows)
    assert of(independent, "Favicon").p_corrected < 0.05
    assert of(independent, "Favicon").verdict == "no_drift"


def test_p_values_are_corrected_as_by_scipy(profile, rows):
    rows["port"] = rows["port"].mask(first_rows(rows, 0.01))
    by_name = {
        correction: compare(profile, rows, thresholds=Thresholds(correction=correction)).to_frame()
        for correction in ("benjamini-hochberg", "bonferroni")
    }
    p_values = by_name["bonferroni"]["p_value"].to_numpy("float64")
    n_tests = len(DOMAINS) + 1  # and one of the missing values
    assert by_name["bonferroni"]["p_corrected"].to_numpy("float64") == pytest.approx(np.minimum(p_values * n_tests, 1))
    tested = by_name["benjamini-hochberg"]
    everything = np.append(p_values, by_name["bonferroni"]["missing_p_corrected"]["port"] / n_tests)
    corrected = np.append(tested["p_corrected"].to_numpy("float64"), tested["missing_p_corrected"]["port"])
    assert corrected == pytest.approx(false_discovery_control(everything))


def test_copies_do_not_make_significance(profile, rows):
    clustered = profile.model_copy(update={"design_effect": 10.0})
    once, often = (compare(clustered, copies).to_frame() for copies in (rows, pd.concat([rows] * 4)))
    assert often["statistic"].tolist() == pytest.approx(once["statistic"].tolist())


def test_one_row_a_thousand_times_is_drift(profile, rows):
    assert compare(profile, pd.concat([rows.head(1)] * 1_000)).verdict == "drift"


def test_homogeneity_is_the_chi_square_of_scipy():
    table = np.array([[900, 80], [300, 60], [50, 4]])
    expected = chi2_contingency(table, correction=False)
    assert _homogeneity(table) == pytest.approx((expected.statistic, expected.pvalue))


def test_rare_cells_are_pooled():
    pooled = chi2_contingency([[900, 80], [300, 60], [9, 6]], correction=False)
    assert _homogeneity(np.array([[5, 3], [900, 80], [4, 3], [300, 60], [0, 0]])) == pytest.approx(
        (pooled.statistic, pooled.pvalue)
    )


def test_the_psi_of_a_worked_example_is_that_computed_by_hand():
    assert _psi(np.array([[500_000, 600_000], [500_000, 400_000]])) == pytest.approx(0.1 * np.log(1.5), rel=1e-4)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=2, max_size=10))
def test_figures_stay_within_their_bounds(counts):
    table = np.array(counts)
    assert np.isfinite(_psi(table))
    assert _psi(table) >= 0
    assert _psi(table) == pytest.approx(_psi(table[:, ::-1]))
    if table.sum(axis=0).all():
        statistic, p_value = _homogeneity(table)
        assert statistic >= 0
        assert 0 <= p_value <= 1
        assert _homogeneity(table[:, ::-1]) == pytest.approx((statistic, p_value))


@settings(max_examples=10)
@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_neither_the_order_nor_the_index_of_rows_matters(profile, random, random_state):
    rows = sample(600, random_state)
    order = random.sample(range(len(rows)), len(rows))
    assert compare(profile, rows) == compare(profile, rows.iloc[order])


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"psi": -1}, {"min_rows": 0}, {"correction": "holm"}, {"cutoff": 1}])
def test_impossible_thresholds_are_refused(wrong):
    with pytest.raises(ValidationError):
        Thresholds(**wrong)


# ---------------------------------------------------------------------------------------------------------- the report


def test_a_report_survives_json(profile, rows):
    rows["port"] = rows["port"].mask(first_rows(rows, 0.2))
    report = compare(profile, rows.drop(columns=TARGET))
    assert DriftReport.model_validate_json(report.model_dump_json()) == report


def test_a_report_is_a_table_of_its_columns(profile, rows):
    table = compare(profile, rows).to_frame()
    assert list(table.index) == list(DOMAINS)
    assert list(table.columns) == [name for name in ColumnDrift.model_fields if name != "name"]


def test_a_report_holds_the_thresholds_that_it_was_made_with(profile, rows):
    thresholds = Thresholds(psi=0.2, correction="bonferroni")
    assert compare(profile, rows, thresholds=thresholds).thresholds == thresholds


def test_a_comparison_changes_nothing_and_can_be_repeated(profile, rows):
    before = rows.copy()
    assert compare(profile, rows) == compare(profile, rows)
    pd.testing.assert_frame_equal(rows, before)


# ----------------------------------------------------------------------------------------------------- on many samples


def test_false_alarms_are_rare_on_the_built_in_sample(profile):
    alarms, found = 0, 0
    for random_state in range(100, 120):
        rows = sample(1_000, random_state)
        alarms += compare(profile, rows).verdict == "drift"
        held = rows["Request_URL"] == 1
        moved = held & (held.cumsum() <= 100)
        found += "Request_URL" in compare(profile, rows.assign(Request_URL=rows["Request_URL"].mask(moved, -1))).drifted
    assert alarms <= 1
    assert found >= 19


def test_the_file_order_of_the_real_data_is_not_random(real_data):
    accepted = validate(pd.read_csv(real_data)).accepted
    in_order = compare(reference_profile(accepted.head(8_844), data_sha256="abc"), accepted.tail(2_211))
    assert len(in_order.drifted) == 9
    shuffled = accepted.sample(frac=1, random_state=0)
    at_random = compare(reference_profile(shuffled.head(8_844), data_sha256="abc"), shuffled.tail(2_211))
    assert at_random.verdict == "no_drift"
