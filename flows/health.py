"""A check of Prefect: its server, the pool and its workers, schedules and automations. Nothing is made or changed."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from networksecurity.exceptions import counted
from networksecurity.finding import Finding, State
from networksecurity.settings import without_credentials

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

POOL = TAG = "networksecurity"
"""The work pool and the tag of the deployments in prefect.yaml."""
_SECONDS = 5.0
_BOOTSTRAP = "python deployments/bootstrap.py"


def check_prefect() -> list[Finding]:
    """Check the Prefect server that is configured, if one is, and what it needs to run the deployments."""
    with _no_new_home():
        from prefect.client.orchestration import get_client
        from prefect.exceptions import PrefectHTTPStatusError
        from prefect.settings import get_current_settings

        address = get_current_settings().api.url
        if not address:
            found = "PREFECT_API_URL is not set: each run starts a server of its own, nothing runs on a schedule"
            return [_finding("note", found)]
        shown = without_credentials(address)
        try:
            httpx.get(f"{address}/health", timeout=_SECONDS).raise_for_status()
            with get_client(sync_client=True) as client:
                return _check_server(client, shown)
        except PrefectHTTPStatusError as exc:
            status = exc.response.status_code
            fix = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it accepts" if status in {401, 403} else ""
            return [_finding("failure", f"{shown} answers {status}", fix or "check the server's log")]
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            fix = "start it (make prefect-ui, make stack), or unset PREFECT_API_URL: a run then starts its own"
            return [_finding("failure", f"{shown} cannot be used: {exc}", fix)]


@contextmanager
def _no_new_home() -> Iterator[None]:
    """Lend Prefect a temporary home if it has none: it makes one when it is imported."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    if home.exists() or "prefect" in sys.modules:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        os.environ["PREFECT_HOME"] = folder
        yield


def _finding(state: State, found: str, fix: str = "") -> Finding:
    return Finding(subject="Prefect", state=state, found=found, fix=fix)


def _check_server(client: "SyncPrefectClient", address: str) -> list[Finding]:
    ours, theirs = client.client_version(), client.api_version()
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        fix = f"install the same version on both sides: pip install prefect=={theirs}"
        server = _finding("warning", f"{address} has version {theirs}, this is {ours}", fix)
    else:
        server = _finding("ok", f"{address}, version {theirs}")
    return [server, _check_pool(client), *_check_deployments(client), _check_late(client), _check_automations(client)]


def _check_pool(client: "SyncPrefectClient") -> Finding:
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        return _finding("warning", f"there is no work pool {POOL}", _BOOTSTRAP)
    if pool.is_paused:
        return _finding("warning", f"the work pool {POOL} is paused", f"prefect work-pool resume {POOL}")
    workers = [worker.name for worker in client.read_workers_for_work_pool(POOL) if worker.status == "ONLINE"]
    if not workers:
        fix = f"prefect worker start --pool {POOL}"
        return _finding("warning", f"no worker of the work pool {POOL} is online: nothing starts", fix)
    return _finding("ok", f"work pool {POOL}, {len(workers)} online: {', '.join(workers)}")


def _check_deployments(client: "SyncPrefectClient") -> list[Finding]:
    deployments = [of for of in client.read_deployments() if TAG in of.tags]
    if not deployments:
        return [_finding("warning", "no flow is deployed", "prefect --no-prompt deploy --all")]
    # Of several schedules some may rest: that of addresses does until there is a model of them.
    stopped = sorted(
        of.name for of in deployments if of.paused or (of.schedules and not any(plan.active for plan in of.schedules))
    )
    if stopped:
        fix = "resume it on its page: Deployments"
        return [_finding("warning", f"paused, or with a schedule that is: {', '.join(stopped)}", fix)]
    n_schedules = sum(len(of.schedules) for of in deployments)
    names = ", ".join(sorted(of.name for of in deployments))
    return [_finding("ok", f"{counted(len(deployments), 'deployment')}, {counted(n_schedules, 'schedule')}: {names}")]


def _check_late(client: "SyncPrefectClient") -> Finding:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName

    wanted = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"])))
    if late := client.read_flow_runs(flow_run_filter=wanted):
        fix = f"start a worker, or allow it more runs at once: prefect worker start --pool {POOL}"
        return _finding("warning", f"{counted(len(late), 'run has', 'runs have')} not started on time", fix)
    return _finding("ok", "no run is late")


def _check_automations(client: "SyncPrefectClient") -> Finding:
    automations = [of for of in client.read_automations() if TAG in of.tags]
    if not automations:
        return _finding(
            "warning", "there are no automations: dead runs stay open, failures are not reported", _BOOTSTRAP
        )
    off = sorted(of.name for of in automations if not of.enabled)
    if off:
        return _finding(
            "warning", f"automations that are off: {', '.join(off)}", "switch it on, on the page Automations"
        )
    return _finding("ok", f"{counted(len(automations), 'automation is', 'automations are')} on")
