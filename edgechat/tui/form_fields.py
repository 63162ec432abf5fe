"""The fields of a form, made from a task's input schema, and the conversion between typed text and values.

Text is converted by the rules of CSV cells and ``--field``. Only the task validates the record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgechat.tasks.batch.records import typed

if TYPE_CHECKING:
    from edgechat.tasks.contract import Schema

Kind = Literal["line", "text", "number", "choice", "flag", "list", "group", "json"]

_LONG = 1000
"""Texts that may have this many characters get an editor of several lines."""
_UNITS = {
    "kmh": "km/h", "mps": "m/s", "mps2": "m/s²", "m": "m", "mm": "mm", "cm": "cm", "s": "s", "ms": "ms", "c": "°C",
    "percent": "%", "kg": "kg", "v": "V", "a": "A", "w": "W", "hz": "Hz", "pa": "Pa", "bar": "bar", "bytes": "bytes",
}  # fmt: skip
"""Names of measured fields end in their unit (the plugin contract)."""
_SYMBOLS = {"t": "time"}
"""Labels of quantities whose name is one letter."""
LEFT_OUT = object()
"""Marks a missing value, which is not null."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form."""

    name: str
    kind: Kind
    schema: Schema
    """The schema of this field, with references resolved."""
    is_required: bool = True
    is_nullable: bool = False
    choices: tuple[str, ...] = ()
    parts: tuple[Field, ...] = ()
    """The fields of a group, or of each element of a list."""
    is_plain_list: bool = False
    """The elements are no objects; their one part has an empty name."""
    max_items: int | None = None
    """Most elements of a list."""

    @property
    def unit(self) -> str:
        """The unit, from the ending of the name; ``""`` for none."""
        stem, _, ending = self.name.rpartition("_")
        return _UNITS.get(ending, "") if len(stem) > 1 or stem in _SYMBOLS else ""

    @property
    def label(self) -> str:
        """The name as words, without the unit."""
        name = self.name.rpartition("_")[0] if self.unit else self.name
        name = _SYMBOLS.get(name, name)
        return name.replace("_", " ").capitalize() if len(name) > 3 else name

    @property
    def hint(self) -> str:
        """The schema's description, the range, and what an empty field means."""
        parts = [str(self.schema.get("description", "")).replace("``", "").strip()]
        if span := _range(self.schema):
            parts.append(span)
        if self.is_nullable and self.is_required:
            parts.append("Empty is null.")
        default = self.schema.get("default")
        if not self.is_required and default not in (None, "", [], False):
            parts.append(f"Empty is {default}.")
        return " ".join(part for part in parts if part)


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """The fields of an input schema, in its order."""
    return _parts(schema, schema.get("$defs", {}), depth=0)


def value_of(field: Field, cell: str) -> Any:  # noqa: ANN401 - any JSON value
    """Convert typed text to the record's value; :data:`LEFT_OUT` for an empty field without a value.

    Text that cannot be converted stays text, so that the task reports the error.
    """
    if cell == "" and (not field.is_required or field.kind not in {"line", "text"}):
        return None if field.is_required and field.is_nullable else LEFT_OUT
    if field.kind == "text" or (field.kind == "choice" and cell in field.choices and _is_text(field.schema)):
        return cell
    schema = {"properties": {field.name: field.schema}, "required": [field.name]}
    return typed({field.name: cell}, schema)[field.name]


def cell_of(value: object) -> str:
    """The text that shows a value in its field; the reverse of :func:`value_of`."""
    if value is None or value is LEFT_OUT:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(value, ensure_ascii=False)


def _parts(schema: Schema, known: Schema, depth: int) -> tuple[Field, ...]:
    required = set(schema.get("required", ()))
    return tuple(
        _field(name, body, known, is_required=name in required, depth=depth)
        for name, body in schema.get("properties", {}).items()
    )


def _field(name: str, body: Schema, known: Schema, *, is_required: bool, depth: int) -> Field:
    schema = _resolved(body, known)
    options = [_resolved(option, known) for option in _alternatives(schema)]
    real = [option for option in options if option.get("type") != "null"]
    is_nullable = len(real) < len(options) or "null" in _types(schema)
    if len(real) == 1:
        schema = {**{key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}, **real[0]}
        if "description" in body:
            schema["description"] = body["description"]
    whole = {**schema, "type": [*_types(schema), "null"]} if is_nullable and _types(schema) else schema
    made = Field(name, "json", whole, is_required, is_nullable)
    return _with_kind(made, schema, real if len(real) > 1 else [], known, depth)


def _with_kind(made: Field, schema: Schema, union: list[Schema], known: Schema, depth: int) -> Field:
    kinds = _types(schema) - {"null"}
    choices = tuple(str(each) for each in schema.get("enum", ()) if each is not None)
    if "const" in schema:
        choices = (str(schema["const"]),)
    if choices:
        return replace(made, kind="choice", choices=choices)
    if kinds == {"boolean"}:
        return replace(made, kind="flag")
    if kinds and kinds <= {"number", "integer"}:
        return replace(made, kind="number")
    if kinds == {"string"}:
        is_long = int(schema.get("maxLength", 0)) >= _LONG
        return replace(made, kind="text" if is_long else "line")
    if kinds == {"object"} and schema.get("properties") and depth < _MAX_DEPTH:
        return replace(made, kind="group", parts=_parts(schema, known, depth + 1))
    if kinds == {"array"} and isinstance(schema.get("items"), dict) and depth < _MAX_DEPTH:
        item = _resolved(schema["items"], known)
        if item.get("type") == "object" and item.get("properties"):
            parts, is_plain = _parts(item, known, depth + 1), False
        else:
            parts, is_plain = (_field("", schema["items"], known, is_required=True, depth=depth + 1),), True
        return replace(made, kind="list", parts=parts, is_plain_list=is_plain, max_items=schema.get("maxItems"))
    if union and all(_types(option) <= {"string", "number", "integer"} for option in union):
        return replace(made, kind="line", schema={**made.schema, "anyOf": union})
    return made


_MAX_DEPTH = 4
"""Deeper nesting is entered as JSON."""


def _alternatives(schema: Schema) -> list[Schema]:
    found = schema.get("anyOf") or schema.get("oneOf")
    return list(found) if isinstance(found, list) else []


def _resolved(body: Schema, known: Schema) -> Schema:
    if "$ref" not in body:
        return body
    target = known.get(str(body["$ref"]).rpartition("/")[2], {})
    return {**target, **{key: value for key, value in body.items() if key != "$ref"}}


def _types(schema: Schema) -> set[str]:
    kind = schema.get("type")
    return set(kind) if isinstance(kind, list) else {str(kind)} if kind else set()


def _is_text(schema: Schema) -> bool:
    return "string" in _types(schema) or not _types(schema)


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = []
    if low is not None and high is not None:
        return f"{low:g} to {high:g}."
    for words, bound in (("at least", low), ("at most", high), ("above", above), ("below", below)):
        if bound is not None:
            parts.append(f"{words} {bound:g}")
    return (", ".join(parts).capitalize() + ".") if parts else ""
