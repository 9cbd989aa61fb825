"""`networksecurity check` and `serve`: what a model says."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from networksecurity.cli.options import Json, open_registry
from networksecurity.settings import settings


def check(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses; - reads one a line from the input.")],
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="A number or an alias.")] = "champion",
    overrides: Annotated[bool, typer.Option(help="Apply the verdicts set by hand.")] = True,
    explain: Annotated[bool, typer.Option("--explain", help="Say which parts of an address speak for it.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether addresses are phishing, by their text alone: nothing is fetched.

    The exit code is 3 if any is phishing, else 1 if any is no address, else 4 if any is unsure, else 0. Needs a model
    trained with --contract addresses.
    """
    from networksecurity.data.overrides.store import overrides_in_force
    from networksecurity.prediction.checking import Verdict, check_addresses, exit_code_of
    from networksecurity.prediction.reasons import explainer_of

    texts = [text for url in urls for text in (sys.stdin.read().splitlines() if url == "-" else [url]) if text.strip()]
    registry = open_registry("addresses")
    version = registry.choose(model_version)
    parts = registry.load_parts(version)
    explainer = explainer_of(registry, version, parts) if explain else None
    by_hand = overrides_in_force(settings(), "addresses", datetime.now(UTC)) if overrides else None
    verdicts: list[Verdict] = check_addresses(parts.model, texts, by_hand, explainer)
    if as_json:
        found = {
            "model": registry.name,
            "version": version.version,
            "verdicts": [of.model_dump(mode="json") for of in verdicts],
        }
        print(json.dumps(found, indent=2))
    else:
        for verdict in verdicts:
            print(verdict.to_line())
        print(f"by version {version.version} of {registry.name}", file=sys.stderr)
    raise typer.Exit(exit_code_of(verdicts))


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="0 takes a free one.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that answer.", min=1, max=1000)] = 1,
    contract: Annotated[
        str | None,
        typer.Option(metavar="CONTRACT", help="What it is asked about; by default NETWORKSECURITY_SERVE_CONTRACT."),
    ] = None,
) -> None:
    """Serve the champion over HTTP, with a page to try it on; Ctrl-C ends it."""
    from networksecurity.prediction import server

    asked = {"serve_contract": contract} if contract else {}
    server.serve(settings().model_copy(update=asked), host, port, workers)
