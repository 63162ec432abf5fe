"""The keywords of JSON Schema: which are enforced, which are refused, and what their values must be.

The table in docs/json-schema.md is checked against this module.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HONOURED: dict[str, str] = {
    "type": "one type, or a list of them",
    "enum": "any JSON values; those that the rest of the schema forbids are left out",
    "const": "any JSON value",
    "properties": "decoded in the order in which the schema lists them",
    "required": "also for names that `properties` does not list",
    "additionalProperties": "a schema or false; `true` beside `properties` is tightened to false",
    "patternProperties": "one pattern, or several that begin with different characters after `^`",
    "propertyNames": "`enum`, `const` or `pattern` alone",
    "minProperties": "0, 1, all, or at most one more than the required ones where other names may follow",
    "maxProperties": "a bound that the named properties cannot exceed, or 1, or the number of required ones",
    "items": "a schema or false; a list of schemas in drafts before 2020-12",
    "prefixItems": "2020-12 only",
    "additionalItems": "drafts before 2020-12, beside a list in `items`",
    "minItems": "",
    "maxItems": "",
    "minLength": "",
    "maxLength": "",
    "pattern": "without look-around, back-references, word boundaries, \\p{...} and inline flags",
    "format": "those listed below; others are refused",
    "minimum": "",
    "maximum": "",
    "exclusiveMinimum": "a number; true or false in draft-04",
    "exclusiveMaximum": "a number; true or false in draft-04",
    "multipleOf": "up to nine decimals",
    "allOf": "merged before decoding",
    "anyOf": "",
    "oneOf": "where the branches provably exclude each other, or can be narrowed until they do",
    "$ref": "inside the schema: `#`, `#/...` or `#anchor`; recursion too",
    "unevaluatedProperties": "true or false",
    "unevaluatedItems": "true or false",
    "uniqueItems": "false, or arrays of at most one item",
}
"""Keyword -> remark for the user."""

REFUSED: dict[str, str] = {
    "not": "List what is allowed with enum, anyOf or a pattern.",
    "if": "Use anyOf with one branch for each case.",
    "then": "Use anyOf with one branch for each case.",
    "else": "Use anyOf with one branch for each case.",
    "contains": "Describe the items with items or prefixItems.",
    "minContains": "Describe the items with items or prefixItems.",
    "maxContains": "Describe the items with items or prefixItems.",
    "dependentRequired": "Use anyOf with one branch for each case.",
    "dependentSchemas": "Use anyOf with one branch for each case.",
    "dependencies": "Use anyOf with one branch for each case.",
    "$dynamicRef": "Use $ref.",
    "$recursiveRef": "Use $ref.",
    "extends": "Use allOf.",
    "disallow": "List what is allowed with enum or anyOf.",
    "divisibleBy": "Use multipleOf.",
}
"""Keyword -> what to write instead."""

ANNOTATIONS: frozenset[str] = frozenset(
    {
        "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$comment", "$defs", "definitions",
        "$vocabulary", "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
        "contentEncoding", "contentMediaType", "contentSchema", "nullable", "discriminator", "xml", "externalDocs",
    }
)  # fmt: skip
"""Keywords that exclude no value. They do not reach the decoder."""

TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")

DRAFTS: dict[str, int] = {
    "https://json-schema.org/draft/2020-12/schema": 2020,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "http://json-schema.org/draft-07/schema": 7,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-04/schema": 4,
}
"""``$schema`` without its trailing ``#`` -> draft."""


def is_integer(value: object) -> bool:
    """True for a JSON integer; 2.0 is one, true is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)


def is_number(value: object) -> bool:
    """True for a finite JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return is_number(value) and is_integer(value) and value >= 0  # type: ignore[operator]


def _is_schema(value: object) -> bool:
    return isinstance(value, (dict, bool))


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_schema_map(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_types(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_types, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "a list with at least one value"),
    "required": (_is_names, "a list of property names"),
    "properties": (_is_schema_map, "an object whose values are schemas"),
    "patternProperties": (_is_schema_map, "an object whose values are schemas"),
    "$defs": (lambda value: isinstance(value, dict), "an object whose values are schemas"),
    "definitions": (lambda value: isinstance(value, dict), "an object whose values are schemas"),
    "additionalProperties": (_is_schema, "a schema (an object, true or false)"),
    "propertyNames": (_is_schema, "a schema (an object, true or false)"),
    "items": (lambda value: _is_schema(value) or _is_schemas(value) or value == [], "a schema"),
    "additionalItems": (_is_schema, "a schema (an object, true or false)"),
    "prefixItems": (_is_schemas, "a list of schemas"),
    "allOf": (_is_schemas, "a list of schemas"),
    "anyOf": (_is_schemas, "a list of schemas"),
    "oneOf": (_is_schemas, "a list of schemas"),
    "$ref": (lambda value: isinstance(value, str), "a string"),
    "$anchor": (lambda value: isinstance(value, str), "a string"),
    "pattern": (lambda value: isinstance(value, str), "a string"),
    "format": (lambda value: isinstance(value, str), "a string"),
    "minimum": (is_number, "a number"),
    "maximum": (is_number, "a number"),
    "exclusiveMinimum": (is_number, "a number (true and false belong to draft-04)"),
    "exclusiveMaximum": (is_number, "a number (true and false belong to draft-04)"),
    "multipleOf": (lambda value: is_number(value) and value > 0, "a number greater than 0"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "unevaluatedProperties": (lambda value: isinstance(value, bool), "true or false; schemas are not supported"),
    "unevaluatedItems": (lambda value: isinstance(value, bool), "true or false; schemas are not supported"),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        (_is_count, "a whole number, 0 or more"),
    ),
}
"""Keyword -> what its value must be, as a predicate and in words."""

_FOLDED = {name.replace("$", "").lower(): name for name in (*HONOURED, *REFUSED)}


def misspelt(keyword: str) -> str:
    """The keyword that ``keyword`` differs from only in case, ``_`` or ``-``; ``""`` for any other name."""
    meant = _FOLDED.get(keyword.replace("_", "").replace("-", "").replace("$", "").lower(), "")
    return "" if meant == keyword else meant
