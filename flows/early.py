"""What is wrong with a command is said before anything starts: Prefect, a run in MLflow, the slow imports of a flow.

Sources that plainly exist pass at once. Anything else that an option names is checked by the code that will use it,
whose imports take a second. A run that a worker starts learns the same from its flow.
"""

import os
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from networksecurity.data.file_kinds import kind_of
from networksecurity.exceptions import ConfigurationError, DataSourceError
from networksecurity.settings import settings
from networksecurity.wrong_values import briefly

_CHECKED = ("positive", "source", "target", "output", "since")


def find_wrong(parameters: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield the options that name what is not there or cannot be used, and why.

    Raises
    ------
    ConfigurationError
        The settings are wrong.
    """
    settings()
    for option in _CHECKED:
        value = getattr(parameters, option, None)
        if not value or _is_plainly_right(option, value, parameters):
            continue
        from . import rows

        try:
            getattr(rows, f"check_{option}")(parameters)
        except (ConfigurationError, DataSourceError) as exc:
            yield option, briefly(str(exc), value)


def _is_plainly_right(option: str, value: str, parameters: Any) -> bool:
    if option != "source":
        return False
    path = os.path.expanduser(value)  # noqa: PTH111 (unlike Path, it takes a name that is too long)
    if kind_of(value) and os.path.isfile(path) and os.access(path, os.R_OK):  # noqa: PTH113
        return True
    n_rows = value.removeprefix("sample:")
    is_sized = n_rows != value and n_rows.isdecimal() and 1 <= int(n_rows[:20]) <= settings().max_sample_rows
    return (is_sized or value in ("sample", "uci")) and parameters.header == "first"
