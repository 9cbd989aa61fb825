"""What the monitor leaves in MLflow: one run for each model and version, in which each check is a step."""

import time
from collections.abc import Mapping
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from pydantic import BaseModel

from networksecurity.monitoring.drift import DriftReport
from networksecurity.monitoring.expectation import Expectation
from networksecurity.monitoring.quality import QualityReport
from networksecurity.tracking.artifacts import log_files
from networksecurity.tracking.figures import draw_drift
from networksecurity.tracking.outcome import SIDE_TAG
from networksecurity.tracking.runs import create_run, get_experiment, search_runs
from networksecurity.tracking.server import TrackingServer

_CHECK_TAG = "networksecurity.check."
"""With a check's key at its end, the tag that holds the number which the check was given."""


class LoggedCheck(BaseModel, frozen=True):
    """Where a check was logged."""

    experiment_id: str
    run_id: str
    step: int


def log_check(
    server: TrackingServer,
    experiment_name: str,
    monitored: str,
    report: DriftReport,
    *,
    key: str,
    step: int | None,
    tags: Mapping[str, str],
    quality: QualityReport,
    expected: Expectation | None,
    others: Mapping[str, float] = MappingProxyType({}),
) -> LoggedCheck:
    """Log a check as a step of the run that holds all checks of a model.

    The metrics are `n_rows`, `n_drifted`, `psi/<column>`, `missing/<column>`, `quality/<figure>` and
    `expected/<figure>`; the reports and a picture go to the folder `look-<step>`. A step that already exists is left
    unchanged.

    Parameters
    ----------
    monitored : str
        The model and its version: the run is called `monitor-<monitored>`.
    key : str
        Of this check: the same key again is the same step.
    step : int or None
        The check's number, from 1; None for the next.
    tags : mapping of str to str
    expected : Expectation or None
    others : mapping of str to float
        Further figures.
    """
    with server.client() as client:
        experiment_id = get_experiment(client, experiment_name, server.uri)
        run = _find_or_create(client, experiment_id, f"monitor-{monitored}", tags)
        run_id = run.info.run_id
        steps = {metric.step for metric in client.get_metric_history(run_id, "n_rows")}
        if step is None:
            if not (known := run.data.tags.get(f"{_CHECK_TAG}{key}")):
                known = str(1 + max(steps, default=0))
                client.set_tag(run_id, f"{_CHECK_TAG}{key}", known)
            step = int(known)
        check = LoggedCheck(experiment_id=experiment_id, run_id=run_id, step=step)
        if step in steps:
            if run.info.status != "FINISHED":  # the last request of an earlier attempt was lost
                client.set_terminated(run_id)
            return check
        now = round(time.time() * 1_000)
        figures: dict[str, float] = {"n_rows": report.n_rows, "n_drifted": len(report.drifted)}
        for column in report.columns:
            if column.psi is not None:
                figures[f"psi/{column.name}"] = column.psi
                figures[f"missing/{column.name}"] = column.missing_new
        figures |= quality.metrics() | (expected.metrics() if expected else {}) | dict(others)
        files: dict[str, str | bytes] = {
            "drift_report.json": report.model_dump_json(indent=2),
            "quality_report.json": quality.model_dump_json(indent=2),
        }
        if report.columns:
            picture = draw_drift(report, f"{monitored}, check {step}")
            files |= {"drift.png": picture, "drift.csv": report.to_frame().to_csv()}
        log_files(client, run_id, files, f"look-{step:04}")
        # Last, because the step marks a check as complete.
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in figures.items()])
        client.set_terminated(run_id)
        return check


def _find_or_create(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    def oldest() -> Run | None:
        found = search_runs(client, experiment_id, f"tags.`{SIDE_TAG}` = 'monitor' and attributes.run_name = '{name}'")
        return min(found, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

    if run := oldest():
        return run
    mine = create_run(client, experiment_id, name, {**tags, SIDE_TAG: "monitor"})
    run = oldest() or mine
    if run.info.run_id != mine.info.run_id:  # another monitor created one at the same time
        client.delete_run(mine.info.run_id)
    return run
