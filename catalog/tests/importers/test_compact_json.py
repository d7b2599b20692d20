"""JSON of metadata: byte for byte what the standard library writes, and nothing that it refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.importers.compact_json import dump_json

TEXTS = st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.tuples(inner),
    max_leaves=5,
)  # fmt: skip


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@settings(deadline=None, max_examples=40)
def test_it_writes_what_the_standard_library_writes(values: dict[str, Any]) -> None:
    assert dump_json(values) == json.dumps(values, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), [float("inf")], b"x", {("a",): 1}, {1, 2}]
)
def test_it_refuses_what_has_no_json(value: Any) -> None:
    for values in (value, {"a": value}, {"a": [value]}):
        with pytest.raises((TypeError, ValueError)):
            dump_json(values)
