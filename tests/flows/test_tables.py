import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from made_tables import SHOP, shop
from pydantic import ValidationError
from served import CSV, running
from typer.testing import CliRunner

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.monitor import monitor
from flows.parameters import EvaluateParameters, IngestParameters, MonitorParameters, ScoreParameters, TrainParameters
from flows.score import score
from flows.train import train
from networksecurity.champion.gate import Gate
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.cli import app
from networksecurity.data.contracts import Table
from networksecurity.exceptions import TrackingError
from networksecurity.settings import settings
from networksecurity.tracking.server import connect

LAX = Gate(min_f1_score=0.5, min_recall_score=0.5, max_false_positive_rate=1, max_generalisation_gap=1)


@pytest.fixture
def files(workplace):
    """Write a table's rows and its description; return what flows are asked for."""
    shop(1_200).to_csv("rows.csv", index=False)
    (workplace / "shop.yaml").write_text(SHOP)
    return {"contract": "shop.yaml", "source": "rows.csv"}


def fit(**parameters):
    """Train a model and put it in use."""
    report = train(TrainParameters(**parameters, promotion="off"))
    Registry(connect(settings()), report.model_name).set_alias(CHAMPION, report.model_version)
    return report


def test_a_model_of_a_table_answers_alike_in_memory_in_batch_over_http_and_from_mlflow(files):
    report = train(TrainParameters(**files, models="Decision Tree", gate=LAX))
    assert (report.model_name, report.group, report.decision.outcome) == ("networksecurity-shop", "domain", "promote")
    assert report.split["shared_vectors"] == 0
    contract = Table.parse(SHOP)
    registry = Registry(connect(settings()), report.model_name, contract)
    version = registry.choose()
    with registry.files(version) as folder:
        assert Table.parse((folder / "contract.yaml").read_text()) == contract
    X = contract.to_X(contract.validate(shop(50, random_state=1)).accepted)
    in_memory = registry.load_model(version).predict_proba(X)[:, 1]

    shop(50, random_state=1).rename(columns={"length": "URL Length"}).to_csv("new.csv", index=False)
    state = score(ScoreParameters(contract="shop.yaml", source="new.csv", output="scored.parquet"), return_state=True)
    assert state.is_completed()
    scored = pd.read_parquet("scored.parquet")
    assert scored["phishing_probability"].tolist() == in_memory.tolist()
    assert list(scored)[:4] == ["row", "domain", "url", "status"]

    with running(settings().model_copy(update={"serve_contract": "shop.yaml"})) as service:
        rows = json.loads(shop(50, random_state=1).to_json(orient="records"))
        answer = service.predict({"rows": [*rows, rows[0] | {"length": "long"}]})
        table = service("POST", "/predict", content=Path("new.csv").read_bytes(), headers=CSV).json()
        described = service("GET", "/openapi.json").json()["info"]["description"]
    assert "by 4 columns of the table shop. " in described
    assert [of["phishing_probability"] for of in answer["predictions"][:-1]] == in_memory.tolist()
    assert answer["predictions"][-1]["reasons"] == ["length is not a number"]
    assert answer["predictions"][0]["keys"] == {key: rows[0][key] for key in ("domain", "url", "status")}
    assert [of["phishing_probability"] for of in table["predictions"]] == in_memory.tolist()

    stored = mlflow.pyfunc.load_model(f"models:/{report.model_name}@champion")
    as_json = json.loads(X.head(5).to_json(orient="records"))
    assert stored.predict(pd.DataFrame(as_json)).tolist() == (in_memory[:5] >= 0.5).astype(int).tolist()

    state = evaluate(EvaluateParameters(**files), return_state=True)
    assert state.result().review.total.n_rows == 1_200


def test_what_a_table_lacks_is_not_held_against_the_model_of_websites(before, files):
    assert train(TrainParameters(**files, models="Decision Tree", gate=LAX)).gaps == []


def test_a_table_of_numbers_alone_is_searched_by_all_models_and_its_forest_has_a_native_form(files, workplace):
    numbers = SHOP.replace(
        "    tld: {dtype: str, isin: [test, example]}\n    title: {dtype: str, nullable: true}\n", ""
    )
    (workplace / "numbers.yaml").write_text(numbers.replace("contract: shop", "contract: numbers"))
    shop(600).to_csv("rows.csv", index=False)
    report = fit(contract="numbers.yaml", source="rows.csv", models="Random Forest")
    with running(settings().model_copy(update={"serve_contract": "numbers.yaml"})) as service:
        model = service("GET", "/model").json()
    assert report.model_name == model["name"] == "networksecurity-numbers"
    assert "probe rows" in model["native"]


def test_a_collection_of_a_table_is_filled_trained_on_scored_watched_and_corrected(
    files, workplace, collection, monkeypatch
):
    host, port = collection.database.client.address
    monkeypatch.setenv("MONGODB_URI", f"mongodb://{host}:{port}/{collection.database.name}.{collection.name}")
    settings.cache_clear()
    contract, source = {"contract": "shop.yaml"}, {"contract": "shop.yaml", "source": "mongodb"}
    rows = shop(1_200).astype({"length": object})
    rows.loc[5, "length"] = "long"
    rows.to_csv("rows.csv", index=False)
    done = ingest(IngestParameters(**contract, source="rows.csv")).rows
    assert (done.n_inserted, done.n_quarantined) == (1_199, 1)
    assert done.collection.endswith(f".{collection.name}_shop")
    (aside,) = collection.database[f"{collection.name}_shop_quarantine"].find()
    assert "length is not a number" in str(aside)
    report = fit(**source, models="Decision Tree")
    assert report.validation["n_accepted"] == 1_199

    scored = score(ScoreParameters(**source, output="mongodb"), return_state=True).result()
    assert scored.rows.n_scored == 1_199
    explained = ScoreParameters(**contract, source="rows.csv", output="explained.csv", explain=True, max_rejected=0.1)
    assert score(explained, return_state=True).is_completed()
    reasons = [json.loads(of) for of in pd.read_csv("explained.csv")["explanation"].dropna()]
    assert {reason["value"] for of in reasons for reason in of if reason["feature"] == "tld"} == {"test", "example"}

    shop(600, random_state=1).to_csv("like.csv", index=False)
    ingest(IngestParameters(**contract, source="like.csv"))
    state = monitor(MonitorParameters(**source), return_state=True)
    assert (state.name, state.result().n_rows) == ("No drift", 600)
    shop(800, random_state=2).assign(length=lambda rows: rows["length"] + 30).to_csv("longer.csv", index=False)
    ingest(IngestParameters(**contract, source="longer.csv"))
    state = monitor(MonitorParameters(**source), return_state=True)
    assert (state.name, state.result().n_rows) == ("Drift detected", 800)
    assert "length" in state.result().drifted

    ours = settings().model_copy(update={"serve_contract": "shop.yaml"})
    row = json.loads(rows.drop(columns="status").head(1).to_json(orient="records"))[0]
    with running(ours) as service:
        answer = service("POST", "/feedback", json={"row": row, "label": "phishing", "by": "jane"})
        answered = service.predict({"rows": [row], "explain": True})
    assert answer.status_code == 201
    described = {of["feature"]: of["description"] for of in answered["predictions"][0]["explanation"]}
    assert described["length"] == "characters of the address"  # as the file says
    accepted = CliRunner().invoke(app, ["feedback", "accept", answer.json()["id"], "--by=joe", "--contract=shop.yaml"])
    assert "accepted, ingestion" in accepted.output
    again = train(TrainParameters(**source, models="Decision Tree", gate=LAX))
    assert again.validation["n_accepted"] == 2_600
    assert again.decision.champion == report.model_version
    for suffix in ("", "_quarantine", "_ingestions", "_scores", "_watches", "_feedback"):
        collection.database.drop_collection(f"{collection.name}_shop{suffix}")


def test_a_version_is_not_asked_about_rows_of_a_table_that_has_changed(files, workplace):
    fit(**files, models="Decision Tree")
    (workplace / "shop.yaml").write_text(SHOP.replace("max_value: 200", "max_value: 300"))
    with pytest.raises(TrackingError, match="version 1 of .* was trained under another contract shop"):
        score(ScoreParameters(contract="shop.yaml", source="rows.csv", output="scored.csv"))
    shown = CliRunner().invoke(app, ["contract", "show", "shop.yaml", "--version", "1"])
    assert shown.output == Table.parse(SHOP).document
    (workplace / "shop.yaml").write_text(SHOP.replace("characters of the address", "its length"))
    assert score(ScoreParameters(**files, output="scored.csv"), return_state=True).is_completed()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contract": "other.yaml"}, "there is no file other.yaml"),
        (
            {"contract": "shop"},
            "there is no contract 'shop'; known are websites, addresses, and files",
        ),
        ({"contract": "shop.yaml", "models": "Character N-grams"}, "there is no model 'Character N-grams'"),
    ],
)
def test_wrong_options_of_a_table_are_refused_in_a_line(files, options, message):
    with pytest.raises(ValidationError, match=message):
        TrainParameters(source="rows.csv", **options)
