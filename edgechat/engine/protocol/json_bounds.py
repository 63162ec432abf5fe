"""Bounds on JSON that are checked before it is parsed: 4 MB of ``[],`` become a million Python objects and 300 MB.

The text is counted piece by piece as it arrives, with operations on whole pieces, so that a bomb is refused after its
first part. Text inside strings counts as nothing, however long. The text must be UTF-8: :func:`json.loads` of bytes
would also read UTF-16, whose escapes look different.
"""

from __future__ import annotations

import json
from typing import Any

from edgechat.engine.protocol.limits import MAX_DEPTH, MAX_ITEMS

PIECE = 1 << 16
"""Bytes that are counted at once where a whole text is at hand."""

_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


class JsonTooLargeError(ValueError):
    """The text has more items, or is nested deeper, than a message may."""


class JsonBounds:
    """Counts one JSON text that comes in pieces.

    Args:
        max_items: commas and opening brackets outside strings.
        max_depth: levels of nesting.
    """

    def __init__(self, *, max_items: int = MAX_ITEMS, max_depth: int = MAX_DEPTH) -> None:
        self._max_items, self._max_depth = max_items, max_depth
        self._items = self._depth = self._strings = 0
        self._in_string = False
        self._escape = b""

    def feed(self, piece: bytes) -> None:
        """Count a piece.

        Raises:
            JsonTooLargeError: the text exceeds a bound.
        """
        text = self._escape + piece
        # A backslash at the end belongs to the first character of the next piece.
        trailing = len(text) - len(text.rstrip(b"\\"))
        self._escape = b"\\" if trailing % 2 else b""
        if self._escape:
            text = text[:-1]
        if b"\\" in text:
            text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
        quoted = text.split(b'"')
        structure = b"".join(quoted[1 if self._in_string else 0 :: 2])
        self._in_string ^= len(quoted) % 2 == 0
        # A string is an item of its own only through its comma; keys come with a colon.
        self._items += sum(structure.count(sign) for sign in (b",", b"[", b"{"))
        self._strings += len(quoted) // 2
        # Each item has at most a key and a value.
        if self._items > self._max_items or self._strings > 2 * (self._max_items + 1):
            raise JsonTooLargeError(f"it has more than {self._max_items} items")
        self._count_depth(structure.translate(None, _NO_BRACKET))

    def _count_depth(self, brackets: bytes) -> None:
        # Empty pairs are what most bombs consist of, and are removed at the speed of C: `{[]}` hides two levels.
        deepest, depth = _walk(brackets.replace(b"[]", b"").replace(b"{}", b""), self._depth)
        if deepest + 2 > self._max_depth:
            deepest, depth = _walk(brackets, self._depth)
        if deepest > self._max_depth:
            raise JsonTooLargeError(f"it is nested deeper than {self._max_depth} levels")
        self._depth = depth


def _walk(brackets: bytes, depth: int) -> tuple[int, int]:
    """The greatest depth and the last one, from a depth at the beginning."""
    deepest = depth
    for each in brackets:
        if each in _OPENING:
            depth += 1
            if depth > deepest:  # noqa: PLR1730 - max() takes twice as long, 40,000 times
                deepest = depth
        else:
            depth -= 1
    return deepest, depth


def require_bounded(text: bytes, *, max_items: int = MAX_ITEMS, max_depth: int = MAX_DEPTH) -> None:
    """Check a whole text.

    Raises:
        JsonTooLargeError: it exceeds a bound.
    """
    bounds = JsonBounds(max_items=max_items, max_depth=max_depth)
    for at in range(0, len(text), PIECE):
        bounds.feed(text[at : at + PIECE])


def parse(text: bytes) -> Any:
    """Parse UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it is not UTF-8, or not JSON.
    """
    return json.loads(text.decode("utf-8-sig", "surrogatepass"))
