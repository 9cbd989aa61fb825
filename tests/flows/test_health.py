from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import health
from flows.health import check_prefect


@flow
def nothing():
    pass


def by_state(findings):
    return {state: [of.found for of in findings if of.state == state] for state in ("ok", "warning", "failure")}


@pytest.fixture
def client(prefect_server):
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def pool(client, monkeypatch):
    """Return the name of a new work pool, which is also the tag of what is deployed."""
    name = f"pool-{uuid4().hex[:8]}"
    monkeypatch.setattr(health, "POOL", name)
    monkeypatch.setattr(health, "TAG", name)
    client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    yield name
    client.delete_work_pool(name)


def test_an_api_that_is_dead_is_found(closed_port):
    with temporary_settings({PREFECT_API_URL: f"http://me:hush@127.0.0.1:{closed_port}/api"}):
        (found,) = check_prefect()
    assert found.state == "failure"
    assert found.found.startswith(f"http://127.0.0.1:{closed_port}/api cannot be used")
    assert "hush" not in found.found
    assert found.fix.startswith("start it (make prefect-ui")


def test_a_server_without_pool_deployments_and_automations_is_found(prefect_server, monkeypatch):
    monkeypatch.setattr(health, "POOL", "nowhere")
    monkeypatch.setattr(health, "TAG", "nobody")
    warnings = {of.found: of.fix for of in check_prefect() if of.state == "warning"}
    assert warnings["there is no work pool nowhere"] == "python deployments/bootstrap.py"
    assert warnings["no flow is deployed"] == "prefect --no-prompt deploy --all"
    assert "there are no automations: dead runs stay open, failures are not reported" in warnings


def test_a_pool_without_a_worker_is_found_and_one_with_a_worker_is_sound(pool, client):
    found = by_state(check_prefect())
    assert f"no worker of the work pool {pool} is online: nothing starts" in found["warning"]
    client.request(
        "POST",
        "/work_pools/{work_pool_name}/workers/heartbeat",
        path_params={"work_pool_name": pool},
        json={"name": "one"},
    )
    assert f"work pool {pool}, 1 online: one" in by_state(check_prefect())["ok"]


def test_a_pool_that_is_paused_is_found(pool, client):
    client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
    (found,) = [of for of in check_prefect() if "is paused" in of.found]
    assert found.fix == f"prefect work-pool resume {pool}"


def test_a_deployment_that_is_paused_is_found(pool, client):
    created = client.create_deployment(client.create_flow(nothing), name=f"weekly-{pool}", tags=[pool], paused=True)
    assert f"paused, or with a schedule that is: weekly-{pool}" in by_state(check_prefect())["warning"]
    client.delete_deployment(created)
