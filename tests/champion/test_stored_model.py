import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from networksecurity.champion.registry import Registry
from networksecurity.champion.verification import verify
from networksecurity.exceptions import PromotionError, StoredModelError
from networksecurity.tracking.mlmodel import DESCRIPTION_FILE, MODEL_FILE
from networksecurity.tracking.outcome import CONTRACT_FILE, PROBE_FILE, REFERENCE_FILE
from networksecurity.tracking.seal import DIGESTS_TAG, SIGNATURE_TAG, seal, signed

NAME = "networksecurity-phishing"
KEY, OTHER_KEY = SecretStr("the key of the team"), SecretStr("the key of another")


@pytest.fixture
def sealed(stored_model):
    """Return a version whose files the test may damage, with their seal and the team's signature."""
    return stored_model.model_copy(update={"tags": signed(seal(Path(stored_model.source)), KEY)})


@pytest.fixture
def plain(server):
    return Registry(server, NAME)


def refuses(registry, version, reason):
    with pytest.raises(StoredModelError, match=f"version 1 of {NAME} is not used: .*{reason}"):
        registry.load_parts(version)


def test_every_file_that_is_read_has_its_digest_in_the_tag(sealed):
    named = set(json.loads(sealed.tags[DIGESTS_TAG]))
    assert named >= {MODEL_FILE, PROBE_FILE, REFERENCE_FILE, CONTRACT_FILE, DESCRIPTION_FILE}
    written_by_mlflow = {"conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json"}
    others = {path.name for path in Path(sealed.source).iterdir()} - named
    assert {name for name in others if "input_example" not in name} <= written_by_mlflow


def test_the_files_that_were_registered_are_used(plain, sealed):
    plain.load_parts(sealed)
    replace(plain, signing_key=KEY).load_parts(sealed)


@pytest.mark.parametrize("file", [MODEL_FILE, PROBE_FILE, REFERENCE_FILE, CONTRACT_FILE])
def test_another_file_than_the_one_that_was_registered_is_refused_before_it_is_read(plain, sealed, file):
    path = Path(sealed.source, file)
    path.write_bytes(path.read_bytes() + b" ")
    refuses(plain, sealed, f"its file {file} is not the one that was registered")
    with pytest.raises(PromotionError, match=f"not fit to be the champion: its file {file} is not the one"):
        verify(plain, sealed)
    path.unlink()
    refuses(plain, sealed, f"its file {file} is missing")


def test_a_file_that_was_added_is_refused(plain, outcome, stored_model):
    path = Path(stored_model.source, "known_features.json")
    path.unlink()
    older = stored_model.model_copy(update={"tags": seal(Path(stored_model.source))})
    path.write_text("{}")
    refuses(plain, older, "known_features.json is not the one that was registered")


def test_a_tag_that_was_damaged_is_refused(plain, sealed):
    refuses(plain, sealed.model_copy(update={"tags": {DIGESTS_TAG: "abc"}}), f"its tag {DIGESTS_TAG} is damaged")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (lambda tags: {}, "it is not signed with NETWORKSECURITY_SIGNING_KEY: train again with it"),
        (lambda tags: {DIGESTS_TAG: tags[DIGESTS_TAG]}, "it is not signed"),
        (lambda tags: signed({DIGESTS_TAG: tags[DIGESTS_TAG]}, OTHER_KEY), "its signature was not made with"),
        (lambda tags: tags | {SIGNATURE_TAG: "ä"}, "its signature was not made with"),
        (lambda tags: tags | {DIGESTS_TAG: "{}"}, "its signature was not made with"),
    ],
)
def test_a_version_without_a_valid_signature_is_refused_where_there_is_a_key(plain, sealed, tags, reason):
    refuses(replace(plain, signing_key=KEY), sealed.model_copy(update={"tags": tags(sealed.tags)}), reason)


def test_a_registry_with_a_key_signs_what_it_registers(server):
    registry = replace(Registry(server, NAME), signing_key=KEY)
    with server.client() as client:
        run_id = client.create_run("0").info.run_id
    tags = {DIGESTS_TAG: "{}"}
    version = registry.register(f"runs:/{run_id}/model", run_id, tags=tags, description="")
    assert version.tags[SIGNATURE_TAG] == signed(tags, KEY)[SIGNATURE_TAG]
    again = registry.register(f"runs:/{run_id}/model", run_id, tags={DIGESTS_TAG: '{"a": "b"}'}, description="")
    assert again.version == version.version
    assert again.tags == signed({DIGESTS_TAG: '{"a": "b"}'}, KEY)


def described(change):
    def damage(path):
        described = yaml.safe_load(path.read_text())
        change(described)
        path.write_text(yaml.safe_dump(described))

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (described(lambda of: of["flavors"]["sklearn"].update(pickled_model="../../model.skops")), "not stored by sko"),
        (described(lambda of: of["flavors"]["sklearn"].update(pickled_model="/etc/passwd")), "not stored by skops"),
        (described(lambda of: of["flavors"]["sklearn"].update(serialization_format="pickle")), "not stored by skops"),
        (described(lambda of: of["flavors"].update(pytorch={})), "MLmodel has another flavors.pytorch"),
        (described(lambda of: of.pop("flavors")), "MLmodel has another flavors"),
        (described(lambda of: of["signature"].update(inputs="[[]]")), "damaged .signature.inputs"),
        (lambda path: path.write_text("flavors: ["), "cannot be read .ParserError"),
        (lambda path: path.write_text("!!python/object/apply:os.system [ls]"), "cannot be read .ConstructorError"),
        (lambda path: path.write_bytes(b"\xff\xfe\xff"), "cannot be read"),
        (lambda path: path.write_text("[" * 100_000), "cannot be read .RecursionError"),
        (lambda path: path.write_text("- x\n" * 300_000), "has more than 1,000,000 bytes"),
        (lambda path: path.write_text(""), "damaged .all of it"),
        (Path.unlink, "cannot be read .FileNotFoundError"),
        (lambda path: (path.parent / MODEL_FILE).unlink(), "model.skops cannot be read .FileNotFoundError"),
    ],
)
def test_a_description_that_is_damaged_or_of_another_model_is_refused_in_one_line(plain, stored_model, damage, reason):
    damage(Path(stored_model.source, DESCRIPTION_FILE))
    refuses(plain, stored_model, reason)


def test_a_model_is_asked_in_a_process_without_the_secrets_of_this_one(plain, stored_model, tmp_path, monkeypatch):
    """The module it starts is replaced by one that says what it was given."""
    package = tmp_path / "first" / "networksecurity" / "champion"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "answer.py").write_text("import os, sys\nsys.exit(' '.join(sorted(os.environ)))")
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    monkeypatch.setenv("MONGODB_URI", "mongodb://jane:canary@host")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary")
    with pytest.raises(PromotionError) as refused:
        verify(plain, stored_model)
    assert "PATH" in str(refused.value)
    assert not {"MONGODB_URI", "MLFLOW_TRACKING_PASSWORD"} & set(str(refused.value).split())
