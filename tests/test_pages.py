"""The pages as people see them: in a real browser, before real servers."""

import json

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect
from pydantic import SecretStr

from networksecurity.champion.registry import Registry
from networksecurity.settings import Settings
from networksecurity.tracking import runs
from networksecurity.tracking.server import connect, experiment_url, model_version_url, run_url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def training(mlflow_server, outcome):
    """Log a training to the server."""
    server = connect(Settings(mlflow_tracking_uri=SecretStr(mlflow_server)))
    training = runs.start_training(server, "pages", {})
    for result in outcome.searches:
        runs.log_search(server, training, result)
    logged = runs.log_outcome(server, training, outcome)
    Registry(server, "pages").register(logged.model_uri, training.train_run_id, tags={}, description="")
    runs.end_training(server, training)
    return training


def test_the_experiment_shows_trainings_with_the_columns_that_matter(page, mlflow_server, training):
    page.goto(experiment_url(mlflow_server, training.experiment_id))
    expect(page.get_by_role("link", name=f"train-{training.name}")).to_be_visible()
    expect(page.get_by_role("link", name=f"test-{training.name}")).to_be_visible()
    for column in ("model", "f1_score", "precision"):
        expect(page.get_by_role("columnheader", name=column, exact=True).first).to_be_visible()


def test_a_filter_keeps_the_columns_of_the_prepared_view(page, mlflow_server, training):
    page.goto(experiment_url(mlflow_server, training.grid_experiment_id))
    expect(page.get_by_role("link", name="Decision Tree criterion=gini")).to_be_visible()
    page.get_by_placeholder("metrics.rmse").fill("params.model = 'Random Forest'")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Decision Tree criterion=gini")).to_be_hidden()
    expect(page.get_by_role("link", name="Random Forest").first).to_be_visible()
    expect(page.get_by_role("columnheader", name="mean_test_score", exact=True).first).to_be_visible()


def test_grid_points_are_compared_by_parallel_coordinates(page, mlflow_server, training):
    children = MlflowClient(mlflow_server).search_runs(
        [training.grid_experiment_id], f"tags.`mlflow.parentRunId` = '{training.train_run_id}'"
    )
    ids = json.dumps([run.info.run_id for run in children])
    page.goto(f'{mlflow_server}/#/compare-runs?runs={ids}&experiments=["{training.grid_experiment_id}"]')
    expect(page.get_by_role("heading", name="Comparing 8 Runs from 1 Experiment")).to_be_visible()
    axes = page.locator(".parcoords .axis-title")
    expect(axes.filter(has_text="mean_test_score")).to_be_visible()
    assert {"criterion", "model", "n_estimators", "mean_test_score"} == set(axes.all_text_contents())


def test_a_run_shows_its_card_and_figures(page, mlflow_server, training):
    page.goto(run_url(mlflow_server, training.experiment_id, training.train_run_id))
    expect(page.get_by_role("heading", name=f"Random Forest · {training.name}")).to_be_visible()
    expect(page.get_by_role("link", name="search_best_so_far/Random Forest")).to_be_visible()
    expect(page.get_by_role("link", name="f1_score", exact=True)).to_be_visible()


def test_the_link_of_a_version_leads_to_it(page, mlflow_server, training):
    page.goto(model_version_url(mlflow_server, "pages", "1"))
    expect(page.get_by_text("candidate").first).to_be_visible()
    expect(page.get_by_text("Version 1").first).to_be_visible()
