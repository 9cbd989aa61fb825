"""What a command prints of what its flow returns, and how its process ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.launch import _say_outcome
from flows.options import Output
from flows.score import ScoreReport
from networksecurity.prediction.scoring import ScoringReport

REPORT = ScoreReport(
    source="rows.csv",
    output="scored.csv",
    rows=ScoringReport(n_rows=3, n_scored=2, n_phishing=1, n_rejected=1, rejections={"SFH is missing": 1}),
    quarantine="scored_quarantine.csv",
    gaps=[],
    model_name="phishing",
    model_version="1",
    link="http://127.0.0.1:5000/#/models/phishing/versions/1",
    seconds=0.1,
)


@pytest.mark.parametrize(("quiet", "as_json"), [(False, False), (True, False), (False, True)])
def test_a_report_that_prefect_returns_as_it_has_stored_it_is_printed_all_the_same(quiet, as_json, capsys):
    output = Output(quiet=quiet, json_document=as_json)
    code = _say_outcome(REPORT, "flows.score:summarize", output)
    printed = capsys.readouterr().out
    assert _say_outcome(REPORT.model_dump(mode="json"), "flows.score:summarize", output) == code
    assert capsys.readouterr().out == printed != ""


def test_a_thread_that_its_pool_does_not_know_keeps_no_process_alive():
    program = (
        "import threading\n"
        "from flows import ending\n"
        "threading.Thread(target=threading.Event().wait, name='ThreadPoolExecutor-0_0').start()\n"
        "raise SystemExit(ending.ended(130))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], cwd=Path(__file__).parents[2], timeout=120, check=False
        ).returncode
        == 130
    )
