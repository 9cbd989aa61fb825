"""What all flows and their steps share: names, retries, cache keys, where results and tasks go, progress."""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import Task, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem
from prefect.runtime import flow_run
from prefect.serializers import JSONSerializer
from prefect.tasks import exponential_backoff
from pydantic import Field, ValidationError
from pydantic_core import to_jsonable_python
from threadpoolctl import threadpool_limits

from networksecurity.data import mongodb
from networksecurity.data.mongodb import Checkpoint, Collection
from networksecurity.data.storage import Storage, references
from networksecurity.exceptions import ConfigurationError, StorageError, TransientError
from networksecurity.settings import settings
from networksecurity.tracking.provenance import code_version

from .display import Work, show
from .rows import source_of

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _by_content(context: TaskRunContext, inputs: dict[str, Any]) -> str:
    # A result refers to data by content only, which is of use only in the same storage.
    described = json.dumps(
        [context.task.name, code_version(), settings().storage, to_jsonable_python(inputs)], sort_keys=True
    )
    return f"{context.task.name}-{hashlib.sha256(described.encode()).hexdigest()}"


def result_storage(storage: str) -> WritableFileSystem | None:
    """Return where results are kept: beside data at a URL, else wherever Prefect's settings say.

    Workers that share the data also share the results computed from it.

    Raises
    ------
    ConfigurationError
        Prefect cannot write to such a URL.
    """
    scheme, separator, path = storage.partition("://")
    if not separator:
        return None
    if scheme in ("file", "local"):
        return LocalFileSystem(basepath=f"{path.rstrip('/')}/results")
    try:
        return RemoteFileSystem(basepath=f"{scheme}://{path.rstrip('/')}/results")
    except ValidationError as exc:
        raise ConfigurationError(
            f"NETWORKSECURITY_STORAGE: results cannot be kept there: {exc.errors()[0]['msg']}"
        ) from None


class WithStoredData(JSONSerializer):
    """Results as JSON; one that refers to data which is gone or damaged cannot be loaded.

    Prefect then computes the step anew. Results and data thus stay together, also if only one of the two was deleted.
    """

    type: str = Field(default="json-with-stored-data", frozen=True)

    def loads(self, blob: bytes) -> Any:
        """Return a result whose data is there as it was stored.

        Raises
        ------
        StorageError
            It is not.
        """
        result = super().loads(blob)
        if not all(map(storage().holds, references(result))):
            raise StorageError("what the result refers to is gone: compute it anew")
        return result


async def _may_pass(_task: Task, _run: TaskRun, state: State) -> bool:
    return isinstance(await state.aresult(raise_on_failure=False), TransientError)


step = functools.partial(
    task,
    retries=2,
    retry_delay_seconds=exponential_backoff(2),  # seconds: 2, then 4
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
"""A task that runs each time."""

cached_step = functools.partial(
    step,
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_by_content),
    cache_expiration=timedelta(days=30),
    persist_result=True,
    result_serializer=WithStoredData(),
)
"""A task that reuses the result of an earlier run with the same inputs, code and libraries.

Its inputs and result are plain values and references by content (`DataRef`, `ModelRef`).
"""


def run_name() -> str:
    """Return the name of the run that begins: its flow and its source."""
    return f"{flow_run.flow_name} · {source_of(flow_run.parameters['parameters']).shown}"


def storage() -> Storage:
    """Return where data and models lie between the steps."""
    return Storage(settings().storage)


@step(task_run_name="record the checkpoint")
def record(name: str, source: Collection, checkpoint: Checkpoint) -> bool:
    """Record how far a reader of a collection has come; return False if another one was first."""
    with mongodb.open(source) as opened:
        return opened.advance_checkpoint(name, checkpoint)


def one_thread(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Limit a step that computes beside others to one thread of BLAS and OpenMP."""

    @functools.wraps(function)  # threadpoolctl's own decorator cannot be sent to a cluster
    def on_one_thread(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with threadpool_limits(1):
            return function(*args, **kwargs)

    return on_one_thread


def progress(description: str, total: int | None = None) -> Callable[[int], None]:
    """Return what shows how many rows are done: in the terminal and, if the total is known, in Prefect's UI."""
    artifact = cast(UUID, create_progress_artifact(0.0, description=description)) if total else None

    def report(n_rows: int) -> None:
        show(description, Work(n_rows, total, "rows"))
        if artifact and total:
            update_progress_artifact(artifact, 100 * n_rows / total)

    report(0)
    return report
