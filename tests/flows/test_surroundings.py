import io
import subprocess
import sys

import pytest

from flows.surroundings import bypass_proxies, show_what_can_be_shown


@pytest.mark.parametrize(
    ("environment", "no_proxy"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, "127.0.0.1,localhost,::1"),
        ({"all_proxy": "socks5://proxy:1080", "NO_PROXY": "localhost, intranet"}, "localhost,intranet,127.0.0.1,::1"),
        ({"https_proxy": "http://proxy", "no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(environment, no_proxy):
    bypass_proxies(environment)
    assert environment.get("NO_PROXY") == environment.get("no_proxy") == no_proxy


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_a_sign_shows_a_question_mark(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding))
    show_what_can_be_shown()
    print("train · 0.9 → 1", flush=True)
    assert shown.getvalue().decode(encoding).replace("·", "?") == "train ? 0.9 ? 1\n"


@pytest.mark.parametrize("shown_by", ["print", "ReportConsole().print"])
def test_a_reader_may_stop_reading(shown_by):
    code = (
        "from flows.surroundings import ReportConsole, while_somebody_reads\n"
        "with while_somebody_reads():\n"
        f"    for number in range(20_000): {shown_by}(number)\n"
    )
    command = f"'{sys.executable}' -c '{code}' | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
