import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PURE = set("schema documents splitting candidates search scoring evaluation figures sample drift promotion".split())
INPUT_AND_OUTPUT = set(
    "cli datasets mongodb predictions storage tracking tracking_server registry serving settings".split()
)
FOREIGN = {
    "pymongo": {"mongodb"},
    "bson": {"mongodb", "documents"},
    "mlflow": {"tracking", "tracking_server", "registry"},
    "dagshub": {"tracking_server"},
    "matplotlib": {"figures"},
    "distributed": {"cluster"},
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "prefect": set(),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted((PROJECT / "networksecurity").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_directions_of_imports(path):
    names = set(imports(path))
    assert not {name for name in names if name.split(".")[0] == "flows"}
    for library, modules in FOREIGN.items():
        if path.stem not in modules:
            assert not {name for name in names if name.split(".")[0] == library}
    if path.stem in PURE:
        core = {name.split(".")[1] for name in names if name.startswith("networksecurity.")}
        assert not core & INPUT_AND_OUTPUT


def test_core_does_not_load_prefect():
    modules = ", ".join(f"networksecurity.{path.stem}" for path in MODULES)
    code = f"import sys, {modules}; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_options_are_read_without_the_slow_imports():
    code = "import sys, flows.launch, flows.parameters; sys.exit(str(SLOW & set(sys.modules) or ''))"
    code = code.replace("SLOW", "{'prefect', 'sklearn', 'pandas', 'mlflow', 'pandera', 'pymongo'}")
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_importing_the_core_leaves_nothing_behind(tmp_path):
    modules = ", ".join(f"networksecurity.{path.stem}" for path in MODULES)
    code = (
        f"import os; before = dict(os.environ); import {modules}; "
        "assert before.items() <= dict(os.environ).items(); assert not os.listdir()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(PROJECT)})
