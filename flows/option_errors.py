"""What is wrong with a command line, in the words of its options."""

import sys
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from networksecurity.exceptions import shortened

from .ending import WRONG_OPTION

_WORDS = {
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_parsing": "a number is needed",
    "bool_parsing": "true or false is needed",
    "greater_than_equal": "has to be at least {ge:g}",
    "greater_than": "has to be more than {gt:g}",
    "less_than_equal": "has to be at most {le:g}",
    "less_than": "has to be less than {lt:g}",
    "literal_error": "has to be {expected}",
    "string_too_short": "may not be empty",
    "string_too_long": "may have {max_length} characters",
}
"""What an error of pydantic means, by its type."""


def in_words(error: ErrorDetails) -> str:
    """Return what is wrong with a value."""
    known = _WORDS.get(error["type"])
    return known.format(**error.get("ctx", {})) if known else shortened(error["msg"].removeprefix("Value error, "), 500)


def refuse_misspelt(model: type[BaseModel], arguments: list[str], program: str) -> None:
    """Exit with what was probably meant if an option is none, and nearly one."""
    known = ["--help", "--quiet", "--json", *_options(model)]
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
