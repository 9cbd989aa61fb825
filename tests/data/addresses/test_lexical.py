import re
from collections import Counter
from math import log2

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from networksecurity.data.addresses.lexical import count_characters, count_matches, entropy, has_match, longest_run

TEXTS = st.lists(st.text(st.characters(min_codepoint=0, max_codepoint=127)))


def arrow(texts):
    return pa.array(texts, pa.large_string())


@given(TEXTS, st.sampled_from(["0123456789", "a", "abc\x00"]))
def test_characters_are_counted_as_python_counts_them(texts, characters):
    assert count_characters(arrow(texts), characters).tolist() == [
        sum(of in characters for of in text) for text in texts
    ]


@given(TEXTS, st.sampled_from(["0123456789", "a", "abc\x00"]))
def test_the_longest_run_is_the_longest_match(texts, characters):
    runs = [max(map(len, re.findall(f"[{characters}]+", text)), default=0) for text in texts]
    assert longest_run(arrow(texts), characters).tolist() == runs


@given(TEXTS)
def test_entropy_is_shannons(texts):
    expected = [sum(n / len(text) * log2(len(text) / n) for n in Counter(text).values()) for text in texts]
    assert entropy(arrow(texts)).tolist() == pytest.approx(expected)


@given(TEXTS, st.integers(0, 3))
def test_a_part_of_an_array_is_read_alone(texts, start):
    part = arrow(texts)[start:]
    assert longest_run(part, "a").tolist() == longest_run(arrow(texts[start:]), "a").tolist()
    assert count_characters(part, "a").tolist() == count_characters(arrow(texts[start:]), "a").tolist()
    assert entropy(part).tolist() == entropy(arrow(texts[start:])).tolist()


def test_entropy_of_many_texts_is_that_of_each():
    texts = ["abab", "", "abcd", "aaaa"] * 3_000
    assert entropy(arrow(texts)).tolist() == [1.0, 0.0, 2.0, 0.0] * 3_000


def test_matches_are_counted_or_seen():
    texts = arrow(["login-sign-in", "", "LOGIN"])
    assert count_matches(texts, "login|sign-?in").tolist() == [2.0, 0.0, 0.0]
    assert has_match(texts, "login|sign-?in").tolist() == [1.0, 0.0, 0.0]
