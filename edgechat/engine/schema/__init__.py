"""JSON Schema for constrained decoding: whether a schema can be enforced, and the tighter schema that is decoded.

`prepare` refuses, with its path, everything that the decoder would refuse, misread or not enforce. Every value that
fits the schema it returns fits the original. Knows JSON Schema and the decoder's limits, never a model or a token.
"""

from __future__ import annotations

from typing import Any

from edgechat.engine.schema.document import Document, parse
from edgechat.engine.schema.layout import LAYOUT
from edgechat.engine.schema.meaning import Meaning
from edgechat.engine.schema.size import longest
from edgechat.engine.schema.tighten import Tightener
from edgechat.errors import SchemaError

__all__ = ["ANY", "LAYOUT", "max_json_chars", "parse", "prepare"]

ANY: dict[str, Any] = {"type": "object"}
"""The schema of ``--schema any``: any JSON object."""

_ESCAPES = 'nrt\\"'
"""The escapes that decoded text may use. Without ``\\u`` a small model cannot produce control characters."""


def prepare(schema: object) -> dict[str, Any]:
    """Check a schema and tighten it for the decoder.

    Args:
        schema: a parsed JSON schema, draft-04 to 2020-12; ``$schema`` names the draft, 2020-12 without it.

    Returns:
        A new schema for llguidance 1.9, decoded with the white space of :data:`LAYOUT`. Strings, arrays, numbers and
        maps are bounded, objects that name their members are closed. It is for decoding alone: answers are validated
        against the original.

    Raises:
        SchemaError: the schema is invalid, too large, impossible to satisfy, or not enforceable;
            ``path`` is the JSON Pointer of the place.
    """
    try:
        tightener = Tightener(Meaning(Document(schema)))
        tight = tightener.schema(() if schema in (True, {}) else ("",))
    except SchemaError as error:
        # The path is also part of the message, for callers that print only that.
        where = f"The schema at {error.path}: " if error.path else ""
        raise SchemaError(f"{where}{error.message}", path=error.path, hint=error.hint) from None
    if not tightener.has_controls:
        tight["x-guidance"] = {"json_allowed_escapes": _ESCAPES}
    return tight


def max_json_chars(schema: dict[str, Any]) -> int | None:
    """Length in characters of the longest compact JSON text of an answer; None where there is no limit.

    Args:
        schema: what `prepare` returned.
    """
    return longest(schema)
