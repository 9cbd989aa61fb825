import json
import sys

import mlflow
import pandas as pd
import pytest
from pydantic import ValidationError

from flows.evaluate import evaluate
from flows.parameters import EvaluateParameters, ScoreParameters, TrainParameters
from flows.score import score
from flows.train import train
from flows.training_report import show_training
from networksecurity import cli
from networksecurity.champion.gate import Gate
from networksecurity.champion.registry import Registry
from networksecurity.data.address_sample import make_addresses
from networksecurity.exceptions import ConfigurationError, TrackingError
from networksecurity.settings import settings
from networksecurity.tracking.server import connect
from networksecurity.training.candidates import ENABLED

MODEL = {"contract": "addresses", "models": "Decision Tree"}


def test_a_model_of_addresses_is_trained_promoted_asked_and_evaluated(workplace, capsys, monkeypatch):
    rows = make_addresses(1_500).assign(label=lambda rows: rows["label"].map({"phishing": 1, "legitimate": 0}))
    rows.to_csv(workplace / "rows.csv", index=False)
    lax = Gate(min_f1_score=0.5, min_recall_score=0.5, max_false_positive_rate=1, max_generalisation_gap=1)
    report = train(TrainParameters(**MODEL, source="rows.csv", positive="1", gate=lax))
    show_training(report)
    assert "0 registrable domains on both sides" in capsys.readouterr().out
    assert (report.model_name, report.decision.outcome) == ("networksecurity-addresses", "promote")
    registry = Registry(connect(settings()), "networksecurity-addresses")
    version = registry.choose()
    assert version.contract.name == "addresses"
    assert "by a website's address (URL) alone" in registry.load_card(version)

    pd.DataFrame({"key": [1, 2], "link": ["hxxp://a[.]test", "?"]}).to_csv(workplace / "new.csv", index=False)
    state = score(ScoreParameters(contract="addresses", source="new.csv", output="scored.csv"), return_state=True)
    assert state.is_completed()
    scored = pd.read_csv(workplace / "scored.csv")
    assert scored[["row", "key", "link", "model"]].values.tolist() == [[0, 1, "hxxp://a[.]test", registry.name]]

    monkeypatch.setattr(sys, "argv", ["networksecurity", "check", "--json", "hxxp://a[.]test", "no address"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    asked = json.loads(capsys.readouterr().out)["verdicts"]
    assert asked[0]["phishing_probability"] == scored["phishing_probability"][0]
    assert asked[1]["problem"] == "the host is no host name"
    assert ended.value.code == (3 if asked[0]["label"] == "phishing" else 1)

    state = evaluate(EvaluateParameters(contract="addresses", source="sample:1000"), return_state=True)
    assert state.result().review.total.n_rows == 1_000
    # The stored model answers through MLflow's own loading, too.
    stored = mlflow.sklearn.load_model(f"models:/{registry.name}@champion")
    address = pd.DataFrame({"url": ["http://a.test/"]})
    assert stored.predict_proba(address)[0, 1] == scored["phishing_probability"][0]


def test_models_of_one_contract_are_not_found_under_another(workplace):
    assert train(TrainParameters(source="sample:600", models="Decision Tree"), return_state=True).is_completed()
    with pytest.raises(TrackingError, match="no version of networksecurity-addresses has the alias champion"):
        score(ScoreParameters(contract="addresses", source="sample:10", output="scored.csv"))


def test_a_collection_holds_no_addresses(workplace):
    with pytest.raises(ConfigurationError, match="--contract addresses reads files"):
        train(TrainParameters(**MODEL, source="mongodb://127.0.0.1:1/a.b"))


def test_the_models_that_compete_are_those_of_the_contract():
    assert TrainParameters().models == ENABLED
    assert "Character N-grams" in TrainParameters(contract="addresses").models
    with pytest.raises(ValidationError, match="there is no model 'Character N-grams'; known are Random Forest"):
        TrainParameters(models="Character N-grams")


def test_what_means_phishing_is_known_of_websites():
    with pytest.raises(ValidationError, match="this is for --contract addresses"):
        TrainParameters(positive="1")
