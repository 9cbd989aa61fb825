"""What MLflow's pages show first: training runs in place of chats, the columns and the charts that matter.

They are tags of an experiment. `mlflow.experimentKind` chooses the pages; a shared view, which MLflow's own *Share*
button makes, holds columns and charts and opens by its key in the address.
"""

import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

KEY = "networksecurity"
"""The key of our view."""
PAGES = "workflowType=machine_learning"
"""What the address of a page says to show trainings, even if the browser showed something else last."""


def view_tags(columns: Sequence[str], charts: Sequence[str] = ()) -> dict[str, str]:
    """Return the tags of an experiment whose runs are shown with these columns.

    Parameters
    ----------
    columns : sequence of str
        Such as "metrics.f1_score", "params.model" or "attributes.Models", in their order.
    charts : sequence of str
        Metrics whose bars the chart view shows, a bar for each run, and no other chart; by default MLflow's own choice.

    Examples
    --------
    >>> view_tags(["metrics.f1_score"])["mlflow.sharedViewState.networksecurity"]
    '{"selectedColumns": ["metrics.`f1_score`"], "columnOrder": ["metrics.`f1_score`"]}'
    """
    kinds = [column.partition(".") for column in columns]
    quoted = [f"{kind}.`{name}`" for kind, _, name in kinds]
    state: dict[str, Any] = {"selectedColumns": quoted, "columnOrder": quoted}
    if charts:
        state["isAccordionReordered"] = True  # else MLflow puts its own sections in their place
        state["compareRunSections"] = [{"uuid": KEY, "name": "Train and test", "display": True, "isReordered": True}]
        state["compareRunCharts"] = [
            {
                "type": "BAR",
                "uuid": f"{KEY}.{metric}",
                "metricKey": metric,
                "metricSectionId": KEY,
                "runsCountToCompare": 10,
                "deleted": False,
                "isGenerated": True,
            }
            for metric in charts
        ]
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{KEY}": json.dumps(state),
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
        ],
        charts=["f1_score", "precision", "recall_score", "f1_score_gap", "roc_auc", "brier_score"],
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
