import time

import distributed
import pytest
from distributed import Client

from networksecurity.data import schema, splitting
from networksecurity.exceptions import SearchAbandonedError
from networksecurity.training import dask_backend, search
from networksecurity.training.candidates import CANDIDATES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def client(dask_cluster):
    with Client(dask_cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture(scope="module")
def data(rows):
    train = splitting.split(rows).train
    X, y = schema.to_X_y(train)
    return X, y, splitting.assign_folds(train)


def search_here(name, X, y, test_fold):
    seen = []
    backend = dask_backend.ClusterBackend if dask_backend.is_worker() else None
    found = search.search(CANDIDATES[name], X, y, test_fold, backend=backend, on_progress=seen.append)
    return found, [progress.n_done for progress in seen]


def scores(found):
    return [(point.params, point.split_test_scores) for point in found.grid]


def test_searches_share_the_workers_and_find_the_same(client, data):
    names = ["AdaBoost", "Random Forest", "Decision Tree", "Logistic Regression", "Hist Gradient Boosting"]
    searches = [client.submit(search_here, name, *data) for name in names]
    for name, future in zip(names, searches, strict=True):
        found, done = future.result()
        assert scores(found) == scores(search_here(name, *data)[0])
        assert done == sorted(done)
        assert done[-1] == found.n_fits


def threads_of_a_fit(X, y, test_fold):
    """Return what a fit sees of its process: how many threads its libraries may use."""
    from joblib import Parallel, delayed, parallel_config
    from threadpoolctl import threadpool_info

    fits = []
    with parallel_config(backend=dask_backend.ClusterBackend(lambda: fits.append(1))):
        found = Parallel(n_jobs=-1)(delayed(threadpool_info)() for _ in range(4))
    assert len(fits) == 4
    return [library["num_threads"] for libraries in found for library in libraries]


def test_a_fit_has_one_thread(client, data):
    assert set(client.submit(threads_of_a_fit, *data).result()) == {1}


def test_an_error_of_a_fit_is_that_of_the_search(client, data):
    X, y, test_fold = data
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        client.submit(search_here, "Decision Tree", X.head(10), y, test_fold).result()


def test_a_search_that_nobody_waits_for_gives_up(client, dask_cluster, data):
    with Client(dask_cluster.address, set_as_default=False) as other:
        began = distributed.Event("began", client=other)
        future = other.submit(search_and_tell, *data, pure=False)
        began.wait(timeout=120)
        assert future.status == "pending"
    reason = distributed.Queue("reason", client=client).get(timeout=120)
    assert reason == SearchAbandonedError.__name__


def search_and_tell(X, y, test_fold):
    """Search for long; note when it has begun and how it ended."""

    class Backend(dask_backend.ClusterBackend):
        def retrieve_result_callback(self, out):
            distributed.Event("began", client=self._client).set()
            time.sleep(0.5)  # time for the waiting client to leave
            return super().retrieve_result_callback(out)

    client = distributed.get_client()
    try:
        search.search(CANDIDATES["Gradient Boosting"], X, y, test_fold, backend=Backend)
    except SearchAbandonedError as exc:
        distributed.Queue("reason", client=client).put(type(exc).__name__)
