"""What is counted before JSON is parsed is what the parser would build."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.protocol.json_bounds import JsonBounds, JsonTooLargeError, parse, require_bounded

TEXTS = st.text(st.sampled_from('ab\\"[]{},:\n\u3042'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def measured(value: object) -> tuple[int, int]:
    """Commas and opening brackets, and levels of nesting, from the parsed value."""
    if not isinstance(value, (list, dict)):
        return 0, 0
    inside = [measured(each) for each in (value.values() if isinstance(value, dict) else value)]
    items = 1 + max(len(value) - 1, 0) + sum(items for items, _ in inside)
    return items, 1 + max((depth for _, depth in inside), default=0)


@given(VALUES, st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_the_bounds_are_those_of_the_parsed_value_however_the_text_is_cut(value, cuts, as_ascii) -> None:
    text = json.dumps(value, ensure_ascii=as_ascii).encode()
    items, depth = measured(value)
    edges = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]

    def feed(**bounds: int) -> None:
        counting = JsonBounds(**bounds)
        for a, b in itertools.pairwise(edges):
            counting.feed(text[a:b])

    feed(max_items=max(items, 10), max_depth=depth)
    if items > 40:
        with pytest.raises(JsonTooLargeError, match="items"):
            feed(max_items=items - 1, max_depth=depth)
    if depth:
        with pytest.raises(JsonTooLargeError, match="deeper"):
            feed(max_items=max(items, 10), max_depth=depth - 1)


@pytest.mark.parametrize("text", [b"[[[]]]", b'[{"a":[]}]', b'{"a":[{}]}', b"[[{}],[[]]]", b'[[],{"a":[1]},{}]'])
def test_the_deepest_level_is_found_among_empty_pairs(text: bytes) -> None:
    require_bounded(text, max_depth=3)
    with pytest.raises(JsonTooLargeError, match="deeper"):
        require_bounded(text, max_depth=2)


@pytest.mark.parametrize(
    "bomb", [b"[" + b"[]," * 10**6, b'[{"a":1},' * 10**6, b"1," * 10**6, b'"",' * 10**6, b'""' * 10**6]
)
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises(JsonTooLargeError):
        require_bounded(bomb)


def test_a_long_text_is_no_bomb() -> None:
    require_bounded(json.dumps({"content": '[],{}\\"\n' * 500_000}).encode())


def test_only_utf_8_is_parsed() -> None:
    """UTF-16 spells an escaped quotation mark in a way that the count does not know."""
    assert parse('\ufeff{"a": "é"}'.encode()) == {"a": "é"}
    with pytest.raises(UnicodeDecodeError):
        parse('{"a": 1}'.encode("utf-16"))
