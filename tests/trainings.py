"""A quick training, as tests of its flow run it, and what it leaves."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
from prefect.client.schemas.objects import Artifact
from prefect.states import State

from flows.parameters import TrainParameters
from flows.train import train
from flows.training_report import TrainingReport
from networksecurity.champion import changes
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.settings import settings
from networksecurity.tracking.server import connect

QUICK = {"source": "sample:1500", "models": "Decision Tree", "promotion": "off"}
RIVALS = {"models": "Decision Tree,Logistic Regression"}
"""What lets a quick training compare two models."""


@dataclass(frozen=True)
class Trained:
    """A quick training of two models: what it left in Prefect, and a tracking database that nothing else writes to."""

    state: State
    report: TrainingReport
    tasks: dict[str, str]
    """The name of the state of each."""
    artifacts: dict[str, Artifact]
    database: Path


def run(**parameters):
    return train(TrainParameters(**QUICK | parameters), return_state=True)


def logged_runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def champion():
    registry = Registry(connect(settings()), settings().mlflow_registered_model_name)
    return registry.find(CHAMPION), changes.history(registry)
