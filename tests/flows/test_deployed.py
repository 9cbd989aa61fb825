"""What a team's Prefect does with our deployments: on request, by the clock, and on what a run has found."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from deployed import DEAD_AFTER, one_line
from leash import LEASH
from listening import Handler, listening
from made_tables import SHOP, shop
from playwright.sync_api import expect
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings

from networksecurity.data.addresses.sample import make_addresses
from networksecurity.data.sample import make_phishing_websites

PROJECT = Path(__file__).resolve().parents[2]
MODEL = "networksecurity-phishing"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


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


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_server_takes_the_template_of_a_pool(prefect, kind):
    options = ("--pool", kind, "--type", kind, "--template", f"deployments/{kind}-pool.yaml")
    done = prefect.command("deployments/bootstrap.py", *options)
    assert done.returncode == 0, done.stderr
    assert prefect.client.read_work_pool(kind).type == kind
