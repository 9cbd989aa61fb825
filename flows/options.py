"""Reads a command line into a flow's parameters."""

import sys
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from flows.ending import WRONG_OPTION

Parameters = TypeVar("Parameters", bound=BaseModel)


def read_options(model: type[Parameters], arguments: list[str], program: str) -> Parameters:
    """Return the parameters given by a command line; exit with one line for each wrong option."""
    base: Any = model

    class Command(base, BaseSettings):
        __doc__ = model.__doc__
        model_config = SettingsConfigDict(
            cli_parse_args=arguments,
            cli_prog_name=program,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_implicit_flags=True,
            cli_kebab_case=True,
            cli_shortcuts=None,
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

    try:
        return model(**Command().model_dump())
    except ValidationError as exc:
        for error in exc.errors():
            option = ".".join(map(str, error["loc"])).replace("_", "-")
            # Our own messages name what is wrong with the value, which may hold a password.
            given = "" if error["type"] in {"value_error", "missing"} else f", not {error['input']!r}"
            print(f"{program}: error: --{option}: {error['msg'].removeprefix('Value error, ')}{given}", file=sys.stderr)
        sys.exit(WRONG_OPTION)
