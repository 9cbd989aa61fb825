import json
import sys

import mlflow
import pandas as pd
import pytest
from pydantic import ValidationError

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.monitor import monitor
from flows.parameters import (
    EvaluateParameters,
    IngestParameters,
    MonitorParameters,
    ScoreParameters,
    TrainParameters,
)
from flows.score import score
from flows.train import train
from flows.training_report import summarize
from networksecurity import cli
from networksecurity.champion.gate import Gate
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.contracts import Addresses
from networksecurity.exceptions import TrackingError
from networksecurity.prediction.address_parts import PARTS
from networksecurity.settings import settings
from networksecurity.tracking.server import connect
from networksecurity.training.candidates import ENABLED

LAX = Gate(min_f1_score=0.5, min_recall_score=0.5, max_false_positive_rate=1, max_generalisation_gap=1)
MODEL = {"contract": "addresses", "models": "Decision Tree"}


def test_a_model_of_addresses_is_trained_promoted_asked_and_evaluated(workplace, capsys, monkeypatch):
    rows = make_addresses(1_500).assign(label=lambda rows: rows["label"].map({"phishing": 1, "legitimate": 0}))
    rows.to_csv(workplace / "rows.csv", index=False)
    report = train(TrainParameters(**MODEL, source="rows.csv", positive="1", gate=LAX))
    summarize(report).show()
    assert "0 registrable domains on both sides" in capsys.readouterr().out
    assert (report.model_name, report.decision.outcome) == ("networksecurity-addresses", "promote")
    registry = Registry(connect(settings()), "networksecurity-addresses", Addresses())
    version = registry.choose()
    assert version.contract == Addresses()
    assert version.tags["data.contract.sha256"] == Addresses().sha256
    with registry.files(version) as folder:
        assert (folder / "contract.yaml").read_text() == Addresses().document
    assert "by a website's address (URL) alone" in registry.load_card(version)

    pd.DataFrame({"key": [1, 2], "link": ["hxxp://a[.]test", "?"]}).to_csv(workplace / "new.csv", index=False)
    state = score(ScoreParameters(contract="addresses", source="new.csv", output="scored.csv"), return_state=True)
    assert state.is_completed()
    scored = pd.read_csv(workplace / "scored.csv")
    assert scored[["row", "key", "link", "model"]].values.tolist() == [[0, 1, "hxxp://a[.]test", registry.name]]

    monkeypatch.setattr(
        sys, "argv", ["networksecurity", "check", "--json", "--explain", "hxxp://a[.]test", "no address"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    asked = json.loads(capsys.readouterr().out)["verdicts"]
    assert asked[0]["phishing_probability"] == scored["phishing_probability"][0]
    assert {reason["feature"] for reason in asked[0]["explanation"]} <= set(PARTS)
    assert asked[1]["problem"] == "the host is no host name"
    assert ended.value.code == (3 if asked[0]["label"] == "phishing" else 1)

    state = evaluate(EvaluateParameters(contract="addresses", source="sample:1000"), return_state=True)
    assert state.result().review.total.n_rows == 1_000
    # The stored model answers through MLflow's own loading, too.
    stored = mlflow.sklearn.load_model(f"models:/{registry.name}@champion")
    address = pd.DataFrame({"url": ["http://a.test/"]})
    assert stored.predict_proba(address)[0, 1] == scored["phishing_probability"][0]


def test_models_of_one_contract_are_not_found_under_another(workplace):
    server = connect(settings())
    with server.client() as client:
        client.create_registered_model("networksecurity-phishing")
        client.create_model_version("networksecurity-phishing", "file:///nowhere", client.create_run("0").info.run_id)
    Registry(server, "networksecurity-phishing").set_alias(CHAMPION, "1")
    with pytest.raises(TrackingError, match="no version of networksecurity-addresses has the alias champion"):
        score(ScoreParameters(contract="addresses", source="sample:10", output="scored.csv"))


def quarantine(monkeypatch, *arguments):
    """Run `networksecurity quarantine …` for addresses."""
    monkeypatch.setattr(sys, "argv", ["networksecurity", "quarantine", *arguments, "--contract=addresses"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code


def test_a_collection_of_addresses_is_filled_trained_on_scored_and_evaluated(workplace, collection, monkeypatch):
    host, port = collection.database.client.address
    monkeypatch.setenv("MONGODB_URI", f"mongodb://{host}:{port}/{collection.database.name}.{collection.name}")
    settings.cache_clear()
    rows = make_addresses(1_500).assign(label=lambda rows: rows["label"].map({"phishing": 1, "legitimate": 0}))
    rows.loc[5, "url"] = "?"
    rows.loc[6] = rows.loc[7].replace({1: 0, 0: 1})
    rows.to_csv(workplace / "rows.csv", index=False)
    parameters = IngestParameters(contract="addresses", source="rows.csv", positive="1")
    done = ingest(parameters).rows
    assert (done.n_inserted, done.n_quarantined) == (1_499, 1)
    assert done.collection.endswith(f".{collection.name}_addresses")
    assert ingest(parameters).rows.n_already_there == 1_499

    source = {"contract": "addresses", "source": "mongodb"}
    report = train(TrainParameters(**source, models="Decision Tree", promotion="off"))
    Registry(connect(settings()), report.model_name).set_alias(CHAMPION, report.model_version)
    assert (report.validation["n_accepted"], report.validation["n_conflicts"]) == (1_499, 1)
    beside = collection.database[f"{collection.name}_addresses_scores"]
    for n_new in (1_499, 0, 40):
        if n_new == 40:
            ingest(IngestParameters(contract="addresses", source="sample:40"))
        scored = score(ScoreParameters(**source, output="mongodb"), return_state=True).result()
        assert scored.rows.n_scored == n_new
    assert beside.count_documents({}) == 1_539
    assert evaluate(EvaluateParameters(**source), return_state=True).result().review.total.n_rows == 1_539

    assert monitor(MonitorParameters(**source), return_state=True).name == "Too few rows"
    new = make_addresses(2_500, random_state=5)
    new["url"] = new["url"].str.replace("https://", "http://login.")
    new.to_csv("new.csv", index=False)
    ingest(IngestParameters(contract="addresses", source="new.csv"))
    state = monitor(MonitorParameters(**source), return_state=True)
    found = state.result()
    n_new = len(Addresses().validate(new).accepted)
    assert (state.name, found.contract, found.n_rows) == ("Drift detected", "addresses", 40 + n_new)
    assert {"https", "host_words"} <= set(found.drifted)
    assert found.quality.verdict in {"no_decay", "decayed"}
    assert 0 < found.expected.f1_score <= 1
    assert monitor(MonitorParameters(**source), return_state=True).result().n_rows == 0
    explained = ScoreParameters(**source, output="explained.csv", explain=True, since="3")
    assert score(explained, return_state=True).result().rows.n_scored == n_new
    reasons = json.loads(pd.read_csv("explained.csv")["explanation"][0])
    assert {reason["feature"] for reason in reasons} <= set(PARTS)

    quarantine(monkeypatch, "export", "aside.csv")
    aside = pd.read_csv("aside.csv", dtype=str).query("label in ('0', '1')")
    aside.assign(url="http://corrected.test/").to_csv("corrected.csv", index=False)
    quarantine(monkeypatch, "resubmit", "corrected.csv", "--positive=1")
    assert score(ScoreParameters(**source, output="mongodb"), return_state=True).result().rows.n_scored == n_new + 1
    for suffix in ("", "_quarantine", "_ingestions", "_scores", "_watches"):
        collection.database.drop_collection(f"{collection.name}_addresses{suffix}")


def test_the_models_that_compete_are_those_of_the_contract():
    assert TrainParameters().models == ENABLED
    assert "Character N-grams" in TrainParameters(contract="addresses").models
    with pytest.raises(ValidationError, match="there is no model 'Character N-grams'; known are Random Forest"):
        TrainParameters(models="Character N-grams")
