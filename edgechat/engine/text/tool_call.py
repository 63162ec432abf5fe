"""How an answer that may be a tool call begins: bare JSON, Hermes' tags, or a Markdown fence, as coder models write it.

Pure; the grammar (:mod:`edgechat.engine.text.constraint`), and the place where stop strings end, are made of it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_FENCED_NAME = r'```(json)?[ \n]{0,4}\{[ \n]{0,20}"name"[ \n]{0,4}:[ \n]{0,4}"'
"""White space is free in a fence, where models write JSON over several lines, but bounded."""


def names(schema: dict[str, Any]) -> tuple[str, ...]:
    """The tools that the schema of a call names; empty for a schema of another make."""
    found = []
    for branch in schema.get("anyOf", [schema]):
        name = branch.get("properties", {}).get("name", {}) if isinstance(branch, dict) else {}
        if not isinstance(name, dict) or not isinstance(name.get("const"), str):
            return ()
        found.append(name["const"])
    return tuple(found)


def fenced_start(tools: tuple[str, ...]) -> str:
    """A regular expression for the beginning of a call in a fence, up to the name of one of the tools."""
    return f'{_FENCED_NAME}({"|".join(map(re.escape, tools))})"'


def unstopped(constraint: dict[str, Any] | None) -> re.Pattern[str] | None:
    """What the beginning of an answer matches whose JSON a stop string must not cut; None where stop strings count.

    A stop string ends text. Inside of JSON it would leave half a value, which satisfies no schema.
    """
    kind, value = next(iter(constraint.items())) if constraint else ("", None)
    if kind in {"json_schema", "choices"}:
        return re.compile("")
    if kind != "tool_call" or not isinstance(value, dict):
        return None
    return _call(names(value))


@cache
def _call(tools: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\s*(?:\{{|<tool_call>{'|' + fenced_start(tools) if tools else ''})")
