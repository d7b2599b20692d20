"""JSON of metadata: what the standard library writes, and nothing that it refuses."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.importers.compact_json import dump_json

# With the halves of characters that undecodable bytes become.
TEXTS = st.text() | st.text(st.characters(max_codepoint=0x7F) | st.characters(categories=["Cs"]))
# Also at the ends of 64 bits.
INTEGERS = st.integers() | st.integers(2**64 - 2, 2**64 + 1) | st.integers(-(2**63) - 2, -(2**63))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.tuples(inner),
    max_leaves=5,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@settings(deadline=None, max_examples=100)
def test_it_writes_what_the_standard_library_writes(values: dict[str, Any]) -> None:
    assert dump_json(values) == json.dumps(values, ensure_ascii=False, separators=(",", ":"))


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=100)
def test_a_number_has_the_same_digits(value: float) -> None:
    """As PostgreSQL keeps them: with a point or an exponent, but 1.0 is not 1."""
    assert Decimal(dump_json(value)).as_tuple() == Decimal(json.dumps(value)).as_tuple()


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), [float("inf")], b"x", {("a",): 1}, {1, 2}]
)
def test_it_refuses_what_has_no_json(value: Any) -> None:
    for values in (value, {"a": value}, {"a": [value], "b": "null"}):
        with pytest.raises((TypeError, ValueError)):
            dump_json(values)
