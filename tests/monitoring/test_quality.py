import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import DECAYS, NO_DECAY, agrees, measured
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.splitting import is_test, split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.exceptions import DataValidationError
from networksecurity.monitoring import quality
from networksecurity.monitoring.quality import ALPHA, N_CHECKS, Baseline, QualityState, check, comparable

BASELINE = Baseline(f1_score=0.94, f1_score_low=0.92)


def rows_of(n_right, n_wrong, n_other):
    """Return labels and predictions with so many true positives, errors and true negatives, and full weights."""
    y_true = np.repeat([1, 1, 0], [n_right, n_wrong, n_other])
    y_pred = np.repeat([1, 0, 0], [n_right, n_wrong, n_other])
    return y_true, y_pred, np.ones(len(y_true))


def run(checks, *, baseline=BASELINE, margin=0.01):
    """Return the reports of checks one after the other."""
    state, reports = QualityState(), []
    for rows in checks:
        report, state = check(state, *rows, baseline=baseline, margin=margin)
        reports.append(report)
    return reports


def test_the_limit_is_the_lower_of_margin_and_interval():
    assert BASELINE.limit(0.01) == pytest.approx(0.92)
    assert BASELINE.limit(0.05) == pytest.approx(0.89)


def test_the_mean_gain_is_below_zero_exactly_where_f1_is_below_the_limit():
    limit = 0.9
    for right, wrong in ((450, 99), (450, 100), (450, 101)):
        gain = right * 2 * (1 - limit) - wrong * limit
        f1 = 2 * right / (2 * right + wrong)
        assert (f1 < limit - 1e-12) == (gain < -1e-9)


def test_a_model_as_good_as_tested_never_alarms():
    for report in run([rows_of(420, 54, 500)] * 300):  # F1 0.9396
        assert report.verdict == "no_decay"
        assert report.f1_score == pytest.approx(840 / 894)


def test_a_decay_is_noticed_and_named():
    reports = run([rows_of(42, 5, 50)] * 20 + [rows_of(40, 12, 45)] * 60)
    verdicts = [report.verdict for report in reports]
    first = verdicts.index("decayed")
    assert 20 <= first < 60
    alarm = reports[first]
    assert alarm.wealth >= 1 / ALPHA > max(report.wealth for report in reports[:first])
    assert "below 0.9200 (95% confidence, however often one looks)" in alarm.reason


def test_after_an_alarm_the_betting_begins_anew():
    (alarm,) = run([rows_of(50, 50, 0)])
    assert alarm.verdict == "decayed"
    _, state = check(QualityState(), *rows_of(50, 50, 0), baseline=BASELINE)
    assert state == QualityState()


def test_after_a_year_of_checks_the_betting_begins_anew():
    _, state = check(QualityState(), *rows_of(40, 4, 40), baseline=BASELINE)
    last = state.model_copy(update={"n_checks": N_CHECKS - 1})
    report, state = check(last, *rows_of(40, 4, 40), baseline=BASELINE)
    assert (report.verdict, state) == ("no_decay", QualityState())


def test_one_check_of_many_rows_and_many_checks_of_few_give_the_same_evidence():
    y_true, y_pred, weight = rows_of(30, 9, 20)
    _, whole = check(QualityState(), y_true, y_pred, weight, baseline=BASELINE)
    order = np.random.default_rng(0).permutation(len(y_true))
    _, shuffled = check(QualityState(), y_true[order], y_pred[order], weight[order], baseline=BASELINE)
    assert shuffled.log_wealth == pytest.approx(whole.log_wealth)
    assert run([(y_true, y_pred, weight)])[0].wealth == pytest.approx(quality._wealth(whole))


@given(st.floats(0.05, 0.99), st.integers(0, N_CHECKS - 2), st.data())
def test_no_stake_wins_on_average_where_f1_is_at_the_limit(limit, n_checks, data):
    # A row is a true positive with the chance p, an error with the chance q: at F1 = limit the mean gain is 0.
    p = data.draw(st.floats(0.01, 0.5))
    q = 2 * p * (1 - limit) / limit
    if p + q > 1:
        p, q = p / (p + q), q / (p + q)
    before = QualityState(n_checks=n_checks, log_wealth=(0.0,) * 8)
    one, none = np.ones(1), np.empty(0)
    outcomes = [quality._bet(before, *rows, limit, 1) for rows in ((one, none), (none, one), (none, none))]
    means = p * quality._wealth(outcomes[0]) + q * quality._wealth(outcomes[1])
    means += (1 - p - q) * quality._wealth(outcomes[2])
    assert means == pytest.approx(quality._wealth(before), rel=1e-9)


def test_wealth_begins_at_one():
    assert quality._wealth(QualityState(log_wealth=(-math.inf,) * 8)) == 1


def test_all_wealth_is_at_stake_by_the_last_check():
    invested = [quality.set_aside(n) - quality.set_aside(n + 1) for n in range(N_CHECKS)]
    assert sum(invested) == pytest.approx(1)
    assert min(invested) > 0
    assert invested[0] == 0.5


def test_evidence_without_end_can_still_be_stored():
    (alarm,) = run([rows_of(0, 100_000, 0)])
    assert json.loads(alarm.model_dump_json(), parse_constant=pytest.fail)["wealth"] > 1e290


def test_rows_that_do_not_count_are_no_check():
    y_true, y_pred, weight = rows_of(10, 10, 10)
    report, state = check(QualityState(), y_true, y_pred, 0 * weight, baseline=BASELINE)
    assert (report.verdict, state, report.metrics()) == ("not_judged", QualityState(), {})


def test_rows_without_phishing_and_alarms_have_no_f1():
    (report,) = run([rows_of(0, 0, 10)])
    assert (report.verdict, report.f1_score) == ("no_decay", None)
    assert "F1 is not defined on 10 new rows" in report.reason
    assert "quality/f1_score" not in report.metrics()


def test_a_test_that_says_nothing_is_no_measure():
    report, state = check(QualityState(), *rows_of(1, 1, 1), baseline=Baseline(f1_score=0.5, f1_score_low=0.0))
    assert (report.verdict, state) == ("not_judged", QualityState())


@pytest.mark.parametrize("weight", [[1, 1], [1, 1, 2]])
def test_wrong_input_is_refused(weight):
    with pytest.raises(DataValidationError, match="a weight in"):
        check(QualityState(), [1, 0, 1], [1, 0, 1], weight, baseline=BASELINE)


def test_a_state_goes_through_json_and_plain_values():
    _, state = check(QualityState(), *rows_of(40, 4, 40), baseline=BASELINE)
    assert QualityState.model_validate_json(state.model_dump_json()) == state
    plain = state.model_dump()
    assert QualityState.model_validate(plain | {"log_wealth": list(plain["log_wealth"])}) == state


def test_over_a_year_of_hourly_checks_few_models_alarm_without_decay():
    found = measured(NO_DECAY, n_years=100, n_rows=20)
    assert found.n_false / found.n_years <= 0.05


@pytest.mark.parametrize(("kind", "days"), [*zip(DECAYS, (20, 12, 3, 10), strict=True)])
def test_a_decay_is_noticed_in_days(kind, days):
    found = measured(kind, n_years=50, n_rows=100)
    assert found.n_false / found.n_years <= 0.05
    assert np.median(found.days) <= days


def test_the_simulation_alarms_where_the_checks_do():
    assert agrees(0.93, "a new kind, 10 % of phishing, that is missed", 50, 1)


def test_weighted_new_rows_are_as_the_test_rows():
    # Test rows of one sample against the weighted rows of another: the same share of phishing among them.
    old, new = (validate(make_phishing_websites(20_000, random_state=seed)).accepted for seed in (0, 1))
    sides = split(old, test_size=0.2, random_state=3)
    codes = vector_codes(new)
    learned, tested = vector_codes(sides.train), vector_codes(sides.test)
    on_test_side = is_test(new, test_size=0.2, random_state=3)
    weight = comparable(codes, is_test=on_test_side, test_size=0.2, learned=learned, tested=tested)
    assert not weight[np.isin(codes, learned)].any()
    assert set(weight[np.isin(codes, tested)]) == {1.0}
    assert weight.sum() == pytest.approx(on_test_side.sum(), rel=0.05)
    assert (weight > 0).sum() > 3 * on_test_side.sum()
