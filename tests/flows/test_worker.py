import logging
import os
from types import SimpleNamespace

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from flows import ending, worker
from networksecurity.exceptions import DataSourceError


@pytest.fixture
def said(monkeypatch):
    """Return what the log of a run holds that a worker started."""
    lines = []

    class Log(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    log = Log()
    monkeypatch.setattr(worker, "after_parent", lambda action: None)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        for attribute, value in (("filters", []), ("handlers", [log]), ("propagate", False)):
            monkeypatch.setattr(logging.getLogger(name), attribute, value)
    worker.begin_under_worker(None, SimpleNamespace(deployment_id="1"), None)
    return lines


def log_failure(exc):
    """Log what Prefect logs of a run that fails."""
    flow_runs = logging.getLogger("prefect.flow_runs")
    flow_runs.error("Encountered exception during execution: %r", exc, exc_info=exc)
    flow_runs.error("Finished in state Failed('Flow run encountered an exception')")
    flow_runs.error("Engine execution exited with unexpected exception", exc_info=exc)


def test_an_error_of_ours_is_one_line_in_the_log_of_a_worker(said):
    log_failure(DataSourceError("there is no file"))
    assert said == ["Encountered exception during execution: DataSourceError('there is no file')"]


def test_a_bug_has_its_traceback_in_the_log_of_a_worker(said):
    log_failure(ZeroDivisionError("of ours"))
    assert "ZeroDivisionError: of ours" in said[0]


def test_tasks_that_fail_because_their_run_is_ended_are_not_said(said):
    failed = "Finished in state Failed('TerminatedWorkerError')"
    for seconds in (None, 60):
        if seconds:
            ending.end_soon(seconds)
        logging.getLogger("prefect.task_runs").error(failed)
    ending.call_off()
    assert said == [failed]


def test_a_log_that_nobody_reads_any_more_does_not_end_a_run(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:  # noqa: PTH123 (a number)
        monkeypatch.setattr(logging.getLogger(), "handlers", [PrefectConsoleHandler(stream)])
        monkeypatch.setattr(worker, "after_parent", lambda action: None)
        worker.begin_under_worker(None, SimpleNamespace(deployment_id="1"), None)
        for _ in range(2):
            logging.getLogger("any").error("nobody reads this")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
