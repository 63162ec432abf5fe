"""The longest JSON text that a tightened schema allows, for token budgets."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from edgechat.engine.schema.layout import COLON, COMMA

_PER_MEMBER = len(COLON) + len(COMMA)
_PER_CHARACTER = 6
"""A control character is written ``\\u0000``; where those are excluded, an escape has two characters."""


def longest(schema: dict[str, Any]) -> int | None:
    """Characters of the longest JSON text that ``schema`` allows, as an upper bound; None without a limit.

    Exact for structure; each character of a string counts as its longest escape.
    """
    escape = 2 if "json_allowed_escapes" in schema.get("x-guidance", {}) else _PER_CHARACTER
    return _Measure(schema.get("$defs", {}), escape).of(schema)


class _Measure:
    def __init__(self, definitions: dict[str, Any], escape: int) -> None:
        self._definitions = definitions
        self._escape = escape
        self._known: dict[str, int | None] = {}

    def of(self, schema: Any) -> int | None:
        if not isinstance(schema, dict):
            return None
        if "$ref" in schema:
            return self._definition(schema["$ref"])
        if "const" in schema:
            return _spelled(schema["const"])
        if "enum" in schema:
            return max(map(_spelled, schema["enum"]), default=0)
        if "anyOf" in schema:
            return _largest([self.of(each) for each in schema["anyOf"]])
        kind = schema.get("type")
        if kind in {"null", "boolean"}:
            return 5
        if kind in {"integer", "number"}:
            return _number(schema)
        if kind == "string":
            return self._string(schema)
        if kind == "array":
            return self._array(schema)
        return self._object(schema) if kind == "object" else None

    def _definition(self, reference: str) -> int | None:
        name = reference.rpartition("/")[2]
        if name not in self._known:
            self._known[name] = None  # a recursive schema has no limit
            self._known[name] = self.of(self._definitions.get(name))
        return self._known[name]

    def _string(self, schema: dict[str, Any]) -> int | None:
        most = schema.get("maxLength", schema.get("x-longest"))
        return None if most is None else 2 + self._escape * min(int(most), schema.get("x-longest", int(most)))

    def _array(self, schema: dict[str, Any]) -> int | None:
        if "maxItems" not in schema:
            return None
        prefix = [self.of(each) for each in schema.get("prefixItems", [])][: schema["maxItems"]]
        others = schema["maxItems"] - len(prefix)
        if others and schema.get("items") is not False:
            each = self.of(schema.get("items"))
            prefix.append(None if each is None else each * others + len(COMMA) * (others - 1))
        return _total(prefix, 2 + len(COMMA) * max(len(prefix) - 1, 0))

    def _object(self, schema: dict[str, Any]) -> int | None:
        members: list[int | None] = []
        for name, each in schema.get("properties", {}).items():
            members.append(_total([self.of(each)], _spelled(name) + _PER_MEMBER))
        families = schema.get("patternProperties", {})
        if families:
            each = _largest([self.of(family) for family in families.values()])
            most, name = schema.get("maxProperties"), schema.get("x-longest-name")
            if each is None or most is None or name is None:
                return None
            members.append((each + 2 + self._escape * name + _PER_MEMBER) * max(most - len(members), 0))
        total = _total(members, 2)
        if total is None or schema.get("additionalProperties") is not False:
            return None
        return max(total - len(COMMA), 2)


def _total(parts: list[int | None], start: int) -> int | None:
    total = start
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _largest(parts: list[int | None]) -> int | None:
    return None if None in parts else max(part for part in parts if part is not None)


def _number(schema: dict[str, Any]) -> int | None:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        return None
    digits = int(low < 0) + max(len(str(abs(int(low)))), len(str(abs(int(high)))))
    if schema["type"] == "integer":
        return digits
    step = schema.get("multipleOf")
    return None if step is None else digits + 1 + max(-int(Decimal(str(step)).as_tuple().exponent), 0)


def _spelled(value: Any) -> int:
    if isinstance(value, list):
        return 2 + sum(map(_spelled, value)) + len(COMMA) * max(len(value) - 1, 0)
    if isinstance(value, dict):
        members = sum(_spelled(key) + _spelled(each) + _PER_MEMBER for key, each in value.items())
        return 2 + max(members - len(COMMA), 0)
    if isinstance(value, float):
        return len(f"{Decimal(str(value)):f}")  # the decoder writes no exponents
    text = json.dumps(value, ensure_ascii=False)
    return len(text) + 5 * text.count("\x7f")
