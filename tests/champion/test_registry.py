import json
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from mlflow import MlflowClient
from sklearn.preprocessing import FunctionTransformer

from networksecurity.champion import registry
from networksecurity.champion.decision import Decision
from networksecurity.champion.gate import Gate
from networksecurity.data.schema import to_X_y
from networksecurity.exceptions import (
    DataSourceError,
    PromotionConflictError,
    PromotionError,
    TrackingError,
    TrackingUnavailableError,
)
from networksecurity.tracking import runs as tracking
from networksecurity.tracking.server import TrackingServer

NAME = "networksecurity-phishing"


@pytest.fixture(params=["full", "old"])
def server(request, server):
    """Both kinds of server: with logged models and aliases, and without."""
    return server if request.param == "full" else replace(server, logged_models=False, aliases=False)


@pytest.fixture
def register(server, outcome):
    def run():
        training = tracking.start_training(server, "networksecurity", {})
        uri = tracking.log_outcome(server, training, outcome).model_uri
        tracking.end_training(server, training)
        return registry.register(
            server, NAME, uri, training.train_run_id, tags={"data.sha256": "abc"}, description="a tree"
        )

    return run


def test_versions_count_up_and_the_candidate_is_the_newest(server, register):
    first, second = register(), register()
    assert (first.version, second.version) == ("1", "2")
    assert first.run_id != second.run_id
    assert first.tags["data.sha256"] == "abc"
    assert registry.get_version(server, NAME, registry.CANDIDATE) == second


def test_registering_the_same_run_again_makes_no_second_version(server, register):
    version = register()
    again = registry.register(server, NAME, version.source, version.run_id, tags={}, description="")
    assert again == version
    assert len(MlflowClient(server.uri).search_model_versions(f"name = '{NAME}'")) == 1


def test_an_alias_can_go_back(server, register):
    first, _ = register(), register()
    registry.set_alias(server, NAME, registry.CANDIDATE, first.version)
    assert registry.get_version(server, NAME, registry.CANDIDATE) == first


@pytest.mark.parametrize(("name", "alias"), [("nothing", "candidate"), (NAME, "nobody")])
def test_what_is_not_there(server, register, name, alias):
    register()
    with pytest.raises(TrackingError, match=rf"no version of {name} has the alias {alias} .*train first"):
        registry.get_version(server, name, alias)


def test_model_predicts_the_same_in_a_process_that_allows_no_pickle(server, register, outcome, rows, tmp_path):
    register()
    X, _ = to_X_y(rows)
    assert X.isna().any(axis=None)
    X.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import numpy as np, pandas as pd; from dataclasses import replace; "
        "from networksecurity.champion import registry; "
        "from networksecurity.tracking import server as tracking_server; "
        "from networksecurity.settings import Settings; "
        f"server = replace(tracking_server.connect(Settings()), logged_models={server.logged_models}, "
        f"aliases={server.aliases}); "
        f"model = registry.load_model(server, registry.get_version(server, '{NAME}', 'candidate')); "
        "np.save('answers.npy', model.predict_proba(pd.read_parquet('rows.parquet')))"
    )
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (np.load(tmp_path / "answers.npy") == outcome.model.predict_proba(X)).all()


def test_reference_profile_comes_with_the_model(server, register, outcome, tmp_path):
    version = register()
    assert registry.load_reference(server, version) == outcome.reference
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path), tracking_uri=server.uri)
    elsewhere = version.model_copy(update={"source": folder})
    path = Path(folder, tracking.REFERENCE_FILE)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(TrackingError, match="no reference profile that can be read: train again"):
        registry.load_reference(server, elsewhere)
    path.unlink()
    with pytest.raises(TrackingError, match="FileNotFoundError"):
        registry.load_reference(server, elsewhere)


def test_the_version_in_use_is_the_champion_or_else_the_candidate(server, register):
    in_use = (registry.CHAMPION, registry.CANDIDATE)
    with pytest.raises(TrackingError, match="has the alias champion or candidate"):
        registry.get_version(server, NAME, *in_use)
    first, second = register(), register()
    assert registry.get_version(server, NAME, *in_use) == second
    registry.set_alias(server, NAME, registry.CHAMPION, first.version)
    assert registry.get_version(server, NAME, *in_use) == first


def test_a_pickled_model_is_not_loaded(server, outcome, tmp_path):
    mlflow.sklearn.save_model(
        outcome.model, str(tmp_path / "model"), serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    version = registry.RegisteredVersion(
        name=NAME, version="1", run_id="", source=(tmp_path / "model").as_uri(), tags={}
    )
    with pytest.raises(TrackingError, match="not stored by skops"):
        registry.load_model(server, version)


def test_a_model_whose_file_holds_other_code_is_not_loaded(server, register, tmp_path):
    version = register()
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path), tracking_uri=server.uri)
    skops.io.dump(FunctionTransformer(os.system), f"{folder}/model.skops")
    with pytest.raises(DataSourceError, match=r"cannot be loaded: .*system"):
        registry.load_model(server, version.model_copy(update={"source": folder}))


# --- the champion -----------------------------------------------------------------------------------------------------


@pytest.fixture
def versions(server):
    """Make four versions without files, which nobody verifies."""
    client = MlflowClient(server.uri)
    client.create_registered_model(NAME)
    run = client.create_run("0")
    return [
        registry.RegisteredVersion(
            name=NAME,
            version=str(client.create_model_version(NAME, "file:///nowhere", run.info.run_id).version),
            run_id=run.info.run_id,
            source="file:///nowhere",
            tags={},
        )
        for _ in range(4)
    ]


@pytest.fixture
def unverified(monkeypatch):
    """Take every version for fit, and return the versions that were asked about."""
    asked = []
    monkeypatch.setattr(registry, "verify", lambda _, version: asked.append(version.version))
    return asked


def make_decision(outcome="promote", champion=None):
    return Decision(
        outcome=outcome,
        reasons=("It is so.", "Really."),
        champion=champion,
        figures={"f1_score": 0.95},
        generalisation_gap=0.01,
        comparison=None,
        gate=Gate(),
    )


def judge(champion):
    return make_decision(champion=champion and champion.version)


def aliases(server):
    found = {alias: registry.find_version(server, NAME, alias) for alias in (registry.CHAMPION, registry.PREVIOUS)}
    return tuple(version and version.version for version in found.values())


def tags(server):
    client = MlflowClient(server.uri)
    found = client.search_model_versions(f"name = '{NAME}'")
    model = client.get_registered_model(NAME)
    return model.tags, model.aliases, {version.version: version.tags for version in found}


def test_promotion_moves_both_aliases_and_is_recorded(server, versions, unverified):
    for version, expected in (("1", ("1", None)), ("3", ("3", "1"))):
        registry.promote(server, NAME, version, why="I say so")
        assert aliases(server) == expected
    assert unverified == ["1", "3"]
    first, second = registry.history(server, NAME)
    assert (first.action, first.version, first.champion) == ("promote", "1", None)
    assert (second.action, second.version, second.champion, second.why) == ("promote", "3", "1", "I say so")
    assert first.done
    assert first.at < second.at
    assert first.at.utcoffset().total_seconds() == 0
    before = tags(server)
    assert registry.promote(server, NAME, "3").version == "3"
    assert tags(server) == before


def test_rollback_and_back_again(server, versions, unverified):
    for version in "123":
        registry.promote(server, NAME, version)
    assert registry.rollback(server, NAME, why="it is slow").version == "2"
    assert aliases(server) == ("2", "3")
    assert registry.rollback(server, NAME).version == "3"
    assert aliases(server) == ("3", "2")
    assert registry.rollback(server, NAME, "1").version == "1"
    assert aliases(server) == ("1", "3")
    last = registry.history(server, NAME)[3:]
    assert [(event.action, event.version, event.champion) for event in last] == [
        ("rollback", "2", "3"),
        ("rollback", "3", "2"),
        ("rollback", "1", "3"),
    ]
    assert last[0].why == "it is slow"


def test_nothing_to_roll_back_to(server, versions, unverified):
    with pytest.raises(TrackingError, match="no version of .* has the alias champion"):
        registry.rollback(server, NAME)
    registry.promote(server, NAME, "1")
    with pytest.raises(PromotionError, match="none was the champion before"):
        registry.rollback(server, NAME)
    with pytest.raises(PromotionError, match="version 1 is the champion already"):
        registry.rollback(server, NAME, "1")
    for change in (registry.rollback, registry.promote):
        with pytest.raises(TrackingError, match="there is no version"):
            change(server, NAME, "9")
    assert aliases(server) == ("1", None)


def test_a_decision_is_recorded_whatever_it_is(server, versions, unverified):
    for version in versions[:2]:
        assert registry.consider(server, version, judge, flow_run="run").outcome == "promote"
    kept = registry.consider(server, versions[2], lambda champion: make_decision("keep", "2"), flow_run="run")
    assert aliases(server) == ("2", "1")
    assert [(event.action, event.why) for event in registry.history(server, NAME)] == [
        ("promote", "It is so."),
        ("promote", "It is so."),
        ("keep", "It is so."),
    ]
    last = registry.history(server, NAME)[-1]
    assert (last.version, last.champion, last.flow_run, last.decision) == ("3", "2", "run", kept)
    client = MlflowClient(server.uri)
    (written,) = [
        json.loads(value)
        for name, value in client.get_model_version(NAME, "3").tags.items()
        if name.startswith("networksecurity.event.")
    ]
    assert written["decision"]["figures"] == {"f1_score": 0.95}


def test_a_dry_run_changes_nothing(server, versions, unverified):
    for version in versions[:2]:
        before = tags(server)
        assert registry.consider(server, version, judge, dry_run=True).outcome == "promote"
        assert tags(server) == before
        registry.promote(server, NAME, "1")
    assert unverified == ["1"]


def test_a_decision_about_another_champion_is_not_carried_out(server, versions, unverified):
    registry.promote(server, NAME, "1")
    before = tags(server)
    with pytest.raises(PromotionConflictError, match=r"changed by another meanwhile \(it is version 1 now\)"):
        registry.promote(server, NAME, "2", decision=make_decision(champion=None))
    assert tags(server) == before


def test_a_record_changed_by_hand(server, versions, unverified):
    registry.promote(server, NAME, "1")
    MlflowClient(server.uri).set_model_version_tag(NAME, "1", "networksecurity.event.x", "me")
    with pytest.raises(TrackingError, match="version 1 .* was changed by hand"):
        registry.history(server, NAME)


class Hooked:
    """An MLflow client whose every call is made within the context `hook`."""

    def __init__(self, uri, hook):
        self._client = MlflowClient(uri)
        self._hook = hook

    def __getattr__(self, name):
        def call(*args, **kwargs):
            with self._hook():
                return getattr(self._client, name)(*args, **kwargs)

        return call


@dataclass(frozen=True)
class HookedServer(TrackingServer):
    hook: Any = None

    def client(self):
        return Hooked(self.uri, self.hook)


def hooked(server, hook):
    return HookedServer(server.uri, server.address, server.logged_models, server.aliases, hook=hook)


def cut_off_at(server, step):
    """Return a server that cannot be reached from its `step`-th call on."""
    left = [step]

    @contextmanager
    def hook():
        left[0] -= 1
        if left[0] <= 0:
            raise ConnectionError("away")
        yield

    return hooked(server, hook)


def test_promotion_cut_off_at_any_step_leaves_a_champion_and_can_be_done_again(server, versions, unverified):
    client = MlflowClient(server.uri)
    for step in range(1, 100):
        registry.set_alias(server, NAME, registry.CHAMPION, "1")
        registry.set_alias(server, NAME, registry.PREVIOUS, "4")
        for tag in client.get_model_version(NAME, "2").tags:
            client.delete_model_version_tag(NAME, "2", tag)
        try:
            registry.consider(cut_off_at(server, step), versions[1], judge)
            break
        except TrackingUnavailableError:
            assert aliases(server)[0] in {"1", "2"}
            assert registry.consider(server, versions[1], judge).outcome == "promote"
            assert aliases(server) == ("2", "1")
            assert registry.history(server, NAME)[-1].done
    assert step > 5
    assert aliases(server) == ("2", "1")
    (event,) = registry.history(server, NAME)
    assert (event.done, event.action, event.version, event.champion) == (True, "promote", "2", "1")


def test_first_promotion_cut_off_at_any_step_can_be_done_again(server, versions, unverified):
    for step in range(1, 100):
        try:
            registry.consider(cut_off_at(server, step), versions[1], judge)
            break
        except TrackingUnavailableError:
            assert aliases(server) in {(None, None), ("2", None)}
    assert step > 5
    assert aliases(server) == ("2", None)
    assert registry.history(server, NAME)[-1].done


@pytest.mark.parametrize("server", ["full"], indirect=True)
def test_rollback_cut_off_at_any_step_leaves_a_champion_and_can_be_done_again(server, versions, unverified):
    registry.promote(server, NAME, "1")
    for step in range(1, 100):
        registry.promote(server, NAME, "2")
        try:
            registry.rollback(cut_off_at(server, step), NAME)
            break
        except TrackingUnavailableError:
            assert aliases(server)[0] in {"1", "2"}
            assert registry.rollback(server, NAME).version == "1"
            assert aliases(server) == ("1", "2")
            assert registry.history(server, NAME)[-1].done
    assert step > 5
    assert aliases(server) == ("1", "2")


class Turns:
    """Let two threads make one call each time it is their turn."""

    def __init__(self, order):
        self._order = list(order)
        self._over = set()
        self._changed = Condition()

    def hook(self, who):
        @contextmanager
        def turn():
            with self._changed:
                self._changed.wait_for(lambda: self._next() == who)
                yield
                self._order.pop(0)
                self._changed.notify_all()

        return turn

    def end(self, who):
        with self._changed:
            self._over.add(who)
            self._changed.notify_all()

    def _next(self):
        while self._order and self._order[0] in self._over:
            self._order.pop(0)
        return self._order[0]


@pytest.mark.parametrize("seed", range(4))
def test_of_promotions_at_once_none_is_lost_silently(server, versions, unverified, seed):
    registry.promote(server, NAME, "1")
    order = random.Random(seed).choices("23", k=200) + ["2"] * 100 + ["3"] * 100
    turns, outcomes = Turns(order), {}

    def run(version):
        try:
            registry.consider(hooked(server, turns.hook(version.version)), version, judge)
            outcomes[version.version] = "done"
        except PromotionConflictError:
            outcomes[version.version] = "conflict"
        finally:
            turns.end(version.version)

    threads = [Thread(target=run, args=[version]) for version in versions[1:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    champion, _ = aliases(server)
    assert champion in {"2", "3"}
    replaced = {event.champion for event in registry.history(server, NAME) if event.done}
    for version, outcome in outcomes.items():
        assert outcome == "conflict" or version == champion or version in replaced
    assert len(outcomes) == 2
    for version in versions[1:3]:  # as the flow does
        if outcomes[version.version] == "conflict":
            registry.consider(server, version, judge)
            assert aliases(server)[0] == version.version


@pytest.mark.parametrize("server", ["full"], indirect=True)
class TestVerification:
    @pytest.fixture
    def version(self, outcome, tmp_path):
        training = tracking.Training(name="x", experiment_id="0", train_run_id="0")
        tracking.save_model(str(tmp_path / "model"), training, outcome)
        return registry.RegisteredVersion(name=NAME, version="1", run_id="", source=str(tmp_path / "model"), tags={})

    def refuses(self, server, version, reason):
        with pytest.raises(PromotionError, match=f"version 1 of {NAME} is not fit to be the champion: .*{reason}"):
            registry.verify(server, version)

    def test_of_a_model_as_it_was_evaluated(self, server, version):
        probe = pd.read_parquet(Path(version.source, tracking.PROBE_FILE))
        assert probe.isna().any()[:30].all()
        registry.verify(server, version)

    def test_of_one_that_answers_otherwise(self, server, version):
        path = Path(version.source, tracking.PROBE_FILE)
        probe = pd.read_parquet(path)
        probe.loc[[3, 5], "y_score"] += 1e-6
        probe.to_parquet(path)
        self.refuses(server, version, "it answers 2 of 230 rows otherwise than when it was evaluated")

    def test_of_one_without_a_probe(self, server, version):
        Path(version.source, tracking.PROBE_FILE).unlink()
        self.refuses(server, version, r"no rows to probe it with can be read beside it \(FileNotFoundError\)")

    def test_of_another_schema(self, server, version):
        path = Path(version.source, "MLmodel")
        stored = yaml.safe_load(path.read_text())
        stored["signature"]["inputs"] = json.dumps(json.loads(stored["signature"]["inputs"])[1:])
        path.write_text(yaml.safe_dump(stored))
        self.refuses(server, version, "it does not take the 30 features of this data")

    def test_that_fails_is_recorded_and_promotes_nothing(self, server, versions, version):
        registry.set_alias(server, NAME, registry.CHAMPION, "1")
        Path(version.source, "model.skops").write_bytes(b"no model")
        client = MlflowClient(server.uri)
        client.create_model_version(NAME, Path(version.source).as_uri(), versions[0].run_id)
        bad = version.model_copy(update={"version": "5"})
        with pytest.raises(PromotionError, match=r"not fit to be the champion: .*DataSourceError: .*cannot be loaded"):
            registry.consider(server, bad, lambda champion: make_decision(champion="1"))
        assert aliases(server) == ("1", None)
        (event,) = registry.history(server, NAME)
        assert (event.action, event.version, event.champion, event.done) == ("keep", "5", "1", True)
        assert "cannot be loaded" in event.why

        registry.set_alias(server, NAME, registry.CHAMPION, "5")  # by hand, somewhere else
        seen = []
        registry.consider(server, versions[1], lambda champion: seen.append(champion) or make_decision("keep", "5"))
        assert seen[0].model is None
        assert "cannot be loaded" in seen[0].problem
