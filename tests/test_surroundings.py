import io
import os
import subprocess
import sys
from contextlib import nullcontext

import httpx
import pytest
from canned_server import PROJECT, serving

from networksecurity import cli, surroundings
from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import settings
from networksecurity.surroundings import (
    bypass_proxies,
    complete_streams,
    refuse_folders,
    refuse_profiles,
    refuse_proxies,
)


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


def test_a_command_asks_a_server_on_this_machine_past_every_proxy(command, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with serving({}) as (address, seen):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        settings.cache_clear()
        code, out, err = command("check", "http://a.test/")
    settings.cache_clear()
    assert seen
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {address} is not an MLflow server")


def test_networks_that_httpx_cannot_read_are_left_out(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fd07:b51a::/64 [fe80::1],a:80")
    monkeypatch.setenv("no_proxy", "")
    bypass_proxies(os.environ)
    httpx.Client().close()
    assert os.environ["NO_PROXY"] == "10.0.0.0/8,fe80::1,a:80"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_a_sign_shows_a_question_mark(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding))
    complete_streams()
    print("train · 0.9 → 1", flush=True)
    assert shown.getvalue().decode(encoding).replace("·", "?") == "train ? 0.9 ? 1\n"


def test_bytes_that_are_no_text_are_read_as_a_mark(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"http://a.test/\xff\n"), "utf-8"))
    complete_streams()
    assert sys.stdin.read() == "http://a.test/\ufffd\n"


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 1, "error: the output cannot be written: No space left on device\n"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_bug(streams, code, said):
    command = f"'{sys.executable}' -m networksecurity --version {streams}"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, cwd=PROJECT)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_a_current_folder_that_is_gone_is_one_line(command, monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = "error: the current folder was removed: change to another one (cd)\n"
    assert command("data", "describe", "rows.csv") == (1, "", said)


def test_an_error_is_one_line_whatever_it_quotes(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command("data", "describe", "a\nb.csv") == (1, "", f"error: there is no file {tmp_path}/a b.csv\n")


@pytest.mark.parametrize("shown_by", ["print", "ReportConsole().print"])
def test_a_reader_may_stop_reading(shown_by):
    code = (
        "from networksecurity.surroundings import ReportConsole, while_somebody_reads\n"
        "with while_somebody_reads():\n"
        f"    for number in range(20_000): {shown_by}(number)\n"
    )
    command = f"'{sys.executable}' -c '{code}' | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.parametrize(
    ("proxies", "says"),
    [
        ({"ALL_PROXY": "gopher://proxy"}, "ALL_PROXY: there are no proxies of the kind gopher://"),
        ({"https_proxy": "http://proxy", "http_proxy": "proxy:3128", "OTHER": "gopher://x"}, None),
    ],
)
def test_a_proxy_that_no_client_can_use_is_refused(proxies, says):
    with pytest.raises(ConfigurationError, match=says) if says else nullcontext():
        refuse_proxies(proxies)


def test_a_socks_proxy_takes_a_package(monkeypatch):
    monkeypatch.setattr(surroundings, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"all_proxy is a SOCKS proxy, .*httpx\[socks\]"):
        refuse_proxies({"all_proxy": "socks5h://proxy:1080"})


def test_folders_that_cannot_be_written_are_refused_and_no_other_is_made(tmp_path):
    refuse_folders({"A": str(tmp_path / "a b" / "c"), "B": ""}, "A", "B", "C")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="A: /dev/null/x cannot be written: Not a directory"):
        refuse_folders({"A": "/dev/null/x"}, "A")


@pytest.mark.parametrize("content", [b"active = [", b'active = "\xff"'])
def test_profiles_of_prefect_that_cannot_be_read_are_refused(content, tmp_path):
    refuse_profiles({"PREFECT_HOME": str(tmp_path)})
    (tmp_path / "profiles.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"Prefect's profiles in /.*/profiles.toml cannot be read \("):
        refuse_profiles({"PREFECT_HOME": str(tmp_path)})


@pytest.mark.parametrize("how", [["-W", "error"], []])
def test_a_warning_ends_no_command(how):
    code = (
        "import os, subprocess, sys, warnings; from networksecurity.surroundings import let_warnings_pass; "
        "let_warnings_pass(); warnings.warn('heard'); warnings.warn('silent', DeprecationWarning); "
        "raise SystemExit(bool(sys.warnoptions or os.environ.get('PYTHONWARNINGS')))"
    )
    environment = os.environ | ({} if how else {"PYTHONWARNINGS": "error"})
    done = subprocess.run(
        [sys.executable, *how, "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "UserWarning: heard" in done.stderr
    assert "silent" not in done.stderr.replace(code, "")


def test_a_bug_of_a_command_is_shown_with_what_to_do_with_it(command, monkeypatch):
    monkeypatch.setattr(cli, "app", lambda standalone_mode: 1 / 0)
    code, out, err = command()
    assert (code, out) == (1, "")
    assert "ZeroDivisionError" in err
    assert err.splitlines()[-1].startswith("this is a bug of networksecurity")


def test_ctrl_c_ends_a_command_without_a_word(command, monkeypatch):
    def interrupted(standalone_mode):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert command() == (130, "", "")
