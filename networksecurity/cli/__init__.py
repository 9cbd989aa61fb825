"""The command `networksecurity`: the flows, and work done by hand.

Each group of commands is a module of its own, added to `app`. Each command imports what it needs itself: options are
read before anything slow is imported. The exit code is 0 on success, 1 after an error, 2 after a wrong option, 130
after Ctrl-C, 143 after SIGTERM; `evaluate` and `check` have some of their own.
"""

import os
import signal
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from networksecurity import __version__
from networksecurity.cli.champion import champion
from networksecurity.cli.contract import contract
from networksecurity.cli.data import data
from networksecurity.cli.doctor import doctor
from networksecurity.cli.feedback import feedback
from networksecurity.cli.flows import COMMANDS, add_flows
from networksecurity.cli.options import examples
from networksecurity.cli.overrides import overrides
from networksecurity.cli.quarantine import quarantine
from networksecurity.cli.replay import replay
from networksecurity.cli.tracking import tracking
from networksecurity.cli.verdicts import check, serve
from networksecurity.exceptions import NetworkSecurityException
from networksecurity.interrupt import hear_ctrl_c
from networksecurity.settings import NO_TELEMETRY
from networksecurity.surroundings import (
    bypass_proxies,
    complete_streams,
    refuse_lost_folder,
    report_bug,
    report_error,
    while_somebody_reads,
)
from networksecurity.wrong_values import with_short_words

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # text that fits any terminal, as that of the flows
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    invoke_without_command=True,
    help="Tell phishing websites from legitimate ones. networksecurity COMMAND --help says more.",
    epilog=examples("train", "train --source rows.csv", "score --source rows.csv --output scored.csv", "doctor"),
)
def _show_help_or_version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"networksecurity {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
    else:
        refuse_lost_folder()
    if context.invoked_subcommand not in COMMANDS:  # which have a log file for what else MLflow has to say
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    if context.invoked_subcommand != "doctor":  # which says first what goes to a proxy
        bypass_proxies(os.environ)


add_flows(app)
app.command(
    short_help="Say whether addresses are phishing.",
    epilog=examples("check https://example.com/ 'hxxp://evil[.]example'"),
)(check)
app.command(short_help="Serve the champion over HTTP.", epilog=examples("serve --port 8001 --workers 4"))(serve)
app.add_typer(champion, name="champion")
app.add_typer(contract, name="contract")
app.add_typer(data, name="data")
app.add_typer(quarantine, name="quarantine")
app.add_typer(feedback, name="feedback")
app.add_typer(tracking, name="tracking", short_help="What waits to be logged to MLflow.")
app.add_typer(overrides, name="overrides", short_help="Verdicts set by hand.")
app.command(
    short_help="Train as a run was trained, and compare all figures.",
    epilog=examples("replay RUN", "replay RUN --json"),
)(replay)
app.command(short_help="Check this installation.", epilog=examples("doctor", "doctor --json"))(doctor)


def main() -> None:
    """Run the command of this process's arguments and exit; an error is one line, but for a bug."""
    complete_streams()
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what a command has begun is undone, as after Ctrl-C
    code = 0
    try:
        hear_ctrl_c()
        with while_somebody_reads():
            code = app(standalone_mode=False)  # otherwise Typer draws a box around its errors
    except NetworkSecurityException as exc:
        report_error(exc)
        code = 1
    except TyperException as exc:
        print(f"networksecurity: error: {with_short_words(exc.format_message())}", file=sys.stderr)
        code = exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as exc:  # noqa: BLE001 (the boundary: what else escapes is a bug)
        report_bug(exc)
        code = 1
    sys.exit(code)
