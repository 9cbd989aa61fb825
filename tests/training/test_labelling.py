import numpy as np
import pytest

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.validation import validate
from networksecurity.training.calibration import correct_own, method_of
from networksecurity.training.candidates import CANDIDATES
from networksecurity.training.label_rule import rule_of
from networksecurity.training.labelling import Labelling, choose_labelling, label_by
from networksecurity.training.search import fit_best, out_of_fold_scores


@pytest.fixture(scope="module")
def scored():
    """Return rows, out-of-fold probabilities of a forest on them, and its folds."""
    X, y = to_X_y(validate(make_phishing_websites(1_500, random_state=0)).accepted)
    fold, params = np.arange(len(y)) % 3, {"n_estimators": 32}
    return X, y, out_of_fold_scores(CANDIDATES["Random Forest"], params, X, y, fold), fold, params


def test_what_is_chosen_is_what_the_pipeline_does(scored):
    X, y, y_score, fold, params = scored
    groups = np.arange(len(y))
    chosen = choose_labelling(y, y_score, fold, groups, costs={"cost_false_negative": 5.0}, cost_review=0.2)
    assert chosen.by_score is None
    assert chosen.rule.threshold == chosen.by_costs.threshold < 0.5
    assert chosen.rule.band == (chosen.band.lower, chosen.band.upper)
    model = label_by(fit_best(CANDIDATES["Random Forest"], params, X, y), chosen, y, y_score)
    assert rule_of(model) == chosen.rule
    assert method_of(model) == chosen.calibration.method == "temperature"
    assert model.predict(X).tolist() == chosen.rule.codes(model.predict_proba(X)[:, 1]).tolist()


def test_threshold_and_band_are_on_the_scale_of_the_calibrated_probabilities(scored):
    _, y, y_score, fold, _ = scored
    chosen = choose_labelling(y, y_score, fold, np.arange(len(y)), abstain=0.1)
    corrected = correct_own(y, y_score, chosen.calibration.method)
    assert chosen.rule.is_unsure(corrected).mean() == pytest.approx(1 - chosen.band.coverage)
    assert chosen.band.coverage >= 0.9
    assert chosen.band.f1_score > chosen.band.f1_score_of_all


def test_by_default_every_row_is_decided(scored):
    _, y, y_score, fold, _ = scored
    chosen = choose_labelling(y, y_score, fold, np.arange(len(y)))
    assert (chosen.band, chosen.rule.band, chosen.by_costs) == (None, None, None)
    assert chosen.by_score.scoring == "f1"
    assert choose_labelling(y, y_score, fold, np.arange(len(y)), scoring="roc_auc").by_score is None


def test_a_choice_goes_through_json_and_says_what_it_did(scored):
    _, y, y_score, fold, _ = scored
    chosen = choose_labelling(y, y_score, fold, np.arange(len(y)), abstain=0.1)
    assert Labelling.model_validate_json(chosen.model_dump_json()) == chosen
    calibration, threshold, band = chosen.sentences()
    assert calibration.startswith("Probabilities are calibrated (temperature): Brier score")
    assert threshold.startswith("The decision threshold stays at 0.5")
    assert band.startswith("Unsure from")
