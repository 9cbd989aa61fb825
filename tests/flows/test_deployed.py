"""A team's own Prefect: a real server and a real process worker on this machine, told by the commands of the docs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from leash import LEASH
from listening import Handler, listening
from made_tables import SHOP, shop
from mlflow import MlflowClient
from playwright.sync_api import expect
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings

from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.sample import make_phishing_websites

PROJECT = Path(__file__).resolve().parents[2]
MODEL = "networksecurity-phishing"
DEAD_AFTER = "60"  # seconds: two heartbeats, the least that makes sense

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


class Prefect:
    """A server, what its workers inherit, and the client that looks at both."""

    def __init__(self, folder, port, environment):
        self.folder = folder
        self.environment = environment
        self.client = SyncPrefectClient(api=f"http://127.0.0.1:{port}/api")
        self._processes = {}

    def start(self, name, *command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*LEASH, sys.executable, "-m", "prefect", *command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def children(self, name):
        return psutil.Process(self._processes[name].pid).children(recursive=True)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def end(self, name, how=signal.SIGTERM):
        """End a process and whatever it has started, by force where it takes its time."""
        process = self._processes.pop(name)
        children = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
        for one in (process, *children):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(how)
        _, alive = psutil.wait_procs(children, timeout=30)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        with suppress(subprocess.TimeoutExpired):  # a worker has been seen to wait for a server that was busy
            process.wait(timeout=30)
        process.kill()
        process.wait()

    def kill(self, name):
        """Kill a process, and nothing that it has started; return what starts it again."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        command = process.args[process.args.index("prefect") + 1 :]
        return lambda: self.start(name, *command)

    def end_all(self):
        for name in reversed(list(self._processes)):
            self.end(name)

    def command(self, *command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def wait(self, what, seconds=240):
        """Return the first true value of `what`, which is asked again and again."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain; the worker says: {self.log('worker')[-3000:]}")
            time.sleep(0.5)
        return found

    def deployment(self, name):
        return self.client.read_deployment_by_name(name)

    def runs(self, name):
        """Return the runs of a deployment, the newest first."""
        wanted = DeploymentFilter(id=DeploymentFilterId(any_=[self.deployment(name).id]))
        return self.client.read_flow_runs(deployment_filter=wanted, sort=FlowRunSort.START_TIME_DESC)

    def submit(self, name, **parameters):
        given = self.deployment(name).parameters["parameters"] | parameters
        return self.client.create_flow_run_from_deployment(self.deployment(name).id, parameters={"parameters": given})

    def rest(self, name):
        """Switch off what the clock would start in the middle of a test."""
        deployment = self.deployment(name)
        (schedule,) = (one for one in deployment.schedules if one.active)
        self.client.request("PATCH", f"/deployments/{deployment.id}/schedules/{schedule.id}", json={"active": False})

    def ended(self, run):
        return self.wait(lambda: (found := self.client.read_flow_run(run.id)).state.is_final() and found)

    def run(self, name, **parameters):
        run = self.ended(self.submit(name, **parameters))
        assert run.state.is_completed(), run.state.message
        return run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_line(said, sentence):
    """Check that a log says a sentence once, and nothing of what only follows from it."""
    assert said.count(sentence) == 1
    for noise in ("Crash", "EventsWorker", "leaked", "Traceback", "Terminated", "segmentation fault"):
        assert not [line for line in said.splitlines() if noise in line]


def is_up(prefect):
    return prefect.client.api_healthcheck() is None


@pytest.fixture(scope="module")
def mongodb_uri(mongod):
    database = f"networksecurity_tests_{os.getpid()}"
    yield f"{mongod.uri}/{database}.rows"
    mongod.client.drop_database(database)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory, mlflow_database, mongodb_uri):
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    ours = ("PREFECT_", "MLFLOW_", "MONGODB_", "DAGSHUB_", "NETWORKSECURITY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PWD": str(PROJECT),  # as a shell would say
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{shutil.copy(mlflow_database, folder)}",
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    with ExitStack() as stack:
        prefect = Prefect(folder, port, environment)
        stack.callback(prefect.end_all)
        prefect.start("server", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        deadline = time.monotonic() + 240
        while not is_up(prefect):
            if time.monotonic() > deadline:
                pytest.fail(f"the server does not start: {prefect.log('server')[-3000:]}")
            time.sleep(0.2)
        # Only the server is told where MongoDB is: a run hears of it through the pool's Secret block.
        prefect.environment = environment | {"MONGODB_URI": mongodb_uri}
        done = prefect.command("deployments/bootstrap.py", "--share", "MONGODB_URI", "--dead-after", DEAD_AFTER)
        assert done.returncode == 0, done.stderr
        prefect.environment = environment
        done = prefect.command("-m", "prefect", "--no-prompt", "deploy", "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        prefect.rest("monitor/monitor")
        prefect.rest("train/retrain")
        prefect.rest("score/score")
        prefect.start("worker", "worker", "start", "--pool", "networksecurity")
        yield prefect


@pytest.fixture(scope="module")
def tracked(prefect):
    return MlflowClient(prefect.environment["MLFLOW_TRACKING_URI"])


def write_csv(prefect, n_rows, random_state, inverted=None):
    frame = make_phishing_websites(n_rows, random_state=random_state)
    if inverted:
        frame[inverted] = -frame[inverted]
    path = prefect.folder / f"{random_state}.csv"
    frame.to_csv(path, index=False)
    return str(path)


def test_a_training_on_request(prefect, tracked, real_data_or_sample):
    parameters = {
        "source": real_data_or_sample,
        "models": ["Decision Tree", "Logistic Regression"],
        "candidate_runs": "best",
    }
    done = prefect.command(
        "-m",
        "prefect",
        "deployment",
        "run",
        "train/train",
        "--param",
        f"parameters={json.dumps(parameters)}",
        "--watch",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = prefect.runs("train/train")
    assert run.state_name == "Completed"
    version = tracked.get_model_version_by_alias(MODEL, "candidate")
    assert version.tags["prefect.flow_run_id"] == str(run.id)
    assert version.tags["data.n_rows"] == "11055"


def test_the_page_of_a_run_shows_its_tasks_and_what_they_found(prefect, page):
    (run,) = prefect.runs("train/train")
    pages = prefect.environment["PREFECT_API_URL"].removesuffix("/api")
    page.goto(f"{pages}/runs/flow-run/{run.id}")
    expect(page.get_by_text(run.name).first).to_be_visible()
    expect(page.get_by_text("search: Decision Tree").first).to_be_visible()  # in the graph, or in the log
    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("leaderboard", "training-report", "mlflow-train-run"):
        expect(page.get_by_role("link", name=key).or_(page.get_by_text(key)).first).to_be_visible()

    found = prefect.client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["training-report"])), limit=1
    )
    page.goto(f"{pages}/artifacts/artifact/{found[0].id}")
    picture = page.get_by_role("img", name="confusion matrix")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 960


def test_the_page_of_deployments_shows_schedules(prefect, page):
    page.goto(f"{prefect.environment['PREFECT_API_URL'].removesuffix('/api')}/deployments")
    for name in ("train", "retrain", "ingest", "monitor"):
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    expect(page.get_by_text("At 03:00 AM, only on Monday").or_(page.get_by_text("03:00 AM")).first).to_be_visible()


def test_a_schedule_starts_runs(prefect):
    deployment = prefect.deployment("ingest/ingest")
    soon = IntervalSchedule(interval=timedelta(seconds=10))
    parameters = {"parameters": {"source": "sample:300"}}
    response = prefect.client.request(
        "POST",
        f"/deployments/{deployment.id}/schedules",
        json=[{"schedule": soon.model_dump(mode="json"), "active": True, "parameters": parameters}],
    )
    (schedule,) = response.json()
    try:
        run = prefect.wait(lambda: next((run for run in prefect.runs("ingest/ingest") if run.start_time), None))
    finally:
        prefect.client.request("DELETE", f"/deployments/{deployment.id}/schedules/{schedule['id']}")
    assert run.auto_scheduled
    assert prefect.ended(run).state_name == "Completed"


def retrain_with(prefect, **parameters):
    """Have the event start a quicker retraining than it would."""
    (automation,) = prefect.client.read_automations_by_name("networksecurity · retrain when needed")
    (action,) = automation.actions
    action.parameters["parameters"] |= parameters
    prefect.client.update_automation(
        automation.id, AutomationCore(**automation.model_dump(exclude={"id", "owner_resource"}))
    )


def test_data_that_drifts_is_trained_on_without_a_hand(prefect, tracked, mongodb_uri):
    retrain_with(prefect, models=["Decision Tree"])
    prefect.run("ingest/ingest", source=write_csv(prefect, 1_500, 1))
    first = prefect.run("train/train", source="mongodb", models=["Decision Tree"], candidate_runs="none")
    assert first.state_name == "Completed"
    old = tracked.get_model_version_by_alias(MODEL, "candidate").version
    assert prefect.runs("train/retrain") == []

    prefect.run("ingest/ingest", source=write_csv(prefect, 700, 2, inverted="SSLfinal_State"))
    looked = prefect.run("monitor/monitor")
    assert looked.state_name == "Drift detected"

    (retrained,) = prefect.wait(lambda: [run for run in prefect.runs("train/retrain") if run.state_name == "Completed"])
    assert retrained.created_by.type == "AUTOMATION"
    version = tracked.get_model_version_by_alias(MODEL, "candidate")
    assert int(version.version) == int(old) + 1
    assert version.tags["prefect.flow_run_id"] == str(retrained.id)
    reason = tracked.get_run(version.run_id).data.tags["networksecurity.trigger"]
    causes = reason.removeprefix("drift: ").split("; quality: ")
    assert all(why in looked.state.message for why in causes)
    assert "SSLfinal_State" in causes[0]

    assert prefect.run("train/retrain").state_name == "Skipped"
    assert len(prefect.runs("train/retrain")) == 2  # quality may have decayed too: that asks for no second one
    assert tracked.get_model_version_by_alias(MODEL, "candidate").version == version.version

    # The champion scores all rows once, each next run what is new.
    assert prefect.run("score/score").state_name == "Scored"
    assert prefect.run("score/score").state_name == "Nothing new"

    # They have all read a secret that no page shows.
    for entity in (prefect.client.read_work_pool("networksecurity"), prefect.deployment("train/retrain")):
        assert mongodb_uri not in entity.model_dump_json()


@contextmanager
def serving(prefect, source, **changes):
    """Run the service, and yield what asks it."""
    command = [*LEASH, sys.executable, "-m", "networksecurity", "serve", "--port", "0"]
    environment = prefect.environment | {"MONGODB_URI": source, "NETWORKSECURITY_SERVE_REFRESH": "1"} | changes
    with (
        (prefect.folder / "service.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            url = re.search(r"Serving on (http://\S+\d)", process.stdout.readline())[1]
            with httpx.Client(base_url=url, timeout=60) as client:
                yield lambda path, body: client.post(path, json=body).raise_for_status().json()
        finally:
            process.terminate()


LAX = {"min_f1_score": 0.5, "min_recall_score": 0.5, "max_false_positive_rate": 1, "max_generalisation_gap": 1}


def drifting_addresses(n_rows, random_state, drifted):
    rows = make_addresses(n_rows, random_state=random_state)
    return rows.assign(url=rows["url"].str.replace("https://", "http://login.")) if drifted else rows


def drifting_shop(n_rows, random_state, drifted):
    rows = shop(n_rows, random_state=random_state)
    return rows.assign(length=rows["length"] + 30 * drifted)


@pytest.mark.parametrize(
    ("name", "make", "drifted"), [("addresses", drifting_addresses, "https"), ("shop", drifting_shop, "length")]
)
def test_another_contract_goes_from_its_rows_to_a_retraining_without_a_hand(
    prefect, tracked, mongodb_uri, name, make, drifted
):
    model, contract = f"networksecurity-{name}", name
    if name == "shop":
        contract = str(prefect.folder / "shop.yaml")
        Path(contract).write_text(SHOP)
    retrain_with(prefect, models=["Decision Tree"], gate=LAX)
    before = {run.id for run in prefect.runs("train/retrain")}
    rows = {drift: prefect.folder / f"{name}_{drift}.csv" for drift in (False, True)}
    for drift, path in rows.items():
        make(1_500 - 500 * drift, int(drift), drift).to_csv(path, index=False)

    prefect.run("ingest/ingest", contract=contract, source=str(rows[False]))
    asked = {"contract": contract, "source": "mongodb"}
    prefect.run("train/train", **asked, models=["Decision Tree"], candidate_runs="none", gate=LAX)
    old = tracked.get_model_version_by_alias(model, "champion").version
    assert prefect.run("score/score", **asked, output="mongodb").state_name == "Scored"
    row = json.loads(make(1, 2, False).to_json(orient="records"))[0]
    with serving(prefect, mongodb_uri, NETWORKSECURITY_SERVE_CONTRACT=contract) as ask:
        assert ask("/predict", row)["model"] == {"name": model, "version": str(old)}

    prefect.run("ingest/ingest", contract=contract, source=str(rows[True]))
    looked = prefect.run("monitor/monitor", **asked)
    assert looked.state_name == "Drift detected"
    (retrained,) = prefect.wait(
        lambda: [run for run in prefect.runs("train/retrain") if run.id not in before and run.state.is_final()]
    )
    assert retrained.state_name == "Completed", retrained.state.message
    newest = tracked.get_model_version_by_alias(model, "candidate")
    assert newest.tags["prefect.flow_run_id"] == str(retrained.id)
    assert drifted in tracked.get_run(newest.run_id).data.tags["networksecurity.trigger"].partition("quality")[0]


def of_a_new_kind(n_rows, random_state):
    """Return phishing that looks legitimate, but for three signs that no other row has together."""
    rows = make_phishing_websites(3 * n_rows, random_state=random_state)
    legitimate = rows[rows["Result"] == 1].drop(columns="Result").drop_duplicates().head(n_rows)
    signs = dict.fromkeys(("having_At_Symbol", "HTTPS_token", "RightClick"), -1)
    return legitimate.assign(**signs).drop_duplicates().to_dict(orient="records")


def report_of(prefect, run, key):
    """Return a report as the page of a run shows it."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    (found,) = prefect.client.read_artifacts(artifact_filter=wanted, flow_run_filter=of_run)
    return found.data


def test_reports_of_errors_lead_to_a_better_champion(prefect, tracked, mongodb_uri):
    source = f"{mongodb_uri}_reported"
    # Phishing that looks legitimate costs some legitimate rows: more than the gate allows by default.
    retrain_with(prefect, source=source, models=["Random Forest"], gate={"margin": 0.05})
    prefect.run("ingest/ingest", source=write_csv(prefect, 3_000, 11), target=source)
    prefect.run("train/train", source=source, models=["Random Forest"], candidate_runs="none")
    old = str(tracked.get_model_version_by_alias(MODEL, "candidate").version)
    done = prefect.command("-m", "networksecurity", "champion", "promote", old)
    assert done.returncode == 0, done.stderr
    before = {run.id for run in prefect.runs("train/retrain")}

    with serving(prefect, source) as ask:
        rows = of_a_new_kind(130, 12)
        scored = ask("/predict", {"rows": rows})
        assert scored["model"]["version"] == old
        wrong = [row for row, of in zip(rows, scored["predictions"], strict=True) if of["label"] == "legitimate"]
        assert len(wrong) > 100
        about = {"label": "phishing", "by": "jane", "comment": "a fake shop"}
        reports = [ask("/feedback", {"row": row, **about})["id"] for row in wrong]
        done = prefect.command("-m", "networksecurity", "feedback", "accept", *reports, "--by", "joe", "--in", source)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": accepted, ingestion ") == len(wrong)

        # Rows that people report are no sample: their drift says nothing.
        thresholds = {"min_rows": 100, "psi": 9, "score_psi": 9, "unseen": 1}
        looked = prefect.run("monitor/monitor", source=source, thresholds=thresholds)
        assert looked.state_name == "Quality decayed"

        (retrained,) = prefect.wait(
            lambda: [run for run in prefect.runs("train/retrain") if run.id not in before and run.state.is_final()]
        )
        assert retrained.state_name == "Completed"
        new = tracked.get_model_version_by_alias(MODEL, "champion")
        assert new.tags["prefect.flow_run_id"] == str(retrained.id)
        prefect.wait(lambda: ask("/predict", rows[0])["model"]["version"] == str(new.version), seconds=60)
        found = [of["label"] for of in ask("/predict", {"rows": wrong})["predictions"]]
        assert found.count("phishing") > 0.8 * len(found)

    assert "quality decayed: F1 is" in report_of(prefect, looked, "monitor-report")
    assert "promoted: " in report_of(prefect, retrained, "training-report")
    assert (
        tracked.get_run(new.run_id).data.tags["networksecurity.trigger"].startswith("quality: quality decayed: F1 is")
    )
    done = prefect.command("-m", "networksecurity", "champion", "explain", "--json")
    last = json.loads(done.stdout)
    assert (last["version"], last["champion"], last["flow_run"]) == (str(new.version), old, str(retrained.id))


@pytest.fixture
def inbox():
    """Return the messages that arrive at an address, and the address."""
    messages = []

    class Inbox(Handler):
        def handle_request(self):
            messages.append(json.loads(self.body()))
            self.answer(204)

    with listening(Inbox) as address:
        yield messages, address


def test_a_failure_is_told_by_what_is_set_up_once(prefect, inbox):
    messages, address = inbox
    with temporary_settings({PREFECT_API_URL: prefect.environment["PREFECT_API_URL"]}):
        CustomWebhookNotificationBlock(
            name="ops", url=address, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        ).save("ops")
    before = prefect.client.read_automations()
    template = prefect.client.read_work_pool("networksecurity").base_job_template
    done = prefect.command("deployments/bootstrap.py", "--notify", "custom-webhook/ops", "--dead-after", DEAD_AFTER)
    assert done.returncode == 0, done.stderr
    assert {one.id for one in prefect.client.read_automations()} == {one.id for one in before}
    assert len(before) == 5
    assert prefect.client.read_work_pool("networksecurity").base_job_template == template

    before = len(prefect.log("worker"))
    failed = prefect.ended(prefect.submit("ingest/ingest", source="nowhere.csv"))
    assert failed.state_name == "Failed"
    one_line(
        prefect.log("worker")[before:], "Encountered exception during execution: DataSourceError('there is no file "
    )
    # A server whose SQLite file is locked handles an event again: a message comes once at least.
    about_it = f"/runs/flow-run/{failed.id}"
    (message, *_) = prefect.wait(lambda: [one for one in messages if about_it in one["body"]])
    assert message["subject"] == "networksecurity · failed runs"
    assert "there is no file" in message["body"]


@pytest.mark.parametrize("cores", ["1", "2"])  # a fit is in a thread, or in a process of its own
def test_a_run_that_takes_too_long_is_ended_whatever_it_computes(prefect, tracked, cores):
    before, deployment = len(prefect.log("worker")), prefect.deployment("train/train")
    limited = {"NETWORKSECURITY_TIME_LIMIT": "12", "NETWORKSECURITY_CORES": cores}
    run = prefect.client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"parameters": {"source": "sample:20000", "models": ["Gradient Boosting"]}},
        job_variables={"env": deployment.job_variables["env"] | limited},
    )
    prefect.wait(lambda: ("search: Gradient Boosting", "Running") in task_states(prefect, run))
    ended = prefect.ended(run)
    assert (ended.state_name, ended.state.type) == ("TimedOut", "FAILED")
    assert "longer than 12 s" in ended.state.message
    assert "NETWORKSECURITY_TIME_LIMIT" in ended.state.message
    prefect.wait(lambda: not prefect.children("worker"), seconds=60)
    one_line(prefect.log("worker")[before:], "longer than 12 s")
    experiment = tracked.get_experiment_by_name("networksecurity").experiment_id
    (logged,) = tracked.search_runs([experiment], f"tags.`prefect.flow_run_id` = '{run.id}'")
    assert logged.info.status == "FAILED"
    assert logged.data.tags["networksecurity.reason"].startswith("TimeLimitError: ")


def grid_points(tracked, output):
    """Return the figures of every grid point of the training that a command has told of, but for the times."""
    (parent,) = re.search(r"/runs/(\w{32})", output).groups()
    experiment = tracked.get_experiment_by_name("networksecurity-grid").experiment_id
    found = tracked.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000)
    return {
        run.info.run_name: {name: of for name, of in run.data.metrics.items() if not name.endswith("time")}
        for run in found
    }


def test_a_cluster_finds_what_threads_find(prefect, tracked, dask_cluster):
    models = "AdaBoost,Random Forest,Decision Tree"
    options = ("--source", "sample:1200", "--models", models, "--promotion", "off", "--verbose")
    kept = prefect.environment
    on_cluster = {
        "NETWORKSECURITY_TASK_RUNNER": "dask",
        "DASK_ADDRESS": dask_cluster.address,
        "NETWORKSECURITY_STORAGE": dask_cluster.storage,
    }
    outputs = []
    for environment in (kept, kept | on_cluster):
        prefect.environment = environment
        try:
            done = prefect.command("flows/train.py", *options)
        finally:
            prefect.environment = kept
        assert done.returncode == 0, done.stderr
        outputs.append(done)
    here, there = (grid_points(tracked, done.stdout) for done in outputs)
    assert here == there
    assert len(here) == 26
    assert f"Connecting to an existing Dask cluster at {dask_cluster.address}" in outputs[1].stderr
    table = [re.findall(r"^ +\d   .*?  (?=[\d.]+ s)", done.stdout, re.MULTILINE) for done in outputs]
    assert len(table[0]) == 3
    assert table[0] == table[1]


def test_a_cluster_that_is_not_there_is_said_in_one_line(prefect, closed_port):
    address = f"tcp://127.0.0.1:{closed_port}"
    wrong = {"NETWORKSECURITY_TASK_RUNNER": "dask", "DASK_ADDRESS": address, "NETWORKSECURITY_DASK_TIMEOUT": "1"}
    kept = prefect.environment
    for environment, message in (
        (kept | wrong, f"error: the Dask scheduler at {address} cannot be reached: .*; start one with .*"),
        (
            {name: value for name, value in (kept | wrong).items() if name != "PREFECT_API_URL"},
            "error: DASK_ADDRESS is set and PREFECT_API_URL is not: .*",
        ),
    ):
        prefect.environment = environment
        try:
            done = prefect.command("flows/train.py")
        finally:
            prefect.environment = kept
        assert done.returncode == 1
        assert re.search(f"^{message}$", done.stderr, re.MULTILINE), done.stderr
        assert "Traceback" not in done.stderr


def task_states(prefect, run):
    tasks = prefect.client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return {(task.name, task.state_name) for task in tasks}  # a retried one is there twice


def test_cancelling_ends_a_run_and_all_its_processes(prefect, tracked):
    before = len(prefect.log("worker"))
    run = prefect.submit("train/train", source="sample:20000", models=["Gradient Boosting"])
    prefect.wait(lambda: ("search: Gradient Boosting", "Running") in task_states(prefect, run))
    done = prefect.command("-m", "prefect", "flow-run", "cancel", str(run.id))
    assert done.returncode == 0, done.stderr
    assert prefect.ended(run).state_name == "Cancelled"
    prefect.wait(lambda: not prefect.children("worker"))
    one_line(prefect.log("worker")[before:], "Flow run was cancelled.")
    experiment = tracked.get_experiment_by_name("networksecurity").experiment_id
    (logged,) = tracked.search_runs([experiment], f"tags.`prefect.flow_run_id` = '{run.id}'")
    assert logged.info.status == "KILLED"


def test_a_run_ends_with_its_worker(prefect, tracked):
    run = prefect.submit("train/train", source="sample:20000", models=["Gradient Boosting"])
    prefect.wait(lambda: ("search: Gradient Boosting", "Running") in task_states(prefect, run))
    family = prefect.children("worker")
    assert any("loky" in " ".join(one.cmdline()) for one in family)
    start_again = prefect.kill("worker")
    try:
        _, alive = psutil.wait_procs(family, timeout=90)
        assert [one.cmdline() for one in alive] == []
        assert prefect.ended(run).state_name == "Crashed"
        experiment = tracked.get_experiment_by_name("networksecurity").experiment_id
        (logged,) = tracked.search_runs([experiment], f"tags.`prefect.flow_run_id` = '{run.id}'")
        assert logged.info.status == "KILLED"
    finally:
        start_again()


def test_a_killed_worker_leaves_no_slot_held_and_its_run_can_go_on(prefect):
    run = prefect.submit("train/retrain", source="sample:4000", models=["Decision Tree", "Gradient Boosting"])
    prefect.wait(lambda: ("search: Decision Tree", "Completed") in task_states(prefect, run))
    # Of a second one there is no need.
    assert prefect.ended(prefect.submit("train/retrain", source="sample")).state_name == "Cancelled"

    prefect.end("worker", signal.SIGKILL)
    crashed = prefect.ended(run)
    assert crashed.state_name == "Crashed"
    assert "no heartbeat" in crashed.state.message

    prefect.start("worker", "worker", "start", "--pool", "networksecurity")
    done = prefect.command("-m", "prefect", "flow-run", "retry", str(run.id))
    assert done.returncode == 0, done.stderr
    assert prefect.ended(run).state_name == "Completed"
    assert ("search: Decision Tree", "Cached") in task_states(prefect, run)


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_server_takes_the_template_of_a_pool(prefect, kind):
    options = ("--pool", kind, "--type", kind, "--template", f"deployments/{kind}-pool.yaml")
    done = prefect.command("deployments/bootstrap.py", *options)
    assert done.returncode == 0, done.stderr
    assert prefect.client.read_work_pool(kind).type == kind


def test_stack_ends_what_it_started_and_nothing_else(prefect, tmp_path):
    here = Prefect(tmp_path, port := free_port(), prefect.environment | {"PREFECT_HOME": str(tmp_path)})
    here.environment["MONGODB_URI"] = "mongodb://jane:hush@127.0.0.1:9/db.rows"
    options = ("--port", str(port), "--folder", str(tmp_path))
    notes = tmp_path / "processes.json"
    try:
        done = here.command("deployments/stack.py", "up", *options)
        assert done.returncode == 0, done.stderr
        assert f"Prefect is here: http://127.0.0.1:{port}\n" in done.stdout
        assert httpx.get(f"http://127.0.0.1:{port}/api/admin/version").status_code == 401
        password = tmp_path / "auth"
        assert (tmp_path.stat().st_mode & 0o77, password.stat().st_mode & 0o777) == (0, 0o600)
        here.client = SyncPrefectClient(api=f"http://127.0.0.1:{port}/api", auth_string=password.read_text())
        assert here.wait(lambda: here.client.read_workers_for_work_pool("networksecurity"))
        assert {one.name for one in here.client.read_deployments()} == {
            "train",
            "retrain",
            "ingest",
            "monitor",
            "score",
            "evaluate",
        }
        started = [psutil.Process(note["pid"]) for note in json.loads(notes.read_text()).values()]
        assert len(started) == 2
        server, worker = (one.environ() for one in started)
        assert "MONGODB_URI" in worker
        assert "MONGODB_URI" not in server
    finally:
        done = here.command("deployments/stack.py", "down", *options)
    assert done.stdout == "ended: server, worker\n"
    assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    # A number that was ours may be another's by now.
    notes.write_text(json.dumps({"server": {"pid": os.getpid(), "started": "before", "port": port}}))
    assert "nothing" in here.command("deployments/stack.py", "down", *options).stdout
