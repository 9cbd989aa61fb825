import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from networksecurity.champion.check import check_version
from networksecurity.champion.registry import RANDOM_STATE_TAG, TEST_SIZE_TAG, Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import TARGET, to_X_y
from networksecurity.data.validation import validate
from networksecurity.data.vectors import vector_codes
from networksecurity.monitoring.quality import QualityState
from networksecurity.monitoring.thresholds import Thresholds
from networksecurity.tracking.model import save_model
from networksecurity.tracking.outcome import LEARNED_FILE, TESTED_FILE, Training
from networksecurity.training.label_rule import LabelRule, with_rule


@pytest.fixture(scope="module")
def new():
    return validate(make_phishing_websites(3_000, random_state=1)).accepted


@pytest.fixture
def version(stored_model, outcome):
    tags = {name: str(of) for name, of in outcome.test.metrics.items()}
    return stored_model.model_copy(update={"tags": tags | {TEST_SIZE_TAG: "0.2", RANDOM_STATE_TAG: "0"}})


@pytest.fixture
def check(server, stored_model):
    """Return a function that checks a version on rows."""

    def run(version, rows, **thresholds):
        how = {"before": QualityState(), "thresholds": Thresholds(**thresholds), "margin": 0.01}
        return check_version(Registry(server, stored_model.name), version, rows, **how)

    return run


def test_new_rows_of_the_same_kind_show_no_decay(check, version, new):
    found = check(version, new)
    assert found.quality.verdict == "no_decay"
    assert found.state.n_rows == found.quality.n_rows
    assert found.expected.f1_score == pytest.approx(found.quality.f1_score, abs=0.05)


def test_wrong_labels_are_a_decay(check, version, new):
    wrong = np.arange(len(new)) < len(new) // 3
    rows = new.assign(**{TARGET: new[TARGET].where(~wrong, -new[TARGET])})
    assert check(version, rows).quality.verdict == "decayed"


def test_rows_that_the_model_has_learned_from_count_nothing(check, version, new, outcome):
    found = check(version, new)
    unseen = ~np.isin(vector_codes(new), outcome.learned)
    assert found.quality.n_rows == found.expected.n_rows == unseen.sum()


def test_an_older_version_is_judged_on_rows_of_its_test_side(check, version, new, tmp_path):
    all_known = check(version, new).quality.n_rows
    for name in (LEARNED_FILE, TESTED_FILE):
        (tmp_path / "model" / name).unlink()
    found = check(version, new).quality
    assert found.verdict == "no_decay"
    assert found.n_rows < all_known / 3


@pytest.mark.parametrize("gone", [TEST_SIZE_TAG, "f1_score", "f1_score_low"])
def test_a_version_that_does_not_know_its_test_is_not_judged(check, version, new, gone):
    tags = {name: of for name, of in version.tags.items() if name != gone}
    found = check(version.model_copy(update={"tags": tags}), new)
    assert found.quality.verdict == "not_judged"
    assert "train again" in found.quality.reason
    assert found.drift.verdict == "no_drift"


def test_rows_without_labels_are_compared_but_not_judged(check, version, new):
    found = check(version, new.drop(columns=TARGET))
    assert (found.quality.reason, found.drift.verdict) == ("the new rows have no labels", "no_drift")
    assert found.expected == check(version, new).expected


@pytest.mark.parametrize("n_rows", [0, 100])
def test_too_few_rows_wait_for_the_next_check(check, version, new, n_rows):
    found = check(version, new.head(n_rows))
    assert (found.drift.verdict, found.quality.verdict) == ("too_few_rows", "not_judged")
    assert (found.state, found.expected) == (QualityState(), None)


def test_of_a_model_with_a_band_the_decided_rows_are_told_apart(check, version, new, outcome, tmp_path):
    assert check(version, new).decided is None
    rule = LabelRule(threshold=0.5, band=(0.3, 0.8))
    banded = replace(outcome, model=with_rule(outcome.model, rule))
    shutil.rmtree(tmp_path / "model")
    save_model(
        str(tmp_path / "model"),
        Training(name="x", key="x", experiment_id="0", grid_experiment_id="1", train_run_id="0"),
        banded,
    )
    found = check(version, new)
    assert found.quality == check(version, new).quality

    unseen = new[~np.isin(vector_codes(new), outcome.learned)]
    X, y = to_X_y(unseen)
    y_score = outcome.model.predict_proba(X)[:, 1]
    decided = (y_score < 0.3) | (y_score >= 0.8)
    assert found.decided.coverage == pytest.approx(decided.mean())
    assert found.decided.f1_score == pytest.approx(f1_score(y[decided], y_score[decided] >= 0.5))
    assert found.quality.f1_score < found.decided.f1_score
    assert "are decided, with an F1 of" in found.decided.sentence()
    assert set(found.decided.metrics()) == {"decided/coverage", "decided/f1_score"}
    assert check(version, new.drop(columns=TARGET)).decided.f1_score is None
