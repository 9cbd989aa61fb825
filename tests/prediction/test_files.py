import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from leash import LEASH
from pydantic import SecretStr
from reading import frames

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.files import File
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURES, TARGET, to_X, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import Validation, validate
from networksecurity.exceptions import ConfigurationError, DataValidationError
from networksecurity.prediction import files as predictions
from networksecurity.prediction.scoring import BatchScorer, score
from networksecurity.settings import Settings
from networksecurity.tracking import runs
from networksecurity.tracking.server import connect
from networksecurity.training.candidates import get_candidate, make_pipeline
from networksecurity.training.search import fit_best

PROJECT = Path(__file__).resolve().parents[2]
PREDICTED = ["phishing_probability", "label", "label_by", "override", "model", "model_version"]


@pytest.fixture(scope="module")
def model(rows):
    return make_pipeline(get_candidate("Decision Tree"), {}).fit(*to_X_y(rows))


@pytest.fixture(params=[".parquet", ".csv"])
def kind(request):
    return request.param


def sample(n_rows=250, bad=()):
    frame = make_phishing_websites(n_rows, random_state=1).astype(object)
    frame.insert(0, "key", [f"{row:05}" for row in range(n_rows)])
    frame.loc[2, "SFH"] = "na"
    frame.loc[list(bad), "SFH"] = "abc"
    return frame


def write_csv(frame, folder):
    path = folder / "rows.csv"
    frame.to_csv(path, index=False)
    return path


def scored(model, path, output, max_rejected=0.5, **options):
    scorer = BatchScorer(model, name="phishing", version="7", max_rejected=max_rejected)
    batches = scorer.over(frames(File.at(str(path)), 100, exact_others=True))
    return predictions.write_file(batches, output=str(output), **options)


def read(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"key": "str", "model_version": "str"})


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_predictions_and_quarantine_are_written_side_by_side(model, kind, tmp_path):
    path = write_csv(sample(bad=[0, 120]), tmp_path)
    output, beside = tmp_path / f"scored{kind}", tmp_path / f"scored_quarantine{kind}"
    seen = []
    assert scored(model, path, output, on_progress=seen.append) == str(beside)
    assert seen == [100, 200, 250]
    assert names(tmp_path) == {"rows.csv", output.name, beside.name}

    found, expected = read(output), Validation(max_rejected=1, with_target=False).add(pd.read_csv(path))[0]
    assert list(found) == ["row", "key", "Result", *PREDICTED]
    assert found["row"].tolist() == expected.index.tolist() == [row for row in range(250) if row not in {0, 120}]
    assert found["key"].tolist() == [f"{row:05}" for row in expected.index]
    assert (found["phishing_probability"] == score(model, expected)["phishing_probability"].to_numpy()).all()
    assert (found["label"] == score(model, expected)["label"].to_numpy()).all()
    assert set(zip(found["model"], found["model_version"], strict=True)) == {("phishing", "7")}

    rejected = read(beside)
    assert list(rejected) == ["row", "key", "Result", *FEATURES, "reasons"]
    assert rejected[["row", "key", "SFH", "reasons"]].to_numpy().tolist() == [
        [0, "00000", "abc", "SFH is not a whole number"],
        [120, "00120", "abc", "SFH is not a whole number"],
    ]


def test_scoring_again_writes_the_same_file(model, kind, tmp_path):
    path, output = write_csv(sample(bad=[5]), tmp_path), tmp_path / f"scored{kind}"
    files = [output, tmp_path / f"scored_quarantine{kind}"]
    contents = []
    for _ in range(2):
        scored(model, path, output)
        contents.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert contents[0] == contents[1]


def test_what_a_killed_scoring_left_half_written_is_deleted_a_day_later(model, kind, tmp_path):
    output = tmp_path / f"scored{kind}"
    old, new, of_another = (
        tmp_path / f"{name}.{of * 32}.partial" for name, of in ((output.name, "a"), (output.name, "b"), ("x.csv", "a"))
    )
    for path in (old, new, of_another):
        path.touch()
    for path in (old, of_another):
        os.utime(path, (time.time() - 90_000,) * 2)
    scored(model, write_csv(sample(), tmp_path), output)
    assert names(tmp_path) == {"rows.csv", output.name, new.name, of_another.name}


def test_the_quarantine_of_an_earlier_run_is_removed(model, kind, tmp_path):
    output = tmp_path / f"scored{kind}"
    scored(model, write_csv(sample(bad=[5]), tmp_path), output)
    assert scored(model, write_csv(sample(), tmp_path), output) is None
    assert names(tmp_path) == {"rows.csv", output.name}
    assert len(read(output)) == 250


def test_a_batch_without_valid_rows_is_written(model, kind, tmp_path):
    path, output = write_csv(sample(bad=range(100)), tmp_path), tmp_path / f"scored{kind}"
    scored(model, path, output)
    assert read(output)["row"].tolist() == list(range(100, 250))


def test_keys_of_a_parquet_file_keep_their_types(model, tmp_path):
    frame = sample().drop(columns=TARGET).replace("na", None)
    key = [2**60 + row for row in range(249)] + [None]
    columns = {
        "key": pyarrow.array(key, pyarrow.int64()),
        "seen": pyarrow.array([pd.Timestamp("2026-01-01")] * 250, pyarrow.timestamp("us", "UTC")),
        "tags": pyarrow.array([["a", "b"]] * 250),
    }
    table = pyarrow.table(columns | {name: pyarrow.array(frame[name].tolist(), pyarrow.int8()) for name in FEATURES})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    scored(model, tmp_path / "rows.parquet", tmp_path / "scored.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "scored.parquet")
    assert found.column_names == ["row", *columns, *PREDICTED]
    for name in columns:
        assert found[name].combine_chunks() == table[name].combine_chunks()


def test_reasons_are_written_as_json_even_after_a_part_without_rows(kind, tmp_path):
    parts = [pd.DataFrame({"row": rows, "explanation": pd.Series(of, dtype=object)}) for rows, of in EXPLAINED]
    predictions.write_file([(part, part[:0]) for part in parts], output=str(tmp_path / f"scored{kind}"))
    found = read(tmp_path / f"scored{kind}")
    assert [json.loads(of) for of in found["explanation"]] == [of for _, part in EXPLAINED for of in part]


EXPLAINED = [([], []), ([0, 1], [[{"feature": "SFH", "value": None, "effect": -0.25}], []])]


def test_predictions_are_written_to_any_file_system(model, tmp_path):
    path = write_csv(sample(bad=[5]), tmp_path)
    assert scored(model, path, "memory://out/scored.csv") == "/out/scored_quarantine.csv"
    assert len(pd.read_csv("memory://out/scored.csv")) == 249
    scored(model, path, "memory://out/scored.csv")


def test_an_interrupted_scoring_leaves_no_file(model, kind, tmp_path):
    path, output = write_csv(sample(), tmp_path), tmp_path / f"scored{kind}"
    scored(model, path, output)
    before = output.read_bytes()

    def interrupt(n_rows):
        assert len(names(tmp_path)) == 4
        if n_rows == 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(model, path, output, on_progress=interrupt)
    with pytest.raises(DataValidationError, match="130 of 250 rows .* are not valid"):
        scored(model, write_csv(sample(bad=range(130)), tmp_path), output)
    assert names(tmp_path) == {"rows.csv", output.name}
    assert output.read_bytes() == before


def test_a_file_without_predictions_is_not_replaced(model, kind, tmp_path):
    path = write_csv(sample(bad=[5]), tmp_path)
    for name in (f"scored{kind}", f"scored_quarantine{kind}"):
        for content in (b"", b"a,b\n1,2\n", b"\xff\x00" * 50):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ConfigurationError, match=f"{name} already exists and does not hold predictions"):
                scored(model, path, tmp_path / f"scored{kind}")
            assert (tmp_path / name).read_bytes() == content
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        with pytest.raises(ConfigurationError, match="does not hold predictions"):
            scored(model, path, tmp_path / f"scored{kind}")
        (tmp_path / name).rmdir()
    with pytest.raises(ConfigurationError, match=r"rows.csv already exists"):
        scored(model, path, path)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("scored.xlsx", r"unknown output 'scored.xlsx': a path or URL that ends in .parquet or .csv, or mongodb"),
        ("", "unknown output ''"),
        ("nowhere/scored.csv", "nowhere/scored.csv cannot be written: there is no folder .*nowhere"),
        ("rows.csv/scored.csv", "cannot be written: there is no folder .*rows.csv"),
        ("foo://bar/scored.csv", "foo://bar/scored.csv cannot be written: Protocol not known: foo"),
    ],
)
def test_an_impossible_output_is_refused(output, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(ConfigurationError, match=message):
        predictions.check_output(output)


def test_an_output_without_permission_is_refused(model, tmp_path):
    path = write_csv(sample(), tmp_path)
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        folder = Path("/proc")  # whoever may write anywhere may not write there
        if not folder.is_dir():
            pytest.skip("this user may write anywhere")
    with pytest.raises(ConfigurationError, match=r"scored.csv cannot be written: (Permission denied|No such file)"):
        scored(model, path, folder / "scored.csv")


# --- the same predictions wherever they are asked for -----------------------------------------------------------------


@dataclass(frozen=True)
class Champion:
    """A model of the real data in use, and rows it has not learned from, of which the second half lacks values."""

    pipeline: Any
    uri: str
    rows: pd.DataFrame
    environment: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def champion(real_data, outcome, mlflow_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("champion")
    sides = split(validate(pd.read_csv(real_data)).accepted)
    # Of so few trees that some rows stand at the threshold itself.
    pipeline = fit_best(get_candidate("Random Forest"), {"n_estimators": 64}, *to_X_y(sides.train))
    tracking_uri = f"sqlite:///{shutil.copy(mlflow_database, folder)}"
    server = connect(Settings(mlflow_tracking_uri=SecretStr(tracking_uri)))
    training = runs.start_training(server, "networksecurity", {})
    logged = runs.log_outcome(server, training, replace(outcome, model=pipeline))
    runs.end_training(server, training)
    registry = Registry(server, "networksecurity-phishing")
    registry.register(logged.model_uri, training.train_run_id, tags={}, description="", alias=CHAMPION)

    gaps = sides.test.astype(object)
    gaps[list(FEATURES)] = gaps[list(FEATURES)].mask(np.random.default_rng(0).random((len(gaps), 30)) < 0.1)
    rows = pd.concat([sides.test, gaps.astype("Int8")], ignore_index=True)[list(FEATURES)]
    ours = ("PREFECT_", "MLFLOW_", "DAGSHUB_", "NETWORKSECURITY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "MLFLOW_TRACKING_URI": tracking_uri,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
    }
    with mlflow_at(tracking_uri):
        yield Champion(pipeline, f"models:/{registry.name}@{CHAMPION}", rows, environment, folder)


@contextmanager
def mlflow_at(uri):
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


# Each takes the champion and returns what it says of the rows: the probability of phishing, or None where it gives
# none, and whether it calls them phishing.


def by_mlflow(champion):
    model, X = mlflow.sklearn.load_model(champion.uri), to_X(champion.rows)
    return model.predict_proba(X)[:, 1], model.predict(X) == 1


def by_the_package(champion):
    server = connect(Settings(mlflow_tracking_uri=SecretStr(champion.environment["MLFLOW_TRACKING_URI"])))
    registry = Registry(server, "networksecurity-phishing")
    found = score(registry.load_model(registry.get(CHAMPION)), champion.rows)
    return found["phishing_probability"], predicted(found["label"])


def predicted(labels):
    """Return the class of each label, and -1 where too little is known of the row."""
    return pd.Series(labels).map({"phishing": 1, "legitimate": 0, "unsure": -1})


def by_the_flow(champion):
    champion.rows.to_csv(champion.folder / "rows.csv", index=False)
    done = subprocess.run(
        [sys.executable, PROJECT / "flows" / "score.py", "--source", "rows.csv", "--output", "scored.parquet"],
        cwd=champion.folder,
        env=champion.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(champion.folder / "scored.parquet")
    assert found["row"].tolist() == list(range(len(champion.rows)))
    return found["phishing_probability"], predicted(found["label"])


def by_mlflow_models_serve(champion):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "mlflow", "models", "serve", "-m", champion.uri, "--env-manager", "local", "-h", "127.0.0.1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{champion.environment['PATH']}"
    with (champion.folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "-p", str(port)],
            env=champion.environment | {"PATH": path},
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    body = {"dataframe_split": json.loads(to_X(champion.rows).to_json(orient="split", index=False))}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        for _ in range(480):
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return None, np.array(json.load(response)["predictions"]) == 1
            except OSError:
                assert server.poll() is None, (champion.folder / "log").read_text()
                time.sleep(0.5)
        pytest.fail((champion.folder / "log").read_text())
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def by_the_service(champion):
    command = [*LEASH, sys.executable, "-m", "networksecurity", "serve", "--port", "0"]
    table = champion.rows.to_csv(index=False)
    with (
        (champion.folder / "serve.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=PROJECT, env=champion.environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        try:
            address = server.stdout.readline().split()[2].rstrip(",")
            with httpx.Client(base_url=address, timeout=60, transport=httpx.HTTPTransport(retries=5)) as client:
                while client.get("/ready").status_code != 200:
                    time.sleep(0.2)
                answer = client.post("/predict", content=table, headers={"Content-Type": "text/csv"}).json()
        finally:
            server.kill()
    found = pd.DataFrame(answer["predictions"])
    return found["phishing_probability"], predicted(found["label"])


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", [by_mlflow, by_the_package, by_the_flow, by_mlflow_models_serve, by_the_service])
def test_predictions_are_those_of_the_pipeline_in_memory(way, champion):
    X = to_X(champion.rows)
    assert X.isna().any(axis=None)
    y_score, y_pred = way(champion)
    if y_score is not None:
        # Up to the order in which another number of rows is added up.
        np.testing.assert_allclose(y_score, champion.pipeline.predict_proba(X)[:, 1], rtol=0, atol=1e-12)
    y_pred = np.asarray(y_pred, dtype=int)
    is_decided = y_pred >= 0
    assert is_decided.mean() > 0.8
    assert (y_pred == champion.pipeline.predict(X))[is_decided].all()
