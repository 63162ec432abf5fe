"""A schema as a document: its size, its draft, its places, and the targets of its references. Not its meaning."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from edgechat.engine.schema.keywords import DRAFTS
from edgechat.errors import SchemaError

MAX_DEPTH = 100
"""Levels of nesting. Deeper ones are refused before anything recurses into them."""
MAX_NODES = 20_000
MAX_CHARACTERS = 1_000_000
MAX_EXACT = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 7493)."""
_SURROGATE = re.compile("[\ud800-\udfff]")


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


@dataclass(frozen=True, slots=True)
class Resource:
    """A schema with an address of its own (``$id``), inside the document: the place where its references lead from."""

    pointer: str
    address: str
    """Its ``$id``; ``""`` without one."""
    draft: int
    anchors: dict[str, str] = field(default_factory=dict)
    """Name -> pointer."""


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
        self._resources: dict[str, Resource] = {}
        """By the pointer of their root; the whole document is the one at ``""``."""
        if isinstance(schema, bool):
            self._resources[""] = Resource("", "", 2020)
        self._survey()

    def at(self, pointer: str) -> Any:
        """The value at an existing place."""
        value = self._root
        for token in _tokens(pointer):
            value = value[int(token)] if isinstance(value, list) else value[token]
        return value

    def draft_at(self, pointer: str) -> int:
        """The draft of the schema at an existing place."""
        return self._resource_at(pointer).draft

    def _resource_at(self, pointer: str) -> Resource:
        """The innermost schema resource that a place belongs to."""
        while pointer not in self._resources:
            pointer = pointer.rpartition("/")[0]
        return self._resources[pointer]

    def resolve(self, reference: str, pointer: str) -> str:
        """The pointer of the target of a ``$ref`` that stands at ``pointer``.

        Raises:
            SchemaError: the target is outside the schema, missing, or not a schema.
        """
        here = below(pointer, "$ref")
        address, _, fragment = reference.partition("#")
        resource = self._resource_at(pointer)
        if address not in {"", resource.address}:
            found = next((each for each in self._resources.values() if each.address == address), None)
            if found is None:
                raise SchemaError(
                    f"The reference {reference[:80]!r} leads out of the schema, and nothing is fetched.",
                    path=here,
                    hint="Copy what it names into $defs and refer to it as #/$defs/NAME.",
                )
            resource = found
        fragment = _unquoted(fragment)
        if fragment in resource.anchors:
            return resource.anchors[fragment]
        value = self.at(resource.pointer)
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
        return resource.pointer + fragment

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
                queue.extend((f"{pointer}/{index}", depth + 1, each) for index, each in enumerate(value))
            elif isinstance(value, float) and not math.isfinite(value):
                raise SchemaError(f"{value} is not a JSON number.", path=pointer)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise SchemaError(f"{type(value).__name__} is not a JSON value.", path=pointer)
            if characters > MAX_CHARACTERS:
                raise _too_large()

    def _note(self, node: dict[str, Any], pointer: str) -> None:
        """Record resources and anchors. An ``$id`` begins a resource: references below it lead from there."""
        if pointer.rpartition("/")[2] in {"properties", "patternProperties", "const", "default", "$defs", "enum"}:
            return
        outer = self._resource_at(pointer.rpartition("/")[0]) if pointer else None
        draft = _draft(node, pointer, outer.draft if outer else None)
        identity = node.get("id" if draft == 4 else "$id")
        address = identity.removesuffix("#") if isinstance(identity, str) else ""
        if outer is None or (address and not address.startswith("#")):
            resource = self._resources[pointer] = Resource(pointer, address, draft)
        else:
            resource = outer
        name = address[1:] if address.startswith("#") and draft < 2019 else node.get("$anchor")
        if isinstance(name, str) and name and not name.startswith("/"):
            if name in resource.anchors:
                raise SchemaError(f"The anchor {name[:80]!r} is defined twice.", path=pointer)
            resource.anchors[name] = pointer


def _too_large() -> SchemaError:
    return SchemaError(
        f"The schema is too large: at most {MAX_NODES} values and {MAX_CHARACTERS} characters are read.",
        hint="Leave out what the answer does not need.",
    )


def _draft(node: Any, pointer: str, outer: int | None) -> int:
    """The draft of a schema; ``outer`` is that of the schema around it, None for the whole document."""
    name = node.get("$schema") if isinstance(node, dict) else None
    if outer is not None and (name is None or not isinstance(node.get("$id", node.get("id")), str)):
        return outer  # $schema stands at the root of a resource; elsewhere it says nothing
    if name is None:
        return 2020
    if not isinstance(name, str) or name.rstrip("#") not in DRAFTS:
        raise SchemaError(
            f"The dialect {str(name)[:80]!r} is not known.",
            path=below(pointer, "$schema"),
            hint="Use JSON Schema 2020-12, or draft-04, -06, -07 or 2019-09.",
        )
    return DRAFTS[name.rstrip("#")]


def _check_text(text: str, pointer: str) -> None:
    if _SURROGATE.search(text):
        raise SchemaError("A string holds half of a surrogate pair, which is no text.", path=pointer)


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _unquoted(fragment: str) -> str:
    """Decode percent-encoding (RFC 3986); the library's own function is in a package that can open connections."""
    raw = re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), fragment.encode("utf-8", "surrogatepass")
    )
    return raw.decode("utf-8", "replace")
