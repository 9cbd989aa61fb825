"""Reviews of a version on labelled rows in MLflow: a run each, in an experiment of their own."""

from collections.abc import Mapping

from mlflow.entities import Metric
from pydantic import BaseModel

from networksecurity.tracking.artifacts import log_files
from networksecurity.tracking.outcome import SIDE_TAG
from networksecurity.tracking.runs import create_run, get_experiment, search_runs
from networksecurity.tracking.server import TrackingServer
from networksecurity.training.review import Review

_KEY_TAG = "networksecurity.review"


class LoggedReview(BaseModel, frozen=True):
    """Where a review was logged."""

    experiment_id: str
    run_id: str


def log_review(
    server: TrackingServer, experiment_name: str, reviewed: str, review: Review, *, key: str, tags: Mapping[str, str]
) -> LoggedReview:
    """Log a review as a run: its figures as metrics, `review.json` as artifact.

    Parameters
    ----------
    reviewed : str
        The model and its version: the run is called `evaluate-<reviewed>`.
    key : str
        Of this review: the same key again continues in the same run.
    tags : mapping of str to str
    """
    with server.client() as client:
        experiment_id = get_experiment(client, experiment_name, server.uri)
        found = search_runs(client, experiment_id, f"tags.`{_KEY_TAG}` = '{key}'")
        named = {**tags, SIDE_TAG: "evaluate", _KEY_TAG: key}
        run = found[0] if found else create_run(client, experiment_id, f"evaluate-{reviewed}", named)
        run_id, started = run.info.run_id, run.info.start_time
        metrics = [Metric(name, value, started, 0) for name, value in review.metrics().items()]
        client.log_batch(run_id, metrics=metrics)
        client.set_tag(run_id, "verdict", review.verdict)
        log_files(client, run_id, {"review.json": review.model_dump_json(indent=2)})
        client.set_terminated(run_id)
        return LoggedReview(experiment_id=experiment_id, run_id=run_id)
