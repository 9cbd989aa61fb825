"""`networksecurity evaluate`, `check` and `serve`: what a model says, and whether it is right."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from networksecurity.cli.options import Contract, ContractName, Json, Positive, open_registry
from networksecurity.cli.tables import print_table
from networksecurity.settings import settings


def evaluate(
    source: Annotated[str, typer.Option(metavar="SOURCE", help="Labelled rows: whatever can be trained on.")],
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="A number or an alias.")] = "champion",
    margin: Annotated[float, typer.Option(help="By how much F1 may be lower.", min=0, max=1)] = 0.01,
    contract: Contract = "websites",
    positive: Positive = None,
    as_json: Json = False,
) -> None:
    """Compare a version on labelled rows with its own test rows; the exit code is 3 if it is worse, 4 if unknown.

    As flows/evaluate.py, without Prefect.
    """
    from uuid import uuid4

    import pandas as pd

    from networksecurity.champion.reviewing import record_review, review_version
    from networksecurity.data import sources
    from networksecurity.data.contracts import get_contract
    from networksecurity.data.storage import fingerprint
    from networksecurity.training.review import EXIT_CODES

    of_rows = get_contract(contract, positive)
    rows, registry = sources.parse(source, settings(), of_rows), open_registry(contract)
    version = registry.choose(model_version)
    accepted = of_rows.validate(rows.read().frame).accepted
    found = review_version(registry, version, accepted, margin=margin)
    experiment, sha256 = settings().mlflow_experiment_name, fingerprint(accepted)
    about = {"experiment_name": experiment, "source": rows.shown, "data_sha256": sha256}
    record_review(registry, version, found, key=uuid4().hex, **about)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print_table(pd.DataFrame(found.to_table()), title=f"Version {version.version} on {rows.shown}")
        print(f"{found.reason}\n{found.to_line()}")
    raise typer.Exit(EXIT_CODES[found.verdict])


def check(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses; - reads one a line from the input.")],
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="A number or an alias.")] = "champion",
    overrides: Annotated[bool, typer.Option(help="Apply the verdicts set by hand.")] = True,
    as_json: Json = False,
) -> None:
    """Say whether addresses are phishing, by their text alone: nothing is fetched.

    The exit code is 3 if any is phishing, else 1 if any is no address, else 4 if any is unsure, else 0. Needs a model
    trained with --contract addresses.
    """
    from networksecurity.data.override_store import overrides_in_force
    from networksecurity.prediction.checking import Verdict, check_addresses, exit_code_of

    texts = [text for url in urls for text in (sys.stdin.read().splitlines() if url == "-" else [url]) if text.strip()]
    registry = open_registry("addresses")
    version = registry.choose(model_version)
    by_hand = overrides_in_force(settings(), "addresses", datetime.now(UTC)) if overrides else None
    verdicts: list[Verdict] = check_addresses(registry.load_model(version), texts, by_hand)
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
        ContractName | None, typer.Option(help="What it is asked about; by default NETWORKSECURITY_SERVE_CONTRACT.")
    ] = None,
) -> None:
    """Serve the champion over HTTP, with a page to try it on; Ctrl-C ends it."""
    from networksecurity.prediction import server

    asked = {"serve_contract": contract} if contract else {}
    server.serve(settings().model_copy(update=asked), host, port, workers)
