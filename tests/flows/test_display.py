import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

import flows
from flows.display import Bars, Lines, Work, begin, display, show
from flows.report import Summary, set_aside
from flows.training_report import LeaderboardRow


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def test_a_terminal_has_a_bar_for_each_search_with_its_fits_and_best_score(terminal):
    bars = Bars(terminal)
    bars.begin("searching 2 models")
    bars.show("Gradient Boosting", Work(23, 60, "best 0.9471"))
    bars.show("Decision Tree", Work(9, 9, "best 0.9176"))
    bars.show("Gradient Boosting", Work(24, 60, "best 0.9480"))
    bars.close(is_done=False)
    shown = terminal.file.getvalue()
    assert "24/60 best 0.9480" in shown
    assert "9/9   best 0.9176" in shown
    assert "✓" not in shown


def test_a_step_that_is_done_is_said_with_its_time_and_its_bars_go(terminal):
    bars = Bars(terminal)
    bars.begin("searching")
    bars.show("Decision Tree", Work(9, 9))
    bars.begin("fitting Decision Tree")
    bars.say("[not markup] 0.9176")
    bars.close(is_done=True)
    said = [line.rstrip() for line in terminal.file.getvalue().splitlines()]
    assert any("✓ searching  0." in line for line in said)
    assert any("✓ fitting Decision Tree  0." in line for line in said)
    assert any("[not markup] 0.9176" in line for line in said)


def test_without_a_terminal_there_is_a_line_from_time_to_time(capsys):
    lines = Lines(every=0.01)
    lines.begin("searching 2 models")
    lines.show("Gradient Boosting", Work(23, 60, "best 0.9471"))
    lines.show("Decision Tree", Work(9, 9, "best 0.9176"))
    said, deadline = "", time.monotonic() + 60
    while "searching 2 models: Gradient Boosting 23/60 best 0.9471\n" not in said and time.monotonic() < deadline:
        said += capsys.readouterr().err
    lines.close(is_done=True)
    assert "searching 2 models …\n" in said
    assert "searching 2 models: Gradient Boosting 23/60 best 0.9471\n" in said


def test_a_quiet_command_shows_no_step(capsys):
    with display(quiet=True, verbose=False):
        begin("searching")
        show("Decision Tree", Work(1, 9))
    assert capsys.readouterr() == ("", "")


def test_the_terminal_is_for_our_own_words_and_the_log_file_for_all(tmp_path):
    flow = Path(flows.__file__).with_name("train.py")
    code = f"""if True:
        import logging, sys, warnings
        from pathlib import Path
        from flows.display import display, take_over
        logging.basicConfig(level=logging.INFO)
        def log(path, level, text):
            logging.getLogger("prefect.flow_runs").handle(
                logging.LogRecord("prefect.flow_runs", level, path, 1, text, (), None))
        with display(quiet="quiet" in sys.argv, verbose="verbose" in sys.argv) as shown:
            take_over(shown, Path({str(tmp_path)!r}), verbose="verbose" in sys.argv)
            log({str(flow)!r}, logging.INFO, "1/5 searches done")
            log({str(flow)!r}, logging.WARNING, "2 rows set aside")
            log("engine.py", logging.INFO, "Task run finished")
            warnings.warn("deprecated")
    """
    said = {}
    for how in ("normal", "quiet", "verbose"):
        command = [sys.executable, "-c", code, how]
        done = subprocess.run(command, cwd=flow.parents[1], capture_output=True, text=True, check=True)
        assert done.stdout == ""
        texts = ("1/5 searches done", "2 rows set aside", "Task run finished", "deprecated")
        said[how] = [text for text in texts if text in done.stderr]
    assert said == {
        "normal": ["1/5 searches done", "2 rows set aside"],
        "quiet": ["2 rows set aside"],
        "verbose": ["1/5 searches done", "2 rows set aside", "Task run finished", "deprecated"],
    }
    (log,) = tmp_path.iterdir()
    assert [log.read_text().count(text) for text in ("Task run finished", "UserWarning: deprecated")] == [3, 3]


def test_a_summary_fits_80_columns_without_cut_words(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    row = LeaderboardRow(
        rank=1, model="Hist Gradient Boosting", cv_score=0.94, cv_std=0.01, repeated_score=0.94, from_cache=False,
        verdict="tied with the best", params={"learning_rate": 0.1, "n_estimators": 256}, grid_points=120, seconds=1046,
    )  # fmt: skip
    address = "http://127.0.0.1:5000/#/experiments/1/runs/" + 50 * "f"
    Summary(
        "Training",
        table=[row.to_table()],
        narrow=[row.to_narrow_table()],
        sentences=["Random Forest is the cheapest model that is tied with the best, " + 3 * "Gradient Boosting, "],
        values={"train run": ("train-x", address), "promotion": "promoted, " + 6 * "for reasons [good ones] "},
    ).show()
    bold = re.compile(r"\x1b\[[01]m")  # of the table's head alone
    lines = [bold.sub("", line).rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if len(line) > 80] == [" " * 11 + address]
    assert "  1   Hist Gradient Boosting   0.9400 ± 0.0100   0.9400 tied      1046.0 s" in lines
    assert lines[-1].startswith(" " * 11 + "reasons [good ones]")
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("n_rejected", "said"),
    [(1, "1 row is not valid and was set aside: x.csv"), (1_200, "1,200 rows are not valid and were set aside: x.csv")],
)
def test_rows_that_were_set_aside_are_counted_in_a_sentence(n_rejected, said):
    assert set_aside(n_rejected, "x.csv") == said
