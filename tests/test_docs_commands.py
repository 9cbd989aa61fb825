"""Every command of the documentation: held against the options of its program, and run by a test or by nobody."""

import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
from made_tables import SHOP
from typer.main import get_command

from flows.commands import COMMANDS
from flows.options import read_options
from networksecurity import cli

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "deployments" / "README.md",
    *sorted(PROJECT.glob("docs/*.md")),
]
OURS = r"(?:networksecurity|python|make|prefect) "

# What tests run, or the script of the first hour, and where. The last word of each stands in that file.
RUN = {
    "networksecurity train": "tests/flows/test_train.py",
    "networksecurity ingest": "tests/flows/test_ingest.py",
    "networksecurity monitor": "tests/flows/test_monitor.py",
    "networksecurity score": "tests/flows/test_score.py",
    "networksecurity evaluate": "tests/flows/test_evaluate.py",
    "networksecurity serve": "tests/prediction/test_serve_command.py",
    "networksecurity check": "tests/flows/test_addresses.py",
    "networksecurity doctor": "tests/test_doctor_command.py",
    "networksecurity champion": "tests/test_champion_command.py",
    "networksecurity contract": "tests/test_contract_command.py",
    "networksecurity data": "tests/test_data_command.py",
    "networksecurity feedback": "tests/test_feedback_command.py",
    "networksecurity overrides": "tests/test_overrides_command.py",
    "networksecurity quarantine": "tests/test_cli.py",
    "networksecurity replay": "tests/test_replay_command.py",
    "networksecurity tracking": "tests/test_tracking_command.py",
    "python deployments/bootstrap.py": "tests/flows/test_deployed.py",
    "python scripts/first_hour.py": "scripts/first_hour.py",
    "python scripts/settings_table.py": "tests/test_docs.py",
    "prefect deploy": "tests/deployed.py",
    "prefect deployment": "scripts/first_hour.py",
    "prefect flow-run": "tests/flows/test_ended_runs.py",
    "prefect worker": "tests/deployed.py",
    "make install": ".devcontainer/devcontainer.json",
    "make lint": ".github/workflows/ci.yml",
    "make test": ".github/workflows/ci.yml",
    "make test-integration": ".github/workflows/ci.yml",
    "make docs": ".github/workflows/ci.yml",
    "make serve": "scripts/first_hour.py",
    "make stack": "scripts/first_hour.py",
    "make stack-down": "scripts/first_hour.py",
    "make train": "scripts/first_hour.py",
    "make ui": "scripts/first_hour.py",
    "make wheel": ".github/workflows/ci.yml",
}
# What no test runs, and what it needs. Its options are held against the program all the same.
NOT_RUN = {
    "python benchmarks": "a quiet machine, for minutes",
    "python scripts/cast.py": "a look at the picture",
    "python scripts/screenshots.py": "a look at each picture",
    "python -m dask": "several machines; tests/training/test_dask_backend.py starts scheduler and workers from Python",
    "make bench": "a quiet machine, for minutes",
    "make faults": "campaigns, for minutes to hours",
    "make bench-search": "a quiet machine, for minutes",
    "make bench-serving": "a quiet machine, for minutes",
    "make prefect-ui": "a person who looks",
    "make coverage": "the whole suite once more",
    "make format": "files that it may change",
    "make constraints": "an index of packages",
    "make audit": "an index of packages, and what is known of vulnerabilities",
    "make sbom": "an index of packages",
    "prefect block": "the right block of a team",
}


def typed(text):
    """Return the commands in the blocks of a page, as they are written."""
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", text)
    return [line for block in blocks for line in re.findall(r"(?m)^\$ ((?:.*\\\n)*.*)$", block)]


def commands(page):
    """Yield the commands of a page as words, those of a block and those in a line, without comments and prompts."""
    text = page.read_text(encoding="utf-8")
    for line in [*typed(text), *re.findall(rf"`({OURS}[^`\n]+)`", text)]:
        words = shlex.split(line.replace("\\\n", " "), comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if re.match(OURS, " ".join([*words, ""])):
            yield words


ALL = [(page, words) for page in PAGES for words in commands(page)]
each_command = pytest.mark.parametrize("words", {" ".join(words): words for _, words in ALL}.values(), ids=" ".join)


def as_command(words):
    """Return a command without what names it in another way: `python flows/train.py` is `networksecurity train`."""
    if words[0] == "python" and (flow := re.fullmatch(r"flows/(\w+)\.py", words[1])):
        return ["networksecurity", flow[1], *words[2:]]
    return words


def kinds(words):
    """Yield what a command runs, in the words of the tables above."""
    program, *rest = as_command(words)
    named = [word for word in rest if not word.startswith("--")]
    if program == "make":
        yield from (f"make {target}" for target in named if "=" not in target)
    elif named[0].startswith("benchmarks/"):
        yield "python benchmarks"
    elif rest[0] == "-m":
        yield f"python -m {rest[1]}"
    else:
        yield f"{program} {named[0]}"


def parse(words):
    """Read the options of `networksecurity …` as the program would, without running anything."""
    name, *options = words
    if name in COMMANDS:
        read_options(COMMANDS[name].parameters, options, name)
        return
    found = get_command(cli.app).commands[name]
    if inner := getattr(found, "commands", None):
        if not options:
            return
        found, options = inner[options[0]], options[1:]
    if options:
        found.make_context(name, options)


@each_command
def test_a_command_has_only_options_that_its_program_knows(words, tmp_path, monkeypatch):
    for name in ("table", "shop"):  # what pages call a table's contract
        (tmp_path / f"{name}.yaml").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    program, *rest = as_command(words)
    if program == "networksecurity":
        incomplete = rest[0] in {"ingest", "score", "evaluate"} and len(rest) == 1  # named in a sentence, not typed
        if not incomplete and "--help" not in rest:
            parse(rest)
    elif program == "make":
        done = subprocess.run(["make", "--dry-run", *rest], cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if rest[0] in {"train", "serve"}:
            (given,) = [word.removeprefix("ARGS=") for word in rest if word.startswith("ARGS=")] or [""]
            parse([rest[0], *shlex.split(given.replace('"Nearest Neighbours"', '"Decision Tree"'))])
    elif rest[0].endswith(".py"):
        folder = (PROJECT / rest[0]).parent
        assert (PROJECT / rest[0]).exists()
        known = set(re.findall(r'"(--[a-z-]+)"', "".join(path.read_text() for path in folder.glob("*.py"))))
        assert {word for word in rest if word.startswith("--")} <= known | {"--help"}


@each_command
def test_a_command_is_run_by_a_test_or_says_why_not(words):
    for kind in kinds(words):
        assert kind in RUN or kind in NOT_RUN


@pytest.mark.parametrize(("kind", "file"), RUN.items())
def test_the_test_that_runs_a_command_is_there(kind, file):
    name = Path(kind.split()[-1]).stem
    assert re.search(rf"\b{name}\b", (PROJECT / file).read_text())


def test_no_command_is_listed_that_no_page_has():
    used = {kind for _, words in ALL for kind in kinds(words)}
    assert {*RUN, *NOT_RUN} <= used


def test_the_first_hour_is_the_tour_of_its_script():
    page = (PROJECT / "docs" / "first-hour.md").read_text(encoding="utf-8")
    tour = runpy.run_path(str(PROJECT / "scripts" / "first_hour.py"))["TOUR"]
    assert typed(page) == [step.command for step in tour if hasattr(step, "command")]
    assert [step for step in tour if isinstance(step, str) and step not in page] == []
