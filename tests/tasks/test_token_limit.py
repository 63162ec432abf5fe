"""Token limits that follow from bounded schemas."""

from __future__ import annotations

from typing import Any

import pytest

from edgechat.errors import SchemaError
from edgechat.tasks.token_limit import answer_tokens

TEXT = {"type": "string", "maxLength": 100}


def wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}


def test_a_longer_bound_and_a_denser_script_take_more():
    short = answer_tokens(wrapped({"type": "string", "maxLength": 50}), "en")
    assert 20 < short < answer_tokens(wrapped(TEXT), "en") < answer_tokens(wrapped(TEXT), "ja")


def test_an_array_costs_its_most_items_and_a_choice_its_longest():
    one = answer_tokens(wrapped({"type": "array", "items": TEXT, "maxItems": 1}), "en")
    three = answer_tokens(wrapped({"type": "array", "items": TEXT, "maxItems": 3}), "en")
    assert three - one == pytest.approx(2 * 44, abs=2)
    assert answer_tokens(wrapped({"anyOf": [TEXT, {"type": "null"}]}), "en") == answer_tokens(wrapped(TEXT), "en")
    assert answer_tokens(wrapped({"enum": ["a", "b" * 10]}), "en") < answer_tokens(wrapped(TEXT), "en")


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (wrapped({"type": "string"}), "/properties/x"),
        (wrapped({"type": "array", "items": TEXT}), "/properties/x"),
        (wrapped({"type": "array", "items": {"type": "string"}, "maxItems": 2}), "/properties/x/items"),
        (wrapped({"anyOf": [{"type": "null"}, {"type": "string"}]}), "/properties/x/anyOf/1"),
    ],
)
def test_what_has_no_bound_is_refused_with_its_place(schema, path):
    with pytest.raises(SchemaError) as caught:
        answer_tokens(schema, "en")
    assert caught.value.path == path


def test_plugins_may_import_it_under_its_former_name():
    from edgechat.tasks import budget

    assert budget.answer_tokens is answer_tokens
