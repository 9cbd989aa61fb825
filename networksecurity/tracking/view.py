"""What MLflow's pages show first: training runs in place of chats, and the columns that matter.

Both are tags of an experiment. `mlflow.experimentKind` chooses the pages; a shared view, which MLflow's own *Share*
button makes, holds the columns and opens by its key in the address.
"""

import json
from collections.abc import Sequence
from types import MappingProxyType

KEY = "networksecurity"
"""The key of our view."""
PAGES = "workflowType=machine_learning"
"""What the address of a page says to show trainings, even if the browser showed something else last."""


def view_tags(columns: Sequence[str]) -> dict[str, str]:
    """Return the tags of an experiment whose runs are shown with these columns.

    Parameters
    ----------
    columns : sequence of str
        Such as "metrics.f1_score", "params.model" or "attributes.Models", in their order.

    Examples
    --------
    >>> view_tags(["metrics.f1_score"])["mlflow.sharedViewState.networksecurity"]
    '{"selectedColumns": ["metrics.`f1_score`"], "columnOrder": ["metrics.`f1_score`"]}'
    """
    kinds = [column.partition(".") for column in columns]
    quoted = [f"{kind}.`{name}`" for kind, _, name in kinds]
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{KEY}": json.dumps({"selectedColumns": quoted, "columnOrder": quoted}),
    }


OF_TRAININGS = MappingProxyType(
    view_tags(
        [
            "params.model",
            "metrics.f1_score",
            "metrics.f1_score_gap",
            "metrics.precision",
            "metrics.recall_score",
            "attributes.Models",
            "attributes.Dataset",
        ]
    )
)
"""The tags of the experiment of trainings."""
OF_GRID_POINTS = MappingProxyType(
    view_tags(
        [
            "params.model",
            "metrics.mean_test_score",
            "metrics.std_test_score",
            "params.n_estimators",
            "params.learning_rate",
            "params.subsample",
            "params.criterion",
        ]
    )
)
"""The tags of the experiment of their grid points."""
