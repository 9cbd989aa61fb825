"""Logging a whole training, and finding its runs."""

from networksecurity.tracking import runs
from networksecurity.tracking.outcome import SIDE_TAG, TRAINING_TAG


def log_all(server, training, outcome, which="all"):
    for result in outcome.searches:
        runs.log_search(server, training, result, which)
    logged = runs.log_outcome(server, training, outcome)
    runs.end_training(server, training)
    return logged


def runs_of(client, training, side=None):
    experiments = [training.experiment_id, training.grid_experiment_id]
    found = client.search_runs(experiments, f"tags.`{TRAINING_TAG}` = '{training.name}'", max_results=1000)
    return [run for run in found if side in (None, run.data.tags[SIDE_TAG])]
