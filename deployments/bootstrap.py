"""Prepare a Prefect server for prefect.yaml: the work pool, the environment of its runs, and their automations.

Everything is found by name: running it again updates what differs and duplicates nothing.

    python deployments/bootstrap.py
    python deployments/bootstrap.py --share MONGODB_URI --share DAGSHUB_USER_TOKEN --notify slack-webhook/ops
"""

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that was not installed

import httpx
import yaml
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type
from pydantic import SecretStr

from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import Settings, settings, variable_of

TAG = "networksecurity"
"""The tag of every deployment in prefect.yaml; the automations ignore other runs on the server."""


def automations(pool: str, notify: ActionTypes, dead_after: timedelta) -> list[AutomationCore]:
    """Return the automations for the runs of our deployments."""
    return [
        _automation(
            "dead runs",
            "A run without heartbeats has lost its worker and its process. Closing it frees its slot.",
            # The only proactive trigger: each one writes to the server's database at every event of every run.
            _on({"prefect.flow-run.*"}).model_copy(
                update={
                    "after": {"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
                    "posture": Posture.Proactive,
                    "within": dead_after,
                }
            ),
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message=f"no heartbeat for {dead_after.total_seconds():.0f} s: the run and its worker are gone",
                force=False,
            ),
        ),
        _automation(
            "failed runs",
            "A run has failed, crashed or exceeded its time limit.",
            _on({"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}),
            notify,
        ),
        _automation(
            "late runs",
            "A run has not started on time: is there a worker with a free slot?",
            _on({"prefect.flow-run.Late"}),
            notify,
        ),
        _automation(
            f"no worker in {pool}",
            "The last worker of the pool is gone.",
            EventTrigger(
                match=ResourceSpecification(
                    {"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": pool}
                ),
                expect={"prefect.work-pool.not-ready"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            notify,
        ),
    ]


def _automation(name: str, description: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    return AutomationCore(
        name=f"{TAG} · {name}", description=description, tags=[TAG], trigger=trigger, actions=[action]
    )


def _on(events: set[str]) -> EventTrigger:
    return EventTrigger(
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}"}),
        for_each={"prefect.resource.id"},
        expect=events,
        posture=Posture.Reactive,
        threshold=1,
    )


def notification(client: SyncPrefectClient, block: str | None) -> ActionTypes:
    """Return the action for an event: a message through a block, or nothing beyond the entry in the UI's feed."""
    if block is None:
        return DoNothing()
    slug, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, slug)
    except ObjectNotFound:
        _fail(f"there is no block {block}: create it on the page Blocks of the UI; `prefect block ls` lists them")
    return SendNotification(
        block_document_id=document.id,
        subject="{{ automation.name }}",
        body="{{ automation.description }}\n\n"
        "{% if flow_run %}{{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}\n"
        "{{ flow_run|ui_url }}{% endif %}",
    )


def shared(name: str) -> str:
    """Return the value of a variable for the runs of a pool; for a secret, store it in a block and refer to it."""
    variables = {variable_of(field): field for field in Settings.model_fields}
    if name not in variables:
        _fail(f"--share {name}: there is no such setting; .env.example lists them")
    value = getattr(settings(), variables[name])
    if value is None:
        _fail(f"--share {name}: set neither in the environment nor in .env")
    if not isinstance(value, SecretStr):
        return str(value)
    block = name.lower().replace("_", "-")
    Secret(value=value).save(block, overwrite=True)
    return f"{{{{ prefect.blocks.secret.{block} }}}}"


def make_pool(
    client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any] | None, env: dict[str, str]
) -> None:
    """Create or update the work pool; variables are added to those that it already gives its runs."""
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        template = template or run_coro_as_sync(get_default_base_job_template_for_infrastructure_type(kind))
        if template is None:
            _fail(f"there is no template for pools of type {kind}: pip install prefect-{kind}, or use --template FILE")
        pool = client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
    if pool.type != kind:
        _fail(f"the work pool {name} is of type {pool.type}, not {kind}: name another with --pool")
    template = template or pool.base_job_template
    variable = template["variables"]["properties"].setdefault("env", {"type": "object"})
    before = pool.base_job_template["variables"]["properties"].get("env", {}).get("default")
    variable["default"] = {**(variable.get("default") or {}), **(before or {}), **env}
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def put(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation, or update the one with its name."""
    found = client.read_automations_by_name(automation.name)
    if found:
        client.update_automation(found[0].id, automation)
    else:
        client.create_automation(automation)


def _fail(message: str) -> NoReturn:
    sys.exit(f"error: {message}")


def main() -> None:
    """Read the options and prepare the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pool", default="networksecurity", help="name of the work pool (%(default)s)")
    parser.add_argument("--type", default="process", help="process, docker or kubernetes (%(default)s)")
    parser.add_argument("--template", type=Path, help="file with the base job template of the pool")
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="NAME",
        help="setting of .env.example to pass to every run of the pool with its value here, "
        "a secret through a Secret block; may be repeated",
    )
    parser.add_argument("--notify", metavar="TYPE/NAME", help="notification block for failures, as slack-webhook/ops")
    parser.add_argument(
        "--dead-after",
        type=int,
        default=90,
        metavar="SECONDS",
        help="time without heartbeats, which come every 30 s, after which a run counts as dead (%(default)s)",
    )
    options = parser.parse_args()
    template = yaml.safe_load(options.template.read_text()) if options.template else None
    address = get_current_settings().api.url
    if address is None:  # Prefect would start a server for this command alone
        _fail("PREFECT_API_URL is not set: name a Prefect server, as http://127.0.0.1:4200/api")
    try:
        env = {name: shared(name) for name in options.share}
        with get_client(sync_client=True) as client:
            make_pool(client, options.pool, options.type, template, env)
            notify = notification(client, options.notify)
            watching = automations(options.pool, notify, timedelta(seconds=options.dead_after))
            for automation in watching:
                put(client, automation)
    except (ConfigurationError, httpx.HTTPError) as exc:
        _fail(f"{address}: {exc}" if isinstance(exc, httpx.HTTPError) else str(exc))
    given = f", sharing {', '.join(env)}" if env else ""
    print(f"work pool {options.pool} ({options.type}){given}; {len(watching)} automations")


if __name__ == "__main__":
    main()
