"""A schema as a document: its size, its draft, its places, and the targets of its references. Not its meaning."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from edgechat.engine.schema.keywords import DRAFTS
from edgechat.errors import SchemaError

MAX_DEPTH = 100
"""Levels of nesting. Deeper ones are refused before anything recurses into them."""
MAX_NODES = 20_000
MAX_CHARACTERS = 1_000_000
MAX_EXACT = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 7493)."""


def parse(text: str) -> object:
    """Read a schema's JSON text.

    Raises:
        SchemaError: it is too long, nested too deep, or not JSON.
    """
    if len(text) > 2 * MAX_CHARACTERS:
        raise SchemaError(f"The schema is longer than {2 * MAX_CHARACTERS} characters.", hint="Use a smaller schema.")
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise SchemaError(f"The schema nests deeper than {MAX_DEPTH} levels.", hint="Use a flatter schema.") from None
    except ValueError as error:
        raise SchemaError(f"The schema is not JSON: {error}.", hint="Check it with `python -m json.tool`.") from None
    return value


def below(pointer: str, *tokens: str | int) -> str:
    """The JSON Pointer (RFC 6901) of a place inside another."""
    return pointer + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


class Document:
    """A checked schema and its places, each named by its JSON Pointer.

    Raises:
        SchemaError: the schema is too large, too deep, contains something that is not JSON, or has an unknown draft.
    """

    def __init__(self, schema: object) -> None:
        if not isinstance(schema, dict) and not isinstance(schema, bool):
            raise SchemaError(
                f"A JSON schema is an object, not {type(schema).__name__}.",
                hint='Begin with {"type": "object", "properties": ...}.',
            )
        self._root: Any = schema
        self._anchors: dict[str, str] = {}
        self.draft = _draft(schema)
        self._survey()

    def at(self, pointer: str) -> Any:
        """The value at an existing place."""
        value = self._root
        for token in _tokens(pointer):
            value = value[int(token)] if isinstance(value, list) else value[token]
        return value

    def resolve(self, reference: str, pointer: str) -> str:
        """The pointer of the target of a ``$ref`` that stands at ``pointer``.

        Raises:
            SchemaError: the target is outside the schema, missing, or not a schema.
        """
        here = below(pointer, "$ref")
        if not reference.startswith("#"):
            raise SchemaError(
                f"The reference {reference[:80]!r} leads out of the schema, and nothing is fetched.",
                path=here,
                hint="Copy what it names into $defs and refer to it as #/$defs/NAME.",
            )
        fragment = _unquoted(reference[1:])
        if fragment in self._anchors:
            return self._anchors[fragment]
        value = self._root
        if fragment and not fragment.startswith("/"):
            raise SchemaError(f"There is no $anchor {fragment[:80]!r}.", path=here, hint="Refer to #/$defs/NAME.")
        for token in _tokens(fragment):
            try:
                value = value[int(token)] if isinstance(value, list) else value[token]
            except (KeyError, IndexError, ValueError, TypeError):
                raise SchemaError(
                    f"The reference {reference[:80]!r} leads nowhere.", path=here, hint="Define it below $defs."
                ) from None
        if not isinstance(value, (dict, bool)):
            raise SchemaError(f"The reference {reference[:80]!r} leads to no schema.", path=here)
        return fragment

    def _survey(self) -> None:
        """Check the whole document once, without recursion, before anything recurses into it."""
        nodes = characters = 0
        queue: list[tuple[str, int, Any]] = [("", 0, self._root)]
        while queue:
            pointer, depth, value = queue.pop()
            nodes += 1
            if depth > MAX_DEPTH:
                raise SchemaError(f"The schema nests deeper than {MAX_DEPTH} levels.", path=pointer)
            # Queued values are counted too, so that a wide document is refused as early as a deep one.
            if nodes + len(queue) + (len(value) if isinstance(value, (dict, list)) else 0) > MAX_NODES:
                raise _too_large()
            if isinstance(value, str):
                characters += len(value)
                _check_text(value, pointer)
            elif isinstance(value, dict):
                for key in value:
                    if not isinstance(key, str):
                        raise SchemaError(f"The key {key!r} is not a string.", path=pointer)
                    _check_text(key, pointer)
                    characters += len(key)
                self._note(value, pointer)
                queue.extend((below(pointer, key), depth + 1, each) for key, each in value.items())
            elif isinstance(value, list):
                queue.extend((below(pointer, index), depth + 1, each) for index, each in enumerate(value))
            elif isinstance(value, float) and not math.isfinite(value):
                raise SchemaError(f"{value} is not a JSON number.", path=pointer)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise SchemaError(f"{type(value).__name__} is not a JSON value.", path=pointer)
            if characters > MAX_CHARACTERS:
                raise _too_large()

    def _note(self, node: dict[str, Any], pointer: str) -> None:
        """Record anchors; refuse an embedded ``$id``, which would change the targets of references."""
        if pointer.rpartition("/")[2] in {"properties", "patternProperties", "const", "default", "$defs", "enum"}:
            return
        name = node.get("$anchor")
        identity = node.get("id" if self.draft == 4 else "$id")
        if isinstance(identity, str) and identity.startswith("#") and self.draft < 2019:
            name = identity[1:]
        elif isinstance(identity, str) and pointer and not identity.startswith("#"):
            raise SchemaError(
                "An embedded $id changes where references lead, which is not supported.",
                path=below(pointer, "$id"),
                hint="Take it out and refer to #/$defs/NAME.",
            )
        if isinstance(name, str) and name and not name.startswith("/"):
            if name in self._anchors:
                raise SchemaError(f"The anchor {name[:80]!r} is defined twice.", path=pointer)
            self._anchors[name] = pointer


def _too_large() -> SchemaError:
    return SchemaError(
        f"The schema is too large: at most {MAX_NODES} values and {MAX_CHARACTERS} characters are read.",
        hint="Leave out what the answer does not need.",
    )


def _draft(schema: object) -> int:
    name = schema.get("$schema") if isinstance(schema, dict) else None
    if name is None:
        return 2020
    if not isinstance(name, str) or name.rstrip("#") not in DRAFTS:
        raise SchemaError(
            f"The dialect {str(name)[:80]!r} is not known.",
            path="/$schema",
            hint="Use JSON Schema 2020-12, or draft-04, -06, -07 or 2019-09.",
        )
    return DRAFTS[name.rstrip("#")]


def _check_text(text: str, pointer: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise SchemaError("A string holds half of a surrogate pair, which is no text.", path=pointer)


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _unquoted(fragment: str) -> str:
    """Decode percent-encoding (RFC 3986); the library's own function is in a package that can open connections."""
    raw = re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), fragment.encode("utf-8", "surrogatepass")
    )
    return raw.decode("utf-8", "replace")
