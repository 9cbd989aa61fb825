import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from networksecurity.champion.decision import Champion, Decision, answered, decide
from networksecurity.champion.gate import Gate
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, to_X_y
from networksecurity.data.splitting import is_test, split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes

SPLIT = (0.2, 0)


class Answers:
    """A classifier that knows all answers but those to some feature vectors."""

    def __init__(self, rows, wrong=()):
        X, y = to_X_y(rows)
        codes = vector_codes(rows)
        self.feature_names_in_ = np.array(X.columns)
        self._answers = dict(zip(codes, np.where(np.isin(codes, wrong), 1 - y, y), strict=True))

    def predict(self, X):
        return np.array([self._answers[code] for code in vector_codes(X.astype("Int8"))])

    def predict_proba(self, X):
        return np.eye(2)[self.predict(X)]


@pytest.fixture(scope="module")
def rows():
    """Return the test side of the sample, one label for each vector."""
    accepted = validate(make_phishing_websites(4_000, random_state=0)).accepted
    return split(accepted.drop_duplicates(list(FEATURES))).test.reset_index(drop=True)


def make(rows, n_wrong, first=0, label=None):
    """Return a classifier that is wrong on `n_wrong` vectors, from the given one on, of one class or both."""
    chosen = rows if label is None else rows[rows[TARGET] == label]
    return Answers(rows, vector_codes(chosen)[first : first + n_wrong])


def judge(rows, candidate, champion, gate=None, split=SPLIT, train_f1_score=0.95):
    champion = champion and Champion("3", champion, split)
    return decide(candidate, champion, rows, gate or Gate(), train_f1_score=train_f1_score)


def test_a_better_model_is_promoted(rows):
    decision = judge(rows, make(rows, 10), make(rows, 40))
    assert decision.outcome == "promote"
    assert decision.champion == "3"
    found = decision.comparison
    assert (found.fixed, found.broken) == (30, 0)
    assert found.p_value == 1 / 10_001  # none of 10,000 permutations is as good
    assert (found.looks, found.level) == (1, pytest.approx(0.05))
    assert 0 < found.low < found.f1_difference < found.high
    assert found.n_rows == found.n_vectors == len(rows)
    f1, vectors, power, floors = decision.reasons
    assert f"{found.f1_difference:+.4f} (90% interval {found.low:+.4f} to {found.high:+.4f}; " in f1
    assert "permutation test: p 0.0001, at most 0.05 is needed)." in f1
    assert "it makes fewer on 30 and version 3 on 0" in vectors
    assert power == f"These rows show a gain of {found.detectable:.4f} of F1 with a probability of 80%."
    assert floors.startswith("Every floor holds: F1 0.9")


@pytest.mark.parametrize(("n_wrong", "first"), [(20, 0), (20, 20), (21, 0), (18, 0), (60, 0)])
def test_an_equal_or_a_worse_model_is_not_promoted(rows, n_wrong, first):
    decision = judge(rows, make(rows, n_wrong, first), make(rows, 20))
    assert decision.outcome == "keep"
    assert any("does not show that it is higher" in reason for reason in decision.reasons)


def test_more_recall_at_the_price_of_false_alarms_is_not_better(rows):
    legitimate, phishing = (make(rows, 20, label=label) for label in (1, -1))
    n_missed = make(rows, 60, label=-1)
    assert judge(rows, phishing, n_missed).outcome == "promote"
    decision = judge(rows, legitimate, n_missed, Gate(max_false_positive_rate=1))
    assert decision.comparison.p_value < 0.05
    assert decision.outcome == "keep"
    assert decision.reasons[0].startswith("The false positive rate is 0.0")
    assert "against 0.0000 of version 3: worse by more than the margin of 0.01" in decision.reasons[0]
    assert judge(rows, legitimate, n_missed, Gate(margin=0.5)).outcome == "promote"


def test_without_a_champion_the_floors_decide(rows):
    decision = judge(rows, make(rows, 20), None)
    assert (decision.outcome, decision.champion, decision.comparison) == ("promote", None, None)
    assert decision.reasons[0] == "There is no champion yet."


def test_a_model_of_the_sample_gives_way_and_replaces_no_other(rows):
    worse, better = make(rows, 60), make(rows, 10)
    learned_from_sample = Champion("3", better, SPLIT, synthetic=True)
    decision = decide(worse, learned_from_sample, rows, train_f1_score=0.95)
    assert (decision.outcome, decision.comparison) == ("promote", None)
    assert decision.reasons[0] == "Version 3 has learned from the built-in sample, which is synthetic."
    assert decide(worse, learned_from_sample, rows, Gate(min_f1_score=1), train_f1_score=0.95).outcome == "keep"

    decision = decide(better, Champion("3", worse, SPLIT), rows, train_f1_score=0.95, synthetic=True)
    assert (decision.outcome, decision.comparison) == ("keep", None)
    assert decision.reasons[0] == "It has learned from the built-in sample, which is synthetic; version 3 has not."

    assert decide(worse, learned_from_sample, rows, train_f1_score=0.95, synthetic=True).outcome == "keep"
    assert decide(better, learned_from_sample, rows, train_f1_score=0.95, synthetic=True).comparison is not None


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate(min_f1_score=0.999), r"F1 is 0\.9\d+, below the limit of 0\.999\."),
        (Gate(min_recall_score=0.999), r"Recall is 0\.9\d+, below the limit"),
        (Gate(max_false_positive_rate=0.0001), r"The false positive rate is 0\.0\d+, above the limit"),
        (Gate(max_generalisation_gap=0.001), r"The gap between F1 on the training .* is 0\.0\d+, above the limit"),
    ],
)
@pytest.mark.parametrize("n_wrong_of_champion", [None, 60])
def test_a_model_below_a_floor_is_not_promoted(rows, gate, reason, n_wrong_of_champion):
    champion = None if n_wrong_of_champion is None else make(rows, n_wrong_of_champion)
    decision = judge(rows, make(rows, 10), champion, gate, train_f1_score=0.999)
    assert decision.outcome == "keep"
    assert pytest.approx(0.999) == decision.generalisation_gap + decision.figures["f1_score"]
    (pattern,) = [found for found in decision.reasons if "limit" in found]
    assert pd.Series([pattern]).str.match(reason).all()
    assert decision.reasons[0] == pattern


def keeps(decision, reason):
    assert decision.outcome == "keep"
    assert decision.comparison is None
    assert decision.reasons[0] == f"The champion, version 3, cannot be compared: {reason}."


def test_a_champion_that_cannot_be_loaded_gives_way_to_a_candidate_that_holds_the_floors(rows):
    champion = Champion("3", None, SPLIT, problem="the model file cannot be loaded")
    decision = decide(make(rows, 10), champion, rows, train_f1_score=0.95)
    assert (decision.outcome, decision.champion, decision.comparison) == ("promote", "3", None)
    assert decision.reasons[0] == (
        "Version 3 cannot be loaded: the model file cannot be loaded; the candidate holds the floors and takes its "
        "place."
    )


def test_a_champion_that_cannot_be_loaded_stays_if_a_floor_does_not_hold(rows):
    champion = Champion("3", None, SPLIT, problem="its files are gone")
    decision = decide(make(rows, 10), champion, rows, train_f1_score=0.95, gate=Gate(min_f1_score=1))
    assert decision.outcome == "keep"
    assert "below the limit" in decision.reasons[0]
    assert "Version 3 cannot be loaded: its files are gone." in decision.reasons


def test_a_champion_of_other_columns_stays(rows):
    champion = make(rows, 60)
    champion.feature_names_in_ = champion.feature_names_in_[::-1]
    keeps(judge(rows, make(rows, 10), champion), "it was trained on other columns")


def test_a_champion_of_an_unknown_split_stays(rows):
    decision = judge(rows, make(rows, 10), make(rows, 60), split=None)
    keeps(decision, "it is not known which rows it was trained on")


def test_a_champion_that_may_have_seen_all_rows_stays(rows):
    decision = judge(rows, make(rows, 10), make(rows, 60), split=(1e-6, 0))
    keeps(decision, "it was trained with another split, and may have learned from all test rows of a class")


@pytest.mark.parametrize(("other", "share"), [((0.1, 0), 0.5), ((0.3, 0), 1.0), ((0.3, 7), 0.3)])
def test_of_another_split_only_rows_that_the_champion_has_not_seen_are_compared(rows, other, share):
    unseen = is_test(rows, test_size=other[0], random_state=other[1])
    assert unseen.mean() == pytest.approx(share, abs=0.05)
    decision = judge(rows, make(rows, 10), make(rows, 60), split=other)
    assert decision.comparison.n_rows == unseen.sum()
    said = [reason for reason in decision.reasons if "another split" in reason]
    assert len(said) == (share < 1)
    # What it is right about elsewhere counts for nothing.
    knowing = Answers(rows, vector_codes(rows[unseen])[:60])
    assert (
        judge(rows, make(rows, 0), knowing, split=other).comparison.champion
        == judge(rows[unseen], make(rows, 0), knowing).comparison.champion
    )


def test_copies_of_a_row_are_no_further_evidence(rows):
    candidate, champion = make(rows, 10), make(rows, 13)
    few = judge(rows, candidate, champion).comparison
    copied = pd.concat([rows] * 20, ignore_index=True)
    many = judge(copied, candidate, champion).comparison
    assert (many.fixed, many.n_rows) == (20 * few.fixed, 20 * few.n_rows)
    assert (many.p_value, many.low, many.high, many.n_vectors) == (few.p_value, few.low, few.high, few.n_vectors)


def test_a_vector_with_both_labels_votes_by_its_majority(rows):
    other_label = rows.assign(**{TARGET: -rows[TARGET]})
    both = pd.concat([rows, other_label, rows], ignore_index=True)
    found = judge(both, make(rows, 10), make(rows, 15), Gate(min_f1_score=0)).comparison
    assert (found.fixed_vectors, found.broken_vectors) == (5, 0)
    tied = pd.concat([rows, other_label], ignore_index=True)
    decision = judge(tied, make(rows, 10), make(rows, 15))
    found = decision.comparison
    assert (found.fixed, found.broken, found.fixed_vectors, found.broken_vectors) == (5, 5, 0, 0)
    assert decision.outcome == "keep"


def test_a_model_that_is_worse_on_more_vectors_is_not_promoted_for_the_copies_of_a_few(rows):
    codes = vector_codes(rows)
    copies = pd.concat([rows, *[rows[:6]] * 49], ignore_index=True)
    decision = judge(copies, Answers(rows, codes[6:26]), Answers(rows, codes[:6]), Gate(margin=1))
    found = decision.comparison
    assert (found.fixed, found.broken) == (300, 20)
    assert (found.fixed_vectors, found.broken_vectors) == (6, 20)
    assert found.p_value < 0.05  # the rows of the few vectors carry F1
    assert decision.outcome == "keep"
    assert decision.reasons[0] == (
        "Of 26 feature vectors on which the two make different numbers of errors, it makes fewer on 6 and version 3 on "
        "20 (300 and 20 rows): not more than it loses."
    )


def test_the_interval_is_that_of_scipy(rows):
    candidate, champion = make(rows, 25), make(rows, 25, first=10)
    found = judge(rows, candidate, champion, Gate(confidence=0.95)).comparison
    X, y = to_X_y(rows)
    of_scipy = bootstrap(
        (y, candidate.predict(X), champion.predict(X)),
        lambda y, a, b: f1_score(y, a) - f1_score(y, b),
        paired=True,
        vectorized=False,
        n_resamples=500,
        confidence_level=0.9,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(of_scipy), abs=0.002)


def test_the_same_seed_gives_the_same_decision_and_it_goes_through_json(rows):
    decision = judge(rows, make(rows, 10), make(rows, 40))
    assert judge(rows, make(rows, 10), make(rows, 40)) == decision
    text = decision.model_dump_json()
    assert Decision.model_validate_json(text) == decision
    json.loads(text, parse_constant=pytest.fail)
    assert len(text) < 4_000  # a tag of an old MLflow server holds 5,000 characters


def test_a_decision_stored_by_an_earlier_version_is_read(rows):
    decision = judge(rows, make(rows, 10), make(rows, 40))
    stored = json.loads(decision.model_dump_json())
    for name in ("fixed_vectors", "broken_vectors", "level", "looks", "detectable", "sketch"):
        del stored["comparison"][name]
    read = Decision.model_validate(stored).comparison
    assert (read.fixed_vectors, read.broken_vectors, read.level, read.sketch) == (None, None, None, None)
    assert (read.fixed, read.broken) == (30, 0)


def test_a_person_can_only_stop_a_promotion(rows):
    better, worse = judge(rows, make(rows, 10), make(rows, 40)), judge(rows, make(rows, 40), make(rows, 10))
    assert answered(worse, approved=True, comment="please") == worse
    yes = answered(better, approved=True, comment="")
    assert (yes.outcome, yes.reasons) == ("promote", (*better.reasons, "Approved."))
    no = answered(better, approved=False, comment="too soon")
    assert (no.outcome, no.reasons) == ("keep", ("Not approved: too soon.", *better.reasons))


def test_a_model_that_calls_nothing_phishing_is_not_promoted(rows):
    never = make(rows, len(rows), label=-1)
    decision = judge(rows, never, make(rows, 0))
    assert decision.outcome == "keep"
    assert decision.figures["f1_score"] == 0
    assert judge(rows, never, never).comparison.low == 0


def test_a_decision_says_how_often_its_rows_were_looked_at_and_when_more_are_needed(rows):
    first = judge(rows, make(rows, 45, first=20), make(rows, 40))
    assert not [reason for reason in first.reasons if "Earlier decisions" in reason]
    earlier = [first.comparison]
    second = decide(
        make(rows, 45, first=20), Champion("3", make(rows, 40), SPLIT), rows, train_f1_score=0.95, earlier=earlier
    )
    assert second.comparison.level == pytest.approx(0.05 / 4)
    *_, looks, shown, needed, _floors = second.reasons
    assert looks == "Earlier decisions that used these test rows: about 1; more confidence is required."
    assert shown == f"These rows show a gain of {second.comparison.detectable:.4f} of F1 with a probability of 80%."
    assert needed == "Smaller gains are missed too often: more test rows are needed, or fresh ones."
