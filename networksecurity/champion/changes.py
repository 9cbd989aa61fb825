"""The changes of the champion, and their history.

Every decision about a version is a tag of that version, an `Event` as JSON: the history is kept with the models. Each
change can be repeated after an interruption, at any point, and continues from there.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from networksecurity.champion.comparison import Comparison
from networksecurity.champion.decision import Champion, Decision
from networksecurity.champion.registry import (
    CHAMPION,
    PREVIOUS,
    RegisteredVersion,
    Registry,
)
from networksecurity.champion.verification import verify
from networksecurity.exceptions import (
    DataSourceError,
    PromotionConflictError,
    PromotionError,
    TrackingError,
    one_line,
)

_EVENT_TAG = "networksecurity.event."
_TURN_TAG = "mlflow.networksecurity.turn"
"""On the registered model, whose page does not show tags of this prefix."""


class Event(BaseModel, frozen=True):
    """A decision about a version."""

    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    """In UTC."""
    action: Literal["promote", "keep", "rollback"]
    """`keep`: the version was weighed, and did not become the champion."""
    version: str
    champion: str | None
    """The version in use until then; None if there was none."""
    why: str
    flow_run: str | None = None
    """Id of the Prefect flow run; None for a change by hand."""
    decision: Decision | None = None
    """What the gate found; None if it was not asked."""
    done: bool = True
    """False while the change is in progress; stays False if it was interrupted."""

    @property
    def key(self) -> str:
        """The tag that holds it."""
        return f"{_EVENT_TAG}{self.at:%Y%m%dT%H%M%S.%fZ}"


def consider(
    registry: Registry,
    candidate: RegisteredVersion,
    judge: Callable[[Champion | None], Decision],
    *,
    dry_run: bool = False,
    flow_run: str | None = None,
) -> Decision:
    """Let `judge` weigh a version against the champion, record the decision, and carry it out.

    If the model stored under the version turns out not to be the one that was evaluated, the decision is to keep the
    champion.

    Parameters
    ----------
    judge : callable
        Takes the champion, or None if there is none; `decision.decide` with the rest of its arguments.
    dry_run : bool
        Change and record nothing.
    flow_run : str, optional

    Raises
    ------
    PromotionConflictError
        Another run changed the champion meanwhile: consider again.
    """
    current = registry.find(CHAMPION)
    if current is not None and current.version == candidate.version and not dry_run:
        last = _last_event(current)
        if last is not None and last.decision is not None:
            _finish(registry, current)
            return last.decision
    decision = judge(_load_champion(registry, current))
    if dry_run:
        return decision
    why = decision.reasons[0]
    if decision.outcome == "promote":
        try:
            promote(registry, candidate.version, why=why, decision=decision, flow_run=flow_run)
        except PromotionError as exc:
            return decision.model_copy(update={"outcome": "keep", "reasons": (f"{exc}.", *decision.reasons)})
    else:
        about = {"why": why, "flow_run": flow_run, "decision": decision}
        _record(registry, Event(action="keep", version=candidate.version, champion=_number(current), **about))
    return decision


def promote(
    registry: Registry,
    version: str,
    *,
    why: str = "by hand",
    decision: Decision | None = None,
    flow_run: str | None = None,
) -> RegisteredVersion:
    """Verify the stored model of a version, then point `champion` to it and `previous` to the version before.

    There is a champion at every moment. Promoting the champion changes nothing.

    Parameters
    ----------
    why : str
        Recorded with the version.
    decision : Decision, optional
        What the gate found, about today's champion.
    flow_run : str, optional

    Raises
    ------
    TrackingError
        There is no such version.
    PromotionError
        The model stored under the version is not the one that was evaluated. That is recorded too.
    PromotionConflictError
        Another run changed the champion meanwhile.
    """
    new, current = registry.version(version), registry.find(CHAMPION)
    if current is not None and current.version == new.version:
        return _finish(registry, current)
    if decision is not None and decision.champion != _number(current):
        raise _conflict(registry.name, current)
    about = {"why": why, "flow_run": flow_run, "decision": decision}
    event = Event(action="promote", version=new.version, champion=_number(current), **about)
    return _change(registry, new, current, event)


def rollback(registry: Registry, to: str | None = None, *, why: str = "by hand") -> RegisteredVersion:
    """Point `champion` to an earlier version, by default that of `previous`.

    `previous` then points to the version that was left: a second rollback undoes the first.

    Raises
    ------
    TrackingError
        There is no such version, or no champion.
    PromotionError
        There is none to go back to, or the model stored under it is not the one that was evaluated.
    PromotionConflictError
        Another run changed the champion meanwhile.
    """
    current = registry.get(CHAMPION)
    last = _last_event(current)
    if last is not None and not last.done and last.action == "rollback" and to in {None, current.version}:
        return _finish(registry, current)
    target = registry.version(to) if to else registry.find(PREVIOUS)
    if not to and (target is None or target.version == current.version) and last is not None and last.champion:
        target = registry.version(last.champion)  # an earlier change was interrupted between the two aliases
    if target is None or target.version == current.version:
        which = f"version {to} is already the champion" if to else "none was the champion before"
        raise PromotionError(f"there is no version of {registry.name} to go back to from {current.version}: {which}")
    event = Event(action="rollback", version=target.version, champion=current.version, why=why)
    return _change(registry, target, current, event)


def history(registry: Registry) -> tuple[Event, ...]:
    """Return all decisions about the versions of a model, oldest first.

    Raises
    ------
    TrackingError
        A tag that should hold an event holds something else.
    """
    events = [event for version in registry.versions() for event in _events(version)]
    return tuple(sorted(events, key=lambda event: event.at))


def earlier_comparisons(registry: Registry, candidate: RegisteredVersion) -> list[Comparison]:
    """Return the comparisons that decided about other versions than the candidate."""
    decisions = [event.decision for event in history(registry) if event.version != candidate.version]
    return [decision.comparison for decision in decisions if decision and decision.comparison]


def _change(
    registry: Registry, new: RegisteredVersion, current: RegisteredVersion | None, event: Event
) -> RegisteredVersion:
    """Verify the stored model of `new`, then make it the champion."""
    try:
        verify(registry, new)
    except PromotionError as exc:
        _record(registry, event.model_copy(update={"action": "keep", "why": str(exc)}))
        raise
    return _move(registry, new, current, event)


def _finish(registry: Registry, current: RegisteredVersion) -> RegisteredVersion:
    """Complete the change that made the champion, if it was interrupted."""
    pending = _last_event(current)
    if pending is None or pending.done:
        return current
    return _move(registry, current, current, pending.model_copy(update={"done": True}))


def _move(
    registry: Registry, new: RegisteredVersion, current: RegisteredVersion | None, event: Event
) -> RegisteredVersion:
    """Make `new` the champion if `current` still is.

    A server has no compare-and-set. Each change therefore first writes its name into one tag, the turn, then checks
    that the champion is still the one it knows, changes it, and checks that the turn is still its own. Of two changes
    at the same time at least one notices: if the first reads its own name at the end, the second had not yet written
    its own, and so it sees the champion after the change. The later turn wins.
    """
    turn = f"{event.version} {event.key}"
    registry.set_tag(_TURN_TAG, turn)
    found = registry.find(CHAMPION)
    if _number(found) != _number(current):
        raise _conflict(registry.name, found)
    _record(registry, event.model_copy(update={"done": False}))
    # In this order: after an interruption in between there is a champion, and both aliases point to it.
    if event.champion is not None:
        registry.set_alias(PREVIOUS, event.champion)
    registry.set_alias(CHAMPION, new.version)
    last = registry.tags()[_TURN_TAG]
    if last != turn:
        other, _, key = last.partition(" ")
        if key in registry.version(other).tags:  # it saw the old champion, as we did
            registry.set_alias(CHAMPION, other)
        raise _conflict(registry.name, registry.find(CHAMPION))
    _record(registry, event)
    return new


def _conflict(name: str, current: RegisteredVersion | None) -> PromotionConflictError:
    now = f"it is version {current.version} now" if current else "there is none now"
    return PromotionConflictError(f"another run changed the champion of {name} meanwhile ({now}): try again")


def _number(version: RegisteredVersion | None) -> str | None:
    return version.version if version else None


def _record(registry: Registry, event: Event) -> None:
    registry.set_tag(event.key, event.model_dump_json(), event.version)


def _events(version: RegisteredVersion) -> list[Event]:
    try:
        return [Event.model_validate_json(text) for tag, text in version.tags.items() if tag.startswith(_EVENT_TAG)]
    except ValidationError as exc:
        raise TrackingError(
            f"a tag {_EVENT_TAG}… of version {version.version} of {version.name} was changed by hand and cannot be "
            "read: delete it"
        ) from exc


def _last_event(version: RegisteredVersion) -> Event | None:
    return max(_events(version), key=lambda event: event.at, default=None)


def _load_champion(registry: Registry, current: RegisteredVersion | None) -> Champion | None:
    """Return the champion; one that cannot be loaded, or cannot answer made-up rows, comes without its model."""
    if current is None:
        return None
    try:
        model, problem = registry.load_model(current), ""
        if tuple(getattr(model, "feature_names_in_", ())) == current.contract.columns:
            model.predict_proba(registry.load_probe(current))
    except (TrackingError, DataSourceError) as exc:
        model, problem = None, one_line(exc)
    except (ValueError, TypeError, AttributeError, LookupError) as exc:  # scikit-learn's, for what is damaged
        model, problem = None, f"it does not answer ({type(exc).__name__}: {one_line(exc)})"
    return Champion(current.version, model, current.split, problem=problem, synthetic=current.is_synthetic)
