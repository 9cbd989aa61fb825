import json
import shutil
from functools import partial

import pytest
from mlflow import MlflowClient

from networksecurity.champion import changes
from networksecurity.champion.decision import Decision
from networksecurity.champion.gate import Gate
from networksecurity.champion.registry import CANDIDATE, CHAMPION, RegisteredVersion, Registry
from networksecurity.exceptions import PromotionError
from networksecurity.settings import settings
from networksecurity.tracking.server import connect

NAME = "networksecurity-phishing"


@pytest.fixture
def registry(tmp_path, mlflow_database, monkeypatch):
    """Return a registry with three versions without files, which pass verification."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}")
    monkeypatch.setattr(changes, "verify", lambda *args: None)
    settings.cache_clear()
    registry = Registry(connect(settings()), NAME)
    client = MlflowClient(registry.server.uri)
    client.create_registered_model(NAME)
    for _ in range(3):
        tags = {"f1_score": "0.951234", "data.source": "sample"}
        client.create_model_version(NAME, "file:///nowhere", client.create_run("0").info.run_id, tags=tags)
    registry.set_alias(CANDIDATE, "3")
    yield registry
    settings.cache_clear()


@pytest.fixture
def command(command, registry):
    """Return a function that runs `networksecurity champion …` here and returns its exit code and what it printed."""
    return partial(command, "champion")


def consider(registry, version, outcome):
    """Let the gate say this about a version."""
    candidate = RegisteredVersion(name=NAME, version=version, run_id="", source="", tags={})
    decision = Decision(
        outcome=outcome,
        reasons=("F1 is higher.", "Every floor holds."),
        champion=current.version if (current := registry.find(CHAMPION)) else None,
        figures={"f1_score": 0.95},
        generalisation_gap=0.01,
        comparison=None,
        gate=Gate(),
    )
    changes.consider(registry, candidate, lambda champion: decision, flow_run="c0ffee")


def test_versions_are_promoted_and_rolled_back(command):
    for version in "12":
        said = f"version {version} of {NAME} is the champion\n"
        assert command("promote", version, "--reason", "I say so") == (0, said, "")
    assert command("rollback") == (0, f"version 1 of {NAME} is the champion\n", "")
    code, out, _ = command("rollback", "--to", "3", "--json")
    assert (code, json.loads(out)["version"]) == (0, "3")


def test_show_prints_champion_previous_and_candidate(command, registry):
    shown = command("show")[1].splitlines()
    assert shown[0] == f"{NAME} at {registry.server.address}"
    assert shown[1:3] == [" champion  none", " previous  none"]
    assert shown[3] == "candidate  version 3, f1_score 0.9512, sample"
    command("promote", "1")
    command("promote", "2")
    assert command("show")[1].splitlines()[2].startswith(" previous  version 1, ")
    found = json.loads(command("show", "--json")[1])
    assert found["name"] == NAME
    assert [found[alias]["version"] for alias in ("champion", "previous", "candidate")] == ["2", "1", "3"]


def test_history_prints_every_decision(command, registry):
    assert command("history")[1] == f"Decisions about {NAME}: empty\n"
    assert json.loads(command("history", "--json")[1]) == []
    consider(registry, "1", "promote")
    consider(registry, "2", "keep")
    command("promote", "3", "--reason", "[I] say so")
    lines = [line.split() for line in command("history")[1].splitlines() if line.strip().startswith("20")]
    assert [line[2:] for line in lines] == [
        "promote 1 none flow run c0ffee F1 is higher.".split(),
        "keep 2 1 flow run c0ffee F1 is higher.".split(),
        "promote 3 1 hand [I] say so".split(),
    ]
    found = json.loads(command("history", "--json")[1])
    assert [event["action"] for event in found] == ["promote", "keep", "promote"]
    assert found[0]["at"].endswith("Z")
    assert found[1]["decision"]["figures"] == {"f1_score": 0.95}


def test_explain_prints_the_reasons_of_the_last_decision(command, registry):
    consider(registry, "1", "promote")
    consider(registry, "2", "keep")
    code, out, _ = command("explain")
    assert code == 0
    first, *reasons = out.splitlines()
    assert first.startswith(f"version 1 of {NAME}: promote at 20")
    assert first.endswith(" UTC, when there was no champion")
    assert reasons == ["- F1 is higher.", "- Every floor holds."]
    assert command("explain", "2")[1].splitlines()[0].endswith("when version 1 was the champion")
    assert json.loads(command("explain", "2", "--json")[1])["decision"]["outcome"] == "keep"
    command("promote", "2", "--reason", "I know better")
    assert command("explain")[1].splitlines()[1:] == ["- I know better"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("rollback", 1, f"error: no version of {NAME} has the alias champion"),
        ("promote 9", 1, f"error: there is no version 9 of {NAME}"),
        ("promote best", 1, "error: MLflow at sqlite://"),
        ("explain", 1, f"error: no version of {NAME} has the alias champion"),
        ("explain 3", 1, f"error: there is no decision about a version 3 of {NAME}"),
        ("promote", 2, "networksecurity: error: Missing argument 'VERSION'"),
        ("show --nothing", 2, "networksecurity: error: No such option: --nothing"),
    ],
)
def test_an_error_is_reported_in_one_line(arguments, code, message, command):
    found, out, err = command(*arguments.split())
    assert (found, out) == (code, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_a_version_that_fails_verification_is_not_promoted(command, monkeypatch):
    def refuse(registry, version):
        raise PromotionError(f"version {version.version} is not fit")

    command("promote", "1")
    monkeypatch.setattr(changes, "verify", refuse)
    assert command("promote", "2") == (1, "", "error: version 2 is not fit\n")
    assert command("show")[1].splitlines()[1].startswith(" champion  version 1,")
    assert command("explain", "2")[1].splitlines()[1:] == ["- version 2 is not fit"]
