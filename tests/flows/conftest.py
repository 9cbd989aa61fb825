import os
import pickle
import shutil
import subprocess
from functools import partial

import mlflow
import pandera.strategies.pandas_strategies  # noqa: F401 (pytest rewrites it: not in two threads at once)
import pytest
from deployed import deployed
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from records import artifacts, task_states
from trainings import RIVALS, Trained, run
from workplaces import working_in

from networksecurity.settings import settings


@pytest.fixture(scope="session")
def computed(run_folder):
    """Return the folder in which flows keep what they compute: the next test, in any process, takes it from there."""
    return run_folder / "computed"


@pytest.fixture
def workplace(tmp_path, mlflow_database, prefect_server, computed, monkeypatch):
    """Return the folder of a flow, whose steps take from the cache what those of other tests have computed."""
    with working_in(tmp_path, mlflow_database, computed, monkeypatch):
        yield tmp_path


@pytest.fixture(scope="session")
def trained(made_once, mlflow_database, prefect_server, computed):
    """Train two models, once for all tests that only read what a training leaves."""

    def fill(folder):
        with pytest.MonkeyPatch.context() as patch, working_in(folder, mlflow_database, computed, patch):
            state = run(**RIVALS)
            left = Trained(state, state.result(), task_states(state), artifacts(state), folder / mlflow_database.name)
        (folder / "pickle").write_bytes(pickle.dumps(left))

    return pickle.loads((made_once("trained", fill) / "pickle").read_bytes())


@pytest.fixture
def before(workplace, trained):
    """Begin where the training of `trained` has ended: its version is the candidate."""
    mlflow.set_tracking_uri(f"sqlite:///{shutil.copy(trained.database, workplace)}")
    return trained


@pytest.fixture
def empty_workplace(workplace, monkeypatch):
    """Give a flow an empty storage and cache: what is computed is the subject, or a step is patched or stopped."""
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(workplace / "storage"))
    settings.cache_clear()
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: workplace / "results"}):
        yield workplace


@pytest.fixture
def csv(workplace):
    def write(frame):
        path = workplace / "rows.csv"
        frame.to_csv(path, index=False)
        return str(path)

    return write


@pytest.fixture(scope="module")
def home(tmp_path_factory, mlflow_database, prefect_database):
    """Return the folder in which the commands of a module keep Prefect's, MLflow's and stored data."""
    home = tmp_path_factory.mktemp("home")
    (home / "prefect").mkdir()
    shutil.copy(prefect_database, home / "prefect")
    shutil.copy(mlflow_database, home)
    return home


@pytest.fixture(scope="module")
def environment(home):
    """Return the environment of the commands of a module: all they keep is in one folder, warm from test to test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return kept | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
        "NETWORKSECURITY_STORAGE": str(home / "storage"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "NETWORKSECURITY_MONGODB_TIMEOUT": "1",
    }


@pytest.fixture
def command(request, environment, tmp_path):
    """Run a module's `COMMAND` with options, and with changes of the environment."""

    def run(*options, **changes):
        return subprocess.run(
            [*request.module.COMMAND, *options],
            cwd=tmp_path,
            env=environment | changes,
            capture_output=True,
            text=True,
            timeout=1_000,
            check=False,
        )

    return run


@pytest.fixture
def served_command(command, prefect_server):
    """Run a module's `COMMAND` with the Prefect server of all tests, which is quicker than with one of its own."""
    return partial(command, PREFECT_API_URL=PREFECT_API_URL.value())


@pytest.fixture(scope="module")
def mongodb_uri(mongod):
    database = f"networksecurity_tests_{os.getpid()}"
    yield f"{mongod.uri}/{database}.rows"
    mongod.client.drop_database(database)


@pytest.fixture(scope="module")
def prefect(home, mongodb_uri):
    """Run a team's own Prefect server, with a worker, for the tests of a module."""
    with deployed(home / "prefect", home / "mlflow.db", mongodb_uri) as prefect:
        yield prefect


@pytest.fixture(scope="module")
def tracked(prefect):
    return mlflow.MlflowClient(prefect.environment["MLFLOW_TRACKING_URI"])
