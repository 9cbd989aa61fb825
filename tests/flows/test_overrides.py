import pandas as pd
from overriding import NOW, override
from trainings import RIVALS, run

from flows.parameters import ScoreParameters
from flows.score import score
from networksecurity.data.contracts import WEBSITES
from networksecurity.data.overrides.override import row_value
from networksecurity.data.overrides.store import override_store
from networksecurity.data.sample import make_phishing_websites
from networksecurity.settings import settings


def test_a_training_is_the_same_with_overrides_and_scores_are_not(trained, empty_workplace):
    plain = trained.report
    rows = make_phishing_websites(1_500)
    values = {row_value(row) for row in WEBSITES.to_X(WEBSITES.validate(rows).accepted).to_numpy().tolist()}
    about = {"contract": "websites", "covers": "row", "at": NOW, "until": NOW.replace(year=NOW.year + 50)}
    override_store(settings()).add([override(value, "phishing", **about) for value in values])
    settings.cache_clear()
    again = run(**RIVALS).result()
    assert (again.data_sha256, again.test_metrics) == (plain.data_sha256, plain.test_metrics)

    rows.to_csv("rows.csv", index=False)
    found = {}
    for wanted in (True, False):
        parameters = ScoreParameters(source="rows.csv", output="scored.csv", model_version="1", overrides=wanted)
        report = score(parameters, return_state=True).result()
        found[wanted] = pd.read_csv("scored.csv")
        assert report.rows.n_overridden == (1_500 if wanted else 0)
    assert set(found[True]["label"]) == {"phishing"}
    assert set(found[False]["label"]) == {"phishing", "legitimate"}
    assert (found[True]["phishing_probability"] == found[False]["phishing_probability"]).all()
