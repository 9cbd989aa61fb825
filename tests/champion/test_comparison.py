from itertools import product

import numpy as np
import pytest

from networksecurity.champion.comparison import compare

Y = np.tile([0, 1], 150)
CODES = np.arange(300)


def wrong_on(*places):
    """Return answers that are wrong in the given places."""
    return np.where(np.isin(CODES, places), 1 - Y, Y)


def f1_score(answers):
    return 2 * (Y & answers).sum() / (Y.sum() + answers.sum())


def test_the_p_value_is_that_of_all_swaps():
    candidate, champion = wrong_on(0, 1, 2), wrong_on(3, 4, 5, 6, 7, 9, 11)
    places = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11]
    differences = []
    for swapped in product([False, True], repeat=len(places)):
        swap = np.isin(CODES, np.array(places)[list(swapped)])
        one, other = np.where(swap, champion, candidate), np.where(swap, candidate, champion)
        differences.append(f1_score(one) - f1_score(other))
    found = compare(Y, candidate, champion, CODES)
    exact = np.mean(np.array(differences) >= found.f1_difference - 1e-12)
    assert found.p_value == pytest.approx(exact, abs=0.02)
    assert found.detectable == pytest.approx((1.645 + 0.842) * np.std(differences), rel=0.03)


def test_equal_models_are_told_apart_by_nothing():
    found = compare(Y, wrong_on(1, 2), wrong_on(1, 2), CODES)
    assert (found.p_value, found.detectable, found.f1_difference) == (1, 0, 0)


def test_an_equal_model_passes_at_most_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, 300)  # several rows of one vector
    passed = 0
    for _ in range(200):
        one, other = (rng.random(120) < 0.1 for _ in range(2))
        found = compare(Y, np.where(one[groups], 1 - Y, Y), np.where(other[groups], 1 - Y, Y), groups)
        passed += found.p_value <= found.level
    assert passed <= 20  # of a binomial with 200 trials of 0.05, with a probability of 0.999


def test_each_look_at_the_same_rows_requires_more_confidence():
    candidate, champion = wrong_on(0, 1), wrong_on(*range(2, 12))
    looks = []
    for _ in range(4):
        looks.append(compare(Y, candidate, champion, CODES, earlier=looks))
    assert [found.looks for found in looks] == [1, 2, 3, 4]
    assert [found.level for found in looks] == pytest.approx([0.05, 0.05 / 4, 0.05 / 9, 0.05 / 16])
    assert [found.p_value for found in looks] == [looks[0].p_value] * 4
    assert looks[0].detectable < looks[1].detectable < looks[3].detectable
    assert looks[0].low > looks[3].low


@pytest.mark.parametrize(("n_earlier", "seen"), [(100, 1.0), (150, 1.0), (300, 1.0), (40, 0.5)])
def test_a_look_at_other_rows_counts_by_the_share_of_todays_rows_that_it_saw(n_earlier, seen):
    earlier = compare(Y[:n_earlier], wrong_on(0)[:n_earlier], Y[:n_earlier], CODES[:n_earlier])
    size = {100: 100, 150: 150, 300: 300, 40: 80}[n_earlier]
    found = compare(Y[:size], Y[:size], Y[:size], CODES[:size], earlier=[earlier])
    assert found.looks == pytest.approx(1 + seen, abs=0.001)


def test_rows_that_grow_are_partly_fresh_and_other_rows_are_fresh():
    many = np.arange(2_000)
    y = np.tile([0, 1], 1_000)
    earlier = compare(y[:1_000], np.where(many == 0, 1 - y, y)[:1_000], y[:1_000], many[:1_000])
    assert compare(y, y, y, many, earlier=[earlier]).looks == pytest.approx(1.5, abs=0.001)
    shrunk = compare(y[:500], y[:500], y[:500], many[:500], earlier=[earlier])
    assert shrunk.looks == pytest.approx(2, abs=0.3)  # an estimate: of 64 vectors about 32 are still here
    other = compare(y[1_000:], y[1_000:], y[1_000:], many[1_000:], earlier=[earlier])
    assert (other.looks, other.level) == (1, pytest.approx(0.05))
    unknown = earlier.model_copy(update={"sketch": None})  # of an older decision
    assert compare(y, y, y, many, earlier=[unknown]).looks == 1


def test_a_candidate_that_answered_as_the_champion_did_was_no_look():
    same = compare(Y, wrong_on(1), wrong_on(1), CODES)
    assert compare(Y, wrong_on(1), Y, CODES, earlier=[same, same]).looks == 1
