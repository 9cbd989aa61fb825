import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import COMMANDS

PROJECT = Path(__file__).resolve().parents[1]

# The process presses Ctrl-C itself as soon as it imports the module of the first argument.
PRESSED = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
module, kind, program, *options = sys.argv[1:]
def press(event, arguments):
    if event == "import" and arguments[0] == module:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
sys.argv = [program, *options]
if kind == "module":
    runpy.run_module(program, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(program, run_name="__main__")
"""


def press_ctrl_c(during, *program):
    return subprocess.run(
        [sys.executable, "-c", PRESSED, during, *program], capture_output=True, text=True, check=False, cwd=PROJECT
    )


@pytest.mark.parametrize(
    "during", ["networksecurity.cli", "typer", "pydantic_settings", "networksecurity.cli.verdicts"]
)
def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_word(during):
    done = press_ctrl_c(during, "module", "networksecurity", "--help")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("flow", "during"),
    [*((flow, "flows.commands") for flow in COMMANDS), ("train", "pydantic"), ("train", "flows.early")],
)
def test_ctrl_c_while_a_flow_is_imported_ends_it_without_a_word(flow, during):
    done = press_ctrl_c(during, "file", f"flows/{flow}.py", "--source", "sample:10")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_is_said_once_a_flow_has_read_its_options():
    done = press_ctrl_c("prefect", "file", "flows/train.py", "--source", "sample:10")
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in done.stderr
