"""The command `networksecurity`: work done by hand, beside the flows.

Each group of commands is an app of its own, added to `app`. Each command imports what it needs itself: options are read
before anything slow is imported. The exit code is 0 on success, 1 after an error, 2 after a wrong option, 130 after
Ctrl-C; `evaluate` has two of its own.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.exceptions import TyperException

from networksecurity.exceptions import ConfigurationError, NetworkSecurityException, TrackingError
from networksecurity.settings import Settings, settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pandas as pd

    from networksecurity.champion.registry import RegisteredVersion, Registry
    from networksecurity.data.mongodb import OpenCollection

app = typer.Typer(
    help="Tell phishing websites from legitimate ones: work done by hand, beside the flows.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _commands() -> None:
    """Keep the name of a group in the command even if it is the only group."""


def main() -> None:
    """Run the command of this process's arguments and exit; an error is one line."""
    try:
        code = app(standalone_mode=False)  # otherwise Typer draws a box around its errors
    except NetworkSecurityException as exc:
        print(f"error: {exc}", file=sys.stderr)
        code = 1
    except TyperException as exc:
        print(f"networksecurity: error: {exc.format_message()}", file=sys.stderr)
        code = exc.exit_code
    sys.exit(code)


# --- quarantine -------------------------------------------------------------------------------------------------------

quarantine = typer.Typer(help="Invalid rows that were set aside.")
app.add_typer(quarantine, name="quarantine")

STORAGE = "storage"

Place = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="PLACE",
        help="mongodb, mongodb://host/database.collection, or storage (of trainings on files). "
        "By default mongodb if MONGODB_URI is set, otherwise storage.",
    ),
]
_KINDS = (".csv", ".parquet")


def _place(place: str | None) -> str:
    return place or ("mongodb" if settings().mongodb_uri else STORAGE)


@quarantine.command("list")
def list_(place: Place = None) -> None:
    """Count the rows by ingestion or file and by reason; a row may have several reasons."""
    from networksecurity.data import mongodb

    place = _place(place)
    if place == STORAGE:
        counts, shown = _count_stored(settings()), settings().storage
    else:
        collection = mongodb.parse_target(place, settings())
        with mongodb.open(collection) as opened:
            counts, shown = opened.count_quarantined(), collection.shown
    _print_table(counts, title=f"Quarantine of {shown}")


@quarantine.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file, .csv or .parquet.", metavar="FILE")], place: Place = None
) -> None:
    """Write all rows to a file, with their original values and their reasons."""
    if file.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"{file}: its name must end in {' or '.join(_KINDS)}")
    if file.exists():
        raise ConfigurationError(f"{file} exists already and may hold corrections: name another file")
    from networksecurity.data import mongodb

    place = _place(place)
    if place == STORAGE:
        rows = _read_stored(settings())
    else:
        with mongodb.open(mongodb.parse_target(place, settings())) as opened:
            rows = opened.quarantined()
    try:
        if file.suffix.lower() == ".csv":
            rows.to_csv(file, index=False)
        else:
            rows.to_parquet(file, index=False)
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be written: {exc.strerror or exc}") from exc
    print(f"{len(rows):,} rows written to {file}")


@quarantine.command()
def resubmit(
    file: Annotated[Path, typer.Argument(help="Corrected rows, as exported.", metavar="FILE")], place: Place = None
) -> None:
    """Check corrected rows again and move those that are now valid to the collection, under their old keys."""
    from networksecurity.data import mongodb, sources

    place = _place(place)
    if place == STORAGE:
        raise ConfigurationError(
            "rows in the storage belong to no collection: correct them in their file and train again"
        )
    source = sources.parse_file(str(file), settings())
    corrected = source.read().frame
    with mongodb.open(mongodb.parse_target(place, settings())) as opened:
        done = opened.resubmit(corrected, sha256=sha256(file.read_bytes()).hexdigest(), source=source.shown)
    print(
        f"{done.n_inserted:,} rows moved to {done.collection} (ingestion {done.ingestion}), "
        f"{done.n_already_there:,} already existed, {done.n_quarantined:,} are still not valid"
    )


def _read_stored(settings: Settings) -> "pd.DataFrame":
    import pandas as pd

    from networksecurity.data.schema import DOMAINS
    from networksecurity.data.storage import Storage

    columns = ["file", "row", "reasons", *DOMAINS]
    frames = [frame.assign(file=name)[columns] for name, frame in Storage(settings.storage).quarantined().items()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns, dtype="str")


def _count_stored(settings: Settings) -> "pd.DataFrame":
    import pandas as pd

    from networksecurity.data.storage import Storage

    return pd.DataFrame(
        [
            {"file": name, "reason": reason, "rows": int(count)}
            for name, frame in Storage(settings.storage).quarantined().items()
            for reason, count in frame["reasons"].str.split("; ").explode().value_counts().items()
        ],
        columns=["file", "reason", "rows"],
    )


def _print_table(rows: "pd.DataFrame", title: str) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    if rows.empty:
        console.print(escape(f"{title}: empty"))
        return
    if not console.is_terminal:
        console.width = 240  # a file or a log: keep each row on one line
    table = Table(title=escape(title), title_justify="left", box=SIMPLE)
    for name in rows:
        table.add_column(str(name), overflow="fold", justify="right" if name in {"ingestion", "rows"} else "left")
    for row in rows.itertuples(index=False):
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    console.print(table)


# --- feedback ---------------------------------------------------------------------------------------------------------

feedback = typer.Typer(help="Reports of errors: rows with the label that is right.")
app.add_typer(feedback, name="feedback")

Beside = Annotated[str, typer.Option("--in", metavar="PLACE", help="mongodb, or mongodb://host/database.collection.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
Reports = Annotated[list[str], typer.Argument(metavar="ID", help="As `feedback list` shows them.")]
_LABELS = typer.Option(help="phishing or legitimate.", metavar="LABEL")


def _beside(place: str) -> "AbstractContextManager[OpenCollection]":
    from networksecurity.data import mongodb

    return mongodb.open(mongodb.parse_target(place, settings()))


@feedback.command()
def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows with the features, .csv or .parquet.")],
    label: Annotated[Literal["phishing", "legitimate"], _LABELS],
    by: By,
    comment: Annotated[str, typer.Option(help="Kept with the report.")] = "",
    place: Beside = "mongodb",
) -> None:
    """Report that each row of a file has this label; it waits for a person to accept it."""
    from networksecurity.data import sources

    rows = sources.parse_file(file, settings()).read().frame
    with _beside(place) as opened:
        print("\n".join(opened.add_feedback(rows, label=label, by=by, comment=comment)))


@feedback.command("list")
def list_feedback(
    status: Annotated[Literal["open", "accepted", "rejected"] | None, typer.Option(metavar="STATUS")] = None,
    place: Beside = "mongodb",
    as_json: Json = False,
) -> None:
    """Show reports, oldest first; --status open, accepted or rejected."""
    import pandas as pd

    with _beside(place) as opened:
        reports = opened.list_feedback(status)
    if as_json:
        print(json.dumps([report.model_dump(mode="json") for report in reports], indent=2))
        return
    columns = ["id", "when (UTC)", "label", "by", "status", "comment"]
    rows = [(of.id, f"{of.at:%Y-%m-%d %H:%M:%S}", of.label, of.by, of.status, of.comment) for of in reports]
    _print_table(pd.DataFrame(rows, columns=columns), title="Feedback")


@feedback.command()
def accept(names: Reports, by: By, place: Beside = "mongodb") -> None:
    """Make reports labelled rows; rows with the same features get the label too."""
    with _beside(place) as opened:
        for name in names:
            done = opened.accept_feedback(name, by=by)
            print(f"{name}: accepted, ingestion {done.ingestion}; {done.n_overridden:,} rows had the other label")


@feedback.command()
def reject(names: Reports, by: By, place: Beside = "mongodb") -> None:
    """Close reports without a consequence."""
    with _beside(place) as opened:
        for name in names:
            print(f"{opened.reject_feedback(name, by=by).id}: rejected")


# --- champion ---------------------------------------------------------------------------------------------------------

champion = typer.Typer(help="The version of the model in use.")
app.add_typer(champion, name="champion")

Reason = Annotated[str, typer.Option("--reason", help="Why; stored with the version.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A number.")]
ContractName = Literal["websites", "addresses"]
Contract = Annotated[ContractName, typer.Option("--contract", help="What the model's rows are.")]


def _registry(contract: str = "websites") -> "Registry":
    from networksecurity.champion.registry import Registry
    from networksecurity.tracking.server import connect

    return Registry(connect(settings()), settings().registered_model(contract))


@champion.command()
def show(contract: Contract = "websites", as_json: Json = False) -> None:
    """Show the version in use, the one before it and the newest candidate."""
    from networksecurity.champion.registry import CANDIDATE, CHAMPION, PREVIOUS

    registry = _registry(contract)
    found = {alias: registry.find(alias) for alias in (CHAMPION, PREVIOUS, CANDIDATE)}
    if as_json:
        versions = {alias: version and version.model_dump(exclude={"tags"}) for alias, version in found.items()}
        print(json.dumps({"name": registry.name, **versions}, indent=2))
        return
    print(f"{registry.name} at {registry.server.address}")
    for alias, version in found.items():
        print(f"{alias:>9}  {_version_line(version)}")


def _version_line(version: "RegisteredVersion | None") -> str:
    if version is None:
        return "none"
    figures = [f"{name} {float(of):.4f}" for name in ("f1_score", "recall_score") if (of := version.tags.get(name))]
    return ", ".join([f"version {version.version}", *figures, *filter(None, [version.tags.get("data.source")])])


@champion.command()
def history(contract: Contract = "websites", as_json: Json = False) -> None:
    """Show all decisions, the oldest first."""
    import pandas as pd

    from networksecurity.champion.changes import history

    registry = _registry(contract)
    events = history(registry)
    if as_json:
        print(json.dumps([event.model_dump(mode="json") for event in events], indent=2))
        return
    columns = ["when (UTC)", "what", "version", "champion before", "by", "why"]
    rows = [
        (
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            event.action if event.done else f"{event.action}, not finished",
            event.version,
            event.champion or "none",
            f"flow run {event.flow_run}" if event.flow_run else "hand",
            event.why,
        )
        for event in events
    ]
    _print_table(pd.DataFrame(rows, columns=columns), title=f"Decisions about {registry.name}")


@champion.command()
def promote(
    version: Version, reason: Reason = "by hand", contract: Contract = "websites", as_json: Json = False
) -> None:
    """Put a version in use, regardless of the gate; its stored model is verified first."""
    from networksecurity.champion.changes import promote

    _say_in_use(promote(_registry(contract), version, why=reason), as_json)


@champion.command()
def rollback(
    to: Annotated[str, typer.Option(metavar="VERSION", help="By default the one in use before.")] = "",
    reason: Reason = "by hand",
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Put an earlier version in use again; a second rollback undoes the first."""
    from networksecurity.champion.changes import rollback

    _say_in_use(rollback(_registry(contract), to or None, why=reason), as_json)


def _say_in_use(version: "RegisteredVersion", as_json: bool) -> None:
    if as_json:
        print(version.model_dump_json(indent=2, exclude={"tags"}))
    else:
        print(f"version {version.version} of {version.name} is the champion")


@champion.command()
def explain(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="By default the champion.")] = "",
    contract: Contract = "websites",
    as_json: Json = False,
) -> None:
    """Say why a version is or is not the champion: the last decision about it and its reasons."""
    from networksecurity.champion.changes import history

    registry = _registry(contract)
    version = version or registry.choose().version
    events = [event for event in history(registry) if event.version == version]
    if not events:
        raise TrackingError(f"there is no decision about a version {version} of {registry.name}")
    last = events[-1]
    if as_json:
        print(last.model_dump_json(indent=2))
        return
    against = f"version {last.champion} was the champion" if last.champion else "there was no champion"
    print(f"version {version} of {registry.name}: {last.action} at {last.at:%Y-%m-%d %H:%M:%S} UTC, when {against}")
    reasons = last.decision.reasons if last.decision and last.why in last.decision.reasons else (last.why,)
    for reason in reasons:
        print(f"- {reason}")


# --- evaluate ---------------------------------------------------------------------------------------------------------


@app.command()
def evaluate(
    source: Annotated[str, typer.Option(metavar="SOURCE", help="Labelled rows: whatever can be trained on.")],
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="A number or an alias.")] = "champion",
    margin: Annotated[float, typer.Option(help="By how much F1 may be lower.", min=0, max=1)] = 0.01,
    contract: Contract = "websites",
    positive: Annotated[str | None, typer.Option(help="The label that means phishing, of addresses.")] = None,
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

    rows, registry = sources.parse(source, settings(), contract), _registry(contract)
    version = registry.choose(model_version)
    accepted = get_contract(contract, positive).validate(rows.read().frame).accepted
    found = review_version(registry, version, accepted, margin=margin)
    experiment, sha256 = settings().mlflow_experiment_name, fingerprint(accepted)
    about = {"experiment_name": experiment, "source": rows.shown, "data_sha256": sha256}
    record_review(registry, version, found, key=uuid4().hex, **about)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        _print_table(pd.DataFrame(found.to_table()), title=f"Version {version.version} on {rows.shown}")
        print(f"{found.reason}\n{found.to_line()}")
    raise typer.Exit(EXIT_CODES[found.verdict])


# --- check ------------------------------------------------------------------------------------------------------------


@app.command()
def check(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses; - reads one a line from the input.")],
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="A number or an alias.")] = "champion",
    as_json: Json = False,
) -> None:
    """Say whether addresses are phishing, by their text alone: nothing is fetched.

    The exit code is 3 if any is phishing, 1 if any is no address, otherwise 0. Needs a model trained with --contract
    addresses.
    """
    from networksecurity.prediction.checking import EXIT_PHISHING, Verdict, check_addresses

    texts = [text for url in urls for text in (sys.stdin.read().splitlines() if url == "-" else [url]) if text.strip()]
    registry = _registry("addresses")
    version = registry.choose(model_version)
    verdicts: list[Verdict] = check_addresses(registry.load_model(version), texts)
    if as_json:
        found = {"model": registry.name, "version": version.version, "verdicts": [of.model_dump() for of in verdicts]}
        print(json.dumps(found, indent=2))
    else:
        for verdict in verdicts:
            print(verdict.to_line())
        print(f"by version {version.version} of {registry.name}", file=sys.stderr)
    if any(verdict.label == "phishing" for verdict in verdicts):
        raise typer.Exit(EXIT_PHISHING)
    if any(verdict.problem for verdict in verdicts):
        raise typer.Exit(1)


# --- serve ------------------------------------------------------------------------------------------------------------


@app.command()
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


if __name__ == "__main__":
    main()
