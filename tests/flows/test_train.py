import re
import sys
from base64 import b64decode
from threading import Event

import mlflow
import pandas as pd
import pytest
from prefect import task
from pydantic import ValidationError
from records import artifacts, task_states
from threadpoolctl import threadpool_info, threadpool_limits
from trainings import RIVALS, logged_runs, run

from flows import thread_runner, training_steps
from flows.parameters import TrainParameters
from flows.train import make_runner
from flows.training_report import summarize
from networksecurity.champion.registry import CANDIDATE, Registry
from networksecurity.champion.verification import verify
from networksecurity.data.built_in import Sample
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
    TrainingError,
)
from networksecurity.settings import Settings, settings
from networksecurity.tracking.markdown import known_table
from networksecurity.tracking.outcome import REASON_TAG
from networksecurity.tracking.server import connect
from networksecurity.tracking.view import PAGES
from networksecurity.training import candidates, leakage, selection
from networksecurity.training.evaluation import BOUNDS
from networksecurity.training.label_rule import rule_of


def test_a_training_from_source_to_runs(before):
    state, report = before.state, before.report
    assert state.is_completed()
    assert [row.rank for row in report.leaderboard] == [1, 2]
    assert report.leaderboard[0].verdict in ("best", "tied with the best")
    assert {standing.model for standing in report.selection.standings} == {"Decision Tree", "Logistic Regression"}
    assert report.split["shared_vectors"] == 0
    assert not report.failed
    for run_id, metrics in ((report.train_run_id, report.train_metrics), (report.test_run_id, report.test_metrics)):
        logged = mlflow.get_run(run_id)
        assert logged.info.status == "FINISHED"
        shown = {f"uncertainty/{name}" if name in BOUNDS else name: value for name, value in metrics.items()}
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

    made = before.artifacts
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
    assert set(before.tasks) == {
        "fetch", "validate", "split", "folds", "search: Decision Tree", "search: Logistic Regression",
        "repeated folds", "compare: Decision Tree", "compare: Logistic Regression",
        f"fit: {report.leaderboard[0].model}", "evaluate: train", "evaluate: test", "explain", "leakage ledger",
        "known features", "reference profile", "reach MLflow", "open runs", "track: Decision Tree",
        "track: Logistic Regression", f"threshold: {report.leaderboard[0].model}", "track",
    }  # fmt: skip


def test_without_repeats_the_highest_score_of_the_search_wins(workplace):
    state = run(**RIVALS, cv_repeats=1)
    report = state.result()
    assert report.selection is None
    assert [row.rank for row in report.leaderboard] == [1, 2]
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
    state = run(**RIVALS, cost_false_negative=5)
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
    report = run(**RIVALS, cv_repeats=2).result()  # which nothing else has computed
    assert [(row.model, row.verdict) for row in report.leaderboard] == [
        ("Logistic Regression", "best"),
        ("Decision Tree", "not compared"),
    ]


def test_blas_has_one_thread_throughout_a_training(workplace, monkeypatch):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    def note(*args, **how):
        seen.append(threads())
        return leakage_ledger(*args, **how)

    seen, leakage_ledger = [], leakage.leakage_ledger
    monkeypatch.setattr(leakage, "leakage_ledger", note)
    with threadpool_limits(2, user_api="blas"):
        assert run(random_state=8).is_completed()  # which nothing else has computed
        assert threads() == {2}
    assert seen == [{1}]


def test_invalid_rows_are_set_aside_and_said(workplace, csv):
    frame = make_phishing_websites(1_000, random_state=0).astype(object)
    frame.loc[[3, 8], "SFH"] = ["abc", 1.7]
    state = run(source=csv(frame))
    report = state.result()
    assert report.validation["n_rejected"] == 2
    kept = pd.read_parquet(report.quarantine)
    assert kept[["row", "SFH"]].to_numpy().tolist() == [[3, "abc"], [8, "1.7"]]
    assert report.selection is None  # one model has no rivals
    assert not [name for name in task_states(state) if name.startswith(("compare", "repeated"))]


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


def test_costs_choose_the_threshold_and_the_model_keeps_it(before):
    plain = before.report
    state = run(**RIVALS, cost_false_positive=50, base_rate=0.01)
    report = state.result()
    choice = report.labelling.by_costs
    assert choice.threshold > 0.5
    assert choice.expected_cost < choice.expected_cost_at_default
    assert report.test_metrics["false_positive_rate"] <= plain.test_metrics["false_positive_rate"]
    registry = Registry(connect(settings()), report.model_name)
    version = registry.get(CANDIDATE)
    assert rule_of(registry.load_model(version)).threshold == choice.threshold
    verify(registry, version)
    for of_side in (report.train_run_id, report.test_run_id):
        logged = mlflow.get_run(of_side).data
        assert float(logged.params["decision_threshold"]) == choice.threshold
        assert (logged.params["cost_false_positive"], logged.params["base_rate"]) == ("50.0", "0.01")
        assert 0 < logged.metrics["precision_at_base_rate"] < logged.metrics["precision"]
    assert mlflow.artifacts.load_dict(f"runs:/{report.train_run_id}/labelling.json")["by_costs"] == choice.model_dump()
    assert "ecision threshold" in artifacts(state)["training-report"].data
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


def test_a_report_holds_its_picture(trained):
    text = trained.artifacts["training-report"].data
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
    assert "draw" not in task_states(run(search_rows=report.split["n_train"]))


def test_values_that_are_suddenly_missing_are_reported(before, workplace, capsys, caplog):
    path = workplace / "rows.csv"
    frame = make_phishing_websites(1_500).astype(object)
    frame.loc[:499, "SFH"] = "na"
    frame.to_csv(path, index=False)
    state = run(source=str(path))
    message = "SFH is missing in 500 of 1,500 rows (33.3%; in the training data 0.0%)"
    assert message in caplog.text
    assert message in artifacts(state)["training-report"].data
    summarize(state.result()).show()
    assert message in capsys.readouterr().out


def test_rows_near_the_threshold_are_left_to_a_person(workplace):
    state = run(abstain=0.1)
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
        assert 0 < logged.metrics["uncertainty/coverage_low"] < logged.metrics["coverage"] < 1
    metadata = mlflow.models.get_model_info(version.source).metadata
    assert metadata["unsure_band"] == [band.lower, band.upper]
    assert metadata["class_labels"][2] == "unsure"
    text = artifacts(state)["training-report"].data
    assert "are left to a person" in text
    assert "decided_f1_score" in text


def test_a_share_and_a_cost_of_unsure_rows_are_not_given_together():
    with pytest.raises(ValidationError, match="from a share .abstain. or from a cost, not from both"):
        TrainParameters(abstain=0.1, cost_review=0.1)
