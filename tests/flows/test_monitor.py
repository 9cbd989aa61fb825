import json
import re
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import mlflow
import pytest
from prefect.client.orchestration import get_client

from flows.ingest import ingest
from flows.monitor import DRIFT_EVENT, QUALITY_EVENT, RETRAINING, monitor
from flows.parameters import IngestParameters, MonitorParameters, TrainParameters
from flows.train import train
from networksecurity.data.mongodb import OpenCollection
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import ConfigurationError, DataSourceError, TrackingError
from networksecurity.settings import settings


@pytest.fixture(scope="module")
def collection(mongod):
    """Return the collection of all these tests, empty at each: a model tells what it has learned from by its name."""
    return mongod.client["networksecurity_tests"][f"rows_{uuid.uuid4().hex}"]


@pytest.fixture
def growing(workplace, collection, monkeypatch):
    """Return what adds rows to a collection that is the source `mongodb`."""
    host, port = collection.database.client.address
    monkeypatch.setenv("MONGODB_URI", f"mongodb://{host}:{port}/{collection.database.name}.{collection.name}")
    settings.cache_clear()

    def add(n_rows, random_state, mislabelled=0.0, **inverted):
        frame = make_phishing_websites(n_rows, random_state=random_state)
        frame.loc[: mislabelled * n_rows - 1, "Result"] *= -1
        for name in inverted:
            frame[name] = -frame[name]
        path = workplace / f"{random_state}.csv"
        frame.to_csv(path, index=False)
        assert ingest(IngestParameters(source=str(path)), return_state=True).is_completed()

    yield add
    for suffix in ("", "_quarantine", "_ingestions", "_watches"):
        collection.database.drop_collection(f"{collection.name}{suffix}")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return where the tracking database of `learned` is kept, and what was in the collection then."""
    return tmp_path_factory.mktemp("kept") / "mlflow.db", {}


@pytest.fixture
def learned(growing, workplace, collection, kept):
    """Put 3,000 rows into the collection, and in place a model that has learned from them, trained once."""
    (database, contents), tracking = kept, workplace / "mlflow.db"
    if contents:
        shutil.copy(database, tracking)
        for suffix, documents in contents.items():
            collection.database[collection.name + suffix].insert_many(documents)
    else:
        growing(3_000, 1)
        assert fit().is_completed()
        shutil.copy(tracking, database)
        for suffix in ("", "_ingestions"):
            contents[suffix] = list(collection.database[collection.name + suffix].find())


def fit(**parameters):
    return train(
        TrainParameters(source="mongodb", models="Decision Tree", promotion="off", **parameters), return_state=True
    )


def look(**parameters):
    return monitor(MonitorParameters(**parameters), return_state=True)


def events_of(state, event=DRIFT_EVENT):
    """Return the payloads of the events that a flow run emitted."""
    return [found["payload"] for found in wait_for(state, event)]


def wait_for(state, event):
    """Return the events that a flow run emitted; they are sent in the background."""
    for _ in range(100):
        if found := emitted(state, event):
            return found
        time.sleep(0.1)
    return []


def emitted(state, event):
    about = {"related": {"id": [f"prefect.flow-run.{state.state_details.flow_run_id}"]}}
    wanted = {"filter": {"event": {"name": [event]}, **about}}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/events/filter", json=wanted).json()
    return found["events"]


def test_a_collection_is_watched_as_it_grows(learned, growing):
    state = look()
    assert state.name == "Too few rows"  # those that the model has learned from are not new
    assert state.result().n_rows == 0

    growing(400, 2)
    assert look().name == "Too few rows"
    growing(400, 3)
    state = look()
    assert state.name == "No drift"
    assert (state.result().n_rows, state.result().look) == (800, 1)  # those of the look before are among them
    assert look().result().n_rows == 0

    growing(1_000, 4, SSLfinal_State=True)
    state = look()
    assert state.name == "Drift detected"
    report = state.result()
    assert (report.n_rows, report.look) == (1_000, 2)
    assert "SSLfinal_State" in report.drifted
    assert "SSLfinal_State" in state.message
    assert look().name == "Too few rows"

    (run,) = mlflow.search_runs(experiment_names=["networksecurity-monitor"], output_format="list")
    assert run.info.run_name == "monitor-networksecurity-phishing-1"
    assert run.info.run_id in report.link
    client = mlflow.MlflowClient()
    assert {of.step: of.value for of in client.get_metric_history(run.info.run_id, "n_rows")} == {1: 800, 2: 1_000}
    psi = {of.step: of.value for of in client.get_metric_history(run.info.run_id, "psi/SSLfinal_State")}
    assert psi[1] < 0.01 < psi[2]
    assert {file.path for file in client.list_artifacts(run.info.run_id, "look-0002")} == {
        "look-0002/drift.csv", "look-0002/drift.png", "look-0002/drift_report.json", "look-0002/quality_report.json"
    }  # fmt: skip


def test_drift_is_told_by_an_event(learned, growing):
    growing(1_000, 2, SSLfinal_State=True)
    state = look()
    (payload,) = events_of(state)
    assert payload == json.loads(state.result().model_dump_json())


def test_a_decay_of_quality_is_told_by_an_event(learned, growing):
    growing(1_000, 2)
    state = look()
    first = state.result().quality
    assert (state.name, first.verdict) == ("No drift", "no_decay")
    assert look(since="1").result().quality.n_rows_so_far == first.n_rows  # looking back counts nothing twice
    growing(3_000, 3, mislabelled=0.25)
    state = look()
    second = state.result().quality
    assert (state.name, second.verdict) == ("Quality decayed", "decayed")
    assert second.n_rows_so_far == first.n_rows + second.n_rows
    assert "quality decayed: F1 is" in state.message
    (payload,) = events_of(state, QUALITY_EVENT)
    assert payload == json.loads(state.result().model_dump_json())
    assert not emitted(state, DRIFT_EVENT)
    (event,) = emitted(state, QUALITY_EVENT)
    assert RETRAINING.items() <= event["resource"].items()
    assert payload["causes"].startswith("quality: quality decayed: F1 is")

    (run,) = mlflow.search_runs(experiment_names=["networksecurity-monitor"], output_format="list")
    client = mlflow.MlflowClient()
    f1 = {of.step: of.value for of in client.get_metric_history(run.info.run_id, "quality/f1_score")}
    assert (f1[1], f1[state.result().look]) == pytest.approx((first.f1_score, second.f1_score))
    assert {"expected/precision", "expected/recall_score"} < set(run.data.metrics)


def test_drift_and_decay_at_once_ask_for_one_retraining_for_both_reasons(learned, growing):
    growing(3_000, 3, mislabelled=0.25, SSLfinal_State=True)
    state = look()
    assert (state.result().verdict, state.result().quality.verdict) == ("drift", "decayed")
    (drifted,), (decayed,) = (wait_for(state, event) for event in (DRIFT_EVENT, QUALITY_EVENT))
    assert RETRAINING.items() <= drifted["resource"].items()
    assert not RETRAINING.keys() & decayed["resource"].keys()
    assert re.fullmatch(r"drift: .*SSLfinal_State.*; quality: quality decayed: F1 is .*", drifted["payload"]["causes"])
    assert TrainParameters(reason=drifted["payload"]["causes"])


def test_rows_without_labels_have_expected_figures_only(before, workplace):
    make_phishing_websites(1_000, random_state=9).drop(columns="Result").to_csv(workplace / "new.csv", index=False)
    state = look(source="new.csv")
    report = state.result()
    assert (state.name, report.n_rows, report.n_rejected) == ("No drift", 1_000, 0)
    assert (report.quality.verdict, report.quality.reason) == ("not_judged", "the new rows have no labels")
    assert 0.8 < report.expected.precision < 1
    assert 0.8 < report.expected.recall_score < 1


def test_one_look_back(learned, growing):
    growing(600, 2)
    assert look().result().n_rows == 600
    assert look(since="1").result().n_rows == 600
    assert look(since="2000-01-01").result().n_rows == 3_600
    with pytest.raises(ConfigurationError, match="neither the number of an ingestion nor a time"):
        look(since="yesterday").result()
    with pytest.raises(DataSourceError, match="no ingestion 7 has finished"):
        look(since="7").result()


def test_thresholds_are_obeyed(learned, growing):
    growing(1_000, 2, SSLfinal_State=True)
    lenient = {"psi": 9, "score_psi": 9}
    assert look(thresholds=lenient).result().verdict == "no_drift"
    assert look(thresholds={"min_rows": 0 + 1}).result().n_rows == 0


def test_a_file_is_compared_as_a_whole(before):
    assert look(source="sample:400").name == "Too few rows"
    for number in (1, 2):
        state = look(source="sample:1500")
        assert state.name == "No drift"
        assert (state.result().n_rows, state.result().look) == (1_500, number)
        assert re.search(r"the scores of 1,\d{3} rows that the model has learned from were left out", state.message)


def test_without_a_model_there_is_nothing_to_compare_with(workplace):
    with pytest.raises(TrackingError, match="has the alias champion or candidate at .*: train first"):
        look(source="sample:1000").result()


def test_two_monitors_at_once_do_no_harm(learned, growing, monkeypatch):
    growing(1_000, 2, SSLfinal_State=True)
    both, get_checkpoint = Barrier(2), OpenCollection.get_checkpoint

    def see_the_same(*args):
        found = get_checkpoint(*args)
        both.wait(timeout=120)
        return found

    with monkeypatch.context() as at_once:
        at_once.setattr(OpenCollection, "get_checkpoint", see_the_same)
        with ThreadPoolExecutor(2) as threads:
            looks = [threads.submit(look) for _ in range(2)]
    assert {(each.result().name, each.result().result().look) for each in looks} == {("Drift detected", 1)}
    assert look().name == "Too few rows"
    for run in mlflow.search_runs(experiment_names=["networksecurity-monitor"], output_format="list"):
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "n_rows")
        assert {(each.step, each.value) for each in history} == {(1, 1_000)}


def test_a_retraining_skips_itself_when_nothing_has_changed(learned, growing):
    state = fit(skip_unchanged=True)
    assert state.is_completed()
    assert state.name == "Skipped"
    assert "version 1 of networksecurity-phishing has learned from exactly these rows" in state.message
    runs = mlflow.search_runs(experiment_names=["networksecurity"], filter_string="tags.networksecurity.side = 'train'")
    assert len(runs) == 1
    assert fit().name == "Completed"  # when asked to, it trains all the same
    growing(1_000, 2)
    assert fit(skip_unchanged=True, reason="drift of SFH").name == "Completed"
    runs = mlflow.search_runs(experiment_names=["networksecurity"], filter_string="tags.networksecurity.side = 'train'")
    assert runs["tags.networksecurity.trigger"].tolist()[0] == "drift of SFH"
    report = look().result()
    assert (report.model_version, report.n_rows) == ("3", 0)  # it has learned from all rows
