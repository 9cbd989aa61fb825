"""The files that other people's machines read: GitHub's workflows, pre-commit's hooks, the dev container."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"(?m)^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text()))

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


@each_workflow
def test_a_workflow_conforms_to_its_schema(path):
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    # As JSON the key `on` is text; YAML 1.1 reads it as true.
    workflow = {("on" if key is True else key): of for key, of in yaml.safe_load(path.read_text()).items()}
    jsonschema.validate(workflow, json.loads(schema.read_text()))
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job or "uses" in job for job in workflow["jobs"].values())


def test_actionlint_finds_nothing_in_the_workflows():
    if (actionlint := shutil.which("actionlint")) is None:
        pytest.skip("actionlint is not here: github.com/rhysd/actionlint")
    done = subprocess.run([actionlint, *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_workflows_call_targets_that_exist():
    called = {name for path in WORKFLOWS for name in re.findall(r"run: make ([a-z-]+)", path.read_text())}
    assert {"lint", "test", "test-integration", "wheel", "image"} <= called <= TARGETS


def test_every_supported_python_is_tested():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    supported = [found[1] for kind in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", kind))]
    ci = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text())
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == supported


def test_hooks_run_tools_of_this_environment():
    (repo,) = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"  # nothing is downloaded
    for hook in repo["hooks"]:
        python, dash_m, tool, *_ = hook["entry"].split()
        assert (python, dash_m, hook["language"]) == (".venv/bin/python", "-m", "system")
        subprocess.run([sys.executable, "-m", tool, "--version"], check=True, capture_output=True)


def test_the_dev_container_installs_with_make():
    container = json.loads((PROJECT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make install"
    assert set(map(int, container["portsAttributes"])) == set(container["forwardPorts"])


def test_an_audit_that_cannot_ask_says_so_in_one_line(tmp_path, closed_port):
    python = tmp_path / "tools" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", "audit", f"TOOLS={tmp_path / 'tools'}"],
        cwd=PROJECT,
        env=os.environ | {"https_proxy": f"http://127.0.0.1:{closed_port}", "no_proxy": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[0].startswith("Nothing was checked: https://pypi.org does not say ")
    assert "Traceback" not in done.stderr
    assert done.returncode
