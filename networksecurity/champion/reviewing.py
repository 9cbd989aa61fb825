"""The review of a registered version on labelled rows."""

import pandas as pd

from networksecurity.champion.record import ReviewRecord
from networksecurity.champion.registry import RegisteredVersion, Registry
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


def record_of(
    version: RegisteredVersion, found: Review, *, experiment_name: str, source: str, data_sha256: str
) -> ReviewRecord:
    """Return the record of a review, for the experiment `<experiment_name>-evaluate`."""
    return ReviewRecord(
        experiment=f"{experiment_name}-evaluate",
        reviewed=f"{version.name}-{version.version}",
        review=found,
        tags={
            "model.name": version.name,
            "model.version": version.version,
            "data.source": source,
            "data.sha256": data_sha256,
        },
    )
