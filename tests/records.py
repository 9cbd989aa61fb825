"""What Prefect's server has recorded of a flow run of this process."""

import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)


def task_runs(state):
    """Return the task runs of a flow run that has ended; their states reach the server a moment later."""
    wanted = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    deadline, seen = time.monotonic() + 30, []
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(task_run_filter=wanted)
            states = sorted((task_run.name, task_run.state_name) for task_run in found)
            settled = states == seen and all(task_run.state.is_final() for task_run in found)
            if settled or time.monotonic() > deadline:
                return found
            seen = states
            time.sleep(0.2)


def task_states(state):
    return {task_run.name: task_run.state_name for task_run in task_runs(state)}


def task_tries(state):
    return {task_run.name: (task_run.state_name, task_run.run_count) for task_run in task_runs(state)}


def artifacts(state):
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    # An artifact without a type is where Prefect notes that the result is stored.
    return {artifact.key or artifact.description: artifact for artifact in found if artifact.type}
