import re
from contextlib import suppress
from urllib.parse import quote_plus

import pytest
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from networksecurity.exceptions import ConfigurationError
from networksecurity.settings import PROJECT_FOLDER, Settings, reveals, settings, variable_of, without_credentials

SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Let neither this machine's environment nor its .env reach a test."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
        monkeypatch.delenv(f"NETWORKSECURITY_{name.upper()}", raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    settings.cache_clear()
    yield
    settings.cache_clear()


class TestValues:
    def test_nothing_has_to_be_set(self):
        assert settings().mongodb_uri is None
        assert settings().mlflow_tracking_uri is None
        assert settings().cores is None
        assert settings().storage == str(PROJECT_FOLDER / ".networksecurity")

    def test_project_folder_does_not_depend_on_the_current_one(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert (PROJECT_FOLDER / "networksecurity" / "settings.py").is_file()
        assert Settings().storage == str(PROJECT_FOLDER / ".networksecurity")

    def test_the_environment_sets_a_value(self, monkeypatch):
        monkeypatch.setenv("NETWORKSECURITY_CORES", "3")
        monkeypatch.setenv("MONGODB_DATABASE", "elsewhere")
        assert settings().cores == 3
        assert settings().mongodb_database == "elsewhere"

    def test_an_empty_variable_is_an_unset_one(self, monkeypatch):
        monkeypatch.setenv("MONGODB_URI", "")
        monkeypatch.setenv("NETWORKSECURITY_CORES", "")
        assert settings().mongodb_uri is None
        assert settings().cores is None

    def test_a_file_sets_values_and_the_environment_goes_before_it(self, tmp_path, monkeypatch):
        file = tmp_path / ".env"
        file.write_text("MONGODB_DATABASE=file\nMONGODB_COLLECTION=file\nSOMEONE_ELSES=1\n")
        monkeypatch.setitem(Settings.model_config, "env_file", file)
        monkeypatch.setenv("MONGODB_COLLECTION", "environment")
        assert settings().mongodb_database == "file"
        assert settings().mongodb_collection == "environment"

    @pytest.mark.parametrize("repo", ["jane/phishing", "Jane_2/net.security-2", "-a/_"])
    def test_a_repository_has_an_owner_and_a_name(self, repo, monkeypatch):
        monkeypatch.setenv("DAGSHUB_REPO", repo)
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", "http://localhost:3000/")
        assert settings().dagshub_repo == repo
        assert settings().dagshub_client_host == "http://localhost:3000"

    def test_they_are_read_once_and_do_not_change(self, monkeypatch):
        first = settings()
        monkeypatch.setenv("NETWORKSECURITY_CORES", "3")
        assert settings() is first
        with pytest.raises(ValidationError, match="frozen"):
            first.cores = 3


class TestBadValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("NETWORKSECURITY_CORES", "hunter2"),
            ("NETWORKSECURITY_CORES", "-8317"),
            ("NETWORKSECURITY_MONGODB_TIMEOUT", "hunter2"),
            ("NETWORKSECURITY_HTTP_TIMEOUT", "-8317.5"),
            ("NETWORKSECURITY_TIME_LIMIT", "-8317"),
            ("NETWORKSECURITY_SERVE_TIMEOUT", "inf"),
            ("NETWORKSECURITY_MLFLOW_TIMEOUT", "nan"),
            ("NETWORKSECURITY_DASK_TIMEOUT", "8317e300"),
            ("NETWORKSECURITY_SIGNING_KEY", "hunter2"),
            ("NETWORKSECURITY_STORAGE", "hunter2\udcff"),
            ("MONGODB_URI", "mongodb://hunter2\n@host"),
            ("NETWORKSECURITY_TASK_RUNNER", "hunter2"),
            ("DASK_ADDRESS", "hunter2"),
            ("DASK_ADDRESS", "tcp://hunter2@scheduler:8786"),
            ("DAGSHUB_REPO", "hunter2"),
            ("DAGSHUB_REPO", "https://dagshub.com/hunter2/phishing"),
            ("DAGSHUB_REPO", "hunter2/phishing.git"),
            ("DAGSHUB_REPO", "../hunter2"),
            ("DAGSHUB_CLIENT_HOST", "hunter2.example.org"),
            ("DAGSHUB_CLIENT_HOST", "https://me:hunter2@dagshub.com"),
        ],
    )
    def test_the_variable_is_named_and_its_value_is_not(self, name, value, monkeypatch):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=rf"\b{name}: ") as caught:
            settings()
        assert value not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__, "a traceback would print pydantic's error as well"

    def test_every_one_is_named_at_once(self, monkeypatch):
        monkeypatch.setenv("NETWORKSECURITY_CORES", "many")
        monkeypatch.setenv("NETWORKSECURITY_HTTP_TIMEOUT", "long")
        with pytest.raises(ConfigurationError, match=r"CORES: .*; .*HTTP_TIMEOUT: "):
            settings()

    def test_what_would_be_right_is_said(self, monkeypatch):
        monkeypatch.setenv("DAGSHUB_REPO", "phishing")
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", "dagshub.com")
        with pytest.raises(ConfigurationError, match=r"DAGSHUB_REPO: must be owner/name.*CLIENT_HOST: must be a web"):
            settings()

    def test_a_bad_one_does_not_print_the_secrets_beside_it(self, monkeypatch):
        monkeypatch.setenv("MONGODB_URI", "mongodb://user:hunter2@host/")
        monkeypatch.setenv("NETWORKSECURITY_CORES", "many")
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "encoding"), [("käse", "latin-1"), ("käse", "utf-16"), ("cheese", "utf-16-le"), ("cheese", "utf-16-be")]
)
def test_a_file_in_another_encoding_is_refused(value, encoding, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(f"MONGODB_DATABASE={value}\n", encoding=encoding)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text: save it as UTF-8"):
        settings()


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("MONGODB_DATABASE=käse\n", encoding="utf-8-sig")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert settings().mongodb_database == "käse"


_PIECES = [
    "inf",
    "nan",
    "-1",
    "1e999",
    "9" * 5_000,
    "://",
    "@",
    "mongodb://",
    "tcp://",
    "[",
    "]",
    "%",
    "\n",
    "\udcff",
    "/",
]
_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.lists(st.sampled_from(_PIECES)).map(
    "".join
)
_NAMES = st.sampled_from(list(map(variable_of, Settings.model_fields)))


@fuzzed()
@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=5))
def test_any_values_are_understood_or_refused(values):
    with pytest.MonkeyPatch.context() as patch, suppress(ConfigurationError):
        for name, value in values.items():
            patch.setenv(name, value)
        settings.cache_clear()
        settings()


@fuzzed()
@given(st.lists(_NAMES | st.sampled_from(["=", '"', "'", "${", "}", "#", "export ", "\\", "\n"]) | st.text(max_size=3)))
def test_any_file_of_settings_is_understood_or_refused(tmp_path, pieces):
    (tmp_path / ".env").write_bytes("".join(pieces).encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch, suppress(ConfigurationError):
        patch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
        settings.cache_clear()
        settings()


class TestSecrets:
    @pytest.mark.parametrize("name", SECRETS)
    def test_they_are_shown_nowhere_unless_asked_for(self, name, monkeypatch):
        monkeypatch.setenv(variable_of(name), "scheme://user:hunter2@host/")
        read = settings()
        shown = (repr(read), str(read), str(read.model_dump()), read.model_dump_json())
        assert "hunter2" not in "".join(shown)
        secret = getattr(read, name)
        assert isinstance(secret, SecretStr)
        assert secret.get_secret_value() == "scheme://user:hunter2@host/"

    def test_whatever_may_hold_a_password_is_a_secret(self):
        may_hold_one = {name for name in Settings.model_fields if re.search("uri|url|token|password|secret|key", name)}
        assert may_hold_one == set(SECRETS)


@pytest.mark.parametrize(
    ("uri", "text", "shown"),
    [
        (
            "mongodb://me:hun%2Fter2@host/db?x=hunter2",
            "at mongodb://me:hun%2Fter2@host/db?x=hunter2!",
            "at mongodb://host/db!",
        ),
        ("mongodb://me:hun%2Fter2@host/db", "password hun/ter2, as hun%2Fter2", "password …, as …"),
        ("mongodb://host/db", "at mongodb://host/db", "at mongodb://host/db"),
    ],
)
def test_text_without_secrets(uri, text, shown):
    assert Settings(mongodb_uri=SecretStr(uri)).redacted(text) == shown


def test_text_without_tokens():
    assert Settings(dagshub_user_token=SecretStr("hunter2")).redacted("token hunter2") == "token …"


class TestExample:
    TEXT = (PROJECT_FOLDER / ".env.example").read_text(encoding="utf-8")
    EXAMPLES = re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=(.*)$", TEXT, re.MULTILINE)

    def test_it_lists_each_variable_once_and_no_other(self):
        assert sorted(name for name, _ in self.EXAMPLES) == sorted(map(variable_of, Settings.model_fields))

    def test_it_sets_nothing_until_it_is_edited(self):
        assert all(line.startswith("#") for line in self.TEXT.splitlines() if line.strip())

    def test_its_values_are_valid(self, monkeypatch):
        for name, value in self.EXAMPLES:
            assert value, f"{name} shows no value"
            monkeypatch.setenv(name, value)
        settings()


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))


class TestWithoutCredentials:
    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("mongodb://user:hunter2@host/db?authSource=admin", "mongodb://host/db"),
            ("mongodb+srv://user:hunter2@host/", "mongodb+srv://host/"),
            ("mongodb://user:hunter2@a:27017,b:27018/db", "mongodb://a:27017,b:27018/db"),
            ("https://hunter2@host:8443/path?token=hunter2#hunter2", "https://host:8443/path"),
            ("https://host/path?token=hunter2", "https://host/path"),
            ("http://[::1]:5000/path", "http://[::1]:5000/path"),
            ("sqlite:////folder/mlflow.db", "sqlite:////folder/mlflow.db"),
            ("s3://bucket/folder", "s3://bucket/folder"),
            ("folder/rows.csv", "folder/rows.csv"),
            ("folder/key=5/rows.csv", "folder/key=5/rows.csv"),
            ("https://host.org/repo@1/rows.csv?raw=true", "https://host.org/…@1/rows.csv"),
            ("https://host.org/rows.csv?user=jane@hunter2", "https://host.org/…"),
            ("https://host.org/design/rows.csv;v=2", "https://host.org/design/rows.csv"),
            ("abfs://box@account.dfs.core.windows.net/rows", "abfs://account.dfs.core.windows.net/rows"),
            ("MONGODB_URI=mongodb://user:hunter2@host/db", "MONGODB_URI=mongodb://host/db"),
        ],
    )
    def test_only_what_may_be_shown_is_left(self, uri, shown):
        assert without_credentials(uri) == shown

    @given(
        scheme=st.sampled_from(["mongodb://", "mongodb+srv://", "https://", "postgresql+psycopg2://", "mongodb:/"]),
        user=_texts,
        password=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=4),
        host=st.from_regex(r"[a-z]{1,3}(\.[a-z]{2,3})?(:\d{1,5})?", fullmatch=True),
        path=st.sampled_from(["", "/", "/db", "/db?a=b", "/a@b", "/db?token=x@y"]),
        escape=st.booleans(),
    )
    @example(scheme="mongodb+srv://", user="jane", password="P@ss/123", host="host", path="/db", escape=False)
    @example(scheme="mongodb://", user="jane", password="p@ss/w#rd", host="host", path="/db", escape=False)
    def test_no_four_characters_of_a_password_are_shown(self, scheme, user, password, host, path, escape):
        written = quote_plus(password) if escape else password
        address = f"{scheme}{user}:{written}@{host}{path}"
        shown = without_credentials(address)
        rest = f"{scheme}…@{host}{path}"  # what may be shown may have some of the same characters
        for spelling in (password, written):
            parts = {spelling[start : start + 4] for start in range(len(spelling) - 3)}
            assert [part for part in parts if part in shown and part not in rest] == []
        assert reveals(f"cannot parse {written[-4:]!s}", address)

    @given(password=st.text(st.characters(codec="utf-8"), min_size=6), query=st.text(min_size=6))
    @example(password="0000@/", query="no sign")
    @example(password="@a?", query="no sign")
    def test_no_password_is_shown_however_it_is_spelt(self, password, query):
        marked = f"hunter2{password}hunter2"
        assert "hunter2" not in without_credentials(f"mongodb://user:{marked}@host/db?{query}")

    @pytest.mark.parametrize(
        "address",
        [
            "https://host.example/{}@x/rows.csv",
            "https://host.example/rows.csv?sv=2024&sig={}&se=1",
            "https://host.example/rows.csv?token={}@x",
            "https://host.example/rows.csv%3Fsig%3D{}",
            "https://host.example/access_token={}/rows.csv",
            "https://host.example:80/x@{}@y/rows.csv",
            "azure://box/rows.csv;AccountKey={}",
            "azure://AccountName=jane;AccountKey={};EndpointSuffix=example.org",
            "DefaultEndpointsProtocol=https;AccountKey={};BlobEndpoint=https://jane.example",
            "BlobEndpoint=https://jane.example;SharedAccessSignature={}",
            "s3://KEY:{}@bucket/rows.csv",
        ],
    )
    @given(text=st.one_of(st.text("a/?#@:;=&%+", max_size=8), _texts))
    def test_no_secret_is_shown_wherever_it_stands(self, address, text):
        assert "hunter2" not in without_credentials(address.format(f"hunter2{text}hunter2"))
