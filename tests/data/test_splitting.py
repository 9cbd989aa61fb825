import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold

from networksecurity.data.hashing import split_mix
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, encode_target
from networksecurity.data.splitting import assign_folds, draw, split
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.exceptions import ConfigurationError, DataValidationError


@pytest.fixture(scope="module")
def accepted():
    return validate(make_phishing_websites(3_000, random_state=1)).accepted


def vectors(frame):
    return set(map(tuple, frame[list(FEATURES)].to_numpy("int8", na_value=9).tolist()))


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1, None]), min_size=30, max_size=30), min_size=1, max_size=20))
def test_codes_are_equal_exactly_where_vectors_are(rows):
    frame = pd.DataFrame(rows, columns=list(FEATURES), dtype="Int8")
    codes = vector_codes(frame)
    for i, left in enumerate(rows):
        for j, right in enumerate(rows):
            assert (codes[i] == codes[j]) == (left == right)


@settings(max_examples=15)
@given(st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_no_vector_is_on_both_sides(accepted, test_size, random_state):
    sides = split(accepted, test_size=test_size, random_state=random_state)
    assert not vectors(sides.train) & vectors(sides.test)
    assert sides.report.shared_vectors == 0
    assert sorted([*sides.train.index, *sides.test.index]) == list(accepted.index)
    share = sides.report.n_test_vectors / (sides.report.n_train_vectors + sides.report.n_test_vectors)
    assert share == pytest.approx(test_size, abs=0.06)


def test_a_vector_keeps_its_side_when_rows_are_added(accepted):
    before, after = split(accepted.head(1_000)), split(accepted)
    assert set(before.test.index) == {row for row in after.test.index if row < 1_000}


def test_the_salt_decides(accepted):
    assert split(accepted, random_state=0).test.index.equals(split(accepted, random_state=0).test.index)
    assert not split(accepted, random_state=0).test.index.equals(split(accepted, random_state=1).test.index)


def test_the_report_counts_what_pandas_counts(accepted):
    sides = split(accepted)
    report, labels = sides.report, accepted.groupby(list(FEATURES))[TARGET]
    both = labels.nunique() == 2
    assert both.any()
    assert (report.n_train, report.n_test) == (len(sides.train), len(sides.test))
    assert (report.n_train_vectors, report.n_test_vectors) == (len(vectors(sides.train)), len(vectors(sides.test)))
    assert report.train_phishing_share == (sides.train[TARGET] == -1).mean()
    assert report.test_phishing_share == (sides.test[TARGET] == -1).mean()
    assert report.n_duplicate_rows == accepted.duplicated(list(FEATURES)).sum() > 0
    assert (report.n_ambiguous_vectors, report.n_ambiguous_rows) == (both.sum(), labels.size()[both].sum())


def test_defaults_are_those_of_a_training(accepted):
    assert split(accepted).test.index.equals(split(accepted, test_size=0.2, random_state=0).test.index)
    assert (assign_folds(accepted) == assign_folds(accepted, n_splits=3, random_state=0)).all()


def test_report_on_the_real_data(real_data):
    report = split(validate(pd.read_csv(real_data)).accepted).report
    assert report.n_train + report.n_test == 11_055
    assert report.n_train_vectors + report.n_test_vectors == 5_785
    assert report.n_duplicate_rows == 11_055 - 5_785
    assert (report.n_ambiguous_vectors, report.n_ambiguous_rows) == (64, 357)
    assert report.shared_vectors == 0
    assert report.train_phishing_share == pytest.approx(report.test_phishing_share, abs=0.03)


def test_the_side_of_a_known_vector_never_changes():
    # Older champions are compared on the test rows of today: these numbers are for ever.
    rows = pd.DataFrame([[1] * 30, [-1] * 30, [None] * 30], columns=list(FEATURES), dtype="Int8")
    assert vector_codes(rows).tolist() == [int("10" * 30, 2), 0, int("11" * 30, 2)]
    assert split_mix(vector_codes(rows), salt=0).tolist() == [
        2473956949924856213,
        16294208416658607535,
        8104036994949456367,
    ]


@pytest.mark.parametrize("test_size", [0, 1, -0.1, 1.5])
def test_impossible_share(accepted, test_size):
    with pytest.raises(ConfigurationError, match="test_size"):
        split(accepted, test_size=test_size)


def test_too_few_rows_for_a_side(accepted):
    few = pd.concat([accepted[accepted[TARGET] == label].head(1) for label in (-1, 1)])
    with pytest.raises(DataValidationError, match="side .* has no row labelled"):
        split(few)


def test_folds_are_grouped_and_stratified(accepted):
    test_fold = assign_folds(accepted, n_splits=3)
    assert set(test_fold) == {0, 1, 2}
    for fold in range(3):
        scored = accepted[test_fold == fold]
        assert not vectors(scored) & vectors(accepted[test_fold != fold])
        assert (scored[TARGET] == -1).mean() == pytest.approx((accepted[TARGET] == -1).mean(), abs=0.05)


def test_folds_are_those_of_scikit_learn(accepted):
    plain = StratifiedGroupKFold(4, shuffle=True, random_state=7)
    pairs = list(plain.split(accepted, encode_target(accepted[TARGET]), vector_codes(accepted)))
    ours = list(PredefinedSplit(assign_folds(accepted, n_splits=4, random_state=7)).split())
    for (plain_fit, plain_score), (fit, score) in zip(pairs, ours, strict=True):
        assert plain_fit.tolist() == fit.tolist()
        assert plain_score.tolist() == score.tolist()


def test_too_few_vectors_for_the_folds(accepted):
    phishing, legitimate = (accepted[accepted[TARGET] == label] for label in (-1, 1))
    enough = pd.concat([phishing.drop_duplicates(list(FEATURES)).head(3), legitimate])
    assert set(assign_folds(enough, n_splits=3)) == {0, 1, 2}
    few = pd.concat([phishing.head(2), legitimate])
    with pytest.raises(DataValidationError, match="3 folds need at least 3 distinct feature vectors .* phishing"):
        assign_folds(few, n_splits=3)


def test_a_fold_of_one_class_is_refused(accepted):
    # Two vectors have all phishing and, together, as many legitimate rows as the third: they share a fold.
    three = accepted.drop_duplicates(list(FEATURES)).head(3)
    rows = three.loc[three.index.repeat([99, 59, 50])].reset_index(drop=True)
    rows[TARGET] = pd.array([1] * 99 + [-1] * 9 + [1] * 50 + [-1] + [1] * 49, dtype="Int8")
    with pytest.raises(DataValidationError, match="a fold of 2 holds one class only"):
        assign_folds(rows, n_splits=2)


@pytest.mark.parametrize("n_rows", [500, 2_999])
def test_draw_takes_all_or_none_of_a_vector(accepted, n_rows):
    drawn = draw(accepted, n_rows)
    assert 0.9 * n_rows < len(drawn) <= n_rows
    assert list(drawn.index) == sorted(drawn.index)
    assert not vectors(drawn) & vectors(accepted.drop(drawn.index))
    assert encode_target(drawn[TARGET]).mean() == pytest.approx(encode_target(accepted[TARGET]).mean(), abs=0.1)


def test_draw_depends_on_the_seed_and_keeps_its_vectors_when_rows_are_added(accepted):
    drawn = draw(accepted.head(1_500), 500)
    assert not draw(accepted.head(1_500), 500, random_state=1).equals(drawn)
    assert vectors(draw(accepted.head(1_500), 400)) < vectors(drawn)
    assert len(vectors(draw(accepted, 1_000)) & vectors(drawn)) > 0.9 * len(vectors(drawn))
    assert draw(accepted, len(accepted)) is draw(accepted, len(accepted) + 1) is accepted
