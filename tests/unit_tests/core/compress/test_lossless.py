"""JSON loses its white space and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.compress.lossless import minify_json

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
)
objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9
    ),
    min_size=1,
)


@given(objects, st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_json_is_parse_equal_and_never_longer(value: Any, ascii_only: bool, indent: Any) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    smaller = minify_json(f"Data:\n{written}\nEnd.")
    found = smaller.removeprefix("Data:\n").removesuffix("\nEnd.")
    assert json.loads(found) == value
    assert len(found) <= len(written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{ "pi": 3.140, "n": 1E5,\n "pi": 0 }', '{"pi":3.140,"n":1E5,"pi":0}'),
        ('say { "a": [1, 2] } now', 'say {"a":[1,2]} now'),
        ('[\n  {"a": 1},\n  {"b": "x  y"}\n]', '[{"a":1},{"b":"x  y"}]'),
        ('{"half": "\\ud800", "z": "\\u00e9"}', '{"half":"\\ud800","z":"é"}'),
        ("as shown in [1, 2] and [3]", "as shown in [1, 2] and [3]"),
        ('```json\n{ "a": 1 }\n```', '```json\n{ "a": 1 }\n```'),
        ("{name} and { not json }", "{name} and { not json }"),
        ('{ "open": [1, 2', '{ "open": [1, 2'),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_what_is_touched(text: str, expected: str) -> None:
    assert minify_json(text) == expected
