"""Decides whether a JSON schema can be honoured, and tightens it for decoding."""

from __future__ import annotations

from typing import Any

from edgechat.errors import SchemaError

ANY: dict[str, Any] = {"type": "object"}


def prepare(schema: object) -> dict[str, Any]:
    """The schema, ready for decoding."""
    if not isinstance(schema, dict):
        raise SchemaError("A JSON schema is an object.")
    return schema
