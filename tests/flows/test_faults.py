import os
import subprocess
import sys

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_KEY, temporary_settings

from flows.faults import report
from networksecurity.exceptions import DataSourceError

URL = "http://127.0.0.1:4200/api"


def status_error(status):
    response = httpx.Response(status, request=httpx.Request("GET", URL), json={})
    return PrefectHTTPStatusError.from_httpx_error(
        httpx.HTTPStatusError("", request=response.request, response=response)
    )


@pytest.mark.parametrize(
    ("exc", "says"),
    [
        (DataSourceError("there is no file"), "error: there is no file\n"),
        (httpx.ConnectError("refused"), " cannot be reached: refused. Start it, or set PREFECT_API_URL"),
        (status_error(401), " answers 401. Set PREFECT_API_KEY or "),
        (status_error(503), " has too much to do, it answers 503. Try again later, or "),
    ],
)
def test_what_others_do_wrong_is_one_line(exc, says, capsys):
    report(exc)
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert said.count("\n") == 1


def test_a_key_that_no_header_can_hold_is_not_shown(capsys):
    with temporary_settings({PREFECT_API_KEY: "hush-key\n"}):
        report(httpx.LocalProtocolError(r"Illegal header value b'Bearer hush-key\n'"))
    assert "Illegal header value b'Bearer …" in (said := capsys.readouterr().err)
    assert "hush" not in said


@pytest.mark.parametrize("exc", [ZeroDivisionError("of ours"), status_error(500), ValueError("no block")])
def test_a_bug_is_shown_with_its_traceback_and_what_to_do_with_it(exc, capsys):
    def buggy():
        raise exc

    with pytest.raises(type(exc)) as caught:
        buggy()
    report(caught.value)
    said = capsys.readouterr().err
    assert "in buggy" in said
    assert said.splitlines()[-1].startswith("this is a bug of networksecurity: please report it")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PREFECT_LOGGING_LEVEL": "LOUD"}, "cannot be used: LoggingSettings.level: Input should be 'DEBUG'"),
        ({"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}, "there is no Prefect server: set PREFECT_API_URL"),
    ],
)
def test_settings_of_prefect_that_cannot_be_used_are_one_line(environment, says, tmp_path):
    code = (
        "from flows import commands, local_server; local_server._start = lambda port: None; "
        "raise SystemExit(commands.run_command('train', []))"
    )
    alone = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | alone | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
