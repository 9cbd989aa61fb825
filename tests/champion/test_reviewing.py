import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from networksecurity.champion.delivery import deliver_review
from networksecurity.champion.registry import Registry
from networksecurity.champion.reviewing import record_of, review_version
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.validation import validate
from networksecurity.tracking.outcome import LEARNED_FILE


@pytest.fixture
def reviewed(server, stored_model, outcome):
    """Return a registry, a version with its figures, and new rows."""
    tags = {name: str(of) for name, of in outcome.test.metrics.items()}
    new = validate(make_phishing_websites(500, random_state=1)).accepted
    return Registry(server, stored_model.name), stored_model.model_copy(update={"tags": tags}), new


def test_a_version_is_compared_with_the_figures_it_was_registered_with(reviewed, outcome):
    registry, version, new = reviewed
    found = review_version(registry, version, new, margin=0.02)
    assert (found.verdict, found.margin) == ("not_worse", 0.02)
    assert found.test == {name: of for name, of in outcome.test.metrics.items() if not name.endswith("tives")}


def test_a_version_that_does_not_know_what_it_learned_from_is_not_judged(reviewed, tmp_path):
    registry, version, new = reviewed
    (tmp_path / "model" / LEARNED_FILE).unlink()
    assert review_version(registry, version, new, margin=0.02).verdict == "not_judged"


def test_a_review_is_logged_once(reviewed):
    registry, version, new = reviewed
    found = review_version(registry, version, new, margin=0.02)
    how = {"experiment_name": "networksecurity", "source": "new.csv", "data_sha256": "abc"}
    record = record_of(version, found, **how)
    logged = deliver_review(registry.server, record)
    assert deliver_review(registry.server, record) == logged
    other = deliver_review(registry.server, record_of(version, found, **how))
    client = MlflowClient(registry.server.uri)
    assert {run.info.run_id for run in client.search_runs([logged.experiment_id])} == {logged.run_id, other.run_id}
    run = client.get_run(logged.run_id)
    assert (run.info.run_name, run.info.status) == (f"evaluate-{version.name}-1", "FINISHED")
    assert run.data.metrics == pytest.approx(found.metrics())
    assert (run.data.tags["verdict"], run.data.tags["data.source"]) == ("not_worse", "new.csv")
    stored = client.download_artifacts(logged.run_id, "review.json")
    assert json.loads(Path(stored).read_text(encoding="utf-8"))["reason"] == found.reason
