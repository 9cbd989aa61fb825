"""What ends a run of a worker, and what is left then: a time limit, a hand, the end of the worker."""

import json
import os
import signal

import httpx
import psutil
import pytest
from deployed import Prefect, free_port, one_line, task_states
from prefect.client.orchestration import SyncPrefectClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


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
        crashed = prefect.ended(run).state
        assert (crashed.name, crashed.message) == ("Crashed", "Execution was aborted by a termination signal.")
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
