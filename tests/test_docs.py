import ast
import importlib
import re
import runpy
from pathlib import Path

import pytest

from flows.parameters import TrainParameters
from networksecurity import exceptions
from networksecurity.data.addresses.features import ADDRESS_FEATURES
from networksecurity.data.schema import DOMAINS, FEATURES, canonical_name, left_out

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("deployments/*.md")]
TEXTS = {str(page.relative_to(PROJECT)): page.read_text(encoding="utf-8") for page in PAGES}


def anchors(text):
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.+)", text)}


def section(page, heading):
    return re.split(r"(?m)^## ", TEXTS[page].split(f"\n## {heading}\n")[1])[0]


def site():
    """Return the pages that the navigation of the site names."""
    return re.findall(r"(?m)[\w./-]+\.md\b", (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2])


def nodes():
    for path in [*PROJECT.glob("networksecurity/**/*.py"), *PROJECT.glob("flows/*.py")]:
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def text_of(node):
    """Return a text of the code, with … for what is filled in; None for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def explained():
    return re.findall(r"(?m)^#### (.+)$", section("docs/operations.md", "What to do when …"))


def first_cells(text):
    return [re.findall(r"`([^`]+)`", cell) for cell in re.findall(r"(?m)^\| (`[^|]*) \|", text)]


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page):
    links = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', TEXTS[page])
    for link in (link for pair in links for link in pair if link and not link.startswith(("http://", "https://"))):
        file, _, anchor = link.partition("#")
        target = (PROJECT / page).parent / file if file else PROJECT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_of_the_project_that_is_named_exists(page):
    named = re.findall(r"`((?:networksecurity|flows|tests|benchmarks|scripts|deployments)/[\w/.-]+)`", TEXTS[page])
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", [page for page in TEXTS if page != "CHANGELOG.md"])
def test_every_import_in_an_example_works(page):
    for example in re.findall(r"(?ms)^```python\n(.*?)^```", TEXTS[page]):
        names = {}
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    try:
                        found = importlib.import_module(f"{node.module}.{alias.name}")
                    except ModuleNotFoundError:
                        found = getattr(importlib.import_module(node.module), alias.name)
                    names[alias.asname or alias.name] = found
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
                assert hasattr(names[node.value.id], node.attr), node.attr


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 200


def test_every_option_of_a_training_is_explained():
    options = {option for cell in first_cells(TEXTS["docs/training.md"]) for option in cell if option.startswith("--")}
    fields = {f"--{name.replace('_', '-')}" for name in TrainParameters.model_fields}
    assert {"--gate" if option == "--gate.…" else option for option in options} == fields


def test_every_spelling_of_a_column_that_is_listed_is_known():
    for row in re.findall(r"(?m)^\| `\w+` \| .+ \|$", section("docs/data.md", "Columns")):
        name, *spellings = re.findall(r"`([^`]+)`", row)
        assert name in DOMAINS
        assert [canonical_name(spelling) for spelling in spellings] == [name] * len(spellings)
    reasons = {"row numbers": "a row number", "keys": "a key", "an earlier prediction": "an earlier prediction"}
    left_out_by_name = re.findall(r"(?m)^\| (`.+) \| (.+) \|$", section("docs/data.md", "Columns"))[-3:]
    for names, are in left_out_by_name:
        listed = re.findall(r"`([^`]+)`", names)
        assert left_out(listed) == dict.fromkeys(listed, reasons[are])


def test_every_feature_is_explained():
    assert [name for name, *_ in first_cells(section("docs/data.md", "What the features were meant to be"))] == [
        *FEATURES
    ]


def test_every_feature_of_an_address_is_explained():
    listed = re.findall(r"(?m)^\| `(\w+)` \| (.+) \| (.+) \|$", section("docs/addresses.md", "Features"))
    assert {name: f"{what}: {why}" for name, what, why in listed} == ADDRESS_FEATURES


def test_the_settings_are_listed_as_they_are():
    written = runpy.run_path(str(PROJECT / "scripts" / "settings_table.py"))["page"]()
    assert TEXTS["docs/settings.md"] == written, "python scripts/settings_table.py writes it anew"


def test_every_page_is_in_the_navigation_of_the_site_once():
    pages = sorted(name for name in site() if "/" not in name)
    elsewhere = ["index.md", "deployments.md", "contributing.md", "changelog.md"]
    assert pages == sorted([*(path.name for path in PROJECT.glob("docs/*.md")), *elsewhere])


def test_every_package_is_in_the_reference_of_the_site():
    packages = [path.parent.relative_to(PROJECT) for path in PROJECT.glob("networksecurity/**/__init__.py")]
    names = {".".join(package.parts[1:]) or "networksecurity" for package in packages}
    assert {
        name for page in site() if (name := page.removeprefix("reference/").removesuffix(".md")) != page[:-3]
    } == names


def test_every_message_that_is_explained_is_one_of_the_code():
    sentences = explained()
    assert len(sentences) >= 170
    assert len(set(sentences)) == len(sentences)
    known = [text for node in nodes() if (text := text_of(node)) is not None]
    assert [sentence for sentence in sentences if not any(of.startswith(sentence) for of in known)] == []


# What a message asks of its reader; other messages are explained.
ASKS = re.compile(
    r"(^|[:;,] |\b(and|or) )(add|call|change|choose|compute|correct|delete|find|give|leave|move|name|rename|replay|run"
    r"|save|say|see|send|set|split|start|train|try|use|wait|write)\b|\b((checks|known) are|must|needs|needed|one of)\b"
)
# Parts of another message, which is explained.
PARTS = {"AddressError", "SearchAbandonedError", "StoredModelError"}


def test_every_message_says_what_to_do_or_is_explained():
    of_errors = {name for name in vars(exceptions) if name.endswith("Error")} - PARTS
    raised = [
        text_of(node.exc.args[0])
        for node in nodes()
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and getattr(node.exc.func, "id", None) in of_errors
    ]
    sentences = tuple(explained())
    whole = [text for text in raised if text and re.search(r"[a-z]", text)]
    assert len(whole) > 200
    assert [text for text in whole if not text.startswith(sentences) and not ASKS.search(text)] == []


def test_every_message_has_an_explanation_below_it():
    situations = re.split(r"(?m)^### .+$", section("docs/operations.md", "What to do when …"))[1:]
    for situation in situations:
        before, *explained = re.split(r"(?m)^#### .+$", situation)
        assert not before.strip()
        assert len(explained) >= 2
        assert all(re.match(r"\n\n\S.+\.\n", text, re.DOTALL) for text in explained)
