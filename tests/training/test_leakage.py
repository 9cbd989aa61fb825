import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from networksecurity.data.schema import FEATURES, TARGET, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.exceptions import DataValidationError
from networksecurity.training.candidates import CANDIDATES, make_pipeline
from networksecurity.training.evaluation import evaluate_model
from networksecurity.training.leakage import N_SPLITS, LeakageLedger, leakage_ledger

BITS = [name for name, domain in FEATURES.items() if domain == (-1, 1)]


def rows_with(counts, start=0):
    """Return rows of as many distinct vectors as there are (n_phishing, n_legitimate) in `counts`."""
    vectors = np.repeat(np.arange(len(counts)) + start, [sum(pair) for pair in counts])
    results = np.concatenate([np.repeat([-1, 1], pair) for pair in counts])
    rows = pd.DataFrame(1, index=range(len(vectors)), columns=[*FEATURES, TARGET], dtype="Int8")
    rows[TARGET] = pd.array(results, "Int8")
    for bit, name in enumerate(BITS):
        rows[name] = pd.array(1 - 2 * (vectors >> bit & 1), "Int8")
    return rows


def memoriser(train):
    return DecisionTreeClassifier(random_state=0).fit(*to_X_y(train))


def test_the_ledger_shows_what_duplicates_are_worth_to_a_memoriser():
    # Labels that have nothing to do with the features: what is not remembered cannot be known.
    rng = np.random.default_rng(0)
    counts = [(6, 0) if phishing else (0, 6) for phishing in rng.random(400) < 0.5]
    train, test = rows_with(counts[:320]), rows_with(counts[320:], start=320)
    model = memoriser(train)
    ledger = leakage_ledger(model, train, test)
    assert evaluate_model(model, test)["f1_score"] < 0.65
    assert ledger.random_split_f1_score > 0.98
    assert ledger.random_split_seen_share > 0.98
    assert (ledger.ceiling_f1_score, ledger.ceiling_accuracy) == (1, 1)
    assert ledger == leakage_ledger(model, train, test)
    assert LeakageLedger.model_validate_json(ledger.model_dump_json()) == ledger


def test_the_ledger_of_rows_without_duplicates_finds_nothing_seen():
    rng = np.random.default_rng(0)
    counts = [(1, 0) if phishing else (0, 1) for phishing in rng.random(400) < 0.5]
    train, test = rows_with(counts[:320]), rows_with(counts[320:], start=320)
    ledger = leakage_ledger(memoriser(train), train, test)
    assert ledger.random_split_seen_share == 0
    assert ledger.random_split_f1_low < ledger.random_split_f1_score < ledger.random_split_f1_high < 0.75


def test_the_flattering_figure_is_the_mean_of_random_splits_with_the_interval_of_a_corrected_t_test():
    rng = np.random.default_rng(0)
    counts = [(5, 1) if phishing else (1, 5) for phishing in rng.random(200) < 0.5]
    train, test = rows_with(counts[:160]), rows_with(counts[160:], start=160)
    model, rows = memoriser(train), pd.concat([train, test], ignore_index=True)
    scores, seen = [], []
    for seed in range(30):  # any splits have about the same mean
        y = to_X_y(rows)[1]
        one, other = train_test_split(rows, test_size=len(test), stratify=y, random_state=seed)
        X, y = to_X_y(other)
        scores.append(f1_score(y, memoriser(one).predict_proba(X)[:, 1] >= 0.5))
        seen.append(
            other[list(FEATURES)].apply(tuple, axis=1).isin(set(one[list(FEATURES)].apply(tuple, axis=1))).mean()
        )
    ledger = leakage_ledger(model, train, test)
    of_splits = np.array(ledger.random_split_f1_scores)
    assert of_splits[0] == scores[0]  # of the same seed
    assert len(of_splits) == N_SPLITS
    assert ledger.random_split_f1_score == pytest.approx(of_splits.mean())
    assert ledger.random_split_f1_score == pytest.approx(np.mean(scores), abs=0.05)
    assert ledger.random_split_seen_share == pytest.approx(np.mean(seen), abs=0.05)
    error = of_splits.std(ddof=1) * np.sqrt(1 / N_SPLITS + len(test) / len(train))
    half = 2.776 * error  # t with 4 degrees of freedom
    assert ledger.random_split_f1_high - ledger.random_split_f1_low == pytest.approx(2 * half, rel=1e-3)


def ceilings(counts):
    train = rows_with([(1, 0), (0, 1)])
    ledger = leakage_ledger(memoriser(train), train, rows_with(counts, start=2))
    return ledger.ceiling_f1_score, ledger.ceiling_accuracy


def test_ceilings_are_those_computed_by_hand():
    # The tie is worth calling phishing for F1 (6 / 8 against 4 / 6), the vector of one in three is not (8 / 11).
    assert ceilings([(2, 0), (1, 1), (1, 2), (0, 3)]) == pytest.approx((6 / 8, 8 / 10))
    # Here even a vector that is legitimate more often than not is.
    assert ceilings([(1, 0), (2, 3)]) == pytest.approx((6 / 9, 4 / 6))


@pytest.mark.parametrize("seed", range(5))
def test_no_function_of_the_features_is_above_the_ceilings_and_one_reaches_each(seed):
    counts = np.random.default_rng(seed).integers([1, 0], 6, (7, 2))
    n_phishing, n_rows = counts[:, 0].sum(), counts.sum()
    f1_scores, accuracies = [], []
    for called in itertools.product([False, True], repeat=len(counts)):
        tp, fp = counts[list(called)].sum(axis=0)
        f1_scores.append(2 * tp / (tp + fp + n_phishing))
        accuracies.append((tp + n_rows - n_phishing - fp) / n_rows)
    assert ceilings(counts.tolist()) == pytest.approx((max(f1_scores), max(accuracies)))


def test_the_ledger_refuses_sides_that_share_vectors_or_lack_a_class():
    train = rows_with([(2, 0), (0, 2)])
    model = memoriser(train)
    with pytest.raises(DataValidationError, match="1 feature vectors are in both"):
        leakage_ledger(model, train, rows_with([(1, 0), (0, 1)], start=1))
    with pytest.raises(DataValidationError, match="test rows .* labelled legitimate"):
        leakage_ledger(model, train, rows_with([(1, 0), (2, 0)], start=2))
    with pytest.raises(DataValidationError, match="training rows .* labelled phishing"):
        leakage_ledger(model, rows_with([(0, 2)]), rows_with([(1, 0), (0, 2)], start=2))


def test_a_random_split_flatters_the_real_data(real_data):
    sides = split(validate(pd.read_csv(real_data)).accepted)
    model = make_pipeline(CANDIDATES["Decision Tree"]).fit(*to_X_y(sides.train))
    ledger = leakage_ledger(model, sides.train, sides.test)
    assert evaluate_model(model, sides.test)["f1_score"] < ledger.random_split_f1_score < ledger.ceiling_f1_score
    assert ledger.random_split_seen_share == pytest.approx(0.65, abs=0.02)
    assert ledger.ceiling_accuracy == pytest.approx(0.99, abs=0.005)
