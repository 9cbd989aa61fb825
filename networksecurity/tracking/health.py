"""A check of the MLflow that runs and models go to. Nothing is made or changed there."""

from networksecurity.exceptions import TrackingError
from networksecurity.finding import Finding, failure_of
from networksecurity.settings import Settings
from networksecurity.tracking.server import look


def check_tracking(settings: Settings) -> list[Finding]:
    """Check the local database, the server or the DagsHub repository that the settings name.

    Raises
    ------
    ConfigurationError, TrackingUnavailableError, TrackingError
        It cannot be used; of a DagsHub repository, the token or the repository may be wrong.
    """
    try:
        server = look(settings)
    except TrackingError as exc:
        if "as MLflow's database" not in str(exc):
            raise
        fix = "restore it from a backup, or move the file away: the next training makes a new one"
        return [failure_of("tracking", exc, fix)]
    if server is None:
        return [Finding(subject="tracking", state="note", found="no database yet: the first training makes it")]
    lacking = [name for name in ("logged_models", "aliases") if not getattr(server, name)]
    if lacking:
        found = f"{server.address} has no {' and no '.join(lacking).replace('_', ' ')}: tags are used instead"
        return [Finding(subject="tracking", state="note", found=found)]
    return [Finding(subject="tracking", state="ok", found=server.address)]
