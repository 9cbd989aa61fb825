import json
import shutil
import sys

import pytest
from mlflow import MlflowClient

from networksecurity import cli
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.settings import settings
from networksecurity.tracking.server import connect

NAME = "networksecurity-phishing"


@pytest.fixture
def command(tmp_path, mlflow_database, saved_model, outcome, monkeypatch, capsys):
    """Return a function that runs `networksecurity evaluate …` beside a champion; it returns code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(mlflow_database, tmp_path)}")
    settings.cache_clear()
    registry = Registry(connect(settings()), NAME)
    client = MlflowClient(registry.server.uri)
    client.create_registered_model(NAME)
    tags = {name: str(of) for name, of in outcome.test.metrics.items()}
    client.create_model_version(NAME, saved_model.as_uri(), client.create_run("0").info.run_id, tags=tags)
    registry.set_alias(CHAMPION, "1")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["networksecurity", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    yield run
    settings.cache_clear()


def test_the_champion_is_not_worse_on_rows_of_its_kind(command):
    code, out, _ = command("--source", "sample:2000")
    assert code == 0
    assert out.splitlines()[-1].startswith("not_worse f1_score=0.9")
    runs = MlflowClient().search_runs([MlflowClient().get_experiment_by_name("networksecurity-evaluate").experiment_id])
    assert [run.data.tags["data.source"] for run in runs] == ["sample:2000"]


def test_a_version_that_is_worse_has_an_exit_code_of_its_own(command, tmp_path):
    frame = make_phishing_websites(1_000, random_state=3)
    frame["Result"] = frame["Result"].where(frame.index % 4 > 0, -frame["Result"])
    frame.to_csv(tmp_path / "wrong.csv", index=False)
    code, out, _ = command("--source", tmp_path / "wrong.csv", "--model-version", "1", "--json")
    assert code == 3
    assert json.loads(out)["verdict"] == "worse"


def test_rows_that_cannot_be_judged_have_another(command, rows, outcome, tmp_path):
    from networksecurity.data.splitting import split

    split(rows).train.to_csv(tmp_path / "learned.csv", index=False)
    code, out, _ = command("--source", tmp_path / "learned.csv")
    assert code == 4
    assert "none is unseen" in out


def test_a_missing_version_is_one_line(command):
    code, out, err = command("--source", "sample:500", "--model-version", "9")
    assert (code, out) == (1, "")
    assert err.startswith("error: there is no version 9 of")
