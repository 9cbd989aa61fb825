import pytest
from pydantic import ValidationError

from networksecurity.champion.gate import Gate

SHARES = ("min_f1_score", "min_recall_score", "max_false_positive_rate", "max_generalisation_gap", "margin")


def test_the_gate_is_as_strict_as_the_docs_say():
    assert Gate().model_dump() == {
        "min_f1_score": 0.85,
        "min_recall_score": 0.85,
        "max_false_positive_rate": 0.1,
        "max_generalisation_gap": 0.1,
        "margin": 0.01,
        "confidence": 0.95,
    }


@pytest.mark.parametrize("name", SHARES)
def test_a_limit_is_a_share(name):
    assert [getattr(Gate(**{name: share}), name) for share in (0, 1)] == [0, 1]
    for share in (-0.001, 1.001):
        with pytest.raises(ValidationError, match=name):
            Gate(**{name: share})


def test_confidence_is_more_than_a_coin_gives_and_less_than_certainty():
    assert [Gate(confidence=of).confidence for of in (0.501, 0.999)] == [0.501, 0.999]
    for of in (0.5, 1):
        with pytest.raises(ValidationError, match="confidence"):
            Gate(confidence=of)


def test_a_misspelt_limit_is_refused_and_a_gate_does_not_change():
    with pytest.raises(ValidationError, match="min_f1"):
        Gate(min_f1=0.9)
    with pytest.raises(ValidationError, match="frozen"):
        Gate().margin = 0.5
