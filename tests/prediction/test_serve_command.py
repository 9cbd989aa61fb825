"""The command `networksecurity serve` in a process of its own, asked over HTTP and by a browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from leash import LEASH
from overriding import NOW, override
from playwright.sync_api import expect
from served import JSON, NAME, ROW, address, crown

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.contracts import Addresses
from networksecurity.data.model_files import TRUSTED_TYPES
from networksecurity.data.overrides.file import OverrideFile
from networksecurity.data.overrides.override import row_value
from networksecurity.data.schema import FEATURES
from networksecurity.prediction.http import LONGEST_HEAD
from networksecurity.settings import Settings
from networksecurity.tracking.model import probe_rows
from networksecurity.tracking.outcome import PROBE_FILE
from networksecurity.tracking.server import connect
from networksecurity.training.candidates import get_candidate
from networksecurity.training.search import fit_best

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


class Process:
    """The command, and where it answers."""

    def __init__(self, popen, url, log, said):
        self._popen, self.url, self._log, self.said = popen, url, log, said

    def end(self, number):
        """Return its exit code after a signal."""
        self.signal(number)
        return self.wait()

    def signal(self, number):
        self._popen.send_signal(number)

    def interrupt(self):
        """Do what Ctrl-C does: send SIGINT to it and to all that it has started."""
        os.killpg(self._popen.pid, signal.SIGINT)

    def others(self):
        """Return the processes that it has started, by whether they answer."""
        command = psutil.Process(self._popen.pid)
        found = command.children(recursive=True)
        return [other for other in found if other.ppid() != command.pid], found

    def held(self):
        """Return its resident bytes and its open files."""
        command = psutil.Process(self._popen.pid)
        return command.memory_info().rss, command.num_fds()

    def wait(self):
        return self._popen.wait(timeout=120)

    def log(self):
        return self._log.read_text()


@contextmanager
def started(folder, tracking_uri, *options, **environment):
    """Run the command on a free port; its log goes to a file in `folder`: in a pipe that nobody reads it would stop."""
    command = [*LEASH, sys.executable, "-m", "networksecurity", "serve", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": tracking_uri, **environment}
    log = folder / "serve.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as popen,
    ):
        try:
            said = popen.stdout.readline()
            url = re.search(r"http://\S+\d", said)
            assert url, log.read_text()
            yield Process(popen, url[0], log, said)
        finally:
            popen.kill()


@pytest.fixture(scope="module")
def process(published, tmp_path_factory):
    """Run the command with the champion of the database, behind proxies that are not there; return its address."""
    folder = tmp_path_factory.mktemp("process")
    limits = {"NETWORKSECURITY_SERVE_MAX_BYTES": "2000000", "NETWORKSECURITY_SERVE_MAX_ROWS": "50"}
    nowhere = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
    }
    with started(folder, f"sqlite:///{published / 'mlflow.db'}", **limits, **nowhere) as process:
        yield process.url
        assert "Traceback" not in process.log()


def test_the_service_is_alive_without_a_tracking_server_and_ends_on_sigterm(tmp_path, closed_port):
    with started(tmp_path, f"http://127.0.0.1:{closed_port}") as process:
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            assert client.get(f"{process.url}/health").status_code == 200
            said = client.get(f"{process.url}/ready")
        assert said.status_code == 503
        assert "cannot be reached" in said.text
        assert process.said.startswith(f"No model yet for {process.url}, until Ctrl-C: ")
        assert "cannot be reached" in process.said
        assert process.end(signal.SIGTERM) == 0
        lines = [json.loads(line) for line in process.log().splitlines()]
    assert any("cannot be reached" in line.get("message", "") for line in lines)


def test_ctrl_c_ends_the_service(tmp_path, closed_port):
    with started(tmp_path, f"http://127.0.0.1:{closed_port}") as process:
        assert process.end(signal.SIGINT) == 130
        assert "Traceback" not in process.log()


def test_requests_in_flight_are_finished_at_the_end(tmp_path, published):
    body = json.dumps(ROW).encode()
    with started(tmp_path, f"sqlite:///{published / 'mlflow.db'}") as process:
        place = ("127.0.0.1", httpx.URL(process.url).port)
        with socket.create_connection(place, timeout=60) as connection:
            head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # it has begun to read the body
            process.signal(signal.SIGTERM)
            while True:  # until it takes no new ones
                try:
                    socket.create_connection(place, timeout=60).close()
                except OSError:
                    break
            connection.sendall(body)
            answer = b"".join(iter(partial(connection.recv, 65536), b""))
        assert process.wait() == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"n_rows":1' in answer


def ask_for_everything(url, times):
    """Ask again and again for good and bad answers, over one connection and over new ones."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(times):
            assert client.post("/predict", json={**ROW, "id": number}).status_code == 200
            assert client.post("/predict", json={**ROW, "SFH": number}).status_code == 200
            assert client.post("/predict", json={"rows": number}).status_code == 422
            assert client.get("/model").status_code == 200
            if number % 20 == 0:
                assert client.post("/predict?explain=true", json=ROW).status_code == 200
                assert client.post("/predict", json={"rows": [ROW] * 500}).status_code == 200
                assert httpx.get(f"{url}/health").status_code == 200


def test_thousands_of_requests_leave_memory_and_open_files_as_they_were(tmp_path, published):
    with started(tmp_path, f"sqlite:///{published / 'mlflow.db'}") as process:
        ask_for_everything(process.url, 250)  # what is imported and cached at first use stays
        before, files = process.held()
        ask_for_everything(process.url, 1_000)
        after, files_after = process.held()
    assert files_after <= files + 2  # a check for a new champion may be under way
    assert after - before < 16_000_000  # 4 kB a request would be seen


@pytest.mark.parametrize("head", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 11_000])
def test_a_head_without_an_end_is_refused(process, head):
    with socket.create_connection(("127.0.0.1", httpx.URL(process).port), timeout=60) as connection:
        connection.sendall(head.ljust(LONGEST_HEAD + 1, b"x")[: LONGEST_HEAD + 1])
        answer = b"".join(iter(partial(connection.recv, 65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"The head of the request has more than 65536 bytes.")
    assert httpx.get(f"{process}/health", headers={"X": "x" * 60_000}).status_code == 200


def opened(process, said):
    connection = socket.create_connection(("127.0.0.1", httpx.URL(process.url).port), timeout=60)
    connection.sendall(said)
    return connection


def heard(connection):
    """Return what a connection is told until it is ended."""
    with connection, suppress(ConnectionResetError):
        return b"".join(iter(partial(connection.recv, 65536), b""))


def test_a_client_that_sends_nothing_whole_keeps_nobody_out(tmp_path, published):
    with started(tmp_path, f"sqlite:///{published / 'mlflow.db'}", NETWORKSECURITY_SERVE_TIMEOUT="3") as process:
        unfinished = [opened(process, b"GET /health HTTP/1.1\r\nX: ") for _ in range(150)]
        statuses = []
        while 200 not in statuses:  # until the first of them count as silent
            statuses.append(httpx.get(f"{process.url}/health").status_code)
        assert set(statuses) <= {200, 429}
        answers = [heard(connection) for connection in unfinished]
        assert any(answer and answer.startswith(b"HTTP/1.1 408 ") for answer in answers)


@contextmanager
def two_workers(folder, published, **environment):
    """Run the command with two workers, in a database of the test's own."""
    database = shutil.copy(published / "mlflow.db", folder)
    environment["NETWORKSECURITY_SERVE_REFRESH"] = "0.2"
    with started(folder, f"sqlite:///{database}", "--workers", "2", **environment) as process:
        yield process, Settings(mlflow_tracking_uri=address(database))


def versions(process):
    """Return what some connections, one after the other, are answered by."""
    return {httpx.post(f"{process.url}/predict", json=ROW).json()["model"]["version"] for _ in range(20)}


def test_workers_are_ready_at_once_reload_are_replaced_and_end_with_ctrl_c(tmp_path, published):
    with two_workers(tmp_path, published) as (process, place):
        assert process.said == f"Serving on {process.url}, until Ctrl-C\n"
        assert versions(process) == {"1"}
        crown(place, "2")
        while process.log().count("version 2 of") < 2:
            threading.Event().wait(0.1)
        assert versions(process) == {"2"}
        workers, _ = process.others()
        assert len(workers) == 2
        workers[0].kill()
        while process.log().count("version 2 of") < 3:
            assert versions(process) == {"2"}
        assert process.log().count("a worker ended with exit code") == 1
        assert versions(process) == {"2"}
        again, others = process.others()
        assert len(again) == 2
        assert workers[0] not in again
        process.interrupt()
        assert process.wait() == 130
        assert psutil.wait_procs(others, timeout=60)[1] == []
        assert "Traceback" not in process.log()


def test_workers_get_the_secrets_that_mlflow_reads_and_do_not_outlive_the_command(tmp_path, published):
    ours = {"NETWORKSECURITY_SERVE_TOKEN", "NETWORKSECURITY_SIGNING_KEY", "DAGSHUB_USER_TOKEN", "MONGODB_URI"}
    needed = {"MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"}
    secrets = dict.fromkeys(ours | needed | {"PREFECT_API_AUTH_STRING"}, "mongodb://jane:canary-of-sixteen@host")
    with two_workers(tmp_path, published, **secrets) as (process, _):
        workers, others = process.others()
        assert {frozenset(secrets.keys() & worker.environ()) for worker in workers} == {frozenset(needed)}
        assert all(secrets.keys() & other.environ().keys() <= needed for other in others)
        process.signal(signal.SIGKILL)
        assert psutil.wait_procs(others, timeout=60)[1] == []


def test_what_keeps_workers_from_starting_is_the_error_of_the_command(tmp_path):
    command = [sys.executable, "-m", "networksecurity", "serve", "--port", "0", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": "sqlite:////proc/none/mlflow.db"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("declared", [True, False])
def test_the_413_for_an_oversized_body_reaches_the_client(process, declared):
    content = b" " * 10_000_000
    parts = (content[i : i + 100_000] for i in range(0, len(content), 100_000))
    answer = httpx.post(f"{process}/predict", content=content if declared else parts, headers=JSON, timeout=60)
    assert answer.status_code == 413
    assert httpx.get(f"{process}/health").status_code == 200


@pytest.fixture(scope="module")
def address_process(tmp_path_factory, mlflow_database):
    """Run the command with a model of addresses, and return its address."""
    folder, contract = tmp_path_factory.mktemp("addresses"), Addresses()
    database = address(shutil.copy(mlflow_database, folder))
    accepted = contract.validate(contract.make_sample(600)).accepted
    model = fit_best(get_candidate("Decision Tree", "addresses"), {}, *contract.to_X_y(accepted))
    mlflow.sklearn.save_model(
        model,
        folder / "model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        signature=mlflow.models.infer_signature(contract.to_X(accepted), np.zeros(1, dtype=int)),
        pip_requirements=[],
    )
    probe_rows(contract).to_parquet(folder / "model" / PROBE_FILE)
    server = connect(Settings(mlflow_tracking_uri=database))
    registry = Registry(server, "networksecurity-addresses", contract)
    with server.client() as client:
        client.create_registered_model(registry.name)
        run = client.create_run("0").info.run_id
        client.create_model_version(registry.name, (folder / "model").as_uri(), run)
    registry.set_alias(CHAMPION, "1")
    with started(folder, database.get_secret_value(), "--contract", "addresses") as process:
        yield process.url


@pytest.mark.timeout(900)
@pytest.mark.parametrize("contract", ["process", "address_process"])
def test_schemathesis_finds_no_issue(request, contract, tmp_path):
    process = request.getfixturevalue(contract)
    schemathesis = Path(sys.executable).parent / "schemathesis"
    options = "--max-examples 40 --seed 1 --generation-deterministic --suppress-health-check all --no-color"
    done = subprocess.run(
        [schemathesis, "run", f"{process}/openapi.json", *options.split(), "--exclude-checks", LEFT_OUT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "No issues found" in done.stdout


# The document says which values and tables are good. Of others, a row is answered with its reasons, and a text that is
# no such table is refused.
LEFT_OUT = "negative_data_rejection,positive_data_acceptance"


@pytest.fixture
def console(page):
    """Return what a page complains about, which nothing may be in the end."""
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield errors
    assert errors == []


def percent(share):
    return f"{round(100 * share, 1):g}\u00a0%"


@pytest.mark.usefixtures("console")
def test_the_page_gives_a_verdict_on_one_website_with_its_reasons(page, process):
    page.goto(process)
    expect(page.get_by_text(f"{NAME} version 1")).to_be_visible()
    page.get_by_role("button", name="All unknown").click()
    page.get_by_label("SSLfinal_State").select_option("-1 · no HTTPS, or a young certificate")
    page.get_by_role("button", name="Predict", exact=True).click()
    row = {**dict.fromkeys(FEATURES), "SSLfinal_State": -1}
    (expected,) = httpx.post(f"{process}/predict?explain=true", json=row).json()["predictions"]
    verdict = page.locator("#verdict")
    expect(verdict.get_by_text(expected["label"].capitalize(), exact=True)).to_be_visible()
    expect(verdict).to_contain_text(
        f"Probability of phishing {percent(expected['phishing_probability'])}; from 50\u00a0% on"
    )
    expect(verdict).to_contain_text("1 of 30 features is known: with no more than that, the model's F1 is")
    reasons = verdict.get_by_role("listitem")
    expect(reasons).to_have_count(len(expected["explanation"]))
    for i, reason in enumerate(expected["explanation"]):
        description = reason["description"][0].upper() + reason["description"][1:]
        expect(reasons.nth(i)).to_contain_text(f"{description}: ")
        expect(reasons.nth(i)).to_contain_text("raises it by" if reason["effect"] > 0 else "lowers it by")
    assert page.evaluate("[counted('1', 'point'), counted('1.2', 'point')]") == ["1 point", "1.2 points"]
    page.get_by_label("SSLfinal_State").select_option("1")
    expect(verdict.get_by_text("The values have changed: predict again.")).to_be_visible()


@pytest.mark.usefixtures("console")
def test_the_page_sorts_a_file_by_suspicion_and_filters_it(page, process, tmp_path, rows):
    table = rows[list(FEATURES)].head(6).astype(object)
    table.loc[table.index[2], "SFH"] = "<b>7</b>"
    table.insert(0, "url", [f"https://example.org/{i}" for i in range(6)])
    table.insert(1, "note", "=1+1")
    table.to_csv(tmp_path / "rows.csv", index=False)
    answer = httpx.post(
        f"{process}/predict", content=(tmp_path / "rows.csv").read_bytes(), headers={"Content-Type": "text/csv"}
    )
    found = pd.DataFrame(answer.json()["predictions"]).assign(url=table["url"].tolist())
    page.goto(process)
    page.get_by_label("File UTF-8").set_input_files(tmp_path / "rows.csv")
    page.get_by_role("button", name="Predict all").click()
    expect(page.get_by_text("6 rows by version 1")).to_contain_text("1 not valid")
    urls = page.get_by_role("cell").filter(has_text="https://example.org/")
    expect(urls).to_have_text(found.sort_values("phishing_probability", ascending=False, kind="stable")["url"].tolist())
    expect(page.get_by_role("row").last).to_contain_text("SFH is not a whole number")
    for label in ("phishing", "legitimate"):
        page.get_by_label(f"{label.capitalize()} (").check()
        expect(urls).to_have_count(int((found["label"] == label).sum()))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all as CSV").click()
    saved = pd.read_csv(download.value.path())
    assert saved["url"].tolist() == table["url"].tolist()
    assert saved["note"].tolist() == ["'=1+1"] * 6  # no formula for a spreadsheet
    assert saved["label"].isna().tolist() == [i == 2 for i in range(6)]
    assert [len(json.loads(of)) > 0 for of in saved["explanation"].dropna()] == [True] * 5


@pytest.mark.usefixtures("console")
def test_the_page_is_usable_on_a_phone_and_by_keyboard(page, process, tmp_path, rows):
    rows[list(FEATURES)].head(3).assign(url="https://example.org/" + "long" * 50).to_csv(tmp_path / "rows.csv")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(process)
    expect(page.get_by_label("SSLfinal_State")).to_be_visible()
    unnamed = "of => [...of].filter(field => !field.labels.length).map(field => field.outerHTML)"
    assert page.locator("select, input").evaluate_all(unnamed) == []
    page.get_by_label("Statistical_report").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Predict", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict .word")).to_be_in_viewport()
    page.get_by_label("File UTF-8").set_input_files(tmp_path / "rows.csv")
    page.get_by_role("button", name="Predict all").press("Enter")
    expect(page.locator("#answer")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Phishing (")).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.usefixtures("console")
def test_the_page_says_what_is_set_by_hand(page, published, tmp_path):
    about = {"label": "phishing", "reason": "a fake shop", "at": NOW, "until": NOW.replace(year=2099)}
    value = row_value([float("nan")] * len(FEATURES))
    OverrideFile(tmp_path / "overrides.db").add([override(value, contract="websites", covers="row", **about)])
    database = f"sqlite:///{published / 'mlflow.db'}"
    with started(tmp_path, database, NETWORKSECURITY_STORAGE=str(tmp_path)) as process:
        page.goto(process.url)
        page.get_by_role("button", name="All unknown").click()
        page.get_by_role("button", name="Predict", exact=True).click()
        expect(page.locator("#verdict .word")).to_have_text("Phishing")
        expect(page.locator("#verdict")).to_contain_text("Set by hand until 2099-01-01: a fake shop")
        expect(page.locator("#verdict")).to_contain_text("The model's own: probability of phishing ")


def test_the_page_shows_why_a_file_is_refused(page, process, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    page.goto(process)
    page.get_by_label("File UTF-8").set_input_files(tmp_path / "rows.csv")
    page.get_by_role("button", name="Predict all").click()
    expect(page.get_by_text("row 1 lacks having_IP_Address")).to_be_visible()


def test_a_browser_sends_the_token_as_the_password(page, published, tmp_path):
    database = f"sqlite:///{published / 'mlflow.db'}"
    with started(tmp_path, database, NETWORKSECURITY_SERVE_TOKEN="hunter2") as process:
        assert httpx.get(process.url).status_code == 401
        page = page.context.browser.new_page(http_credentials={"username": "anybody", "password": "hunter2"})
        page.goto(process.url)
        expect(page.get_by_text(f"{NAME} version 1")).to_be_visible()
        page.get_by_role("button", name="Predict", exact=True).click()
        expect(page.locator("#verdict .word")).to_be_visible()


def test_the_page_shows_the_documentation(page, process):
    page.goto(f"{process}/docs")
    expect(page.get_by_role("heading", name="POST /predict")).to_be_visible()
