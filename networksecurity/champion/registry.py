"""The registered model: its versions, the aliases that point to them, and a model by its name.

An alias is a pointer that moves: `candidate` is the newest version, `champion` the one in use, `previous` the one that
was in use before. Servers without alias endpoints hold the pointer in a tag of the registered model instead; the
functions here take and give the same either way.

Every decision about a version is a tag of that version, an `Event` as JSON, so that the history is where the models
are.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import mlflow.artifacts
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from pydantic import BaseModel, ValidationError
from sklearn.pipeline import Pipeline

from networksecurity.champion.decision import Champion, Decision
from networksecurity.data.sources import is_sample
from networksecurity.data.storage import load_model as load_skops
from networksecurity.exceptions import DataSourceError, PromotionConflictError, PromotionError, TrackingError
from networksecurity.monitoring.drift import ReferenceProfile
from networksecurity.tracking.runs import CARD_FILE, PROBE_FILE, REFERENCE_FILE
from networksecurity.tracking.server import TrackingServer

CANDIDATE = "candidate"
"""The alias of the newest version."""
CHAMPION = "champion"
"""The alias of the version that is in use."""
PREVIOUS = "previous"
"""The alias of the version that was in use before."""

WATERMARK_TAG = "data.watermark"
"""The tag, on a version trained on a collection that grows, that says how far it had grown: see `mongodb`."""

TEST_SIZE_TAG, RANDOM_STATE_TAG = "data.test_size", "data.random_state"
"""The tags, on a version, that say which rows were kept from it: see `splitting`."""

_ALIAS_TAG = "networksecurity.alias."
_EVENT_TAG = "networksecurity.event."
_TURN_TAG = "networksecurity.turn"
_LONGEST_PROBE = 300.0
"""Seconds; it takes five where nothing else runs, nearly all of them imports."""


class RegisteredVersion(BaseModel, frozen=True):
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    source: str
    """Where its files are, as MLflow writes it."""
    tags: dict[str, str]

    @property
    def is_synthetic(self) -> bool:
        """Whether it has learned from the built-in sample."""
        return is_sample(self.tags.get("data.source", ""))


class Event(BaseModel, frozen=True):
    """Something that was decided about a version."""

    at: datetime
    """In UTC."""
    action: Literal["promote", "keep", "rollback"]
    """`keep`: the version was weighed, and did not become the champion."""
    version: str
    champion: str | None
    """The version that was in use until then; None where there was none."""
    why: str
    flow_run: str | None = None
    """Id of the Prefect flow run; None where it was done by hand."""
    decision: Decision | None = None
    """What the gate found; None where it was not asked."""
    done: bool = True
    """False while the champion is being changed, and ever after where that was cut off."""

    @property
    def key(self) -> str:
        """The tag that holds it."""
        return f"{_EVENT_TAG}{self.at:%Y%m%dT%H%M%S.%fZ}"


def register(
    server: TrackingServer,
    name: str,
    model_uri: str,
    run_id: str,
    *,
    tags: Mapping[str, str],
    description: str,
    alias: str = CANDIDATE,
) -> RegisteredVersion:
    """Register a logged model as a new version of `name`, and let `alias` point to it.

    Done again for the same run it returns the version there is.

    Raises
    ------
    TrackingUnavailableError
        The server or database cannot be reached.
    TrackingError
        It answered and refused.
    """
    with server.errors():
        client = server.client()
        try:
            client.create_registered_model(name)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        there = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        version = there[0] if there else _create_version(server, name, model_uri, run_id, tags, description)
        set_alias(server, name, alias, version.version)
        return _as_value(version)


def set_alias(server: TrackingServer, name: str, alias: str, version: str) -> None:
    """Let `alias` point to a version, wherever it pointed before."""
    with server.errors():
        if server.aliases:
            server.client().set_registered_model_alias(name, alias, version)
        else:
            server.client().set_registered_model_tag(name, f"{_ALIAS_TAG}{alias}", version)


def find_version(server: TrackingServer, name: str, *aliases: str) -> RegisteredVersion | None:
    """Return the version that the first of `aliases` points to which there is, or None.

    The version in use is `find_version(server, name, CHAMPION, CANDIDATE)`: the champion, or the newest where none was
    ever promoted.
    """
    with server.errors():
        client = server.client()
        for alias in aliases:
            try:
                if server.aliases:
                    return _as_value(client.get_model_version_by_alias(name, alias))
                if number := client.get_registered_model(name).tags.get(f"{_ALIAS_TAG}{alias}"):
                    return _as_value(client.get_model_version(name, number))
            except MlflowException as exc:
                if exc.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
    return None


def get_version(server: TrackingServer, name: str, *aliases: str) -> RegisteredVersion:
    """Return what `find_version` returns.

    Raises
    ------
    TrackingError
        There is no such model, or none of the aliases.
    """
    version = find_version(server, name, *aliases)
    if version is None:
        raise TrackingError(
            f"no version of {name} has the alias {' or '.join(aliases)} at {server.address}: train first, put a "
            "version in use (`networksecurity champion promote VERSION`), or point MLFLOW_TRACKING_URI at the server "
            "that was trained to"
        )
    return version


def choose_version(server: TrackingServer, name: str, wanted: str = CHAMPION) -> RegisteredVersion:
    """Return a version by its number, or by an alias.

    Raises
    ------
    TrackingError
        There is no such version, or none with that alias.
    """
    return _version(server, name, wanted) if wanted.isdecimal() else get_version(server, name, wanted)


def load_model(server: TrackingServer, version: RegisteredVersion) -> Pipeline:
    """Return the pipeline of a version.

    Its skops file is read with this package's own list of types, whatever the model's description would allow, so it
    is safe where `MLFLOW_ALLOW_PICKLE_DESERIALIZATION` is `false` and MLflow loads no scikit-learn model at all.

    Raises
    ------
    TrackingError
        The files are gone, or are not a model that this package stored.
    """
    with _downloaded(server, version) as folder:
        flavor = Model.load(str(folder)).flavors.get("sklearn", {})
        if flavor.get("serialization_format") != "skops":
            raise TrackingError(
                f"version {version.version} of {version.name} was not stored by skops: it is not loaded"
            )
        return load_skops((folder / flavor["pickled_model"]).read_bytes())


def load_card(server: TrackingServer, version: RegisteredVersion) -> str | None:
    """Return the model card of a version, in Markdown; None where there is none with its run."""
    try:
        with server.errors(), tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            card = mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path=CARD_FILE, dst_path=folder, tracking_uri=server.uri
            )
            return Path(card).read_text(encoding="utf-8")
    except TrackingError:
        return None


def load_reference(server: TrackingServer, version: RegisteredVersion) -> ReferenceProfile:
    """Return the reference profile of the rows behind a version.

    Raises
    ------
    TrackingError
        There is none with it, or it is damaged.
    """
    with _downloaded(server, version) as folder:
        try:
            return ReferenceProfile.model_validate_json((folder / REFERENCE_FILE).read_bytes())
        except (FileNotFoundError, ValidationError) as exc:
            raise TrackingError(
                f"version {version.version} of {version.name} has no reference profile that can be read: train again "
                f"({type(exc).__name__})"
            ) from exc


# --- the champion -----------------------------------------------------------------------------------------------------


def consider(
    server: TrackingServer,
    candidate: RegisteredVersion,
    judge: Callable[[Champion | None], Decision],
    *,
    dry_run: bool = False,
    flow_run: str | None = None,
) -> Decision:
    """Let `judge` weigh a version against the champion, record the decision, and promote where it says so.

    Done again after it was cut off, it goes on from there.

    Parameters
    ----------
    server : TrackingServer
    candidate : RegisteredVersion
    judge : callable
        Takes the champion, or None where there is none; as `promotion.decide` with the rest of its arguments.
    dry_run : bool
        Change nothing, and record nothing.
    flow_run : str, optional

    Raises
    ------
    PromotionError
        What is stored under the version is not the model that was evaluated.
    PromotionConflictError
        The champion was changed by another meanwhile: consider again.
    """
    current = find_version(server, candidate.name, CHAMPION)
    if current is not None and current.version == candidate.version and not dry_run:
        decided = _last_event(current)
        if decided is not None and decided.decision is not None:
            _finish(server, current)
            return decided.decision
    decision = judge(_as_champion(server, current))
    if dry_run:
        return decision
    if decision.outcome == "promote":
        promote(
            server, candidate.name, candidate.version, why=decision.reasons[0], decision=decision, flow_run=flow_run
        )
    else:
        kept = _event("keep", candidate, current, decision.reasons[0], flow_run=flow_run, decision=decision)
        with server.errors():
            _record(server, candidate.name, kept)
    return decision


def promote(
    server: TrackingServer,
    name: str,
    version: str,
    *,
    why: str = "by hand",
    decision: Decision | None = None,
    flow_run: str | None = None,
) -> RegisteredVersion:
    """Let `champion` point to a version, and `previous` to the one before, once its stored model was checked.

    There is a champion at each moment. Done again after it was cut off, it goes on from there; of the champion, it
    does nothing.

    Parameters
    ----------
    server : TrackingServer
    name, version : str
    why : str
        Recorded with the version.
    decision : Decision, optional
        What the gate found; it has to be about today's champion.
    flow_run : str, optional

    Raises
    ------
    TrackingError
        There is no such version.
    PromotionError
        What is stored under the version is not the model that was evaluated. That is recorded too.
    PromotionConflictError
        The champion was changed by another meanwhile.
    """
    new, current = _version(server, name, version), find_version(server, name, CHAMPION)
    if current is not None and current.version == new.version:
        return _finish(server, current)
    if decision is not None and decision.champion != (current.version if current else None):
        raise _conflict(name, current)
    return _change(server, new, current, _event("promote", new, current, why, flow_run=flow_run, decision=decision))


def rollback(
    server: TrackingServer, name: str, to: str | None = None, *, why: str = "by hand", flow_run: str | None = None
) -> RegisteredVersion:
    """Let `champion` point to a version that was there before, by default that of `previous`.

    Since `previous` then points to the version that was left, a second rollback undoes the first.

    Raises
    ------
    TrackingError
        There is no such version, or no champion.
    PromotionError
        There is none to go back to, or what is stored under it is not the model that was evaluated.
    PromotionConflictError
        The champion was changed by another meanwhile.
    """
    current = get_version(server, name, CHAMPION)
    last = _last_event(current)
    if last is not None and not last.done and last.action == "rollback" and to in {None, current.version}:
        return _finish(server, current)
    target = _version(server, name, to) if to else find_version(server, name, PREVIOUS)
    if not to and (target is None or target.version == current.version) and last is not None and last.champion:
        target = _version(server, name, last.champion)  # an earlier change was cut off between the two aliases
    if target is None or target.version == current.version:
        which = f"version {to} is the champion already" if to else "none was the champion before"
        raise PromotionError(f"there is no version of {name} to go back to from {current.version}: {which}")
    return _change(server, target, current, _event("rollback", target, current, why, flow_run=flow_run))


def history(server: TrackingServer, name: str) -> tuple[Event, ...]:
    """Return all that was decided about the versions of a model, the oldest first.

    Raises
    ------
    TrackingError
        A tag of a version that should hold an event does not.
    """
    events: list[Event] = []
    with server.errors():
        page = None
        while page is None or page.token:
            page = server.client().search_model_versions(f"name = '{name}'", page_token=page.token if page else None)
            for version in page:
                events += _events(_as_value(version))
    return tuple(sorted(events, key=lambda event: event.at))


def verify(server: TrackingServer, version: RegisteredVersion) -> None:
    """Load the stored model of a version in a process of its own, and compare its answers with those that it gave.

    Raises
    ------
    PromotionError
        It cannot be loaded, takes other columns, or answers otherwise than the model that was evaluated.
    """

    def refused(reason: str) -> PromotionError:
        return PromotionError(f"version {version.version} of {version.name} is not fit to be the champion: {reason}")

    with _downloaded(server, version) as folder:
        try:
            probe = pd.read_parquet(folder / PROBE_FILE)
            expected = probe[["y_pred", "y_score"]].to_numpy()
        except (OSError, ValueError, KeyError) as exc:
            raise refused(f"no rows to probe it with can be read beside it ({type(exc).__name__})") from exc
        try:
            done = subprocess.run(  # noqa: S603 (this interpreter, and the code below)
                [sys.executable, "-c", _ANSWER, str(folder)],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LONGEST_PROBE,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise refused(f"it does not answer within {_LONGEST_PROBE:g} s") from exc
        if done.returncode:
            raise refused((done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1])
        answers = np.load(folder / _ANSWERS_FILE)
        # The classes alike; probabilities up to the order in which another number of threads adds up.
        if not ((answers[:, 0] == expected[:, 0]).all() and np.allclose(answers, expected, rtol=0, atol=1e-9)):
            different = int((~np.isclose(answers, expected, rtol=0, atol=1e-9).all(axis=1)).sum())
            raise refused(f"it answers {different} of {len(expected)} rows otherwise than when it was evaluated")


_ANSWERS_FILE = "answers.npy"
_ANSWER = f"""
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from networksecurity.data.schema import FEATURES
from networksecurity.data.storage import load_model

folder = Path(sys.argv[1])
stored = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
if [column["name"] for column in json.loads(stored["signature"]["inputs"])] != list(FEATURES):
    sys.exit("it does not take the 30 features of this data")
model = load_model((folder / stored["flavors"]["sklearn"]["pickled_model"]).read_bytes())
X = pd.read_parquet(folder / "{PROBE_FILE}")[list(FEATURES)]
np.save(folder / "{_ANSWERS_FILE}", np.column_stack([model.predict(X), model.predict_proba(X)[:, 1]]))
"""


def _change(
    server: TrackingServer, new: RegisteredVersion, current: RegisteredVersion | None, event: Event
) -> RegisteredVersion:
    """Check the stored model of `new`, then make it the champion."""
    try:
        verify(server, new)
    except PromotionError as exc:
        with server.errors():
            _record(server, new.name, event.model_copy(update={"action": "keep", "why": str(exc)}))
        raise
    return _move(server, new, current, event)


def _finish(server: TrackingServer, current: RegisteredVersion) -> RegisteredVersion:
    """Go through the end of a change that was cut off, if the champion's was."""
    pending = _last_event(current)
    if pending is None or pending.done:
        return current
    return _move(server, current, current, pending.model_copy(update={"done": True}))


def _move(
    server: TrackingServer, new: RegisteredVersion, current: RegisteredVersion | None, event: Event
) -> RegisteredVersion:
    """Make `new` the champion if `current` still is.

    A server has no compare-and-set. So each change first writes its name into one tag, the turn, then looks whether
    the champion still is the one that it knows, changes it, and looks whether the turn is still its own. Of two changes
    at once at least one then finds out: if the first reads its own name at the end, the second had not yet written
    its own, and so looks at the champion after the change. The later turn wins.
    """
    turn = f"{event.version} {event.key}"
    with server.errors():
        client = server.client()
        client.set_registered_model_tag(new.name, _TURN_TAG, turn)
        found = find_version(server, new.name, CHAMPION)
        if (found.version if found else None) != (current.version if current else None):
            raise _conflict(new.name, found)
        _record(server, new.name, event.model_copy(update={"done": False}))
        # In this order: cut off in between, there is a champion, and both aliases point to it.
        if event.champion is not None:
            set_alias(server, new.name, PREVIOUS, event.champion)
        set_alias(server, new.name, CHAMPION, new.version)
        last = client.get_registered_model(new.name).tags[_TURN_TAG]
        if last != turn:
            other, _, key = last.partition(" ")
            if key in client.get_model_version(new.name, other).tags:  # it saw the old champion, as we did
                set_alias(server, new.name, CHAMPION, other)
            raise _conflict(new.name, find_version(server, new.name, CHAMPION))
        _record(server, new.name, event)
    return new


def _conflict(name: str, current: RegisteredVersion | None) -> PromotionConflictError:
    now = f"it is version {current.version} now" if current else "there is none now"
    return PromotionConflictError(f"the champion of {name} was changed by another meanwhile ({now}): try again")


def _event(
    action: Literal["promote", "keep", "rollback"],
    version: RegisteredVersion,
    current: RegisteredVersion | None,
    why: str,
    *,
    flow_run: str | None = None,
    decision: Decision | None = None,
) -> Event:
    return Event(
        at=datetime.now(UTC),
        action=action,
        version=version.version,
        champion=current.version if current else None,
        why=why,
        flow_run=flow_run,
        decision=decision,
    )


def _record(server: TrackingServer, name: str, event: Event) -> None:
    server.client().set_model_version_tag(name, event.version, event.key, event.model_dump_json())


def _events(version: RegisteredVersion) -> list[Event]:
    try:
        found = [Event.model_validate_json(text) for tag, text in version.tags.items() if tag.startswith(_EVENT_TAG)]
    except ValidationError as exc:
        raise TrackingError(
            f"a tag {_EVENT_TAG}… of version {version.version} of {version.name} was changed by hand and cannot be "
            "read: delete it"
        ) from exc
    return sorted(found, key=lambda event: event.at)


def _last_event(version: RegisteredVersion) -> Event | None:
    return max(_events(version), key=lambda event: event.at, default=None)


def _version(server: TrackingServer, name: str, version: str) -> RegisteredVersion:
    with server.errors():
        try:
            return _as_value(server.client().get_model_version(name, version))
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise TrackingError(
                f"there is no version {version} of {name} at {server.address}: `networksecurity champion show` tells "
                "which is in use, and which is the newest"
            ) from exc


def _as_champion(server: TrackingServer, current: RegisteredVersion | None) -> Champion | None:
    if current is None:
        return None
    split = None
    if TEST_SIZE_TAG in current.tags and RANDOM_STATE_TAG in current.tags:
        split = float(current.tags[TEST_SIZE_TAG]), int(current.tags[RANDOM_STATE_TAG])
    try:
        model, problem = load_model(server, current), ""
    except (TrackingError, DataSourceError) as exc:
        model, problem = None, str(exc)
    return Champion(current.version, model, split, problem=problem, synthetic=current.is_synthetic)


# --- what both share --------------------------------------------------------------------------------------------------


@contextmanager
def _downloaded(server: TrackingServer, version: RegisteredVersion) -> Iterator[Path]:
    with server.errors(), tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
        yield Path(mlflow.artifacts.download_artifacts(version.source, dst_path=folder, tracking_uri=server.uri))


def _create_version(
    server: TrackingServer, name: str, model_uri: str, run_id: str, tags: Mapping[str, str], description: str
) -> ModelVersion:
    model_id = model_uri.removeprefix("models:/") if server.logged_models else None
    client = server.client()
    # An old server takes no runs:/ address.
    source = model_uri if model_id else f"{client.get_run(run_id).info.artifact_uri}/{model_uri.rpartition('/')[2]}"
    return client.create_model_version(
        name, source, run_id, tags=dict(tags), description=description, await_creation_for=0, model_id=model_id
    )


def _as_value(version: ModelVersion) -> RegisteredVersion:
    return RegisteredVersion(
        name=version.name,
        version=str(version.version),
        run_id=version.run_id or "",
        source=version.source or "",
        tags=dict(version.tags),
    )
