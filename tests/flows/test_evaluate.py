import mlflow
import pytest
from records import artifacts

from flows.evaluate import evaluate, summarize
from flows.parameters import EvaluateParameters
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import TrackingError
from networksecurity.settings import settings
from networksecurity.tracking.server import connect


def test_a_version_is_evaluated_on_labelled_rows(before, workplace, capsys):
    Registry(connect(settings()), before.report.model_name).set_alias(CHAMPION, "1")
    state = evaluate(EvaluateParameters(source="sample:3000"), return_state=True)
    assert state.name == "Not worse"
    report = state.result()
    assert (report.model_version, report.review.total.n_rows) == ("1", 3_000)
    assert {"f1_score_low", "f1_score_high"} < set(report.review.test)
    summarize(report).show()
    assert summarize(report).exit_code == 0
    assert capsys.readouterr().out.splitlines()[-1] == report.review.to_line()
    kept = artifacts(state)
    assert {"evaluation-report", "mlflow-evaluation"} <= set(kept)
    assert "learned" in kept["evaluation-report"].data

    frame = make_phishing_websites(1_000, random_state=3)
    frame["Result"] = frame["Result"].where(frame.index % 4 > 0, -frame["Result"])
    frame.to_csv(workplace / "wrong.csv", index=False)
    state = evaluate(EvaluateParameters(source="wrong.csv", model_version="1"), return_state=True)
    assert state.name == "Worse"
    assert summarize(state.result()).exit_code == 3
    runs = mlflow.search_runs(experiment_names=["networksecurity-evaluate"])
    assert sorted(runs["tags.verdict"]) == ["not_worse", "worse"]


def test_without_a_model_there_is_nothing_to_evaluate(workplace):
    with pytest.raises(TrackingError, match="has the alias champion"):
        evaluate(EvaluateParameters(source="sample:500"))
