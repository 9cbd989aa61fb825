"""Writes docs/settings.md from the fields of `Settings`.

Usage: python scripts/settings_table.py
"""

from pathlib import Path

from pydantic import SecretStr

from networksecurity.settings import PROJECT_FOLDER, Settings, variable_of

PAGE = PROJECT_FOLDER / "docs" / "settings.md"
HEAD = """# Settings

Addresses, secrets, folders and limits of an installation. They come from the environment, else from a `.env` file in
the project's folder (`.env.example` is a template). What a run should do is an option of its command, not a setting.
`networksecurity doctor` shows which are in force and where each came from.

`python scripts/settings_table.py` writes this page.

| variable | default | meaning |
| --- | --- | --- |
"""


def default_of(name: str) -> str:
    default = Settings.model_fields[name].default
    if default is None:
        return ""
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{Path(shown).relative_to(PROJECT_FOLDER)}`" if name == "storage" else f"`{shown}`"


def page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        secret = " **Secret.**" if SecretStr.__name__ in str(field.annotation) else ""
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{variable_of(name)}` | {default_of(name)} | {meaning}.{secret} |")
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
