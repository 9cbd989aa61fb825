"""A check of the core budget of a training."""

from networksecurity.finding import Finding
from networksecurity.settings import Settings
from networksecurity.training.search import available_cores


def check_cores(settings: Settings) -> list[Finding]:
    """Compare NETWORKSECURITY_CORES with the cores that this process may use."""
    usable, wanted = available_cores(), settings.cores
    if wanted and wanted > usable:
        found = f"NETWORKSECURITY_CORES is {wanted}, this process may use {usable}: a training uses {usable}"
        fix = f"set NETWORKSECURITY_CORES to {usable} or less"
        return [Finding(subject="cores", state="warning", found=found, fix=fix)]
    return [Finding(subject="cores", state="ok", found=f"a training uses {available_cores(wanted)} of {usable}")]
