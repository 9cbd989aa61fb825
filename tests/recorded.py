"""The record of a small training, and what a delivery of it has to leave in MLflow."""

from networksecurity.champion.gate import Gate
from networksecurity.champion.record import Found, TrainingRecord
from networksecurity.champion.registry import CANDIDATE, Registry
from networksecurity.data import splitting
from networksecurity.tracking.outcome import KEY_TAG
from networksecurity.tracking.runs import grid_experiment

NAME = "networksecurity-phishing"


def record_of(outcome, rows, storage, **changes):
    sides = splitting.split(rows)
    found = Found(
        model=storage.put_model(outcome.model),
        train=storage.put_frame(sides.train),
        test=storage.put_frame(sides.test),
        train_metrics=outcome.train.metrics,
        test_metrics=outcome.test.metrics,
        **{
            name: getattr(outcome, name)
            for name in (
                "params", "searches", "selection", "explanation", "pictures", "leakage", "known", "reference",
                "labelling", "tags",
            )
        },
    )  # fmt: skip
    about = {
        "experiment": "networksecurity",
        "tags": {"k": "v"},
        "command": "abc",
        "registered_model": NAME,
        "contract": "websites",
        "candidate_runs": "best",
        "promotion": "off",
        "gate": Gate(),
        "random_state": 0,
        "found": found,
    }
    return TrainingRecord(**about | changes)


def check_delivered(client, server, record):
    """Check that a training is in MLflow as a whole, and once."""
    experiment, grid = map(client.get_experiment_by_name, (record.experiment, grid_experiment(record.experiment)))
    of_it = f"tags.`{KEY_TAG}` = '{record.key}'"
    runs = client.search_runs([experiment.experiment_id, grid.experiment_id], of_it)
    names = sorted(run.info.run_name for run in runs if run.info.experiment_id == experiment.experiment_id)
    assert names == [f"test-{record.name}", f"train-{record.name}"]
    best = {"all": [point for of in record.found.searches for point in of.grid], "best": record.found.searches}
    assert len(runs) == 2 + len(best[record.candidate_runs])
    assert {run.info.status for run in runs} == {"FINISHED"}
    train, test = (next(run for run in runs if run.info.run_name.startswith(side)) for side in ("train-", "test-"))
    assert train.data.metrics["f1_score"] == record.found.train_metrics["f1_score"]
    assert test.data.metrics["f1_score"] == record.found.test_metrics["f1_score"]
    assert {file.path for file in client.list_artifacts(test.info.run_id)} >= {*record.found.pictures}
    assert "model_card.md" in {file.path for file in client.list_artifacts(train.info.run_id)}
    (version,) = client.search_model_versions(f"name = '{record.registered_model}' and run_id = '{train.info.run_id}'")
    if server.logged_models:
        (model,) = client.search_logged_models([experiment.experiment_id], f"source_run_id = '{train.info.run_id}'")
        assert [of.model_id for of in train.outputs.model_outputs] == [model.model_id]
        assert str(model.status) == "READY"
    registry = Registry(server, record.registered_model)
    candidate = registry.get(CANDIDATE)
    assert candidate.version == str(version.version)
    assert registry.load_parts(candidate).profile == record.found.reference
