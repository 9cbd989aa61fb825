"""What the service answers with: the champion, replaced when another becomes it, and the overrides beside it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Lock, Thread

from networksecurity.champion.registry import CHAMPION, RegisteredVersion, Registry
from networksecurity.data.contracts import get_contract, option_of
from networksecurity.data.overrides.override import Overrides
from networksecurity.data.overrides.store import overrides_in_force
from networksecurity.exceptions import NetworkSecurityException
from networksecurity.prediction.native import FastPipeline, prepare
from networksecurity.prediction.reasons import Explainer, alternatives_of
from networksecurity.settings import Settings
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.search import available_cores

_log = logging.getLogger(__name__)

Checked = Callable[[str | None], None]
"""Hears, after each check for a new champion, why there is no model; None if there is one."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version of the model, in memory."""

    version: RegisteredVersion
    model: FastPipeline
    explainer: Explainer | None
    """None if no profile of the rows behind the version was stored with it."""
    known: KnownFeatures | None
    """Its F1 by what is known of a row; None for an older version, or a contract without groups of features."""
    card: str | None
    loaded_at: datetime


class ModelInUse:
    """The version behind the alias `champion`, checked again and again.

    While the tracking server is down, the alias missing or a new version damaged, the old one stays. So do the
    overrides while their place cannot be read.
    """

    def __init__(self, settings: Settings, checked: Checked | None = None) -> None:
        self._settings = settings
        self._checked = checked
        self._lock = Lock()
        self.current: LoadedVersion | None = None
        """Replaced as a whole: a request that has taken it keeps it to its end."""
        self.overrides = Overrides(settings.serve_contract)
        """Of the contract; replaced as a whole."""
        self.problem: str | None = "the champion is being loaded"
        """What the last check ran into."""
        self._failed = False

    def refresh(self) -> None:
        """Check which version is the champion, and load it if it is a new one."""
        with self._lock:
            try:
                problem = self._read_overrides()  # first: no answer is given without those that are known
                problem = self._refresh() or problem
            except NetworkSecurityException as exc:
                problem = str(exc)
            except Exception as exc:  # noqa: BLE001 (a bug here must neither end the checks nor cost the loaded model)
                _log.exception("checking for a new champion failed")
                problem = f"checking for a new champion failed ({type(exc).__name__}): see the log"
            if problem is None and self._failed:
                _log.info("checking for a new champion works again")
            elif problem is not None and problem != self.problem:
                kept = f"version {self.current.version.version} stays in use" if self.current else "there is no model"
                _log.warning("%s (%s)", problem, kept)
            self.problem, self._failed = problem, problem is not None
            if self._checked:
                self._checked(None if self.current else problem)

    def _read_overrides(self) -> str | None:
        try:
            found = overrides_in_force(self._settings, self._settings.serve_contract, datetime.now(UTC))
        except NetworkSecurityException as exc:
            return f"the overrides cannot be read: {exc}"
        if found != self.overrides:
            self.overrides = found
            _log.info("%s overrides are in force", len(found.by_key))
        return None

    def _refresh(self) -> str | None:
        contract = get_contract(self._settings.serve_contract)
        registry = Registry.of(self._settings, contract)
        version = registry.find(CHAMPION)
        if version is None:
            return (
                f"no version of {registry.name} is the champion at {registry.server.address}: train one, or promote "
                f"one with `networksecurity champion promote VERSION{option_of(contract)}`"
            )
        registry.check_contract(version)
        now = self.current and self.current.version
        if now is None or (now.version, now.source) != (version.version, version.source):
            parts = registry.load_parts(version)
            # One that cannot answer the probe does not take over.
            model = prepare(parts.model, registry.load_probe(version), available_cores(self._settings.cores))
            explainer = Explainer(model, alternatives_of(parts.profile, contract)) if parts.profile else None
            card, now = registry.load_card(version), datetime.now(UTC)
            self.current = LoadedVersion(version, model, explainer, parts.known, card, now)
            _log.info("version %s of %s is in use", version.version, version.name)
        return None

    @contextmanager
    def refreshed(self) -> Iterator[None]:
        """Refresh, in a thread, at once and then every `serve_refresh` seconds."""
        ended = Event()

        def keep_refreshing() -> None:
            self.refresh()
            while not ended.wait(self._settings.serve_refresh):
                self.refresh()

        # A daemon: a tracking server that does not answer must not delay the end of the process.
        thread = Thread(target=keep_refreshing, name="champion", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=1)
