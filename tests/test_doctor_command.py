"""Broken installations, made for real: `networksecurity doctor` finds each, and where a test can, its fix is tried."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import getproxies_environment

import pytest
from dagshub_standin import serving
from mlflow import MlflowClient
from stored import sample

from networksecurity import cli, installation
from networksecurity.champion.registry import CHAMPION
from networksecurity.data.health import check_storage
from networksecurity.finding import Finding, run_check
from networksecurity.settings import Settings, settings, variable_of
from networksecurity.tracking.server import forget

PROJECT = Path(__file__).resolve().parents[1]
NAME = "networksecurity-phishing"
SECRET = "hush-3f1a9c"


@pytest.fixture(autouse=True)
def sound(tmp_path, monkeypatch):
    """Make an installation in which nothing is set and nothing is broken; a `.env` in its folder counts."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("DAGSHUB_", "MONGODB_", "NETWORKSECURITY_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("NETWORKSECURITY_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    settings.cache_clear()
    forget()
    yield tmp_path
    settings.cache_clear()
    forget()


@pytest.fixture
def doctor(monkeypatch, capsys):
    """Return a function that runs the command in this process and returns exit code and findings by subject."""

    def run(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        forget()
        monkeypatch.setattr(sys, "argv", ["networksecurity", "doctor", "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr().out
        assert SECRET not in printed
        report = json.loads(printed)
        assert report["ok"] == (ended.value.code == 0)
        return ended.value.code, [Finding(**finding) for finding in report["findings"]]

    return run


def amiss(findings):
    """Return what is not as it should be; the servers and packages that the tests themselves run with may be."""
    return [of for of in findings if of.state == "failure" or (of.state == "warning" and of.subject != "packages")]


def broken(found, subject, *, state="failure"):
    """Return what is said of the one thing that is broken."""
    code, findings = found
    not_ok = [of for of in amiss(findings) if of.subject != "Prefect"]
    assert [(of.subject, of.state) for of in not_ok] == [(subject, state)]
    assert code == (state == "failure")
    assert not_ok[0].fix
    return not_ok[0]


def is_sound(found):
    return not [of for of in amiss(found[1]) if of.subject != "Prefect"]


def test_a_sound_installation_has_no_findings(doctor):
    assert is_sound(doctor())


# --- Packages and settings --------------------------------------------------------------------------------------------


def test_a_package_of_a_wrong_version_is_found(doctor, sound, monkeypatch):
    info = sound / "old" / "pandas-2.2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pandas\nVersion: 2.2.0\n")
    with monkeypatch.context() as path:
        path.syspath_prepend(sound / "old")
        code, findings = doctor()
    assert code == 1
    (found,) = [of for of in findings if of.state == "failure"]
    assert found.found == "pandas is 2.2.0, needed is <4,>=3.0"
    assert found.fix == f"{sys.executable} -m pip install 'pandas<4,>=3.0'"
    (tested,) = [of for of in findings if of.state == "warning" and of.subject == "packages"]
    assert "differ from the tested versions: " in tested.found
    assert is_sound(doctor())


def test_a_package_that_is_missing_is_found(sound):
    (sound / "requirements.txt").write_text(
        "# needed\nno-such-package>=2  # a comment\nwindows-only; sys_platform == 'x'\n"
    )
    (found,) = installation.check_packages(sound)
    assert (found.state, found.found) == ("failure", "no-such-package is not installed")
    assert found.fix.endswith("pip install 'no-such-package>=2'")


def test_a_setting_that_cannot_be_used_is_found_and_the_rest_is_not_checked(doctor):
    found = broken(doctor(NETWORKSECURITY_CORES="many"), "settings")
    assert "NETWORKSECURITY_CORES: " in found.found
    assert "many" not in found.found
    assert is_sound(doctor(NETWORKSECURITY_CORES="1"))


def test_an_env_file_in_latin_1_is_found(doctor, sound):
    (sound / ".env").write_bytes("MONGODB_DATABASE=käse\n".encode("latin-1"))
    assert broken(doctor(), "settings").found == f"{sound / '.env'} is not UTF-8 text: save it as UTF-8"
    (sound / ".env").write_text("MONGODB_DATABASE=käse\n", encoding="utf-8")
    assert is_sound(doctor())


@pytest.mark.parametrize("place", ["the environment", ".env"])
def test_a_setting_that_does_not_exist_is_found(place, doctor, sound, monkeypatch):
    if place == ".env":
        (sound / ".env").write_text("NETWORKSECURITY_STORGE=/data\n")
    else:
        monkeypatch.setenv("NETWORKSECURITY_STORGE", "/data")
    found = broken(doctor(), "NETWORKSECURITY_STORGE", state="warning")
    assert place in found.found
    assert found.fix == "call it NETWORKSECURITY_STORAGE"


def test_a_login_of_mlflow_in_the_env_file_has_no_effect_and_is_found(doctor, sound):
    (sound / ".env").write_text(f"MLFLOW_TRACKING_PASSWORD={SECRET}\nSOMEONE_ELSES=1\n")
    found = broken(doctor(), "MLFLOW_TRACKING_PASSWORD", state="warning")
    assert found.fix == "export MLFLOW_TRACKING_PASSWORD instead"


def test_each_setting_is_shown_with_its_origin_and_without_secrets(doctor, sound):
    (sound / ".env").write_text(
        f"MONGODB_DATABASE=here\nNETWORKSECURITY_SERVE_TOKEN={SECRET}\nNETWORKSECURITY_CORES=1\n"
    )
    _, findings = doctor(NETWORKSECURITY_CORES="2", MLFLOW_TRACKING_URI=f"http://me:{SECRET}@127.0.0.1:9/")
    shown = {of.subject: of.found for of in findings}
    assert set(map(variable_of, Settings.model_fields)) <= set(shown)
    assert shown["MONGODB_DATABASE"] == "here (.env)"
    assert shown["NETWORKSECURITY_SERVE_TOKEN"] == "… (.env)"
    assert shown["NETWORKSECURITY_CORES"] == "2 (environment)"
    assert shown["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9/ (environment)"
    assert shown["MONGODB_URI"] == "not set (default)"


def test_more_cores_than_there_are_is_found(doctor):
    found = broken(doctor(NETWORKSECURITY_CORES="4096"), "cores", state="warning")
    assert "NETWORKSECURITY_CORES is 4096" in found.found


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_that_catches_this_machine_is_found(variable, doctor, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "example.org")
    found = broken(doctor(**{variable: f"http://me:{SECRET}@proxy.example:3128"}), "proxies")
    assert "http://proxy.example:3128" in found.found
    assert found.fix == "export NO_PROXY=example.org,127.0.0.1,localhost"
    monkeypatch.setenv(*found.fix.removeprefix("export ").split("="))
    assert getproxies_environment()
    assert is_sound(doctor())


# --- Storage ----------------------------------------------------------------------------------------------------------


def test_a_storage_that_is_a_file_is_found(doctor, sound):
    (sound / "storage").write_text("not a folder")
    assert "is not a folder" in broken(doctor(), "storage").found
    assert is_sound(doctor(NETWORKSECURITY_STORAGE=str(sound / "other")))


def test_a_storage_of_an_unknown_kind_is_found(doctor):
    assert (
        "NETWORKSECURITY_STORAGE cannot be used" in broken(doctor(NETWORKSECURITY_STORAGE="nil://x"), "storage").found
    )


def test_a_folder_that_this_user_may_not_write_is_found(sound):
    folder = sound / "storage"
    folder.mkdir(mode=0o500)
    # Root may write anywhere but where the kernel itself refuses.
    where = Path("/proc/sys") if os.geteuid() == 0 else folder
    (found,) = check_storage(Settings(storage=str(where / "storage")))
    assert (found.state, found.found) == ("failure", f"{where} cannot be read and written by this user")


def test_a_disk_that_is_full_is_found(sound):
    (found,) = check_storage(Settings(storage=str(sound)), enough=10**18)
    assert found.state == "warning"
    assert found.fix.startswith("free some space")


# --- Servers ----------------------------------------------------------------------------------------------------------


def test_a_mongodb_that_does_not_listen_is_found(doctor, closed_port):
    uri = f"mongodb://me:{SECRET}@127.0.0.1:{closed_port}/db"
    found = broken(doctor(MONGODB_URI=uri, NETWORKSECURITY_MONGODB_TIMEOUT="0.3"), "MongoDB")
    assert found.found.startswith(f"MongoDB at mongodb://127.0.0.1:{closed_port} failed after")
    assert found.fix.startswith("start the server, or set MONGODB_URI")


def test_a_connection_string_without_its_scheme_is_found(doctor):
    assert "MONGODB_URI must begin with" in broken(doctor(MONGODB_URI="localhost:27017"), "MongoDB").found


def test_the_collections_of_mongodb_are_counted(doctor, mongod, collection):
    uri = f"{mongod.uri}/{collection.full_name}"
    _, findings = doctor(MONGODB_URI=uri)
    (empty,) = [of for of in findings if of.subject == "MongoDB" and of.state == "note"]
    assert empty.fix == "write rows: networksecurity ingest --source FILE"
    collection.insert_many(sample(7).to_dict("records"))
    collection.database[f"{collection.name}_quarantine"].insert_one({})
    _, findings = doctor(MONGODB_URI=uri)
    assert [of.found for of in findings if of.subject == "MongoDB"][-1] == f"rows: {uri} 7, _quarantine 1"


@pytest.fixture
def database(sound, mlflow_database):
    return Path(shutil.copy(mlflow_database, sound / "mlflow.db"))


def test_a_database_of_mlflow_that_is_damaged_is_found(doctor, database):
    whole = database.read_bytes()
    assert is_sound(doctor())
    with database.open("r+b") as file:
        file.seek(len(whole) // 2)
        file.write(b"\xff" * 40_000)
    damaged = database.read_bytes()
    found = broken(doctor(), "tracking")
    assert "cannot be used as MLflow's database" in found.found
    assert database.read_bytes() == damaged
    database.rename(database.with_suffix(".damaged"))  # the fix
    assert is_sound(doctor())


def test_a_file_that_is_no_database_is_found(doctor, sound):
    (sound / "mlflow.db").write_text("not a database" * 100)
    assert "file is not a database" in broken(doctor(), "tracking").found


def test_a_tracking_server_that_does_not_run_is_found(doctor, closed_port):
    found = broken(doctor(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{closed_port}"), "tracking")
    assert found.fix == "start it, or correct MLFLOW_TRACKING_URI"


@pytest.fixture
def dagshub_standin(closed_port):
    """Return a DagsHub whose MLflow nobody asks."""
    with serving(f"http://127.0.0.1:{closed_port}") as hub:
        yield hub


def test_a_wrong_token_of_dagshub_is_found(doctor, dagshub_standin):
    where = {"DAGSHUB_CLIENT_HOST": dagshub_standin.url, "DAGSHUB_REPO": "jane/phishing"}
    found = broken(doctor(**where, DAGSHUB_USER_TOKEN="wrong"), "tracking")
    assert "refused the access token (401)" in found.found
    assert found.fix.startswith(f"create one at {dagshub_standin.url}/user/settings/tokens")


def test_a_repository_that_does_not_exist_is_found_and_not_made(doctor, dagshub_standin):
    where = {"DAGSHUB_CLIENT_HOST": dagshub_standin.url, "DAGSHUB_USER_TOKEN": dagshub_standin.token}
    found = broken(doctor(**where, DAGSHUB_REPO="jane/other"), "tracking")
    assert found.found.startswith("there is no repository jane/other")
    assert found.fix.startswith("correct DAGSHUB_REPO")
    assert dagshub_standin.created == []
    assert set(dagshub_standin.requests) == {"GET /api/v1/user", "GET /api/v1/repos/jane/other"}


def test_a_champion_that_takes_the_rows_of_another_contract_is_found(doctor, champion, database):
    name, client = "networksecurity-addresses", MlflowClient(f"sqlite:///{database}")
    client.create_registered_model(name)
    version = client.create_model_version(name, str(champion), client.create_run("0").info.run_id).version
    client.set_registered_model_alias(name, CHAMPION, version)
    found = broken(doctor(), name)
    assert "networksecurity champion rollback --contract addresses" in found.fix


@pytest.fixture
def champion(database, saved_model, sound):
    """Register a model whose files a test may damage, and return their folder."""
    files = shutil.copytree(saved_model, sound / "model")
    client = MlflowClient(f"sqlite:///{database}")
    client.create_registered_model(NAME)
    version = client.create_model_version(NAME, str(files), client.create_run("0").info.run_id).version
    client.set_registered_model_alias(NAME, CHAMPION, version)
    return files


def test_a_champion_that_cannot_be_loaded_is_found(doctor, champion, database):
    before = database.read_bytes()
    _, findings = found = doctor()
    assert is_sound(found)
    assert [of.found for of in findings if of.subject == NAME] == ["version 1 loads, and answers as evaluated"]
    model = champion / "model.skops"
    whole = model.read_bytes()
    model.write_bytes(whole[:1000])
    found = broken(doctor(), NAME)
    assert found.found.startswith(f"version 1 of {NAME} is not fit to be the champion")
    assert "networksecurity champion rollback" in found.fix
    assert database.read_bytes() == before
    model.write_bytes(whole)
    assert is_sound(doctor())


# --- The command ------------------------------------------------------------------------------------------------------


def test_a_check_that_takes_too_long_is_ended_and_one_that_breaks_hides_no_other():
    (slow,) = run_check("disk", lambda: time.sleep(30) or [], 0.01)
    assert (slow.state, slow.found) == ("failure", "no answer within 0.01 s")
    (bug,) = run_check("disk", lambda: [Finding()], 10)
    assert bug.found.startswith("the check itself failed (ValidationError: ")

    def lacking():
        raise ImportError("No module named 'x'")

    (missing,) = run_check("disk", lacking, 10)
    assert missing.found == "cannot be checked: No module named 'x'"


def test_nothing_is_changed(tmp_path):
    """Run it as a newcomer would: an empty folder and an empty home are empty afterwards."""
    home = tmp_path / "home"
    home.mkdir()
    kept = ("PATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(home),
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NETWORKSECURITY_STORAGE": str(home / "storage"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'new' / 'mlflow.db'}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "networksecurity", "doctor"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tracking: no database yet: the first training makes it" in done.stdout
    assert "Prefect: PREFECT_API_URL is not set" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("failures: 0, ")
    assert list(home.rglob("*")) == []
