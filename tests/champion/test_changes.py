import json
import random
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np
import pytest
import skops.io
from mlflow import MlflowClient

from networksecurity.champion.changes import consider, earlier_comparisons, history, promote, rollback
from networksecurity.champion.comparison import compare
from networksecurity.champion.decision import Decision
from networksecurity.champion.gate import Gate
from networksecurity.champion.registry import CHAMPION, PREVIOUS, Registry
from networksecurity.data.model_files import load_model
from networksecurity.exceptions import PromotionConflictError, PromotionError, TrackingError, TrackingUnavailableError
from networksecurity.tracking.server import TrackingServer
from networksecurity.training.candidates import get_classifier

NAME = "networksecurity-phishing"


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


def aliases(registry):
    found = {alias: registry.find(alias) for alias in (CHAMPION, PREVIOUS)}
    return tuple(version and version.version for version in found.values())


def tags(registry):
    client = MlflowClient(registry.server.uri)
    found = client.search_model_versions(f"name = '{NAME}'")
    model = client.get_registered_model(NAME)
    return model.tags, model.aliases, {version.version: version.tags for version in found}


def test_a_decision_about_another_version_is_an_earlier_look_at_its_test_rows(registry, versions, unverified):
    y = np.tile([0, 1], 50)
    found = compare(y, np.arange(100) % 3 % 2, y, codes=np.arange(100))
    assert earlier_comparisons(registry, versions[0]) == []
    compared = make_decision("keep").model_copy(update={"comparison": found})
    consider(registry, versions[0], lambda champion: compared)
    consider(registry, versions[1], judge)  # without a comparison
    assert earlier_comparisons(registry, versions[2]) == [found]
    assert earlier_comparisons(registry, versions[0]) == []  # a second attempt at the same decision is no second look
    assert compare(y, y, y, codes=np.arange(100), earlier=earlier_comparisons(registry, versions[2])).looks == 2
    consider(registry, versions[2], lambda champion: compared)
    assert earlier_comparisons(registry, versions[0]) == [found]  # also at those of newer versions


def test_promotion_moves_both_aliases_and_is_recorded(registry, versions, unverified):
    for version, expected in (("1", ("1", None)), ("3", ("3", "1"))):
        promote(registry, version, why="I say so")
        assert aliases(registry) == expected
    assert unverified == ["1", "3"]
    first, second = history(registry)
    assert (first.action, first.version, first.champion) == ("promote", "1", None)
    assert (second.action, second.version, second.champion, second.why) == ("promote", "3", "1", "I say so")
    assert first.done
    assert first.at < second.at
    assert first.at.utcoffset().total_seconds() == 0
    before = of_model, *_ = tags(registry)
    if registry.server.aliases:
        assert [name for name in of_model if not name.startswith("mlflow.")] == []  # its page would show them
    assert promote(registry, "3").version == "3"
    assert tags(registry) == before


def test_a_second_rollback_undoes_the_first(registry, versions, unverified):
    for version in "123":
        promote(registry, version)
    assert rollback(registry, why="it is slow").version == "2"
    assert aliases(registry) == ("2", "3")
    assert rollback(registry).version == "3"
    assert aliases(registry) == ("3", "2")
    assert rollback(registry, "1").version == "1"
    assert aliases(registry) == ("1", "3")
    last = history(registry)[3:]
    assert [(event.action, event.version, event.champion) for event in last] == [
        ("rollback", "2", "3"),
        ("rollback", "3", "2"),
        ("rollback", "1", "3"),
    ]
    assert last[0].why == "it is slow"


def test_a_rollback_goes_where_a_person_has_pointed_the_alias(registry, versions, unverified):
    for version in "123":
        promote(registry, version)
    registry.set_alias(PREVIOUS, "1")
    assert rollback(registry).version == "1"
    assert aliases(registry) == ("1", "3")


def test_a_rollback_without_an_earlier_champion_is_refused(registry, versions, unverified):
    with pytest.raises(TrackingError, match="no version of .* has the alias champion"):
        rollback(registry)
    promote(registry, "1")
    with pytest.raises(PromotionError, match="none was the champion before"):
        rollback(registry)
    with pytest.raises(PromotionError, match="version 1 is already the champion"):
        rollback(registry, "1")
    for change in (rollback, promote):
        with pytest.raises(TrackingError, match="there is no version"):
            change(registry, "9")
    assert aliases(registry) == ("1", None)


def test_every_decision_is_recorded(registry, versions, unverified):
    for version in versions[:2]:
        assert consider(registry, version, judge, flow_run="run").outcome == "promote"
    kept = consider(registry, versions[2], lambda champion: make_decision("keep", "2"), flow_run="run")
    assert aliases(registry) == ("2", "1")
    assert [(event.action, event.why) for event in history(registry)] == [
        ("promote", "It is so."),
        ("promote", "It is so."),
        ("keep", "It is so."),
    ]
    last = history(registry)[-1]
    assert (last.version, last.champion, last.flow_run, last.decision) == ("3", "2", "run", kept)
    client = MlflowClient(registry.server.uri)
    (written,) = [
        json.loads(value)
        for name, value in client.get_model_version(NAME, "3").tags.items()
        if name.startswith("networksecurity.event.")
    ]
    assert written["decision"]["figures"] == {"f1_score": 0.95}


def test_a_champion_that_was_promoted_by_hand_is_judged_when_its_training_asks(registry, versions, unverified):
    promote(registry, "1", why="by hand")
    assert consider(registry, versions[0], lambda champion: make_decision("keep", "1")).outcome == "keep"


def test_the_decision_that_put_a_version_in_use_stands_when_its_training_asks_again(registry, versions, unverified):
    decided = consider(registry, versions[0], judge)
    assert consider(registry, versions[0], lambda champion: pytest.fail("it is judged again")) == decided
    assert len(history(registry)) == 1


def test_a_dry_run_changes_nothing(registry, versions, unverified):
    for version in versions[:2]:
        before = tags(registry)
        assert consider(registry, version, judge, dry_run=True).outcome == "promote"
        assert tags(registry) == before
        promote(registry, "1")
    assert unverified == ["1"]


def test_a_decision_about_another_champion_is_not_carried_out(registry, versions, unverified):
    promote(registry, "1")
    before = tags(registry)
    with pytest.raises(
        PromotionConflictError, match=r"another run changed the champion of .* meanwhile \(it is version 1 now\)"
    ):
        promote(registry, "2", decision=make_decision(champion=None))
    assert tags(registry) == before


def test_a_record_changed_by_hand_is_reported(registry, versions, unverified):
    promote(registry, "1")
    MlflowClient(registry.server.uri).set_model_version_tag(NAME, "1", "networksecurity.event.x", "me")
    with pytest.raises(TrackingError, match="version 1 .* was changed by hand"):
        history(registry)


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

    @contextmanager
    def client(self):
        with super().client():
            yield Hooked(self.uri, self.hook)


def hooked(registry, hook):
    server = registry.server
    return Registry(HookedServer(server.uri, server.address, server.logged_models, server.aliases, hook=hook), NAME)


def interrupted_at(registry, step):
    """Return the registry at a server that cannot be reached from its `step`-th call on."""
    left = [step]

    @contextmanager
    def hook():
        left[0] -= 1
        if left[0] <= 0:
            raise ConnectionError("away")
        yield

    return hooked(registry, hook)


def test_promotion_interrupted_at_any_step_leaves_a_champion_and_can_be_done_again(registry, versions, unverified):
    client = MlflowClient(registry.server.uri)
    for step in range(1, 100):
        registry.set_alias(CHAMPION, "1")
        registry.set_alias(PREVIOUS, "4")
        for tag in client.get_model_version(NAME, "2").tags:
            client.delete_model_version_tag(NAME, "2", tag)
        try:
            consider(interrupted_at(registry, step), versions[1], judge)
            break
        except TrackingUnavailableError:
            assert aliases(registry)[0] in {"1", "2"}
            assert consider(registry, versions[1], judge).outcome == "promote"
            assert aliases(registry) == ("2", "1")
            assert history(registry)[-1].done
    assert step > 5
    assert aliases(registry) == ("2", "1")
    (event,) = history(registry)
    assert (event.done, event.action, event.version, event.champion) == (True, "promote", "2", "1")


def test_first_promotion_interrupted_at_any_step_can_be_done_again(registry, versions, unverified):
    for step in range(1, 100):
        try:
            consider(interrupted_at(registry, step), versions[1], judge)
            break
        except TrackingUnavailableError:
            assert aliases(registry) in {(None, None), ("2", None)}
    assert step > 5
    assert aliases(registry) == ("2", None)
    assert history(registry)[-1].done


@pytest.mark.parametrize("registry", ["full"], indirect=True)
def test_rollback_interrupted_at_any_step_leaves_a_champion_and_can_be_done_again(registry, versions, unverified):
    promote(registry, "1")
    for step in range(1, 100):
        promote(registry, "2")
        try:
            rollback(interrupted_at(registry, step))
            break
        except TrackingUnavailableError:
            assert aliases(registry)[0] in {"1", "2"}
            assert rollback(registry).version == "1"
            assert aliases(registry) == ("1", "2")
            assert history(registry)[-1].done
    assert step > 5
    assert aliases(registry) == ("1", "2")


@pytest.mark.parametrize("registry", ["full"], indirect=True)
def test_a_promotion_that_was_interrupted_can_be_taken_back_at_once(registry, versions, unverified):
    promote(registry, "1")
    promoted = 0
    for step in range(1, 100):
        try:
            promote(interrupted_at(registry, step), "2")
            break
        except TrackingUnavailableError:
            if aliases(registry)[0] == "2":
                promoted += 1
                assert rollback(registry).version == "1"
                assert aliases(registry) == ("1", "2")
                assert history(registry)[-1].done
    assert promoted > 1


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
def test_of_simultaneous_promotions_none_is_lost_silently(registry, versions, unverified, seed):
    promote(registry, "1")
    order = random.Random(seed).choices("23", k=200) + ["2"] * 100 + ["3"] * 100
    turns, outcomes = Turns(order), {}

    def run(version):
        try:
            consider(hooked(registry, turns.hook(version.version)), version, judge)
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

    champion, _ = aliases(registry)
    assert champion in {"2", "3"}
    replaced = {event.champion for event in history(registry) if event.done}
    for version, outcome in outcomes.items():
        assert outcome == "conflict" or version == champion or version in replaced
    assert len(outcomes) == 2
    for version in versions[1:3]:  # as the flow does
        if outcomes[version.version] == "conflict":
            consider(registry, version, judge)
            assert aliases(registry)[0] == version.version


@pytest.mark.parametrize("registry", ["full"], indirect=True)
def test_a_failed_verification_is_recorded_and_promotes_nothing(registry, versions, stored_model):
    registry.set_alias(CHAMPION, "1")
    Path(stored_model.source, "model.skops").write_bytes(b"no model")
    client = MlflowClient(registry.server.uri)
    client.create_model_version(NAME, Path(stored_model.source).as_uri(), versions[0].run_id)
    bad = stored_model.model_copy(update={"version": "5"})
    decision = consider(registry, bad, lambda champion: make_decision(champion="1"))
    assert decision.outcome == "keep"
    assert re.search(r"not fit to be the champion: .*cannot be loaded", decision.reasons[0])
    assert aliases(registry) == ("1", None)
    (event,) = history(registry)
    assert (event.action, event.version, event.champion, event.done) == ("keep", "5", "1", True)
    assert "cannot be loaded" in event.why

    registry.set_alias(CHAMPION, "5")  # by hand, somewhere else
    seen = []
    consider(registry, versions[1], lambda champion: seen.append(champion) or make_decision("keep", "5"))
    assert seen[0].model is None
    assert "cannot be loaded" in seen[0].problem


@pytest.mark.parametrize("registry", ["full"], indirect=True)
def test_a_champion_that_does_not_answer_made_up_rows_comes_without_its_model(registry, versions, stored_model):
    path = Path(stored_model.source, "model.skops")
    model = load_model(path.read_bytes())
    del get_classifier(model).estimators_
    skops.io.dump(model, path)
    MlflowClient(registry.server.uri).create_model_version(NAME, Path(stored_model.source).as_uri(), versions[0].run_id)
    registry.set_alias(CHAMPION, "5")
    seen = []
    consider(registry, versions[1], lambda champion: seen.append(champion) or make_decision("keep", "5"))
    assert seen[0].model is None
    assert seen[0].problem.startswith("it does not answer (")
