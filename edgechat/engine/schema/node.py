"""One schema object: checks that its keywords are valid, supported and consistent, and computes the forms they allow.

References and combinations of schemas are handled in `meaning`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from edgechat.engine.schema import keywords
from edgechat.engine.schema.document import MAX_EXACT, below
from edgechat.engine.schema.form import Array, Form, Number, Object, Place, Text, Values, both, key
from edgechat.engine.schema.formats import FORMATS, INTEGER_FORMATS, UNCONSTRAINED, format_pattern
from edgechat.engine.schema.pattern import Pattern, PatternError, read
from edgechat.errors import SchemaError

if TYPE_CHECKING:
    from edgechat.engine.schema.document import Document

MAX_DECIMALS = 9
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
MAX_TEXT = 100_000
MAX_ITEMS = 10_000
"""Larger minimum lengths and counts are refused: no answer on a board gets that long."""


def own_forms(document: Document, pointer: str, node: dict[str, Any]) -> tuple[tuple[Form, ...], list[Any] | None]:
    """The forms that a schema object's own keywords allow, and the values of its enum or const (None without them).

    Raises:
        SchemaError: a keyword is invalid, not supported, or contradicts another one.
    """
    node = _checked(document, pointer, node)
    types = node.get("type", keywords.TYPES)
    names = dict.fromkeys([types] if isinstance(types, str) else types)
    forms: list[Form] = []
    for name in names:
        if name == "null":
            forms.append(Values((None,)))
        elif name == "boolean":
            forms.append(Values((False, True)))
        elif name == "number" or (name == "integer" and "number" not in names):
            forms.append(_number(node, pointer, is_integer=name == "integer"))
        elif name == "string":
            forms.append(_text(node, pointer))
        elif name == "array":
            forms.append(_array(node, pointer, document.draft_at(pointer)))
        elif name == "object":
            forms.append(_object(document, node, pointer))
    values: list[Any] | None = None
    if "enum" in node:
        values = [_literal(value, f"{pointer}/enum/{index}") for index, value in enumerate(node["enum"])]
    if "const" in node:
        const = _literal(node["const"], below(pointer, "const"))
        values = [const] if values is None or key(const) in set(map(key, values)) else []
    return tuple(forms), values


def _refuse(message: str, pointer: str, keyword: str, hint: str = "") -> NoReturn:
    raise SchemaError(message, path=below(pointer, keyword), hint=hint)


def _checked(document: Document, pointer: str, node: dict[str, Any]) -> dict[str, Any]:
    draft = document.draft_at(pointer)
    for keyword, value in node.items():
        if keyword in keywords.REFUSED:
            _refuse(f"{keyword} cannot be enforced while decoding.", pointer, keyword, keywords.REFUSED[keyword])
        meant = keywords.misspelt(keyword)
        if meant and keyword not in keywords.ANNOTATIONS:
            _refuse(f"{keyword} is no keyword, so it would not be enforced.", pointer, keyword, f"Write {meant}.")
        if keyword.startswith("exclusive") and isinstance(value, bool) and draft == 4:
            continue
        shape = keywords.SHAPES.get(keyword)
        if shape and not shape[0](value):
            _refuse(f"{keyword} must be {shape[1]}.", pointer, keyword)
    if draft == 4:
        node = _from_draft_4(node)
    return _with_prefix_items(draft, pointer, node)


def _from_draft_4(node: dict[str, Any]) -> dict[str, Any]:
    node = dict(node)
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = node.get(exclusive)
        if isinstance(flag, bool):
            del node[exclusive]
            if flag and bound in node:
                node[exclusive] = node[bound]
    return node


def _with_prefix_items(draft: int, pointer: str, node: dict[str, Any]) -> dict[str, Any]:
    if draft == 2020:
        if isinstance(node.get("items"), list):
            _refuse("items is a list, which 2020-12 calls prefixItems.", pointer, "items", "Write prefixItems.")
        if "additionalItems" in node:
            _refuse("additionalItems does nothing in 2020-12.", pointer, "additionalItems", "Write items.")
    elif "prefixItems" in node:
        _refuse("prefixItems belongs to 2020-12.", pointer, "prefixItems", "Drop $schema, or use a list in items.")
    return node


def _literal(value: Any, pointer: str) -> Any:
    """The value, checked to be one that decoding reproduces exactly."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_literal(each, below(pointer, index)) for index, each in enumerate(value)]
    if isinstance(value, dict):
        return {key: _literal(each, below(pointer, key)) for key, each in value.items()}
    if keywords.is_number(value):
        if abs(value) > MAX_EXACT:
            raise SchemaError(f"{value} is beyond ±(2^53 - 1), where JSON numbers are not exact.", path=pointer)
        if value and abs(value) < 1e-12:
            raise SchemaError(f"{value} is too small to be decoded exactly.", path=pointer)
        return int(value) if keywords.is_integer(value) else value
    return value


def _exact(value: Any) -> Fraction:
    return Fraction(Decimal(str(value)))


def _number(node: dict[str, Any], pointer: str, *, is_integer: bool) -> Number:
    for keyword in _BOUNDS:
        if keyword in node and node[keyword] and abs(node[keyword]) < 1e-12:
            _refuse(f"{keyword} has too many decimals to be told from 0 while decoding.", pointer, keyword, "Use 0.")
    for keyword, sign in (("minimum", 1), ("exclusiveMinimum", 1), ("maximum", -1), ("exclusiveMaximum", -1)):
        if keyword in node and sign * node[keyword] > MAX_EXACT:
            _refuse(f"{keyword} leaves only numbers beyond ±(2^53 - 1), which JSON blurs.", pointer, keyword)
    step = _exact(node["multipleOf"]) if "multipleOf" in node else None
    if step is not None and ((step * 10**MAX_DECIMALS).denominator != 1 or _coefficient(step) >= 2**32):
        _refuse(f"multipleOf has more than {MAX_DECIMALS} digits.", pointer, "multipleOf", "Use a rounder number.")
    lows = [(_exact(node[k]), k == "exclusiveMinimum") for k in ("minimum", "exclusiveMinimum") if k in node]
    highs = [(_exact(node[k]), k != "exclusiveMaximum") for k in ("maximum", "exclusiveMaximum") if k in node]
    if is_integer and node.get("format") in INTEGER_FORMATS:
        least, most = INTEGER_FORMATS[node["format"]]
        lows.append((Fraction(least), False))
        highs.append((Fraction(most), True))
    low, above = max(lows, default=(None, False))
    high, within = min(highs, default=(None, True))
    if is_integer:
        step = Fraction(1) if step is None else Fraction(step.numerator)  # the least common multiple with 1
    found = Number(low, high, above, not within, step)
    if found.is_empty:
        named = [key for key in (*_BOUNDS, "multipleOf", "format") if key in node]
        words = " and ".join(f"{key} {node[key]}" for key in named)
        _refuse(f"No {'integer' if is_integer else 'number'} satisfies {words}.", pointer, named[0])
    return found


def _coefficient(value: Fraction) -> int:
    """The digits of a decimal number without its point, as an integer."""
    decimals = next((places for places in range(MAX_DECIMALS + 1) if (value * 10**places).denominator == 1), 0)
    return int(value * 10**decimals)


def _bounds(node: dict[str, Any], pointer: str, least: str, most: str, limit: int) -> tuple[int, int | None]:
    low = int(node.get(least, 0))
    high = int(node[most]) if most in node else None
    if low > limit:
        _refuse(f"{least} {low} asks for more than an answer can hold.", pointer, least, f"At most {limit} is decoded.")
    if high is not None and low > high:
        _refuse(f"{least} {low} is greater than {most} {high}.", pointer, least)
    return low, high


def _text(node: dict[str, Any], pointer: str) -> Text:
    low, high = _bounds(node, pointer, "minLength", "maxLength", MAX_TEXT)
    patterns: list[Pattern] = []
    if "pattern" in node:
        patterns.append(read_pattern(node["pattern"], below(pointer, "pattern")))
    name = node.get("format")
    if isinstance(name, str) and name not in UNCONSTRAINED and name not in INTEGER_FORMATS:
        if name not in FORMATS:
            _refuse(
                f"The format {name[:40]!r} is not known to decoding.",
                pointer,
                "format",
                f"Use a pattern, or one of {', '.join(sorted(FORMATS))}.",
            )
        found = format_pattern(name)
        patterns += [found] if found else []
    text = Text(low, high, tuple(patterns))
    if text.is_empty:
        keyword = "pattern" if "pattern" in node else "format"
        _refuse(f"No text of the allowed length matches {keyword}.", pointer, keyword, "Change minLength or maxLength.")
    return text


def read_pattern(source: str, pointer: str) -> Pattern:
    """Read a pattern.

    Raises:
        SchemaError: it is refused; the error names the path.
    """
    try:
        return read(source)
    except PatternError as error:
        raise SchemaError(
            f"The pattern {error}.", path=pointer, hint="See docs/json-schema.md for what is honoured."
        ) from None


def _array(node: dict[str, Any], pointer: str, draft: int) -> Array:
    low, high = _bounds(node, pointer, "minItems", "maxItems", MAX_ITEMS)
    if node.get("uniqueItems") and (high is None or high > 1):
        _refuse(
            "uniqueItems cannot be enforced while decoding.",
            pointer,
            "uniqueItems",
            "Leave it out and remove duplicates afterwards, or ask for an object with one boolean for each choice.",
        )
    first, others = ("prefixItems", "items") if draft == 2020 else ("items", "additionalItems")
    prefix: tuple[Place, ...] = ()
    if isinstance(node.get(first), list):
        prefix = tuple(_place(each, below(pointer, first, index)) for index, each in enumerate(node[first]))
    elif draft != 2020:
        others = "items"
    rest: Place = _place(node[others], below(pointer, others)) if others in node else ()
    found = Array(prefix, rest, low, high)
    if found.is_empty:
        _refuse(f"minItems {low} is more than the {found.limit} items that are described.", pointer, "minItems")
    return found


def _place(node: Any, pointer: str) -> Place:
    return () if node is True else None if node is False else (pointer,)


def _object(document: Document, node: dict[str, Any], pointer: str) -> Object:
    low, high = _bounds(node, pointer, "minProperties", "maxProperties", MAX_ITEMS)
    families: list[tuple[Pattern, Place]] = []
    for source, each in node.get("patternProperties", {}).items():
        where = below(pointer, "patternProperties", source)
        families.append((read_pattern(source, where), _place(each, where)))
    extra: Place = ()
    if "additionalProperties" in node:
        extra = _place(node["additionalProperties"], below(pointer, "additionalProperties"))
        if node["additionalProperties"] == {}:
            extra = ()
    names: dict[str, Place] = {}
    for name, each in node.get("properties", {}).items():
        place = _place(each, below(pointer, "properties", name))
        for pattern, family in families:
            if re.search(pattern.source, name):
                place = both(place, family)
        names[name] = place
    required = tuple(dict.fromkeys(node.get("required", ())))
    found = Object(names, tuple(families), extra, required, low, high)
    if "propertyNames" in node:
        found = _with_names(document, found, node["propertyNames"], below(pointer, "propertyNames"))
    for index, name in enumerate(required):
        if found.member(name) is None:
            raise SchemaError(
                f"{name!r} is required, but the schema forbids it.",
                path=below(pointer, "required", index),
                hint="Add it to properties.",
            )
    if found.is_empty:
        keyword = "minProperties" if "minProperties" in node else "maxProperties"
        _refuse(f"{keyword} cannot be met by the properties that are described.", pointer, keyword)
    return found


def _with_names(document: Document, found: Object, rule: Any, pointer: str) -> Object:
    """Apply ``propertyNames``: an enumeration lists the members, a pattern makes one family of them."""
    if rule is True:
        return found
    while isinstance(rule, dict) and set(rule) - keywords.ANNOTATIONS - {"type"} == {"$ref"}:
        pointer = document.resolve(rule["$ref"], pointer)
        rule = document.at(pointer)
    used = set(rule) - keywords.ANNOTATIONS if isinstance(rule, dict) else {"false"}
    used -= {"type"} if isinstance(rule, dict) and rule.get("type") == "string" else set()
    if used in ({"enum"}, {"const"}):
        allowed = rule["enum"] if "enum" in used else [rule["const"]]
        if isinstance(allowed, list):
            names = {name: found.member(name) for name in allowed if isinstance(name, str)}
            names |= {name: None for name in found.names if name not in names}
            return Object(names, (), None, found.required, found.least, found.most)
    if used == {"pattern"} and not found.families and isinstance(rule["pattern"], str):
        pattern = read_pattern(rule["pattern"], below(pointer, "pattern"))
        names = {n: place if re.search(pattern.source, n) else None for n, place in found.names.items()}
        families = ((pattern, found.extra),) if found.extra is not None else ()
        return Object(names, families, None, found.required, found.least, found.most)
    if not used:
        return found
    raise SchemaError(
        "propertyNames is honoured with enum, const or pattern alone.",
        path=pointer,
        hint="Use properties, or patternProperties with additionalProperties: false.",
    )
