"""Whether the stored model of a version answers as the model that was evaluated."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from networksecurity.champion.registry import RegisteredVersion, Registry
from networksecurity.exceptions import PromotionError, StoredModelError
from networksecurity.tracking.outcome import PROBE_FILE

_ANSWER = sys.executable, "-m", "networksecurity.champion.answer"
_LONGEST_ANSWER = 300.0
"""Seconds; on an idle machine it takes five, mostly imports."""

_PASSED_ON = re.compile("PATH|HOME|LANG|LC_.*|TE?MP(DIR)?|SYSTEMROOT|(LD|DYLD)_LIBRARY_PATH|(OMP|OPENBLAS|MKL)_.*")
"""Variables of the environment that the other process gets: no secret is among them."""


def verify(registry: Registry, version: RegisteredVersion, *, seconds: float = _LONGEST_ANSWER) -> None:
    """Load the stored model of a version in a separate process, and compare its answers with those it gave before.

    Parameters
    ----------
    seconds : float
        Time it may take to answer.

    Raises
    ------
    PromotionError
        It cannot be loaded, takes other columns, or does not answer as the model that was evaluated.
    """

    def refused(reason: str) -> PromotionError:
        return PromotionError(f"version {version.version} of {version.name} is not fit to be the champion: {reason}")

    with ExitStack() as opened:
        try:
            folder = opened.enter_context(registry.files(version))
        except StoredModelError as exc:
            raise refused(str(exc.__cause__)) from exc
        try:
            expected = pd.read_parquet(folder / PROBE_FILE)[["y_pred", "y_score"]].to_numpy()
        except (OSError, ValueError, KeyError) as exc:
            raise refused(f"the rows to probe it with cannot be read ({type(exc).__name__})") from exc
        answers_file = folder / "answers.npy"
        try:
            done = subprocess.run(  # noqa: S603 (this interpreter, and a module of ours)
                [*_ANSWER, json.dumps(version.contract.columns), folder, folder / PROBE_FILE, answers_file],
                env=_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise refused(f"it does not answer within {seconds:g} s") from exc
        if done.returncode:
            raise refused((done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1])
        answers = np.load(answers_file)
    # Equal classes; probabilities up to the order in which another number of threads adds up.
    close = np.isclose(answers, expected, rtol=0, atol=1e-9).all(axis=1) & (answers[:, 0] == expected[:, 0])
    if not close.all():
        raise refused(f"it answers {(~close).sum()} of {len(close)} rows differently than when it was evaluated")


def _environment() -> dict[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return passed_on | {"PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)}
