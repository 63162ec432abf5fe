"""Every schema that a task sends to the model is one that the decoder takes."""

from __future__ import annotations

from typing import Any

import llguidance
import pytest

from edgechat.engine.schema import LAYOUT
from edgechat.tasks.contract import Context
from edgechat.tasks.registry import load


@pytest.mark.parametrize("language", ["ja", "en", "zh"])
@pytest.mark.parametrize("name", ["driving", "rootcause"])
def test_the_decoder_compiles_the_schema_of_the_example(name, language):
    task = load(name)
    record = task.input_model.model_validate({**task.example, "language": language})
    schema: Any = next(task.steps(record, Context())).schema
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=LAYOUT)
    assert llguidance.LLMatcher.validate_grammar(grammar) == ""


def test_the_decoder_refuses_what_it_cannot_honour():
    grammar = llguidance.LLMatcher.grammar_from_json_schema({"type": "array", "uniqueItems": True})
    assert "uniqueItems" in llguidance.LLMatcher.validate_grammar(grammar)
