import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from sklearn.ensemble import AdaBoostClassifier

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.storage import DataRef, ModelRef, Storage, fingerprint, references
from networksecurity.data.validation import validate
from networksecurity.exceptions import ConfigurationError, DataSourceError, StorageError
from networksecurity.training.candidates import CANDIDATES, make_pipeline


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "with a blank"))


@pytest.fixture(scope="module")
def accepted():
    frame = make_phishing_websites(400, random_state=0).astype("Int8")
    frame.loc[3, "SFH"] = None
    return validate(frame).accepted


def test_frame_comes_back_as_it_was(storage, accepted):
    ref = storage.put_frame(accepted)
    assert ref == storage.put_frame(accepted)
    assert ref.n_rows == 400
    pd.testing.assert_frame_equal(storage.get_frame(ref), accepted)


def test_text_and_numbers_come_back_as_they_were(storage):
    raw = pd.DataFrame({"a": [1, 2**40], "b": pd.Series(["abc", None], dtype="str"), "c": [1.5, float("nan")]})
    pd.testing.assert_frame_equal(storage.get_frame(storage.put_frame(raw)), raw)


def test_one_cell_changes_the_fingerprint(accepted):
    seen = {fingerprint(accepted)}
    for row, column, value in ((0, "SFH", None), (3, "SFH", 1), (399, "Result", -accepted.at[399, "Result"])):
        changed = accepted.copy()
        changed.at[row, column] = value
        seen.add(fingerprint(changed))
    seen.add(fingerprint(accepted[::-1]))
    seen.add(fingerprint(accepted.rename(columns={"SFH": "HFS"})))
    assert len(seen) == 6


def test_fingerprint_does_not_depend_on_the_index(accepted):
    assert fingerprint(accepted.set_axis(range(1, 401))) == fingerprint(accepted)


@pytest.mark.parametrize("name", CANDIDATES)
def test_model_comes_back_with_the_same_predictions(storage, accepted, name):
    X, y = to_X_y(accepted)
    small = {"n_estimators": 5} if "n_estimators" in CANDIDATES[name].param_grid else {}
    model = make_pipeline(CANDIDATES[name], small).fit(X, y)
    again = storage.get_model(storage.put_model(model))
    assert (again.predict_proba(X) == model.predict_proba(X)).all()


def test_model_file_of_a_type_that_is_not_trusted_is_refused(storage, accepted):
    X, y = to_X_y(accepted)
    model = AdaBoostClassifier(n_estimators=2).fit(X.fillna(0), y)
    model.estimators_[0].surprise = DataRef(sha256="", n_rows=0)
    with pytest.raises(DataSourceError, match="cannot be loaded: it holds .*DataRef, which"):
        storage.get_model(storage.put_model(model))


def test_a_model_is_loaded_once(storage, accepted):
    X, y = to_X_y(accepted)
    criteria = ("gini", "entropy")
    pipelines = [make_pipeline(CANDIDATES["Decision Tree"], {"criterion": criterion}) for criterion in criteria]
    refs = [storage.put_model(pipeline.fit(X, y)) for pipeline in pipelines]
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(storage.get_model, [refs[0]] * 4))
    assert all(model is models[0] for model in models)
    assert storage.get_model(refs[1])[-1].criterion == "entropy"


@pytest.mark.parametrize("get", ["get_frame", "get_model"])
def test_what_is_gone_is_an_error_that_says_what_to_do(storage, get):
    ref = DataRef(sha256="0" * 64, n_rows=1) if get == "get_frame" else ModelRef(sha256="0" * 64)
    with pytest.raises(StorageError, match="is gone, .* the same command again computes it anew"):
        getattr(storage, get)(ref)


def stored_file(tmp_path):
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    return path


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_no_flipped_bit_changes_the_rows_that_are_read(storage, accepted, tmp_path):
    ref = storage.put_frame(accepted)
    path, n_refused = stored_file(tmp_path), 0
    content = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(content)), 300):
        flip(path, bit)
        try:
            pd.testing.assert_frame_equal(storage.get_frame(ref), accepted)
        except StorageError as exc:
            assert f"was moved to {path.name}.damaged" in str(exc)  # noqa: PT017 (some flips change nothing)
            n_refused += 1
        path.write_bytes(content)
    assert n_refused > 150


@pytest.mark.parametrize("kind", ["frame", "model"])
def test_what_is_damaged_is_moved_aside_and_stored_anew(storage, accepted, tmp_path, caplog, kind):
    model = make_pipeline(CANDIDATES["Logistic Regression"]).fit(*to_X_y(accepted))
    value = accepted if kind == "frame" else model
    put, get = getattr(storage, f"put_{kind}"), getattr(storage, f"get_{kind}")
    ref = put(value)
    path = stored_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert not storage.holds(ref)
    assert "is damaged" in caplog.text
    assert not path.exists()
    with pytest.raises(StorageError, match="is gone"):
        get(ref)
    assert storage.holds(put(value))


def test_storing_replaces_what_is_damaged(storage, accepted, tmp_path):
    ref = storage.put_frame(accepted)
    path = stored_file(tmp_path)
    content = path.read_bytes()
    flip(path, 8 * 2_000)
    assert storage.put_frame(accepted) == ref
    assert path.read_bytes() == content


def test_other_sound_content_under_the_name_is_refused(storage, accepted, tmp_path):
    ref = storage.put_frame(accepted)
    accepted[::-1].to_parquet(stored_file(tmp_path), index=False)
    with pytest.raises(StorageError, match="its rows have the SHA-256"):
        storage.get_frame(ref)


def test_objects_come_back_under_the_reference_they_were_stored_with(storage):
    frame = pd.DataFrame({"a": pd.Series([1, 2, None], dtype=object), "b": pd.Series(["x", None, "z"], dtype=object)})
    again = storage.get_frame(storage.put_frame(frame))
    assert again["a"].tolist()[:2] == [1, 2]
    assert again["b"].tolist()[::2] == ["x", "z"]


def test_a_folder_without_room_is_one_line_and_leaves_nothing_half_written(storage, accepted, tmp_path, monkeypatch):
    def full(path, value, **_):
        with Path(path).open("wb") as file:
            file.write(value[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(storage._files), "pipe_file", staticmethod(full))
    with pytest.raises(StorageError, match=r"cannot be written \(\[Errno 28\] No space left on device\): make room"):
        storage.put_frame(accepted)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_references_are_found_however_deep(accepted, storage):
    found = [storage.put_frame(accepted), ModelRef(sha256="0" * 64), storage.quarantine(accepted)]
    assert list(references({"a": [found[0], {"b": (found[1], 1)}], "c": found[2], "d": None})) == found


def test_nothing_half_written_is_left(storage, accepted, tmp_path):
    storage.put_frame(accepted)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".parquet"]


def test_what_a_killed_process_left_half_written_is_deleted_a_day_later(storage, accepted, tmp_path):
    folder = tmp_path / "with a blank" / "data"
    folder.mkdir(parents=True)
    old, new, foreign = (
        folder / name for name in (f"x.parquet.{'a' * 32}.partial", f"x.parquet.{'b' * 32}.partial", "x.partial")
    )
    for path in (old, new, foreign):
        path.write_bytes(b"PAR1")
    for path in (old, foreign):
        os.utime(path, (time.time() - 90_000,) * 2)
    ref = storage.put_frame(accepted)
    assert {path.name for path in folder.iterdir()} == {new.name, foreign.name, f"{ref.sha256}.parquet"}


def test_quarantine_keeps_row_numbers_values_and_reasons(storage, accepted):
    raw = accepted.astype(object)
    raw.at[7, "SFH"] = "abc"
    raw.at[9, "port"] = None
    raw.at[9, "SFH"] = 1.7
    rejected = validate(raw).rejected
    kept = pd.read_parquet(storage.quarantine(rejected).path)
    assert kept["row"].tolist() == [7, 9]
    assert kept["SFH"].tolist() == ["abc", "1.7"]
    assert kept["port"].isna().tolist() == [False, True]
    assert kept["reasons"].tolist() == ["SFH is not a whole number"] * 2


def test_a_damaged_file_of_rejected_rows_is_moved_aside(storage, accepted):
    other, rejected = (storage.quarantine(rows.assign(reasons="x")) for rows in (accepted, accepted[:3]))
    flip(Path(rejected.path), 8 * 300)
    with pytest.raises(StorageError, match="is damaged"):
        storage.quarantined()
    assert list(storage.quarantined()) == [Path(other.path).stem]


def test_unknown_kind_of_storage():
    with pytest.raises(ConfigurationError, match="NETWORKSECURITY_STORAGE"):
        Storage("nosuch://bucket")


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("ftp://me:hunter2@127.0.0.1:{port}/x", StorageError, "ftp://127.0.0.1:{port}/x cannot be reached: "),
        ("ftp://me:hunt/er2@127.0.0.1/x", ConfigurationError, "cannot be used: its address is not valid"),
    ],
)
def test_a_storage_that_is_not_there_is_said_without_its_password(url, error, says, closed_port):
    with pytest.raises(error) as caught:
        Storage(url.format(port=closed_port))
    assert says.format(port=closed_port) in str(caught.value)
    assert "hunt" not in str(caught.value)
