import math
import uuid
from datetime import datetime

import bson
import pandas as pd
import pytest
from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from networksecurity.data.mongodb.bson import Decoder, split, take_keys


def cells(column):
    return [None if pd.isna(value) else value for value in column.tolist()]


CELL = st.one_of(
    st.integers(-1, 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-130, 130).map(float),
    st.integers(-130, 130).map(Int64),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["na", "1", ""]),
    st.builds(ObjectId, st.binary(min_size=12, max_size=12)),
)
DOCUMENT = st.one_of(
    st.fixed_dictionaries({"port": st.integers(-1, 1), "SFH": st.integers(-1, 1).map(float)}),
    st.fixed_dictionaries({"SFH": st.integers(-2, 1), "port": st.integers(-1, 1)}),
    st.fixed_dictionaries({}, optional={"port": CELL, "SFH": CELL, "other": CELL}),
)


@hypothesis_settings(max_examples=60)
@given(st.lists(st.lists(DOCUMENT, min_size=1, max_size=8), min_size=1, max_size=3))
def test_fast_path_reads_what_the_slow_path_would(batches):
    def expected(value, as_text):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if type(value) in (int, float, Int64) and abs(value) <= 127 and value == int(value):
            return str(int(value)) if as_text else int(value)
        return str(value)

    encoded = [[bson.encode(document) for document in batch] for batch in batches]
    frame = Decoder(CodecOptions(), {"port": "port", "SFH": "SFH"}).to_frame(encoded, ["port", "SFH"])
    for name in frame:
        values = [bson.decode(document).get(name) for batch in encoded for document in batch]
        as_text = any(isinstance(expected(value, False), str) for value in values)
        assert frame[name].dtype == ("str" if as_text else "Int8")
        assert cells(frame[name]) == [expected(value, as_text) for value in values]


def test_documents_of_many_layouts_are_decoded_alike():
    rows = [{"port": 1, "SFH": 0}, {"SFH": 1, "PORT": -1}, {"port_no": 1}, {"sfh": -1, "port": None}, {"Port": "x"}]
    documents = [bson.encode(rows[number % 5] | {"note": "n" * (number % 7)}) for number in range(200)]
    decoder = Decoder(CodecOptions())
    frame = decoder.to_frame([documents[:90], documents[90:]])
    assert frame.columns.tolist() == ["port", "SFH"]
    assert cells(frame["port"]) == ["1", "-1", "1", None, "x"] * 40
    assert cells(frame["SFH"]) == [0, 1, None, -1, None] * 40
    assert decoder.unknown == {"note": 200}


def test_a_message_is_split_into_its_documents():
    documents = [bson.encode({"port": 1}), bson.encode({}), bson.encode({"SFH": "x" * 300})]
    assert split(b"".join(documents)) == documents
    assert split(b"") == []


KEYS = [
    1,
    Int64(2**40),
    1.5,
    "a",
    "",
    b"\x00",
    uuid.UUID(int=7),
    True,
    None,
    ObjectId("0" * 24),
    datetime(2026, 1, 1),  # noqa: DTZ001 (as BSON has it)
    Decimal128("1"),
    Timestamp(1, 2),
    MinKey(),
    MaxKey(),
    Code("f"),
    Code("f", {"a": 1}),
    {"file": "f" * 64, "row": 3},
    {},
]


@pytest.mark.parametrize("rest", [{}, {"port": 1, "SFH": None}])
def test_keys_of_any_type_are_taken_off(rest):
    options = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
    documents = [bson.encode({"_id": key, **rest}, codec_options=options) for key in KEYS]
    keys, contents = take_keys(documents, options)
    assert keys == KEYS
    assert list(map(type, keys)) == [Int64 if key == 2**40 else type(key) for key in KEYS]
    assert [bson.decode(content) for content in contents] == [rest] * len(KEYS)
    assert take_keys([], options) == ([], [])
