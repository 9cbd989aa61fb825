import json
from pathlib import Path

import fsspec
import mlflow
import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from records import task_states
from trainings import RIVALS, run

from flows.steps import result_storage
from flows.train import train
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import (
    ConfigurationError,
)
from networksecurity.settings import settings

# What is done each time: rows are read from their source, and a training is logged.
NEVER_CACHED = {
    "fetch", "reach MLflow", "open runs", "track: Decision Tree", "track: Logistic Regression", "track"
}  # fmt: skip


def test_the_same_again_comes_from_the_cache_with_the_same_figures(before):
    first, second = before.report, run(**RIVALS)
    states = task_states(second)
    assert {name for name, state in states.items() if state != "Cached"} == NEVER_CACHED
    assert [row.from_cache for row in second.result().leaderboard] == [True, True]
    assert second.result().test_metrics == first.test_metrics
    assert second.result().train_run_id != first.train_run_id
    pictures = [
        Path(mlflow.artifacts.download_artifacts(run_id=each.test_run_id, artifact_path="roc_curve.png"))
        for each in (first, second.result())
    ]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()

    anew = run(**RIVALS, refresh=True)
    assert "Cached" not in task_states(anew).values()
    assert anew.result().test_metrics == first.test_metrics
    assert anew.result().train_metrics == first.train_metrics


def test_what_is_lost_or_damaged_in_the_storage_is_computed_anew(empty_workplace, csv):
    frame = make_phishing_websites(1_000, random_state=0).astype(object)
    frame.loc[3, "SFH"] = "abc"
    first = run(source=csv(frame)).result()
    stored = empty_workplace / "storage"
    damaged_rows, *lost_rows = sorted({*stored.glob("data/*.parquet")} - {Path(first.quarantine)})
    content = bytearray(damaged_rows.read_bytes())
    content[len(content) // 3] ^= 16
    damaged_rows.write_bytes(content)
    for path in (Path(first.quarantine), *lost_rows, *stored.glob("models/*.skops")):
        path.unlink()
    damaged = run(source=csv(frame))
    assert damaged.result().test_metrics == first.test_metrics
    assert damaged.result().train_metrics == first.train_metrics
    states = task_states(damaged)
    assert states["validate"] == states["split"] == states["fit: Decision Tree"] == "Completed"
    assert states["search: Decision Tree"] == "Cached"
    assert Path(damaged.result().quarantine).exists()


def test_other_data_or_parameters_are_not_taken_from_the_cache(trained, csv):
    frame = make_phishing_websites(1_500)
    assert task_states(run(source=csv(frame)))["search: Decision Tree"] == "Cached"
    frame.loc[0, "SFH"] = {-1: 0, 0: 1, 1: -1}[frame.loc[0, "SFH"]]
    assert "Cached" not in task_states(run(source=csv(frame))).values()
    other_seed = task_states(run(random_state=7))
    assert other_seed["validate"] == "Cached"
    assert other_seed["split"] == other_seed["search: Decision Tree"] == "Completed"


def test_another_storage_does_not_take_results_that_refer_to_this_one(workplace, trained, monkeypatch):
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(workplace / "another"))
    settings.cache_clear()
    again = run()
    assert again.is_completed()
    assert "Cached" not in task_states(again).values()


def test_results_lie_beside_the_data_where_that_is_a_url(empty_workplace, monkeypatch):
    url = f"memory://{empty_workplace.name}"
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", url)
    settings.cache_clear()
    monkeypatch.setattr(train, "result_storage", result_storage(url))
    first = run()
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: empty_workplace / "elsewhere"}):
        second = run()
    never = NEVER_CACHED - {"track: Logistic Regression"}
    assert {name for name, state in task_states(second).items() if state != "Cached"} == never
    assert second.result().test_metrics == first.result().test_metrics
    files = fsspec.filesystem("memory")
    kept = files.find(f"{url}/results")
    assert len(kept) == len(set(task_states(first)) - NEVER_CACHED) + 2  # and what each of the two returned
    for path in kept:
        json.loads(files.cat(path))  # no pickle
    assert not (empty_workplace / "results").exists()


@pytest.mark.parametrize("url", ["memory://", "simplecache::memory://x"])
def test_a_url_that_results_cannot_be_kept_at_is_said(url):
    with pytest.raises(ConfigurationError, match="NETWORKSECURITY_STORAGE"):
        result_storage(url)
