"""Reads a command line into a flow's parameters, and how it wants to hear of the outcome."""

import re
import sys
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import fill
from typing import Any, NoReturn, TypeVar

from pydantic import AliasChoices, BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from networksecurity.exceptions import shortened
from networksecurity.wrong_values import MOST_SHOWN, in_words, with_short_words

from .ending import WRONG_OPTION

Parameters = TypeVar("Parameters", bound=BaseModel)


@dataclass(frozen=True)
class Output:
    """What goes to standard output at the end: everything as text, its first line, or everything as JSON.

    `verbose` shows on the way what else only the log file has.
    """

    quiet: bool
    json_document: bool
    verbose: bool = False


def read_options(
    model: type[Parameters], arguments: list[str], program: str, examples: tuple[str, ...] = ()
) -> tuple[Parameters, Output]:
    """Return the parameters given by a command line; exit with one line for each wrong option."""
    base: Any = model

    class Command(base, BaseSettings):
        __doc__ = fill(model.__doc__ or "", 78)
        model_config = SettingsConfigDict(
            cli_prog_name=program,
            cli_avoid_json=True,
            cli_exit_on_error=False,
            cli_hide_none_type=True,
            cli_implicit_flags="toggle",
            cli_kebab_case=True,
            cli_shortcuts=None,
        )

        quiet: bool = Field(default=False, description="print one line at the end, and log only what is wrong")
        verbose: bool = Field(default=False, description="also log each task, and what other libraries say")
        json_document: bool = Field(
            default=False,
            validation_alias=AliasChoices("json"),
            description="print one JSON document at the end; the log goes to standard error",
        )

        @classmethod
        def settings_customise_sources(  # the command line is added to these; options never come from the environment
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic-settings calls by these names)
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    source = CliSettingsSource(Command, formatter_class=_Help)
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    asked = [f"--{name.replace('_', '-')} {_metavar(name)}" for name in required]
    source.root_parser.usage = " ".join([program, *asked, "[OPTION ...]"])
    if examples:
        source.root_parser.epilog = "\n".join(["examples:", *(f"  {program} {options}" for options in examples)])
    _refuse_misspelt(model, arguments, program)
    try:
        read = Command(_cli_settings_source=source(args=arguments)).model_dump()
        output = Output(**{name: read.pop(name) for name in ("quiet", "json_document", "verbose")})
        return model(**read), output
    except ValidationError as exc:
        wrong = []
        for error in exc.errors():
            option, value = ".".join(map(str, error["loc"])).replace("_", "-"), error["input"]
            # Our own messages name what is wrong with the value, which may hold a password.
            given = "" if error["type"] in {"value_error", "missing"} else f", not {shortened(repr(value), MOST_SHOWN)}"
            wrong.append(f"--{option}: {in_words(error, model)}{given}")
        refuse(program, wrong)
    except SettingsError as exc:  # argparse's own
        message = with_short_words(str(exc))
        for theirs, ours in _ARGPARSE_SAYS.items():
            message = re.sub(theirs, ours, message)
        refuse(program, [message])


_ARGPARSE_SAYS = {
    "^error parsing CLI: ": "",
    "^argument (--[^ ]+): ": r"\1: ",
    "expected one argument": "a value is needed",
    "ignored explicit argument": "takes no value, not",
}


def refuse(program: str, reasons: Sequence[str]) -> NoReturn:
    """Exit with a line for each reason."""
    for reason in reasons:
        print(f"{program}: error: {reason}", file=sys.stderr)
    sys.exit(WRONG_OPTION)


def _refuse_misspelt(model: type[BaseModel], arguments: list[str], program: str) -> None:
    """Exit with what was probably meant if an option is none, and nearly one."""
    known = ["--help", "--quiet", "--verbose", "--json", *_options(model)]
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and len(option) > 2 and option not in known:
            for meant in get_close_matches(option, known, n=1):
                refuse(program, [f"there is no option {shortened(option, 100)}. Did you mean `{meant}`?"])


def _options(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        option = prefix + name.replace("_", "-")
        yield f"--{option}"
        if field.annotation is bool:
            yield f"--{prefix}no-{name.replace('_', '-')}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _options(field.annotation, f"{option}.")


_KINDS = {"int": "N", "float": "NUMBER", "tuple[str,...]": "NAME,..."}
_SAYS_NOTHING = re.compile(r" \(default: (None|True|False|\(\)|)\)$")


def _metavar(option: str) -> str:
    """Return what stands for the value of an option of text.

    Examples
    --------
    >>> _metavar("--model-version")
    'VERSION'
    """
    return re.split("[-_.]", option)[-1].upper()


class _Help(RawDescriptionHelpFormatter):
    """Help in 80 columns, with values and defaults as a person writes them."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)

    def add_argument(self, action: Action) -> None:
        text = action.help or ""
        if isinstance(action.metavar, str):
            name = max(action.option_strings, key=len)
            if action.metavar.startswith("{") and len(action.metavar) > 40:
                text = f"{action.metavar[1:-1].replace(',', ', ')}: {text}"
                action.metavar = _metavar(name)
            elif not action.metavar.startswith("{"):
                action.metavar = _KINDS.get(action.metavar, _metavar(name))
        text = _SAYS_NOTHING.sub("", text)
        if "default" in text.rpartition(" (default: ")[0]:
            text = text.rpartition(" (default: ")[0]
        action.help = text
        super().add_argument(action)
