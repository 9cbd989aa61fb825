import json
import re
import shutil
import sys
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import fsspec
import mlflow
import pandas as pd
import prefect.flow_runs
import pytest
from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.flow_runs import resume_flow_run
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from pydantic import ValidationError
from records import artifacts, task_states

from flows import approval, thread_runner, training_steps
from flows import train as flow_module
from flows.parameters import TrainParameters
from flows.steps import result_storage
from flows.train import make_runner, train
from flows.training_report import summarize
from networksecurity.champion import changes, delivery
from networksecurity.champion.delivery import replay
from networksecurity.champion.record import Ledger
from networksecurity.champion.registry import CANDIDATE, CHAMPION, Registry
from networksecurity.champion.verification import verify
from networksecurity.data.built_in import Sample
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.storage import Storage
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    PromotionConflictError,
    PromotionError,
    SourceUnavailableError,
    TrackingUnavailableError,
    TrainingError,
)
from networksecurity.settings import Settings, settings
from networksecurity.tracking.markdown import known_table
from networksecurity.tracking.outcome import REASON_TAG
from networksecurity.tracking.server import connect
from networksecurity.tracking.view import PAGES
from networksecurity.training import candidates, selection
from networksecurity.training.evaluation import BOUNDS
from networksecurity.training.label_rule import rule_of

QUICK = {"source": "sample:1500", "models": "Decision Tree,Logistic Regression", "promotion": "off"}


# What is done each time: rows are read from their source, and a training is logged.
NEVER_CACHED = {
    "fetch", "reach MLflow", "open runs", "track: Decision Tree", "track: Logistic Regression", "track"
}  # fmt: skip


def run(**parameters):
    return train(TrainParameters(**QUICK | parameters), return_state=True)


def logged_runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


@pytest.fixture
def csv(workplace):
    def write(frame):
        path = workplace / "rows.csv"
        frame.to_csv(path, index=False)
        return str(path)

    return write


def test_a_training_from_source_to_runs(empty_workplace):
    state = run()
    assert state.is_completed()
    report = state.result()
    assert [row.rank for row in report.leaderboard] == [1, 2]
    assert report.leaderboard[0].verdict in ("best", "tied with the best")
    assert {standing.model for standing in report.selection.standings} == {"Decision Tree", "Logistic Regression"}
    assert report.split["shared_vectors"] == 0
    assert not report.failed
    for run_id, metrics in ((report.train_run_id, report.train_metrics), (report.test_run_id, report.test_metrics)):
        logged = mlflow.get_run(run_id)
        assert logged.info.status == "FINISHED"
        shown = {f"interval/{name}" if name in BOUNDS else name: value for name, value in metrics.items()}
        assert shown.items() <= logged.data.metrics.items()
        assert logged.data.params["model"] == report.leaderboard[0].model
        assert logged.data.tags["data.sha256"] == report.data_sha256
    for standing in report.selection.standings:
        repeated = mlflow.get_run(report.train_run_id).data.metrics[f"repeated_cv_f1/{standing.model}"]
        assert repeated == standing.mean_score
    registry = Registry(connect(settings()), report.model_name)
    version = registry.get(CANDIDATE)
    assert version.version == report.model_version
    assert version.run_id == report.train_run_id
    assert version.tags["data.sha256"] == report.data_sha256
    assert float(version.tags["f1_score"]) == report.test_metrics["f1_score"]
    model = registry.load_model(version)
    assert model.predict(pd.DataFrame([[1.0] * 30], columns=model.feature_names_in_)).tolist() in ([0], [1])

    made = artifacts(state)
    assert set(made) == {
        "leaderboard", "training-report", "search: Decision Tree", "search: Logistic Regression",
        "mlflow-trainings", "mlflow-train-run", "mlflow-test-run", "mlflow-model-version",
    }  # fmt: skip
    assert report.train_run_id in made["mlflow-train-run"].data
    assert made["mlflow-model-version"].data.endswith(f"/versions/1?{PAGES})")
    assert made["search: Decision Tree"].data == 100
    assert report.name in made["training-report"].data
    assert report.leaderboard[0].model in made["leaderboard"].data
    assert report.leaderboard[0].verdict in made["leaderboard"].data
    assert report.selection.sentence() in made["training-report"].data
    assert report.known.sentence() in made["training-report"].data
    assert known_table(report.known) in made["training-report"].data
    assert report.known.sets[0].f1_score == report.test_metrics["f1_score"]
    assert set(task_states(state)) == {
        "fetch", "validate", "split", "folds", "search: Decision Tree", "search: Logistic Regression",
        "repeated folds", "compare: Decision Tree", "compare: Logistic Regression",
        f"fit: {report.leaderboard[0].model}", "evaluate: train", "evaluate: test", "explain", "leakage ledger",
        "known features", "reference profile", "reach MLflow", "open runs", "track: Decision Tree",
        "track: Logistic Regression", f"threshold: {report.leaderboard[0].model}", "track",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({"cv_repeats": 1}, [1, 2]), ({"cv_repeats": 0}, [1, 2]), ({"models": "Decision Tree"}, [1])],
)
def test_without_repeats_or_rivals_the_highest_score_of_the_search_wins(workplace, changed, expected):
    state = run(**changed)
    report = state.result()
    assert report.selection is None
    assert [row.rank for row in report.leaderboard] == expected
    assert report.leaderboard[0].cv_score == max(row.cv_score for row in report.leaderboard)
    assert not [name for name in task_states(state) if name.startswith(("compare", "repeated"))]
    assert "It has the highest mean f1 over grouped folds" in artifacts(state)["training-report"].data
    assert "repeated" not in artifacts(state)["leaderboard"].data


def test_the_model_that_is_selected_is_fitted_thresholded_and_logged_whatever_the_search_said(workplace, monkeypatch):
    compare = selection.compare

    def reverse(*args):
        found = compare(*args)
        loser = found.standings[-1].model_copy(update={"verdict": "tied with the best"})
        return found.model_copy(update={"standings": (loser, *found.standings[:-1])})

    monkeypatch.setattr(selection, "compare", reverse)
    state = run(cost_false_negative=5)
    report, states = state.result(), task_states(state)
    winner, other = report.leaderboard
    assert winner.verdict == "tied with the best"
    assert winner.cv_score < other.cv_score
    assert {f"fit: {winner.model}", f"threshold: {winner.model}"} <= set(states)
    logged = mlflow.get_run(report.train_run_id).data
    assert logged.params["model"] == winner.model
    assert logged.metrics["cv_f1"] == winner.cv_score
    assert (
        mlflow.artifacts.load_dict(f"runs:/{report.train_run_id}/selection.json")["standings"][0]["model"]
        == winner.model
    )
    card = mlflow.artifacts.load_text(f"runs:/{report.train_run_id}/model_card.md")
    assert card.startswith(f"# {winner.model} ")
    assert report.selection.sentence() in card
    assert "| tied with the best |" in card


def test_a_model_that_cannot_be_compared_again_does_not_end_the_training(workplace, monkeypatch):
    def fail(candidate, *args, **how):
        if candidate.name == "Decision Tree":
            raise ValueError("All the 9 fits failed")
        return score_again(candidate, *args, **how)

    score_again = selection.score_again
    monkeypatch.setattr(selection, "score_again", fail)
    report = run().result()
    assert [(row.model, row.verdict) for row in report.leaderboard] == [
        ("Logistic Regression", "best"),
        ("Decision Tree", "not compared"),
    ]


def test_the_same_again_comes_from_the_cache_with_the_same_figures(empty_workplace):
    first, second = run(), run()
    states = task_states(second)
    assert {name for name, state in states.items() if state != "Cached"} == NEVER_CACHED
    assert [row.from_cache for row in second.result().leaderboard] == [True, True]
    assert second.result().test_metrics == first.result().test_metrics
    assert second.result().train_run_id != first.result().train_run_id
    pictures = [
        Path(mlflow.artifacts.download_artifacts(run_id=each.result().test_run_id, artifact_path="roc_curve.png"))
        for each in (first, second)
    ]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()

    anew = run(refresh=True)
    assert "Cached" not in task_states(anew).values()
    assert anew.result().test_metrics == first.result().test_metrics
    assert anew.result().train_metrics == first.result().train_metrics


def test_what_is_lost_or_damaged_in_the_storage_is_computed_anew(empty_workplace, csv):
    frame = make_phishing_websites(1_000, random_state=0).astype(object)
    frame.loc[3, "SFH"] = "abc"
    first = run(source=csv(frame)).result()
    stored = empty_workplace / "storage"
    for path in (*stored.glob("data/*.parquet"), *stored.glob("models/*.skops")):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 16
        path.write_bytes(content)
    Path(first.quarantine).unlink()
    damaged = run(source=csv(frame))
    assert damaged.result().test_metrics == first.test_metrics
    states = task_states(damaged)
    assert states["validate"] == states["split"] == states["fit: " + first.leaderboard[0].model] == "Completed"
    assert states["search: Decision Tree"] == "Cached"
    assert Path(damaged.result().quarantine).exists()

    shutil.rmtree(stored)
    emptied = run(source=csv(frame))
    assert emptied.result().test_metrics == first.test_metrics
    assert emptied.result().train_metrics == first.train_metrics


def test_other_data_or_parameters_are_not_taken_from_the_cache(empty_workplace, csv):
    frame = make_phishing_websites(1_000, random_state=0)
    first = run(source=csv(frame), models="Decision Tree")
    frame.loc[0, "SFH"] = {-1: 0, 0: 1, 1: -1}[frame.loc[0, "SFH"]]
    changed = run(source=csv(frame), models="Decision Tree")
    assert changed.result().data_sha256 != first.result().data_sha256
    assert "Cached" not in task_states(changed).values()
    other_seed = task_states(run(source=csv(frame), models="Decision Tree", random_state=1))
    assert other_seed["validate"] == "Cached"
    assert other_seed["split"] == other_seed["search: Decision Tree"] == "Completed"


def test_another_storage_does_not_take_results_that_refer_to_this_one(empty_workplace, monkeypatch):
    assert run(models="Decision Tree").is_completed()
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(empty_workplace / "another"))
    settings.cache_clear()
    again = run(models="Decision Tree")
    assert again.is_completed()
    assert "Cached" not in task_states(again).values()


def test_invalid_rows_are_set_aside_and_said(workplace, csv):
    frame = make_phishing_websites(1_000, random_state=0).astype(object)
    frame.loc[[3, 8], "SFH"] = ["abc", 1.7]
    report = run(source=csv(frame)).result()
    assert report.validation["n_rejected"] == 2
    kept = pd.read_parquet(report.quarantine)
    assert kept[["row", "SFH"]].to_numpy().tolist() == [[3, "abc"], [8, "1.7"]]


@pytest.fixture
def broken(monkeypatch):
    """Add a candidate that cannot be fitted."""
    candidate = candidates.Candidate(
        "Broken", "sklearn.tree:DecisionTreeClassifier", {"max_depth": (0,)}, cost=9, enabled=False
    )
    monkeypatch.setitem(candidates.CANDIDATES, "Broken", candidate)


def test_one_failing_candidate_does_not_lose_the_others(workplace, broken):
    state = run(models="Decision Tree,Broken")
    assert state.is_completed()
    assert state.name == "Completed with warnings"
    assert "Broken could not be trained" in state.message
    report = state.result()
    assert [row.model for row in report.leaderboard] == ["Decision Tree"]
    assert "max_depth" in report.failed["Broken"]
    logged = mlflow.get_run(report.train_run_id)
    assert logged.info.status == "FINISHED"
    assert "Broken could not be trained" in logged.data.tags[REASON_TAG]


def test_no_candidate_left(workplace, broken):
    state = run(models="Broken")
    assert state.is_failed()
    with pytest.raises(
        TrainingError, match=r"^no model could be trained: Broken: .*fits failed.*max_depth.*$"
    ) as caught:
        state.result()
    assert "\n" not in str(caught.value)
    (logged,) = logged_runs()
    assert logged.info.status == "FAILED"
    assert logged.data.tags[REASON_TAG].startswith("TrainingError: no model could be trained: Broken: ")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, DataSourceError, "no file"),
        ("NumDots,UrlLength,Phising\n1,2,3\n", DataValidationError, "missing: having_IP_Address"),
        ("", DataSourceError, "rows.csv"),
    ],
)
def test_an_expected_error_fails_at_once(workplace, content, error, message):
    path = workplace / "rows.csv"
    if content is not None:
        path.write_text(content)
    state = run(source=str(path))
    assert state.is_failed()
    with pytest.raises(error, match=message):
        state.result()
    assert "AwaitingRetry" not in task_states(state).values()
    (logged,) = logged_runs()
    assert logged.info.status == "FAILED"
    assert logged.data.tags[REASON_TAG].startswith(error.__name__)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (RuntimeError("at mongodb://me:hush@host/"), "FAILED", "RuntimeError: at mongodb://host/"),
    ],
)
def test_whatever_ends_a_training_is_told_by_its_run(workplace, monkeypatch, error, status, reason):
    monkeypatch.setenv("MONGODB_URI", "mongodb://me:hush@host/")
    settings.cache_clear()

    def stop(*args):
        raise error

    monkeypatch.setattr(flow_module, "_search", stop)
    with pytest.raises(type(error)):
        train(TrainParameters(**QUICK))
    (logged,) = logged_runs()
    assert logged.info.status == status
    assert logged.data.tags[REASON_TAG] == reason


@pytest.mark.parametrize(("candidate_runs", "expected"), [("all", 3 + 1), ("best", 2), ("none", 0)])
def test_runs_of_grid_points(workplace, candidate_runs, expected):
    report = run(candidate_runs=candidate_runs).result()
    children = [run for run in logged_runs() if run.data.tags.get("mlflow.parentRunId") == report.train_run_id]
    assert len(children) == expected
    assert len(logged_runs()) == 2 + expected


def test_what_may_pass_is_tried_again(workplace, monkeypatch):
    read, tries = Sample.read, []

    def away_twice(*args):
        tries.append(args)
        if len(tries) < 3:
            raise SourceUnavailableError("away")
        return read(*args)

    monkeypatch.setattr(Sample, "read", away_twice)
    quick = training_steps.fetch.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(training_steps, "fetch", quick)
    assert run().is_completed()
    assert len(tries) == 3


@pytest.fixture
def at_once(monkeypatch):
    """Let nothing wait before another attempt."""
    monkeypatch.setattr(delivery, "_PAUSES", (0, 0))
    monkeypatch.setattr(training_steps, "reach", training_steps.reach.with_options(retries=0))


def test_a_training_does_without_a_dead_tracking_server(empty_workplace, monkeypatch, at_once, capsys):
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        away.setenv("NETWORKSECURITY_MLFLOW_TIMEOUT", "1")
        settings.cache_clear()
        state = run(models="Decision Tree", promotion="auto", skip_unchanged=True)
        assert state.name == "Completed · tracking deferred"
        assert "`networksecurity tracking replay` delivers it" in state.message
        report = state.result()
        assert (report.model_version, report.links()) == (None, {})
        summarize(report).show()
        shown = capsys.readouterr().out
        assert "tracking replay" in shown
        assert "waits until MLflow can be reached" in shown
    settings.cache_clear()
    anew = run()  # which delivers what waits
    assert anew.name == "Completed"
    named = {logged.info.run_name: logged.info.status for logged in logged_runs()}
    for name in (report.name, anew.result().name):
        assert named[f"train-{name}"] == named[f"test-{name}"] == "FINISHED"
    version, (event,) = champion()
    assert (version.version, event.why) == ("1", "There is no champion yet.")
    assert float(version.tags["f1_score"]) == report.test_metrics["f1_score"]


def test_a_training_survives_a_tracking_server_that_dies_in_its_middle(empty_workplace, monkeypatch, at_once):
    with monkeypatch.context() as away:
        away.setattr(training_steps.runs, "log_outcome", _unavailable)
        state = run()
        assert state.name == "Completed · tracking deferred"
    (said,) = replay(connect(settings()), Ledger(Storage(settings().storage))).delivered
    assert said.startswith(f"training {state.result().name}: logged, version 1 of ")
    names = [logged.info.run_name for logged in logged_runs()]
    assert sorted(name for name in names if name.endswith(state.result().name)) == [
        f"test-{state.result().name}",
        f"train-{state.result().name}",
    ]
    assert len(names) == 2 + 3 + 1


def test_a_training_that_was_interrupted_goes_on_in_the_same_runs(empty_workplace, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(flow_module, "_compare", stop)
        with pytest.raises(KeyboardInterrupt):
            train(TrainParameters(**QUICK))
    (before,) = [logged for logged in logged_runs() if logged.info.run_name.startswith("train-")]
    assert before.info.status == "KILLED"
    report = run().result()
    assert report.train_run_id == before.info.run_id
    assert {logged.info.status for logged in logged_runs()} == {"FINISHED"}
    assert len(logged_runs()) == 2 + 3 + 1


def _unavailable(*args):
    raise TrackingUnavailableError("away")


def champion():
    registry = Registry(connect(settings()), settings().mlflow_registered_model_name)
    return registry.find(CHAMPION), changes.history(registry)


def test_the_first_model_that_holds_the_floors_is_promoted_and_an_equal_one_is_not(workplace):
    assert run(promotion="dry-run").result().promotion_sentence().startswith("would be promoted (dry run): There is no")
    assert champion() == (None, ())

    state = run(promotion="auto")
    report = state.result()
    version, (event,) = champion()
    assert version.version == report.model_version == event.version == "2"
    assert (event.action, event.done, event.champion) == ("promote", True, None)
    assert event.flow_run == str(state.state_details.flow_run_id)
    assert event.decision == report.decision
    assert report.decision.figures.items() <= report.test_metrics.items()  # which have the interval of F1, too
    assert task_states(state)["promote"] == "Completed"
    artifact = artifacts(state)["promotion"]
    assert artifact.description == report.promotion_sentence() == "promoted: There is no champion yet."
    assert "| false_positive_rate |" in artifact.data

    state = run(promotion="auto")
    report = state.result()
    assert state.name == "Completed"
    version, (_, event) = champion()
    assert (version.version, event.version, event.action, event.champion) == ("2", "3", "keep", "2")
    assert report.promotion_sentence().startswith("version 2 stays: F1 is ")
    assert report.decision.comparison.f1_difference == 0
    assert "| champion, version 2 |" in artifacts(state)["promotion"].data
    assert report.promotion_sentence() in artifacts(state)["training-report"].data


def test_a_model_of_the_sample_gives_way_to_one_of_a_file_and_does_not_replace_it(workplace):
    make_phishing_websites(1_500, random_state=0).to_csv("rows.csv", index=False)
    synthetic = "has learned from the built-in sample, which is synthetic"
    for source, sentence in (
        ("sample:1500", "promoted: There is no champion yet."),
        ("rows.csv", f"promoted: Version 1 {synthetic}."),
        ("sample:1500", f"version 2 stays: It {synthetic}; version 2 has not."),
    ):
        assert run(source=source, promotion="auto").result().promotion_sentence() == sentence


def test_a_champion_that_changes_meanwhile_is_judged_again(workplace, monkeypatch):
    consider, tries = changes.consider, []

    def slow(*args, **kwargs):
        tries.append(args)
        if len(tries) < 5:  # four other runs promoted at the same moment
            raise PromotionConflictError("changed by another")
        return consider(*args, **kwargs)

    monkeypatch.setattr(delivery, "consider", slow)
    monkeypatch.setattr(changes, "verify", lambda *args: None)
    quick = approval.weigh.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(approval, "weigh", quick)
    assert run(promotion="auto").result().decision.outcome == "promote"
    assert len(tries) == 5


def test_a_stored_model_that_is_not_the_one_evaluated_is_not_promoted(workplace, monkeypatch):
    def refuse(server, version):
        raise PromotionError("not fit to be the champion: it answers otherwise")

    monkeypatch.setattr(changes, "verify", refuse)
    state = run(promotion="auto")
    assert state.name == "Completed"
    sentence = state.result().promotion_sentence()
    assert sentence == "there is still no champion: not fit to be the champion: it answers otherwise."
    assert champion()[0] is None


@contextmanager
def page_of_a_paused_run(**answer):
    """Answer what a run asks, as its page would; yield the question once it was asked."""
    asked = []

    def wait_and_answer():
        with get_client(sync_client=True) as client:
            paused = FlowRunFilter(state={"type": {"any_": ["PAUSED"]}})
            while not (found := client.read_flow_runs(flow_run_filter=paused)):
                time.sleep(0.1)
            keys = found[0].state.state_details.run_input_keyset
            asked.append(client.read_flow_run_input(found[0].id, keys["description"]))
        resume_flow_run(found[0].id, answer)

    with ThreadPoolExecutor(1) as threads:
        answering = threads.submit(wait_and_answer)
        yield asked
        answering.result()


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        ({"approve": True, "comment": "looks good"}, "promote", "There is no champion yet."),
        ({"approve": False, "comment": "not on a Friday"}, "keep", "Not approved: not on a Friday."),
    ],
)
def test_a_person_has_the_last_word(workplace, monkeypatch, answer, outcome, why):
    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    with page_of_a_paused_run(**answer) as asked:
        report = run(promotion="ask", approval_timeout=100).result()
    assert "Put version 1 of networksecurity-phishing in use, as the first champion?" in asked[0]
    assert "There is no champion yet." in asked[0]
    version, (event,) = champion()
    assert (event.action, event.why) == (outcome, why)
    assert (version is not None) == (outcome == "promote")
    if outcome == "promote":
        assert report.decision.reasons[-1] == "Approved: looks good."
        assert report.promotion_sentence() == "promoted: There is no champion yet."


def test_an_answer_in_the_moment_of_the_pause_counts(workplace, monkeypatch):
    propose = prefect.flow_runs.propose_state_sync

    def propose_and_answer(*, flow_run_id, **proposal):
        state = propose(flow_run_id=flow_run_id, **proposal)
        resume_flow_run(flow_run_id, {"approve": True, "comment": "at once"})
        return state

    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    monkeypatch.setattr(prefect.flow_runs, "propose_state_sync", propose_and_answer)
    report = run(promotion="ask").result()
    assert report.decision.outcome == "promote"
    assert report.decision.reasons[-1] == "Approved: at once."


def test_no_answer_is_a_no(workplace, monkeypatch):
    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    state = run(promotion="ask", approval_timeout=1)
    assert state.is_completed()
    version, (event,) = champion()
    assert version is None
    assert event.why == "Not approved: nobody answered within 1 s."


def test_nobody_is_asked_about_what_the_gate_stops(workplace):
    report = run(promotion="ask", gate={"min_f1_score": 1}).result()
    assert report.decision.outcome == "keep"
    assert len(champion()[1]) == 1


def test_costs_choose_the_threshold_and_the_model_keeps_it(workplace):
    plain = run(promotion="auto").result()
    state = run(promotion="auto", cost_false_positive=50, base_rate=0.01)
    report = state.result()
    choice = report.labelling.by_costs
    assert choice.threshold > 0.5
    assert choice.expected_cost < choice.expected_cost_at_default
    assert report.test_metrics["false_positive_rate"] <= plain.test_metrics["false_positive_rate"]
    registry = Registry(connect(settings()), report.model_name)
    version = registry.get(CANDIDATE)
    assert candidates.decision_threshold(registry.load_model(version)) == choice.threshold
    verify(registry, version)
    for of_side in (report.train_run_id, report.test_run_id):
        logged = mlflow.get_run(of_side).data
        assert float(logged.params["decision_threshold"]) == choice.threshold
        assert (logged.params["cost_false_positive"], logged.params["base_rate"]) == ("50.0", "0.01")
        assert 0 < logged.metrics["precision_at_base_rate"] < logged.metrics["precision"]
    assert mlflow.artifacts.load_dict(f"runs:/{report.train_run_id}/labelling.json")["by_costs"] == choice.model_dump()
    assert "Decision threshold" in artifacts(state)["training-report"].data
    assert "cost_false_positive" not in mlflow.get_run(plain.train_run_id).data.params
    assert mlflow.get_run(plain.train_run_id).data.params["decision_threshold"] == "0.5"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"test_size": 0}, "greater than 0"),
        ({"cv": 1}, "greater than or equal to 2"),
        ({"models": "SVM"}, "no model 'SVM'"),
        ({"models": " , "}, "at least one model"),
        ({"scoring": "r2"}, "Input should be 'f1'"),
        ({"promotion": "perhaps"}, "Input should be 'auto'"),
        ({"base_rate": 1}, "less than 1"),
        ({"cost_false_negative": 0}, "greater than 0"),
        ({"gate": {"margin": 2}}, "less than or equal to 1"),
        ({"tets_size": 0.2}, "Extra inputs are not permitted"),
        ({"source": "mongodb://me:hush@host/db.rows"}, "MONGODB_URI"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValidationError, match=message):
        TrainParameters(**wrong)


def test_models_are_named_in_any_case_once():
    assert TrainParameters(models="adaboost, Random forest,ADABOOST").models == ("AdaBoost", "Random Forest")


def test_results_lie_beside_the_data_where_that_is_a_url(empty_workplace, monkeypatch):
    url = f"memory://{empty_workplace.name}"
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", url)
    settings.cache_clear()
    monkeypatch.setattr(train, "result_storage", result_storage(url))
    first = run()
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: empty_workplace / "elsewhere"}):
        second = run()
    assert {name for name, state in task_states(second).items() if state != "Cached"} == NEVER_CACHED
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


def test_a_report_holds_its_picture(workplace):
    text = artifacts(run())["training-report"].data
    (picture,) = re.findall(r"!\[.+?\]\(data:image/png;base64,(.+?)\)", text)
    assert b64decode(picture).startswith(b"\x89PNG")
    assert len(picture) < 40_000


def test_a_wrong_runner_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "flows.dask_runner", None)  # as where prefect-dask is not installed
    with pytest.raises(ConfigurationError, match="pip install"):
        make_runner(Settings(task_runner="dask"))


def test_threads_that_go_on_are_not_waited_for_for_ever(workplace, monkeypatch):
    armed = []
    monkeypatch.setattr(thread_runner, "_SECONDS_TO_END", 0.1)
    monkeypatch.setattr(thread_runner, "end_soon", armed.append)
    begun, go_on = Event(), Event()

    @task
    def compute():
        begun.set()
        go_on.wait()

    with thread_runner.Threads(1) as threads:
        threads.submit(compute, {})
        assert begun.wait(60)
    go_on.set()
    assert armed == [0.1]


def test_a_search_on_some_rows_fits_the_winner_on_all(workplace):
    state = run(search_rows=400)
    report = state.result()
    version = Registry(connect(settings()), report.model_name).get(CANDIDATE)
    assert 350 < int(version.tags["data.n_rows_searched"]) <= 400
    counts = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert sum(report.train_metrics[name] for name in counts) == report.split["n_train"] > 1_000
    assert task_states(state)["draw"] == "Completed"
    again = run(search_rows=400)
    assert again.result().leaderboard[0].from_cache
    assert "draw" not in task_states(run(search_rows=1_000_000))


def test_values_that_are_suddenly_missing_are_reported(workplace, capsys, caplog):
    assert run(models="Decision Tree").is_completed()
    path = workplace / "rows.csv"
    frame = make_phishing_websites(1_500).astype(object)
    frame.loc[:499, "SFH"] = "na"
    frame.to_csv(path, index=False)
    state = run(source=str(path), models="Decision Tree")
    message = "SFH is missing in 500 of 1,500 rows (33.3%; in the training data 0.0%)"
    assert message in caplog.text
    assert message in artifacts(state)["training-report"].data
    summarize(state.result()).show()
    assert message in capsys.readouterr().out


def test_rows_near_the_threshold_are_left_to_a_person(workplace):
    state = run(promotion="off", abstain=0.1)
    report = state.result()
    band = report.labelling.band
    assert 0.9 <= band.coverage < 1
    assert report.labelling.rule.band == (band.lower, band.upper)
    registry = Registry(connect(settings()), report.model_name)
    version = registry.get(CANDIDATE)
    model = registry.load_model(version)
    assert rule_of(model) == report.labelling.rule
    verify(registry, version)
    assert report.test_metrics["decided_f1_score"] > report.test_metrics["f1_score"]
    for of_side in (report.train_run_id, report.test_run_id):
        logged = mlflow.get_run(of_side).data
        assert logged.params["abstain"] == "0.1"
        assert float(logged.params["unsure_from"]) == band.lower
        assert 0 < logged.metrics["interval/coverage_low"] < logged.metrics["coverage"] < 1
    metadata = mlflow.models.get_model_info(version.source).metadata
    assert metadata["unsure_band"] == [band.lower, band.upper]
    assert metadata["class_labels"][2] == "unsure"
    text = artifacts(state)["training-report"].data
    assert "are left to a person" in text
    assert "decided_f1_score" in text


def test_a_share_and_a_cost_of_unsure_rows_are_not_given_together():
    with pytest.raises(ValidationError, match="from a share .abstain. or from a cost, not from both"):
        TrainParameters(abstain=0.1, cost_review=0.1)
