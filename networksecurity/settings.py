"""Endpoints, secrets, folders and limits of an installation.

Values come from the environment, then from a `.env` file in the project's folder (`.env.example` lists them all).
What a run should *do* is given by the parameters of each flow.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, unquote_plus

from pydantic import AliasGenerator, Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from networksecurity.exceptions import ConfigurationError
from networksecurity.wrong_values import in_words

_CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT_FOLDER = _CHECKOUT if (_CHECKOUT / "flows").is_dir() else Path.cwd()
"""The checkout this package runs from; the current folder if the package was installed without one."""

NO_TELEMETRY = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Environment variables under which no library reports to its makers; a command sets those that are not set."""

Seconds = Hours = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""A time that every library can wait for: 11 days at most, as seconds."""


_WITHOUT_PREFIX = {
    "dask_address",
    *("mongodb_uri", "mongodb_database", "mongodb_collection"),
    *("mlflow_tracking_uri", "mlflow_experiment_name"),
    *("dagshub_repo", "dagshub_user_token", "dagshub_client_host"),
}
"""Fields whose environment variables are named as those programs name them."""


def variable_of(field: str) -> str:
    """Return the environment variable that sets a field.

    Examples
    --------
    >>> variable_of("mongodb_uri"), variable_of("cores")
    ('MONGODB_URI', 'NETWORKSECURITY_CORES')
    """
    return (field if field in _WITHOUT_PREFIX else f"networksecurity_{field}").upper()


class Settings(BaseSettings):
    """Endpoints, secrets, folders and limits of this installation.

    Every field is read from the environment variable that `variable_of` names, or else from `NETWORKSECURITY_<FIELD>`.
    """

    model_config = SettingsConfigDict(
        env_prefix="NETWORKSECURITY_",
        env_file=PROJECT_FOLDER / ".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        alias_generator=AliasGenerator(validation_alias=variable_of),
    )

    storage: str = Field(
        default=str(PROJECT_FOLDER / ".networksecurity"),
        description="where data sets, models and quarantined rows are kept: a folder or any fsspec URL",
    )
    cores: PositiveInt | None = Field(
        default=None, description="cores one training may use; by default all this process may use"
    )
    time_limit: Seconds | None = Field(
        default=None, description="seconds after which a training is ended; by default it may take any time"
    )
    task_runner: Literal["threads", "dask"] = Field(
        default="threads", description="where a training computes: this machine, or a Dask cluster"
    )
    dask_address: str | None = Field(
        default=None,
        description="scheduler of the Dask cluster, as tcp://host:8786; by default a cluster on this machine",
    )
    dask_timeout: Seconds = Field(default=10.0, description="seconds to wait for a Dask scheduler")

    mongodb_uri: SecretStr | None = Field(default=None, description="connection string of the source `mongodb`")
    mongodb_database: str = Field(
        default="networksecurity", description="database, if the connection string names none"
    )
    mongodb_collection: str = Field(
        default="phishing_websites",
        description="collection of websites that the source `mongodb` reads; those of another contract are beside it",
    )
    mongodb_timeout: Seconds = Field(default=10.0, description="seconds to wait for a MongoDB server")
    http_timeout: Seconds = Field(default=30.0, description="seconds to wait for a web server to answer")
    http_time_limit: Seconds = Field(default=600.0, description="seconds that a download may take as a whole")
    http_redirects: Literal["safe", "any"] = Field(
        default="safe",
        description="which redirects are followed: any, or those that lead neither from https to http nor from a "
        "public to a private address",
    )

    max_sample_rows: PositiveInt = Field(default=10_000_000, description="rows that a sample may have")
    max_download_bytes: PositiveInt = Field(default=500_000_000, description="bytes that a file from the web may have")
    max_unpacked_bytes: PositiveInt = Field(
        default=500_000_000, description="bytes that a compressed file, a workbook or a Parquet file may hold"
    )
    max_columns: PositiveInt = Field(default=5_000, description="columns that a file may have")
    max_cell_bytes: PositiveInt = Field(default=1_000_000, description="bytes that one cell of a text may have")

    mlflow_tracking_uri: SecretStr | None = Field(
        default=None, description="MLflow server or database; by default mlflow.db in the project's folder"
    )
    mlflow_experiment_name: str = Field(default="networksecurity", description="experiment under which runs are logged")
    mlflow_registered_model_name: str = Field(
        default="networksecurity-phishing",
        description="name under which models of websites are registered; those of another contract under "
        "the same name with that of the contract at its end, such as networksecurity-addresses",
    )
    mlflow_stale_after: Hours = Field(
        default=24.0, description="hours after which an open run counts as left behind by a killed process"
    )
    mlflow_timeout: Seconds = Field(default=10.0, description="seconds to wait for an MLflow server to answer")

    dagshub_repo: str | None = Field(
        default=None,
        description="DagsHub repository, as owner/name, whose MLflow server is used instead of MLFLOW_TRACKING_URI",
    )
    dagshub_user_token: SecretStr | None = Field(default=None, description="access token of a DagsHub user")
    dagshub_client_host: str = Field(default="https://dagshub.com", description="address of DagsHub")

    signing_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="key with which trainings sign their versions; others are then refused; by default none",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if isinstance(value, str) and re.search("[\x00-\x1f\x7f\ud800-\udfff]", value):
            raise ValueError("must be UTF-8 text of one line")
        return value

    @field_validator("dask_address")
    @classmethod
    def _is_scheduler(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"(tcp|tls)://[^\s/@?#]+:\d+", address):
            raise ValueError("must be the address of a Dask scheduler, as tcp://host:8786")
        return address

    serve_token: SecretStr | None = Field(
        default=None, description="token that a client of the service has to send; by default none"
    )
    serve_contract: str = Field(
        default="websites",
        description="what the service is asked about: websites, addresses, or the file that describes a table",
    )
    serve_refresh: Seconds = Field(
        default=10.0, description="seconds between two checks of the service for a new champion"
    )
    serve_max_rows: PositiveInt = Field(default=10_000, description="rows that one request to the service may have")
    serve_max_bytes: PositiveInt = Field(
        default=10_000_000, description="bytes that the body of one request to the service may have"
    )

    serve_timeout: Seconds = Field(
        default=30.0, description="seconds in which the service must get the head of a request, and then its body"
    )
    serve_connections_per_client: PositiveInt = Field(
        default=64, description="connections that one address may have at once to each process of the service"
    )

    @field_validator("serve_token")
    @classmethod
    def _fits_into_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch("[!-~]+", token.get_secret_value()):
            raise ValueError("must be ASCII letters, digits and signs, without blanks")
        return token

    @field_validator("dagshub_repo")
    @classmethod
    def _is_owner_and_name(cls, repo: str | None) -> str | None:
        if repo is not None and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.git)", repo, re.ASCII):
            raise ValueError("must be owner/name, as in jane/phishing: no address, no .git")
        return repo

    @field_validator("dagshub_client_host")
    @classmethod
    def _is_web_address(cls, host: str) -> str:
        if not re.fullmatch(r"https?://[^\s@?#]+", host):
            raise ValueError("must be a web address without user name and password, as https://dagshub.com")
        return host.rstrip("/")

    def registered_model(self, contract: str) -> str:
        """Return the name under which models of a contract are registered: champions never compete across contracts."""
        name = self.mlflow_registered_model_name
        return name if contract == "websites" else f"{name.removesuffix('-phishing')}-{contract}"

    def redacted(self, text: str) -> str:
        """Return `text` without the secrets of these settings: addresses without credentials, the rest as `…`."""
        for name in type(self).model_fields:
            if isinstance(secret := getattr(self, name), SecretStr):
                value = secret.get_secret_value()
                text = text.replace(value, without_credentials(value) if "://" in value else "…")
                if found := re.search(r"://[^:/?#]*:(.+)@", value):
                    text = text.replace(found[1], "…").replace(unquote(found[1]), "…")
        return text


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises
    ------
    ConfigurationError
        A variable holds a value that cannot be used; the message names the variable, never its value.
    """
    file = Settings.model_config.get("env_file")
    not_utf8 = f"{file} is not UTF-8 text: save it as UTF-8"
    try:
        if isinstance(file, Path) and file.is_file() and b"\0" in file.read_bytes():  # UTF-16, whose names nobody knows
            raise ConfigurationError(not_utf8)
        return Settings()
    except ValidationError as exc:
        problems = "; ".join(f"{error['loc'][0]}: {in_words(error, Settings)}" for error in exc.errors())
        raise ConfigurationError(f"the environment or .env holds a value that cannot be used: {problems}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(not_utf8) from None
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc.strerror}") from exc


_MAY_BE_SECRET = re.compile("(?<!SEC)URI|URL|TOKEN|PASSWORD|PASSWD|SECRET|KEY|CREDENTIAL|AUTH")


def may_be_secret(name: str) -> bool:
    """Return whether an environment variable may hold a secret, by its name.

    Examples
    --------
    >>> may_be_secret("MONGODB_URI"), may_be_secret("NETWORKSECURITY_CORES")
    (True, False)
    """
    return bool(_MAY_BE_SECRET.search(name))


def without_secrets(environment: Mapping[str, str], *, but: str | None = None) -> dict[str, str]:
    """Return an environment for a process that needs no secret, or only those whose names begin with `but`.

    Examples
    --------
    >>> without_secrets({"PATH": "/bin", "MONGODB_URI": "mongodb://jane:secret@host", "PREFECT_API_URL": "http://host"})
    {'PATH': '/bin'}
    >>> without_secrets({"PREFECT_API_KEY": "secret", "DAGSHUB_USER_TOKEN": "secret"}, but="PREFECT_")
    {'PREFECT_API_KEY': 'secret'}
    """
    return {
        name: value for name, value in environment.items() if not may_be_secret(name) or (but and name.startswith(but))
    }


_GIVEN_BY_NAME = r"((?:key|token|secret|passw|pwd|credential|sig|auth)[\w.-]{0,30}(?:=|%3D)).*"
"""A secret that is given by its name, and all behind it."""
_SECRET = re.compile(_GIVEN_BY_NAME, re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(rf"[?#]|;[^;/=]{{0,50}}=|{_GIVEN_BY_NAME}", re.IGNORECASE | re.DOTALL)
"""What begins the part of an address that says how to read what it names."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:/{0,2}|[^:/?#]*://")
_PATHS = ("sqlite:", "file:", "local:")
"""What begins an address that is a path."""
_HOSTS = re.compile(r"{host}(,{host})*".format(host=r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?"))
_ESCAPES = re.compile(r"[/?#@]")
"""What has to be percent-escaped in a user name or password."""


def login_of(uri: str) -> str:
    """Return what may be user and password in an address: all up to the last `@`, empty if there is none.

    An `@` behind the host may be meant, or one in a password that is not percent-escaped. Nothing before it is a
    password where there is no colon.

    Examples
    --------
    >>> login_of("mongodb://jane:P@ss/123@host/db"), login_of("https://host/repo@1/x.csv")
    ('jane:P@ss/123', '')
    """
    match = _SCHEME.match(uri)
    if match is None or uri.startswith(_PATHS):
        return ""
    rest = uri[match.end() :]
    login = rest.rpartition("@")[0]
    return login if ":" in login or re.match("[^/?#]*@", rest) else ""


def without_credentials(uri: str) -> str:
    """Return `uri` fit to be shown: without user, password and query, which may hold a token.

    Paths stay whole, but for what stands before an `@` or behind a name such as `token=`. Where it is not certain which
    `@` ends the password, `…` stands for what is left out.

    Examples
    --------
    >>> without_credentials("https://jane:secret@example.org/rows.csv?token=secret")
    'https://example.org/rows.csv'
    >>> without_credentials("mongodb://jane:P@ss/123@host/db")
    'mongodb://…@host/db'
    >>> without_credentials("https://example.org/secret@2/rows.csv")
    'https://example.org/…@2/rows.csv'
    >>> without_credentials("AccountName=jane;AccountKey=secret")
    'AccountName=jane;AccountKey=…'
    >>> without_credentials("sqlite:////home/jane/C#/mlflow.db")
    'sqlite:////home/jane/C#/mlflow.db'
    """
    if uri.startswith(_PATHS):
        return uri
    match, login = _SCHEME.match(uri), login_of(uri)
    if match is None:  # a path, or a string of settings
        return _SECRET.sub(r"\1…", uri) if re.search("[;&?]", uri) else uri
    if _SECRET.search(match[0]):
        return _SECRET.sub(r"\1…", match[0])
    if _QUERY.search(login):  # the rest may be that of a token
        return f"{match[0]}…"
    uncertain = "…@" if _ESCAPES.search(login) else ""
    rest = _without_secrets(uri[match.end() :].removeprefix(login + "@" if login else ""))
    if not _HOSTS.fullmatch(rest.partition("/")[0]):  # a password, if the host behind it was forgotten
        rest = "…"
    return match[0] + uncertain + rest


def _without_secrets(rest: str) -> str:
    """Return what stands behind scheme, user and password, without secrets in its path and without its query."""
    before, at, behind = rest.rpartition("@")
    host = re.split("[/?#;]", before, maxsplit=1)[0]
    known = f"{host}/" if "." in host else ""  # any other may be the beginning of a token
    if _QUERY.search(before):
        return f"{known}…"
    query = re.search("[?#]|;[^;/=]{0,50}=", behind)
    path = _SECRET.sub(r"\1…", behind[: query.start()] if query else behind)
    return f"{known}…@{path}" if at else path


def is_escaped(uri: str) -> bool:
    """Return whether user and password in an address, if any, can be told from the rest of it."""
    return not _ESCAPES.search(login_of(uri))


def reveals(text: str, uri: str) -> bool:
    """Return whether a text holds four characters in a row, or all, of the password in an address.

    Examples
    --------
    >>> reveals("bad port 'cret'", "mongodb://jane:secret@host"), reveals("no ports", "mongodb+srv://jane:secret@host:1")
    (True, False)
    """
    password = login_of(uri).partition(":")[2]
    if not password:
        return False
    spellings = (password, unquote(password), unquote_plus(password))
    return any(of[start : start + 4] in text for of in spellings for start in range(max(len(of) - 3, 1)))
