"""XLIFF 1.2 and 2: adds or fills the ``target`` of each unit that has none or an empty one; all other bytes stay.

A target that its state calls new, and that is a copy of the source, is replaced too; the state then says that a
translation is there (1.2: ``needs-review-translation``, 2: ``translated``).

The file is split with regular expressions, because no XML library writes back the same bytes. Inline elements and
entities of the source stay; other markup characters in a translation are escaped.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import KeptText, Piece, TextUnit
from edgechat.tasks.translate.formats.xml_text import ATTRIBUTES, blanked, parse, tree

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator

_NAME = r"(?:[A-Za-z_][\w.-]*:)?"
# Version 1.2 has trans-unit elements. In version 2 a unit has segments, and ignorables, which are not translated.
_UNIT = re.compile(rf"<({_NAME}(?:trans-unit|segment))({ATTRIBUTES})>(.*?)</\1\s*>", re.DOTALL)
_OUTER = re.compile(rf"<({_NAME}(?:unit|group|file|body))({ATTRIBUTES})(/?)>|</({_NAME}(?:unit|group|file|body))\s*>")
_SOURCE = re.compile(rf"<({_NAME})source({ATTRIBUTES})>(.*?)</\1source\s*>", re.DOTALL)
_TARGET = re.compile(
    rf"<(?P<name>{_NAME}target)(?P<attributes>{ATTRIBUTES})(?:/>|>(?P<body>.*?)</(?P=name)\s*>)", re.DOTALL
)
_ALTERNATIVES = re.compile(rf"<({_NAME}(?:alt-trans|matches))\b.*?</\1\s*>", re.DOTALL)
_TOKEN = re.compile(r"<[^<>]+>|&(?:[A-Za-z][\w.-]*|#\d+|#x[0-9A-Fa-f]+);|[&<>]")
_ID = re.compile(r"""\bid\s*=\s*["']([^"']*)["']""")
_OUTER_UNIT = re.compile(rf"""<{_NAME}unit\b[^<>]*?\bid\s*=\s*["']([^"']*)["']""")
_STATE = re.compile(r"""\b(state\s*=\s*["'])([^"']*)(?=["'])""")
_NEW = frozenset(("new", "needs-translation"))
_NO = re.compile(r"""\btranslate\s*=\s*["']no["']""")
_CDATA = re.compile(r"\s*<!\[CDATA\[((?:(?!\]\]>).)*)\]\]>\s*", re.DOTALL)
_MIXED = "CDATA between other text"


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of an XLIFF file; its units are the sources without a target.

    Raises:
        InvalidInputError: the text is not XLIFF.
    """
    if not re.search(rf"<{_NAME}xliff\b", text):
        raise InvalidInputError("This is not an XLIFF file: it has no element <xliff>.")
    visible = blanked(text)
    at = 0
    for unit in _UNIT.finditer(visible):
        if _NO.search(unit[2]) or _is_held(visible, unit.start()):
            continue
        body = _ALTERNATIVES.sub(lambda found: " " * len(found[0]), unit[3])
        place = _place(text, unit, body)
        if place is None:
            continue
        start, end, found = place
        yield text[at:start]
        yield found
        at = end
    yield text[at:]


def structure(text: str) -> object:
    """The tree without the targets of its units, and the inner elements of each target.

    Raises:
        InvalidInputError: the text is not well-formed XML.
    """
    root = parse(text)
    for unit in [each for each in root.iter() if _local(each) in {"trans-unit", "segment"}]:
        sources = [each for each in unit if _local(each) == "source"]
        for target in [each for each in unit if _local(each) == "target"]:
            words = "".join(target.itertext()).strip()
            inner = [] if not words and not len(target) else _inner(target)
            if inner and sources and inner != _inner(sources[0]):
                unit.set("edgechat", f"other elements: {inner}")
            unit.remove(target)
        unit.attrib.pop("state", None)
    return tree(root, lambda _element, _parent: False)


def _inner(element: ET.Element) -> list[str]:
    return sorted(repr((each.tag, sorted(each.attrib.items()))) for each in element.iter() if each is not element)


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _place(text: str, unit: re.Match[str], body: str) -> tuple[int, int, TextUnit | KeptText] | None:
    """Start and end of what is rewritten in the file, and its unit; None when it needs no translation."""
    offset = unit.start(3)
    source = _SOURCE.search(body)
    if source is None:
        return None
    inner = text[offset + source.start(3) : offset + source.end(3)]
    cdata = _CDATA.fullmatch(inner)
    words = cdata[1] if cdata else inner
    if not any(sign.isalpha() for sign in _TOKEN.sub("", words)):
        return None
    name = _ID.search(unit[2]) or _last_id(text, unit.start())
    label = f"unit {name}" if isinstance(name, str) else f"unit {name[1]}" if name else ""
    if cdata is None and "<![CDATA[" in inner:
        start = offset + source.start(3)
        return start, start + len(inner), KeptText(inner, _MIXED, label)
    write = partial(_in_cdata) if cdata else partial(_escaped, allowed=frozenset(_TOKEN.findall(inner)) - set("&<>"))
    target = _TARGET.search(body)
    if target is None:
        # On a line of its own, indented like the source.
        indent = re.search(r"(\r?\n[ \t]*)$", body[: source.start()])
        end = offset + source.end()
        tag = f"{source[1]}target"
        return end, end, TextUnit(words, "", _Element(indent[1] if indent else "", tag, "", write), label)
    start, end = offset + target.start(), offset + target.end()
    state = _STATE.search(target["attributes"])
    outer = _STATE.search(unit[2])
    if (target["body"] or "").strip():
        is_new = (state is not None and state[2] in _NEW) or (outer is not None and outer[2] == "initial")
        if not is_new or (target["body"] or "").split() != inner.split():
            return None
    attributes = target["attributes"].rstrip()
    if state is not None and state[2] in _NEW:
        attributes = attributes[: state.start(2)] + "needs-review-translation" + attributes[state.end(2) :]
    before = ""
    if outer is not None and outer[2] == "initial":
        # Version 2 has the state at the segment, before the source.
        begin = unit.start(2) + outer.start(2)
        before = "translated" + text[unit.start(2) + outer.end(2) : start]
        start = begin
    element = _Element(before, target["name"], attributes, write)
    return start, end, TextUnit(words, text[start:end], element, label)


def _last_id(text: str, at: int) -> str | None:
    """The id of the unit of version 2 that holds the segment at ``at``."""
    found = _OUTER_UNIT.findall(text, max(0, at - 4000), at)
    return found[-1] if found else None


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
