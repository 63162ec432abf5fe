"""The schema of a tool call: a name, and arguments that satisfy the schema which the tool gives for them. Pure.

A tool's parameters are JSON Schema of any draft from 4; None or ``{}`` for a tool without arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgechat.engine.schema import prepare
from edgechat.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def calls_schema(tools: Mapping[str, dict[str, Any] | None]) -> dict[str, Any]:
    """The schema of a call of any one of these tools (name -> parameters)."""
    return {"anyOf": [_call_schema(name, parameters) for name, parameters in tools.items()]}


def describe_fault(tools: Mapping[str, dict[str, Any] | None], error: SchemaError) -> tuple[str | None, str]:
    """Which tool's parameters cannot be enforced, and where.

    Args:
        tools: name -> parameters.
        error: why :func:`calls_schema` of them was refused.

    Returns:
        The tool's name, None where each can be enforced alone; and a text for the user.
    """
    for name, parameters in tools.items():
        try:
            prepare(_call_schema(name, parameters))
        except SchemaError as found:
            inside = found.path.removeprefix("/properties/arguments")
            reason = found.message.removeprefix(f"The schema at {found.path}: ")
            text = f"The parameters of the tool {name!r} cannot be enforced, at {inside or '/'}: {reason}"
            return name, text + (f" {found.hint}" if found.hint else "")
    return None, f"The tools cannot be enforced together: {error.message} {error.hint}".strip()


def _call_schema(name: str, parameters: dict[str, Any] | None) -> dict[str, Any]:
    arguments = parameters or NO_ARGUMENTS
    if not {"type", "$ref", "anyOf", "oneOf", "allOf"} & set(arguments):
        arguments = {"type": "object", **arguments}
    if "$schema" not in arguments and _has_item_lists(arguments):
        arguments = {"$schema": "https://json-schema.org/draft/2019-09/schema", **arguments}
    # With an address of its own, its references and its draft stay its own inside the schema of the call.
    address = "id" if "draft-04" in str(arguments.get("$schema", "")) else "$id"
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": {address: f"tool:{name}", **arguments}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _has_item_lists(schema: dict[str, Any]) -> bool:
    """Whether a schema that names no draft was written for one before 2020-12: ``items`` is a list of schemas.

    Many libraries that describe tools still do so, and leave out ``$schema``.
    """
    queue: list[Any] = [schema]
    found = False
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            if "prefixItems" in value:
                return False
            items = value.get("items")
            found |= isinstance(items, list) and bool(items) and all(isinstance(each, dict) for each in items)
            queue.extend(each for name, each in value.items() if name not in {"const", "enum", "default", "examples"})
        elif isinstance(value, list):
            queue.extend(value)
    return found
