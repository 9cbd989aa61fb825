"""What is wrong with an option or a setting, in the words of its field in place of pydantic's."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from networksecurity.exceptions import shortened

_WORDS = {
    "missing": "is needed",
    "bool_parsing": "has to be true or false",
    "literal_error": "has to be {expected}",
    "string_unicode": "has to be UTF-8 text",
    "string_too_short": "may not be empty",
    "string_too_long": "may have at most {max_length} characters",
}
"""What an error of pydantic means, by its type."""
_NUMBERS = ("int_", "float_", "greater_than", "less_than", "finite_number")
"""What the types of the errors begin with that are about numbers."""
_BOUNDS = {"ge": "of at least {}", "gt": "above {}", "le": "of at most {}", "lt": "below {}"}


def in_words(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with a value of a model's field.

    Examples
    --------
    >>> from pydantic import Field, ValidationError
    >>> class Folds(BaseModel):
    ...     cv: int = Field(ge=2, le=50)
    >>> try:
    ...     Folds(cv=1)
    ... except ValidationError as exc:
    ...     in_words(exc.errors()[0], Folds)
    'has to be a whole number from 2 to 50'
    """
    if error["type"].startswith(_NUMBERS) and (field := _field_at(error["loc"], model)):
        return f"has to be {_number(field)}"
    if known := _WORDS.get(error["type"]):
        return known.format(**error.get("ctx", {}))
    return briefly(error["msg"].removeprefix("Value error, "), error["input"])


MOST_SHOWN = 100
"""Characters of a value that a message shows."""


def briefly(message: str, value: object) -> str:
    """Return a message that may quote a value, with no more of the value than `MOST_SHOWN`.

    Examples
    --------
    >>> briefly("there is no file /" + 200 * "x", 200 * "x")[-8:]
    'xxxxxxx…'
    """
    for text in map(str, value if isinstance(value, list | tuple) else (value,)):
        if len(text) > MOST_SHOWN:
            message = message.replace(text, shortened(text, MOST_SHOWN))
    return message


def _field_at(place: Sequence[int | str], model: type[BaseModel]) -> FieldInfo | None:
    named = {str(of.validation_alias or name): of for name, of in model.model_fields.items()}
    field = named.get(str(place[0]))
    inner = field.annotation if field else None
    if len(place) > 1 and isinstance(inner, type) and issubclass(inner, BaseModel):
        return _field_at(place[1:], inner)
    return field


def _number(field: FieldInfo) -> str:
    """Return what a number has to be, such as `a whole number from 2 to 50`."""
    parts = list(_parts(field.annotation))
    bounds = {
        name: getattr(bound, name) for bound in (*field.metadata, *parts) for name in _BOUNDS if hasattr(bound, name)
    }
    kind = "a whole number" if int in parts else "a number"
    if bounds.keys() == {"ge", "le"}:
        return f"{kind} from {bounds['ge']} to {bounds['le']}"
    return " ".join([kind, " and ".join(_BOUNDS[name].format(bound) for name, bound in bounds.items())]).strip()


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation, and what annotates them."""
    if get_origin(annotation) is None:
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def with_short_words(message: str) -> str:
    r"""Return another library's message, which may quote what was typed, on one line and without words of any length.

    Examples
    --------
    >>> with_short_words("unrecognized\n arguments: " + 200 * "x")[:30]
    'unrecognized arguments: xxxxxx'
    """
    return " ".join(shortened(word, MOST_SHOWN) for word in message.split())
