"""The command `networksecurity`: work done by hand, beside the flows.

Each group of commands is a module of its own, added to `app`. Each command imports what it needs itself: options are
read before anything slow is imported. The exit code is 0 on success, 1 after an error, 2 after a wrong option, 130
after Ctrl-C; `evaluate` and `check` have some of their own.
"""

import os
import sys

import typer
from typer.exceptions import TyperException

from networksecurity.cli.champion import champion
from networksecurity.cli.doctor import doctor
from networksecurity.cli.feedback import feedback
from networksecurity.cli.overrides import overrides
from networksecurity.cli.quarantine import quarantine
from networksecurity.cli.verdicts import check, evaluate, serve
from networksecurity.exceptions import NetworkSecurityException
from networksecurity.settings import NO_TELEMETRY

app = typer.Typer(
    help="Tell phishing websites from legitimate ones: work done by hand, beside the flows.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(quarantine, name="quarantine")
app.add_typer(feedback, name="feedback")
app.add_typer(overrides, name="overrides")
app.add_typer(champion, name="champion")
app.command()(evaluate)
app.command()(check)
app.command()(serve)
app.command()(doctor)


def main() -> None:
    """Run the command of this process's arguments and exit; an error is one line."""
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    try:
        code = app(standalone_mode=False)  # otherwise Typer draws a box around its errors
    except NetworkSecurityException as exc:
        print(f"error: {exc}", file=sys.stderr)
        code = 1
    except TyperException as exc:
        print(f"networksecurity: error: {' '.join(exc.format_message().split())}", file=sys.stderr)
        code = exc.exit_code
    sys.exit(code)
