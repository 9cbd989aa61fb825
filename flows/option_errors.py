"""Options that do not exist, and the ones that were probably meant."""

import sys
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import BaseModel

from networksecurity.exceptions import shortened

from .ending import WRONG_OPTION


def refuse_misspelt(model: type[BaseModel], arguments: list[str], program: str) -> None:
    """Exit with what was probably meant if an option is none, and nearly one."""
    known = ["--help", "--quiet", "--verbose", "--json", *_options(model)]
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and len(option) > 2 and option not in known:
            [meant] = get_close_matches(option, known, n=1) or [None]
            if meant:
                print(
                    f"{program}: error: there is no option {shortened(option, 100)}. Did you mean `{meant}`?",
                    file=sys.stderr,
                )
                sys.exit(WRONG_OPTION)


def _options(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        option = prefix + name.replace("_", "-")
        yield f"--{option}"
        if field.annotation is bool:
            yield f"--{prefix}no-{name.replace('_', '-')}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _options(field.annotation, f"{option}.")
