"""`networksecurity replay`: a training once more, to see whether its figures come out the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from networksecurity.cli.options import Json
from networksecurity.exceptions import ConfigurationError, TrainingError
from networksecurity.settings import PROJECT_FOLDER, settings, without_secrets

if TYPE_CHECKING:
    from networksecurity.tracking.recorded import Recorded

DIFFERENT = 3
"""Exit code: the replay ended, and something came out differently."""
_SECONDS_TO_END = 30.0
_NOT_REPEATED = {
    # Neither rows nor figures follow from these; nothing is registered or promoted by a replay.
    *("promotion", "approval_timeout", "gate", "create_repo", "public_repo", "reason", "skip_unchanged", "refresh"),
    *("candidate_runs", "contract"),
}


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A training's name, or the id of one of its runs.")],
    as_json: Json = False,
) -> None:
    """Train once more as a run was trained, from its recorded parameters, contract and code, and compare all figures.

    Everything is computed anew, in a folder that is deleted at the end. Code of another commit comes from git. The
    exit code is 0 if all is equal, 3 if something is not, and 1 if the run cannot be repeated.
    """
    from networksecurity.tracking.recorded import read_recorded
    from networksecurity.tracking.server import connect

    recorded = read_recorded(connect(settings()), settings().mlflow_experiment_name, run)
    with _code_of(recorded) as (code, command), TemporaryDirectory(prefix="networksecurity-") as folder:
        if not as_json:
            print(f"Replaying {recorded.name} with {code}", file=sys.stderr)
        replayed = _train(recorded, command, Path(folder))
    differences, n_equal = compare(recorded, replayed)
    if as_json:
        found = {
            "run": recorded.name,
            "code": code,
            "equal": not differences,
            "n_equal": n_equal,
            "differences": {name: {"recorded": was, "replayed": now} for name, (was, now) in differences.items()},
        }
        print(json.dumps(found, indent=2))
    else:
        for name, (was, now) in differences.items():
            print(f"{name}: recorded {was}, replayed {now}")
        how = f"{len(differences)} differ" if differences else "all are equal"
        print(f"{recorded.name}: {n_equal + len(differences)} values compared, {how}")
    raise typer.Exit(DIFFERENT if differences else 0)


@contextmanager
def _code_of(recorded: "Recorded") -> Iterator[tuple[str, list[str]]]:
    """Give the code that a run was made with, in words and as a command; a commit is checked out for as long.

    Raises
    ------
    ConfigurationError
        It is neither here nor in git.
    """
    from networksecurity.tracking.provenance import code_version

    if recorded.code_version == code_version():
        script = PROJECT_FOLDER / "flows" / "train.py"
        here = [str(script)] if script.exists() else ["-m", "networksecurity", "train"]
        yield "the code that is here", [sys.executable, *here]
        return
    commit = recorded.commit
    if commit is None or commit.endswith("-dirty"):
        changed = f" ({commit.removesuffix('-dirty')} with changes that were not committed)" if commit else ""
        raise ConfigurationError(
            f"{recorded.name} was made with other code than is here{changed}, and no commit holds it; with the same "
            "code but other libraries, install those of its constraints.txt"
        )
    with TemporaryDirectory(prefix="networksecurity-") as folder:
        tree = Path(folder) / "code"
        try:
            if problem := _git("worktree", "add", "--detach", str(tree), commit):
                raise ConfigurationError(
                    f"{recorded.name} was made with commit {commit[:12]}, which git does not give ({problem}): replay "
                    "it in a checkout of this project that holds the commit, `git fetch` may bring it"
                )
            if not (script := tree / "flows" / "train.py").exists():
                raise ConfigurationError(
                    f"commit {commit[:12]}, with which {recorded.name} was made, has no flows/train.py to start"
                )
            if (env := PROJECT_FOLDER / ".env").exists():
                (tree / ".env").symlink_to(env)
            yield f"commit {commit[:12]}", [sys.executable, str(script)]
        finally:
            _git("worktree", "remove", "--force", "--force", str(tree))  # even one that was interrupted halfway


def _git(*arguments: str) -> str:
    """Let git work on the checkout; return what it says if it cannot."""
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            ["git", "-C", str(PROJECT_FOLDER), *arguments],  # noqa: S607 (whichever git there is)
            env=without_secrets(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as exc:
        return f"it cannot be started: {exc.strerror}"
    return " ".join(done.stderr.split()) if done.returncode else ""


def _train(recorded: "Recorded", command: list[str], folder: Path) -> dict[str, Any]:
    """Return the report of a training with the recorded parameters, whose runs and results are in `folder`."""
    contract = recorded.parameters["contract"]
    if recorded.contract:
        contract = str(folder / Path(contract).name)
        Path(contract).write_text(recorded.contract, encoding="utf-8")
    options = [f"--contract={contract}", "--promotion=off", "--candidate-runs=none", "--json"]
    kept = {name: value for name, value in os.environ.items() if name not in {"PREFECT_API_URL", "DAGSHUB_REPO"}}
    with subprocess.Popen(  # noqa: S603 (this interpreter, recorded parameters)
        [*command, *_options(recorded.parameters), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=kept
        | {
            "DAGSHUB_REPO": "",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "NETWORKSECURITY_STORAGE": str(folder / "storage"),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
        },
    ) as training:
        try:
            report, _ = training.communicate()
        except (KeyboardInterrupt, SystemExit) as exc:  # the training ends its processes before its folder goes
            if isinstance(exc, SystemExit):  # of SIGTERM; Ctrl-C has reached it, too
                training.terminate()
            with suppress(subprocess.TimeoutExpired):
                training.wait(_SECONDS_TO_END)
            training.kill()
            raise
    if training.returncode:
        raise TrainingError(f"the replay of {recorded.name} ended with exit code {training.returncode}; see above")
    return json.loads(report)


def _options(parameters: Mapping[str, Any]) -> list[str]:
    """Return the recorded parameters as options; what is off or not given is the default.

    Examples
    --------
    >>> _options({"source": "sample", "models": ["AdaBoost", "Decision Tree"], "base_rate": None, "refresh": True})
    ['--source=sample', '--models=AdaBoost,Decision Tree']
    """
    given = {name: of for name, of in parameters.items() if name not in _NOT_REPEATED and of not in (None, "")}
    values = {name: ",".join(of) if isinstance(of, list) else of for name, of in given.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def compare(recorded: "Recorded", replayed: Mapping[str, Any]) -> tuple[dict[str, tuple[Any, Any]], int]:
    """Return what differs, as it was recorded and as it came out now, and how many values are equal.

    Compared are the fingerprint of the rows, the winner with its parameters, and every figure on both sides.
    """
    winner = replayed["leaderboard"][0]
    now: dict[str, Any] = {"rows (SHA-256)": replayed["data_sha256"], "model": winner["model"]}
    was: dict[str, Any] = {"rows (SHA-256)": recorded.data_sha256, "model": recorded.winner.get("model")}
    for name, value in winner["params"].items():
        now[name], was[name] = str(value), recorded.winner.get(name)
    for side in ("train", "test"):
        figures = recorded.figures[side]
        for name, value in replayed[f"{side}_metrics"].items():
            now[f"{side} {name}"] = value
            was[f"{side} {name}"] = figures.get(name, figures.get(f"uncertainty/{name}"))
    differences = {name: (was[name], value) for name, value in now.items() if was[name] != value}
    return differences, len(now) - len(differences)
