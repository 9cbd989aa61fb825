"""Hooks of mkdocs.yml: the pages that stand outside of docs/, and a page of reference for each package."""

import os
import re
from pathlib import Path

# The extra `docs` is installed where the site is built, and not where types are checked.
from mkdocs.config.defaults import MkDocsConfig  # pyright: ignore[reportMissingImports]
from mkdocs.structure.files import File, Files  # pyright: ignore[reportMissingImports]
from mkdocs.structure.pages import Page  # pyright: ignore[reportMissingImports]

PROJECT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "README.md": "index.md",
    "deployments/README.md": "deployments.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
}
"""Pages outside of docs/, and what they are called in the site."""
SOURCES = {address: name for name, address in ELSEWHERE.items()}
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)(?=[)#])")


def reference(package: Path) -> str:
    """Return the page of a package: a section for each of its modules that says what it is for."""
    name = ".".join(package.relative_to(PROJECT).parts)
    modules = [f"{name}.{path.stem}" for path in sorted(package.glob("[a-z]*.py"))]
    return f"# {name}\n\n" + "\n\n".join(f"::: {module}" for module in [name, *modules]) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {address: (PROJECT / name).read_text(encoding="utf-8") for name, address in ELSEWHERE.items()}
    for init in PROJECT.glob("networksecurity/**/__init__.py"):
        parts = init.parent.relative_to(PROJECT / "networksecurity").parts
        pages[f"reference/{'.'.join(parts) or 'networksecurity'}.md"] = reference(init.parent)
    for address, content in pages.items():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the checkout into links between pages of the site."""
    address = page.file.src_uri
    folder = (PROJECT / SOURCES.get(address, f"docs/{address}")).parent

    def moved(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve().relative_to(PROJECT).as_posix()
        there = ELSEWHERE.get(target, target.removeprefix("docs/"))
        return Path(os.path.relpath(there, Path(address).parent)).as_posix()

    return LINK.sub(moved, markdown).replace('src="docs/images/', 'src="images/')
