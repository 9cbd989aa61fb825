"""Takes the pictures of the pages of the service, MLflow and Prefect for the documentation, from what really runs.

Usage: python scripts/screenshots.py [--folder docs/images] [--only serve | mlflow | prefect]
Trains in a temporary folder, and photographs in an installed Chromium: the service's page light, dark, on a phone, and
where it asks for an address; in MLflow the comparison of all grid points, and the metrics of a train run; in Prefect
the deployments of `make stack`.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import httpx
import yaml
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
N_COLORS = 128
"""Of a picture: text and plain surfaces need no more, and the file is a third of the size."""

NO_ASSISTANT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
"""Keeps MLflow's assistant from opening on a first visit."""


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
        page.add_init_script(NO_ASSISTANT)
        page.goto(url)
        yield page
        browser.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run MLflow's pages of the trainings in a folder, and yield their address."""
    port = free_port()
    database = environment(folder)["MLFLOW_TRACKING_URI"]
    command = ["-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port), "--workers", "1"]
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                time.sleep(0.5)
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/health")
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def photograph_mlflow(folder: Path, target: Path) -> None:
    """Take the pictures of MLflow's pages after a training of all models."""
    command = [sys.executable, str(PROJECT / "flows" / "train.py")]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True)
    client, shows = MlflowClient(environment(folder)["MLFLOW_TRACKING_URI"]), "workflowType=machine_learning"
    of_grid = client.get_experiment_by_name("networksecurity-grid")
    trained = client.get_experiment_by_name("networksecurity")
    assert of_grid
    assert trained
    train = client.search_runs([trained.experiment_id], "tags.`networksecurity.side` = 'train'", max_results=1)[0]
    of_training = f"tags.`mlflow.parentRunId` = '{train.info.run_id}'"
    points = [run.info.run_id for run in client.search_runs([of_grid.experiment_id], of_training)]
    with mlflow_server(folder) as url:
        ids = f'runs={json.dumps(points)}&experiments=["{of_grid.experiment_id}"]'
        with opened(f"{url}/#/experiments?{shows}", 1280, 640) as page:
            page.goto(f"{url}/#/compare-runs?{ids}")
            page.get_by_text("Please select metrics").click(force=True)  # something transparent lies over it
            page.get_by_title("mean_test_score", exact=True).click()
            page.get_by_role("heading", name="Comparing").click()
            page.locator(".parcoords .axis-title").filter(has_text="mean_test_score").wait_for()
            page.wait_for_timeout(3_000)  # what is drawn slowly
            save(page, target / "mlflow-compare.png")
        run = f"experiments/{trained.experiment_id}/runs/{train.info.run_id}"
        with opened(f"{url}/#/{run}/model-metrics?{shows}", 1280, 800) as page:
            page.get_by_placeholder("Search metric charts").fill("search_best_so_far")
            page.get_by_text("Step").first.wait_for()
            page.wait_for_timeout(3_000)
            save(page, target / "mlflow-metrics.png")


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


def photograph_service(folder: Path, target: Path) -> None:
    """Take the pictures of the service's page, with a model of websites and one of addresses."""
    suspicious = {"SSLfinal_State": "-1", "URL_of_Anchor": "-1", "web_traffic": "-1", "Prefix_Suffix": "-1"}
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


def photograph_prefect(folder: Path, target: Path) -> None:
    """Take the picture of Prefect's deployments, with a worker for them."""
    stack, port = folder / "stack", free_port()
    command = [sys.executable, str(PROJECT / "deployments" / "stack.py")]
    started = [*command, "up", "--folder", str(stack), "--port", str(port)]
    try:
        subprocess.run(started, env=environment(folder), check=True)
        password = b64encode((stack / "auth").read_bytes()).decode()
        with opened("about:blank", 1500, 630, "dark") as page:
            page.add_init_script(f"localStorage.setItem('prefect-password', '{password}')")
            page.goto(f"http://127.0.0.1:{port}/deployments")
            ready = page.get_by_text("Ready", exact=True)
            deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
            expect(ready).to_have_count(len(deployments), timeout=120_000)
            page.wait_for_timeout(3_000)  # what is drawn slowly
            save(page, target / "prefect-deployments.png")
    finally:
        subprocess.run([*command, "down", "--folder", str(stack)], check=True)


SUBJECTS = {"serve": photograph_service, "mlflow": photograph_mlflow, "prefect": photograph_prefect}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PROJECT / "docs" / "images")
    parser.add_argument("--only", choices=tuple(SUBJECTS))
    options = parser.parse_args()
    for subject, photograph in SUBJECTS.items():
        if options.only in (None, subject):
            with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
                photograph(Path(name), options.folder.resolve())


if __name__ == "__main__":
    main()
