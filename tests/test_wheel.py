"""The wheel alone is enough: installed into an empty environment, it runs from any folder."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools

from networksecurity import __version__

PROJECT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, for a build leaves files in its folder."""
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip("setuptools is too old to build the wheel without the network: make install")
    folder = tmp_path_factory.mktemp("build")
    for name in ("networksecurity", "flows"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(PROJECT / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into an environment of its own, which finds the libraries where this one has them."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    (packages / "libraries.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return folder / "bin" / "networksecurity"


@pytest.fixture
def run(installed, tmp_path):
    """Return a function that runs the command in an empty folder, with nothing of this environment."""

    def run(*options):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "NETWORKSECURITY_CORES": "1"}
        (tmp_path / "home").mkdir(exist_ok=True)
        return subprocess.run(
            [installed, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_the_wheel_has_one_package_and_the_flows_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"networksecurity", f"networksecurity-{__version__}.dist-info"}
    assert {"networksecurity/flows/train.py", "networksecurity/prediction/page.html"} <= set(names)


def test_the_installed_command_shows_version_and_help(run):
    assert run("--version").stdout == f"networksecurity {__version__}\n"
    assert run("train", "--help").stdout.startswith("usage: networksecurity train [OPTION ...]\n")


def test_the_installed_command_trains_and_answers_in_one_json_document(run, tmp_path):
    options = ("--source", "sample:600", "--models", "Decision Tree", "--promotion", "off")
    done = run("train", *options, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["model"] for row in report["leaderboard"]] == ["Decision Tree"]
    assert "Training on sample:600" in done.stderr.splitlines()[0]
    again = run("train", *options, "--quiet")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("Training ")
    assert again.stdout.count("\n") == 1
    assert "INFO" not in again.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "mlflow.db", "mlartifacts", ".networksecurity"}
