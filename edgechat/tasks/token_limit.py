"""The token limit of an answer, computed from its schema. Pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import SchemaError

if TYPE_CHECKING:
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.language import Language

# Tokens per character, with a margin: English needs about 0.25 with any vocabulary; Japanese and Chinese need about 0.8
# with a multilingual one. An answer in a vocabulary that spells kanji as bytes may be cut off: every token of the limit
# reserves a KV cell before the answer starts, so a limit for the worst vocabulary would make other requests wait.
_TOKENS_PER_CHARACTER: dict[Language, float] = {"en": 0.4, "ja": 1.2, "zh": 1.2}
_PER_STRING = 3
"""Quotes, and the comma or colon after them."""
_PER_KEY_CHARACTER = 0.5


def answer_tokens(schema: Schema, language: Language) -> int:
    """An upper estimate of the tokens in the longest answer that ``schema`` allows.

    Raises:
        SchemaError: a string has no ``maxLength`` or an array no ``maxItems``.
    """
    return round(_tokens(schema, _TOKENS_PER_CHARACTER[language], "")) + 2


def _tokens(schema: Schema, rate: float, path: str) -> float:
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return max(len(str(value)) for value in values) * _PER_KEY_CHARACTER + _PER_STRING
    if "anyOf" in schema:
        return max(_tokens(option, rate, f"{path}/anyOf/{i}") for i, option in enumerate(schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object":
        keys = sum(len(key) * _PER_KEY_CHARACTER + _PER_STRING for key in schema.get("properties", {}))
        return (
            2 + keys + sum(_tokens(sub, rate, f"{path}/properties/{key}") for key, sub in schema["properties"].items())
        )
    if kind == "array":
        if "maxItems" not in schema:
            raise SchemaError("The array has no maxItems.", path=path, hint="Bound every array of an answer.")
        return 2 + float(schema["maxItems"]) * (1 + _tokens(schema["items"], rate, f"{path}/items"))
    if kind == "string":
        if "maxLength" not in schema:
            raise SchemaError("The string has no maxLength.", path=path, hint="Bound every string of an answer.")
        return _PER_STRING + float(schema["maxLength"]) * rate
    if kind in {"null", "boolean"}:
        return 2
    return 12  # a number
