"""XLIFF 1.2 and 2: gives each unit that has none, or an empty one, its ``target``; all other bytes stay.

The file is cut with patterns rather than parsed and written again, because no XML library gives back the same bytes.
Inline elements and entities travel through as they are; what a translation adds is escaped.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTES = r"""(?:\s+[^\s=<>/]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*"""
_NAME = r"(?:[A-Za-z_][\w.-]*:)?"
_SKIPPED = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)
# 1.2 calls it trans-unit; in 2 a unit has segments, and ignorables that nobody translates.
_UNIT = re.compile(rf"<({_NAME}(?:trans-unit|segment))({_ATTRIBUTES})>(.*?)</\1\s*>", re.DOTALL)
_OUTER = re.compile(rf"<({_NAME}(?:unit|group|file|body))({_ATTRIBUTES})(/?)>|</({_NAME}(?:unit|group|file|body))\s*>")
_SOURCE = re.compile(rf"<({_NAME})source({_ATTRIBUTES})>(.*?)</\1source\s*>", re.DOTALL)
_TARGET = re.compile(
    rf"<(?P<name>{_NAME}target)(?P<attributes>{_ATTRIBUTES})(?:/>|>(?P<body>.*?)</(?P=name)\s*>)", re.DOTALL
)
_ALTERNATIVES = re.compile(rf"<({_NAME}(?:alt-trans|matches))\b.*?</\1\s*>", re.DOTALL)
_TOKEN = re.compile(r"<[^<>]+>|&(?:[A-Za-z][\w.-]*|#\d+|#x[0-9A-Fa-f]+);|[&<>]")
_NO = re.compile(r"""\btranslate\s*=\s*["']no["']""")
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", re.DOTALL)


def pieces(text: str) -> Iterator[Piece]:
    """The units that still want a target.

    Raises:
        InvalidInputError: this is no XLIFF.
    """
    if not re.search(rf"<{_NAME}xliff\b", text):
        raise InvalidInputError("This is no XLIFF file: it has no element <xliff>.")
    # Comments and the like become blanks of the same length: what is found in the copy has its place in the file.
    visible = _SKIPPED.sub(lambda found: " " * len(found[0]), text)
    at = 0
    for unit in _UNIT.finditer(visible):
        if _NO.search(unit[2]) or _is_held(visible, unit.start()):
            continue
        body = _ALTERNATIVES.sub(lambda found: " " * len(found[0]), unit[3])
        place = _place(text, body, unit.start(3))
        if place is None:
            continue
        start, end, found = place
        yield text[at:start]
        yield found
        at = end
    yield text[at:]


def _place(text: str, body: str, offset: int) -> tuple[int, int, TextUnit] | None:
    """Where the unit's target belongs, and what goes there; None when there is nothing to do."""
    source = _SOURCE.search(body)
    if source is None:
        return None
    inner = text[offset + source.start(3) : offset + source.end(3)]
    cdata = _CDATA.fullmatch(inner)
    words = cdata[1] if cdata else inner
    if not words.strip():
        return None
    write = partial(_in_cdata) if cdata else partial(_escaped, allowed=frozenset(_TOKEN.findall(inner)) - set("&<>"))
    target = _TARGET.search(body)
    if target is None:
        # On a line of its own, indented like the source.
        indent = re.search(r"(\r?\n[ \t]*)$", body[: source.start()])
        end = offset + source.end()
        tag = f"{source[1]}target"
        return end, end, TextUnit(words, "", _Element(indent[1] if indent else "", tag, "", write))
    if (target["body"] or "").strip():
        return None
    start, end = offset + target.start(), offset + target.end()
    element = _Element("", target["name"], target["attributes"].rstrip(), write)
    return start, end, TextUnit(words, text[start:end], element)


class _Element:
    """Writes a target element with a text in it."""

    def __init__(self, before: str, name: str, attributes: str, write: partial[str]) -> None:
        self._before, self._name, self._attributes, self._write = before, name, attributes, write

    def __call__(self, text: str) -> str:
        return f"{self._before}<{self._name}{self._attributes}>{self._write(text)}</{self._name}>"


def _escaped(text: str, *, allowed: frozenset[str]) -> str:
    """``text`` as XML; the source's own tags and entities stay what they are."""
    out, at = [], 0
    for token in _TOKEN.finditer(text):
        out.append(text[at : token.start()])
        out.append(token[0] if token[0] in allowed else _plain(token[0]))
        at = token.end()
    return "".join(out) + text[at:]


def _plain(token: str) -> str:
    return token.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


def _is_held(text: str, at: int) -> bool:
    """Whether an element around this place says that nothing in it is translated; the nearest word counts."""
    held: list[tuple[str, bool]] = []
    for tag in _OUTER.finditer(text, 0, at):
        if tag[4]:
            while held and held.pop()[0] != tag[4]:
                pass
        elif not tag[3]:
            yes = re.search(r"""\btranslate\s*=\s*["']yes["']""", tag[2])
            inherited = bool(held) and held[-1][1]
            held.append((tag[1], bool(_NO.search(tag[2])) or (inherited and not yes)))
    return bool(held) and held[-1][1]
