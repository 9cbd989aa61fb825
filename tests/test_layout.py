import ast
import functools
import os
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from networksecurity.data import schema

PROJECT = Path(__file__).resolve().parents[1]
FILES = sorted([*PROJECT.glob("networksecurity/**/*.py"), *PROJECT.glob("flows/*.py")])
MODULES = {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}

# From the top down. A package imports from those below it and from itself; two on one floor know nothing of each other.
ORDER = [
    {"networksecurity.__main__"},
    {"flows", "networksecurity.cli"},
    {"networksecurity.prediction"},
    {"networksecurity.champion"},
    {"networksecurity.tracking"},
    {"networksecurity.training", "networksecurity.monitoring"},
    {"networksecurity.data"},
    {"networksecurity.installation"},
    {"networksecurity.settings"},
    {"networksecurity.wrong_values"},
    {"networksecurity.finding"},
    {
        "networksecurity.deadline",
        "networksecurity.interrupt",
        "networksecurity.parent",
        "networksecurity.surroundings",
    },
    {"networksecurity.exceptions"},
    {"networksecurity"},  # its version
]
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}

# A foreign library that talks to something outside, or is slow, is met in these places only.
FOREIGN = {
    "pymongo": {"networksecurity.data.mongodb"},
    "bson": {"networksecurity.data.mongodb"},
    "mlflow": {"networksecurity.tracking", "networksecurity.champion"},
    "dagshub": {"networksecurity.tracking"},
    "matplotlib": {"networksecurity.tracking.figures", "networksecurity.tracking.choice_figures"},
    "idna": {"networksecurity.data.addresses.address"},
    "publicsuffixlist": {"networksecurity.data.addresses.address"},
    "distributed": {"networksecurity.training.dask_backend", "flows.dask_runner"},
    "prefect_dask": {"flows.dask_runner"},
    "fastapi": {"networksecurity.prediction"},
    "starlette": {"networksecurity.prediction"},
    "uvicorn": {"networksecurity.prediction", "flows.local_server"},
    "typer": {"networksecurity.cli"},
    "prefect": {"flows"},
}


@functools.cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports(path):
    folders, found = list(path.relative_to(PROJECT).parts[:-1]), []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = folders[: len(folders) - node.level + 1] if node.level else []
            base = ".".join([*within, *filter(None, [node.module])])
            found += (base, *(f"{base}.{alias.name}" for alias in node.names))
    return found


# The flows have two names: `flows` in a checkout, `networksecurity.flows` once installed.
@pytest.mark.parametrize("path", sorted(PROJECT.glob("flows/*.py")), ids=lambda path: path.stem)
def test_a_flow_names_its_own_package_only_where_it_is_the_program(path):
    as_module = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.If)]
    for node in (inner for statement in as_module for inner in ast.walk(statement)):
        assert not (isinstance(node, ast.ImportFrom) and node.level == 0 and is_in(node.module, "flows"))


def is_in(module, room):
    return module == room or module.startswith(f"{room}.")


def room_of(module):
    return max((room for room in FLOORS if is_in(module, room)), key=len)


@pytest.mark.parametrize("module", MODULES)
def test_a_lower_package_never_imports_a_higher_one(module):
    room = room_of(module)
    assert room != "networksecurity" or module == "networksecurity"  # every other module has a place in the order
    for imported in imports(MODULES[module]):
        if imported in MODULES and room_of(imported) != room:
            assert FLOORS[room_of(imported)] > FLOORS[room], imported


@pytest.mark.parametrize("module", MODULES)
def test_a_foreign_library_is_imported_in_its_place_only(module):
    for library, places in FOREIGN.items():
        if not any(is_in(module, place) for place in places):
            assert not [name for name in imports(MODULES[module]) if is_in(name, library)]


def test_no_modules_import_each_other_in_a_circle():
    imported = {module: {name for name in imports(path) if name in MODULES} for module, path in MODULES.items()}
    # A package's own __init__ runs before any module in it.
    TopologicalSorter({module: names - parents(module) for module, names in imported.items()}).prepare()


def parents(module):
    parts = module.split(".")
    return {".".join(parts[:n]) for n in range(1, len(parts))}


# Without circles any order of imports works; this shows it, for what a module does while it is loaded, too.
@pytest.mark.integration
def test_each_module_can_be_imported_first():
    core = [module for module in MODULES if is_in(module, "networksecurity")]
    flows = [module for module in MODULES if module not in core and module != "flows.dask_runner"]  # Dask is an extra
    loaded = (
        "fastapi, matplotlib.figure, mlflow.sklearn, pandera.pandas, pymongo, scipy.stats, sklearn.ensemble, skops.io"
    )
    import_each(core, loaded_before=loaded, never="prefect")
    import_each(flows, loaded_before=f"{loaded}, prefect.artifacts, prefect.events", never="flows.none")


def import_each(modules, *, loaded_before, never):
    """Import each module in a process that has loaded nothing of this project before, and `never` not even then."""
    code = (
        f"import importlib, os, sys, {loaded_before}\n"
        "for module in sys.argv[2:]:\n"
        "    if os.fork() == 0:\n"
        "        importlib.import_module(module)\n"
        "        os._exit(sys.argv[1] in sys.modules)\n"
        "    assert os.wait()[1] == 0, module\n"
    )
    subprocess.run([sys.executable, "-c", code, never, *modules], cwd=PROJECT, check=True)


def test_only_what_answers_reads_the_verdicts_set_by_hand():
    store = "networksecurity.data.overrides.store"
    assert {module for module, path in MODULES.items() if store in imports(path)} == {
        "flows.score",
        "networksecurity.cli.overrides",
        "networksecurity.cli.verdicts",
        "networksecurity.prediction.model_in_use",
    }


# What the 30 features are stands in the contract of websites; other modules ask the contract that they are given.
def test_no_module_outside_the_data_names_a_feature():
    names = (
        "DOMAINS FEATURES FEATURES_ONLY FEATURE_DESCRIPTIONS FEATURE_GROUPS VALUE_DESCRIPTIONS PHISHING_WEBSITES TARGET"
    )
    assert {*names.split()} <= {*vars(schema)}
    forbidden = {f"networksecurity.data.schema.{name}" for name in names.split()}
    features = {*schema.DOMAINS} - {"port"}  # an address has one too
    for module, path in MODULES.items():
        if not is_in(module, "networksecurity.data"):
            assert not forbidden & set(imports(path)), module
            constants = (node for node in nodes(path) if isinstance(node, ast.Constant))
            assert not [node.lineno for node in constants if node.value in features], module


def test_every_package_goes_into_the_wheel_and_the_flows_below_ours():
    found = {".".join(path.relative_to(PROJECT).parts[:-1]) for path in PROJECT.glob("networksecurity/**/__init__.py")}
    config = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert sorted(config["packages"]) == sorted(found | {"networksecurity.flows"})
    assert config["package-dir"] == {"networksecurity.flows": "flows"}


def test_options_are_read_without_the_slow_imports():
    code = "import sys, flows.commands; sys.exit(str(SLOW & set(sys.modules) or ''))"
    code = code.replace("SLOW", "{'prefect', 'sklearn', 'pandas', 'mlflow', 'pandera', 'pymongo'}")
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_importing_the_core_leaves_nothing_behind_and_no_prefect(tmp_path):
    modules = ", ".join(module for module in MODULES if module.startswith("networksecurity"))
    code = (
        f"import os, sys; before = dict(os.environ); import {modules}; "
        "assert before.items() <= dict(os.environ).items(); assert not os.listdir(); "
        "assert 'prefect' not in sys.modules"
    )
    environment = {"PYTHONPATH": str(PROJECT), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)


def test_no_file_has_more_than_450_lines_and_no_function_more_than_60():
    long = [f"{path}: {n}" for path in FILES if (n := path.read_text().count("\n")) > 450]
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = node.body[0] if ast.get_docstring(node) else None
                n = node.end_lineno - node.lineno - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)
                long += [f"{path}:{node.name}: {n}"] if n > 60 else []
    assert not long
