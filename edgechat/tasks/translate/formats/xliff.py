"""XLIFF 1.2 and 2: adds or fills the ``target`` of each unit that has none or an empty one; all other bytes stay.

The file is split with regular expressions, because no XML library writes back the same bytes. Inline elements and
entities of the source stay; other markup characters in a translation are escaped.
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
# Version 1.2 has trans-unit elements. In version 2 a unit has segments, and ignorables, which are not translated.
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
    """The pieces of an XLIFF file; its units are the sources without a target.

    Raises:
        InvalidInputError: the text is not XLIFF.
    """
    if not re.search(rf"<{_NAME}xliff\b", text):
        raise InvalidInputError("This is not an XLIFF file: it has no element <xliff>.")
    # Comments become blanks of the same length, so that positions in the copy are positions in the file.
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
    """Start and end of the unit's target in the file, and its text unit; None when it needs no translation."""
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
    """``text`` as XML; tags and entities of the source (``allowed``) stay unescaped."""
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
    """Whether the nearest enclosing element with a ``translate`` attribute has the value ``no``."""
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
