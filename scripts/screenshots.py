"""Takes the pictures of the service's page for the documentation, from real models of the built-in samples.

Usage: python scripts/screenshots.py [--folder docs/images]
Trains two models in a temporary folder, serves each and photographs its page in an installed Chromium: light, dark, on
a phone, and the page that asks for an address.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
N_COLORS = 128
"""Of a picture: text and plain surfaces need no more, and the file is a third of the size."""


def environment(folder: Path) -> dict[str, str]:
    """Return where the trainings keep what they make: nothing in the checkout."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
    }


def train(folder: Path, contract: str, model: str) -> None:
    """Train a model and put it in use, whatever the gate says of a model of the sample."""
    training = [str(PROJECT / "flows" / "train.py"), "--contract", contract, "--models", model, "--promotion", "off"]
    promotion = ["-m", "networksecurity", "champion", "promote", "1", "--contract", contract]
    for command in (training, promotion):
        subprocess.run([sys.executable, *command], cwd=folder, env=environment(folder), check=True)


@contextmanager
def served(folder: Path, contract: str) -> Iterator[str]:
    """Run the service and yield its address."""
    command = [sys.executable, "-m", "networksecurity", "serve", "--port", "0", "--contract", contract]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if (found := re.match(r"Serving on (\S+),", said)) is None:
                sys.exit(f"there is no model to serve: {said}")
            yield found[1]
        finally:
            process.terminate()


@contextmanager
def opened(url: str, width: int, height: int, scheme: Literal["light", "dark"] = "light") -> Iterator[Page]:
    """Open a page in a new browser, with sharp letters on a narrow screen."""
    with sync_playwright() as playwright:
        executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        size: Any = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=2 if width < 500 else 1)
        page.set_default_timeout(60_000)
        page.goto(url)
        yield page
        browser.close()


def save(page: Page, path: Path) -> None:
    picture = Image.open(BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def judge(page: Page, **values: str) -> None:
    """Change values of the example and ask for the verdict."""
    page.get_by_text(re.compile("version 1")).wait_for()
    for name, value in values.items():
        page.locator(f"#{name}").select_option(value)
    page.get_by_role("button", name="Predict", exact=True).click()
    page.locator("#verdict .word").wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PROJECT / "docs" / "images")
    target = parser.parse_args().folder.resolve()
    suspicious = {"SSLfinal_State": "-1", "URL_of_Anchor": "-1", "web_traffic": "-1", "Prefix_Suffix": "-1"}
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        folder = Path(name)
        train(folder, "websites", "Random Forest")
        with served(folder, "websites") as url:
            with opened(url, 1200, 900, "light") as page:
                judge(page, **suspicious)
                save(page, target / "serve.png")
            with opened(url, 1200, 900, "dark") as page:
                judge(page)
                save(page, target / "serve-dark.png")
            with opened(url, 390, 780, "light") as page:
                judge(page, **suspicious)
                save(page, target / "serve-phone.png")
        train(folder, "addresses", "Gradient Boosting")
        with served(folder, "addresses") as url, opened(url, 1200, 520, "light") as page:
            page.get_by_text(re.compile("version 1")).wait_for()
            page.locator("#url").fill("hxxp://login-secure[.]bank.example[.]test/verify/account.php?id=1")
            judge(page)
            save(page, target / "serve-addresses.png")


if __name__ == "__main__":
    main()
