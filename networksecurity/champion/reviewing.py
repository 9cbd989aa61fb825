"""The review of a registered version on labelled rows."""

import pandas as pd

from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.tracking.review_runs import LoggedReview, log_review
from networksecurity.training.review import Review, review


def review_version(registry: Registry, version: RegisteredVersion, rows: pd.DataFrame, *, margin: float) -> Review:
    """Return the `review` of a version on validated rows, against its figures at registration.

    Raises
    ------
    TrackingError
        Its files are gone or damaged.
    DataSourceError
        Its skops file is damaged, or holds a type that is not trusted.
    """
    about = {"learned": registry.load_learned(version), "test": version.test_figures, "contract": version.contract}
    return review(registry.load_model(version), rows, margin=margin, **about)


def record_review(
    registry: Registry,
    version: RegisteredVersion,
    found: Review,
    *,
    experiment_name: str,
    source: str,
    data_sha256: str,
    key: str,
) -> LoggedReview:
    """Log a review to MLflow, in the experiment `<experiment_name>-evaluate`; the same `key` makes no second run."""
    return log_review(
        registry.server,
        f"{experiment_name}-evaluate",
        f"{version.name}-{version.version}",
        found,
        key=key,
        tags={
            "model.name": version.name,
            "model.version": version.version,
            "data.source": source,
            "data.sha256": data_sha256,
        },
    )
