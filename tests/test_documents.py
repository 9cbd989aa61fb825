import math

import bson
import pandas as pd
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from networksecurity.documents import to_frame


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


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(DOCUMENT, min_size=1, max_size=8), min_size=1, max_size=3))
def test_fast_path_reads_what_the_slow_path_would(batches):
    def expected(value, as_text):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if type(value) in (int, float, Int64) and abs(value) <= 127 and value == int(value):
            return str(int(value)) if as_text else int(value)
        return str(value)

    encoded = [[bson.encode(document) for document in batch] for batch in batches]
    frame = to_frame(encoded, ["port", "SFH"], CodecOptions())
    for name in frame:
        values = [bson.decode(document).get(name) for batch in encoded for document in batch]
        as_text = any(isinstance(expected(value, False), str) for value in values)
        assert frame[name].dtype == ("str" if as_text else "Int8")
        assert cells(frame[name]) == [expected(value, as_text) for value in values]
