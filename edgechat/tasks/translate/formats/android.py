r"""Android string resources: ``string``, the items of ``string-array`` and ``plurals``; all else stays.

Format: developer.android.com, "String resources". Escapes such as ``\'`` and ``\n`` are read and written, white space
is collapsed as Android does, and the content of an ``xliff:g`` element stays.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import KeptText, Piece, TextUnit
from edgechat.tasks.translate.formats.shield import PRINTF, Shield
from edgechat.tasks.translate.formats.xml_text import ATTRIBUTES, blanked, parse, tree

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator

_ELEMENT = re.compile(
    rf"<(?P<tag>string|string-array|plurals)(?P<attributes>{ATTRIBUTES})>(?P<body>.*?)</(?P=tag)\s*>", re.DOTALL
)
_ITEM = re.compile(rf"<item(?P<attributes>{ATTRIBUTES})>(?P<body>.*?)</item\s*>", re.DOTALL)
_FIXED = re.compile(r"""\btranslatable\s*=\s*["']false["']""")
_NAME = re.compile(r"""\bname\s*=\s*["']([^"']*)["']""")
_QUANTITY = re.compile(r"""\bquantity\s*=\s*["']([^"']*)["']""")
_CDATA = re.compile(r"(\s*<!\[CDATA\[)((?:(?!\]\]>).)*)(\]\]>\s*)", re.DOTALL)
_MIXED = "CDATA between other text"
_REFERENCE = re.compile(r"[@?](?:\+?[\w.]+:)?[\w./]+\Z")
_MARKUP = r"<xliff:g\b[^<>]*>[^<>{}]*</xliff:g>|<[^<>{}]*>|&(?:[A-Za-z][\w.-]*|#\d+|#x[0-9A-Fa-f]+);"
_XML = Shield(rf"{_MARKUP}|{PRINTF}")
_RAW = Shield(rf"<[^<>{{}}]*>|{PRINTF}")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|\r?\n|.)", re.DOTALL)
_READ = {"n": "\n", "t": "\t"}
_SPELLED = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\t": "\\t"}
_XML_SPELLED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a file of string resources.

    Raises:
        InvalidInputError: the text is not XML, or has no element ``resources``.
    """
    root = parse(text)
    if root.tag != "resources":
        raise InvalidInputError(
            f"This XML file is not one of Android's string resources: it is <{root.tag}>, not <resources>.",
            hint="Of other XML files only XLIFF is read: --from xliff",
        )
    visible = blanked(text)
    at = 0
    for element in _ELEMENT.finditer(visible):
        if _FIXED.search(element["attributes"]):
            continue
        name = _NAME.search(element["attributes"])
        place = name[1] if name else ""
        found = [(element.start("body"), element.end("body"), place)]
        if element["tag"] != "string":
            found = []
            for number, item in enumerate(_ITEM.finditer(visible, element.start("body"), element.end("body"))):
                quantity = _QUANTITY.search(item["attributes"])
                if not _FIXED.search(item["attributes"]):
                    label = f"{place}[{quantity[1] if quantity else number}]"
                    found.append((item.start("body"), item.end("body"), label))
        for start, end, label in found:
            yield text[at:start]
            yield from _body(text[start:end], label)
            at = end
    yield text[at:]


def structure(text: str) -> object:
    """The tree of the file without the texts that are translated, but with the elements inside them.

    Raises:
        InvalidInputError: the text is not XML.
    """
    return tree(parse(text), _is_text), sum(isinstance(piece, TextUnit) for piece in pieces(text))


def _is_text(element: ET.Element, parent: ET.Element | None) -> bool:
    return element.tag == "string" or (
        element.tag == "item" and parent is not None and parent.tag in {"string-array", "plurals"}
    )


def _body(raw: str, place: str) -> Iterator[Piece]:
    cdata = _CDATA.fullmatch(raw)
    if cdata is None and "<![CDATA[" in raw:
        yield KeptText(raw, _MIXED, place)
        return
    before, inner, after = cdata.groups() if cdata else ("", raw, "")
    shield = _RAW if cdata else _XML
    core = inner.strip()
    if "<!--" in core or not core:
        yield raw
        return
    start = inner.index(core)
    is_quoted = len(core) > 1 and core[0] == core[-1] == '"' and not re.search(r'(?<!\\)"', core[1:-1])
    if is_quoted:
        core = core[1:-1]
        start += 1
    shown = _read(core, shield, is_quoted=is_quoted)
    if _REFERENCE.match(core) or not any(sign.isalpha() for sign in re.sub(r"\{[^{}]*\}", "", shown)):
        yield raw
        return
    yield before + inner[:start]
    yield TextUnit(shown, core, partial(_spelled, shield=shield, is_cdata=bool(cdata)), place)
    yield inner[start + len(core) :] + after


def _read(core: str, shield: Shield, *, is_quoted: bool) -> str:
    """The text as a reader sees it, with markup and conversions in braces."""
    out = []
    for part, is_hidden in shield.parts(shield.hide(core)):
        if is_hidden:
            out.append("{" + part + "}")
            continue
        plain = part if is_quoted else re.sub(r"\s+", " ", part)
        out.append(_ESCAPE.sub(_meant, plain))
    return "".join(out)


def _meant(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) == 5:
        return chr(int(code[1:], 16))
    return _READ.get(code, code.strip("\r\n"))


def _spelled(text: str, *, shield: Shield, is_cdata: bool) -> str:
    out = []
    for part, is_hidden in shield.parts(text):
        if is_hidden:
            out.append(part)
            continue
        escaped = "".join(_SPELLED.get(sign, sign) for sign in part)
        if not out and escaped[:1] in {"@", "?"}:
            escaped = "\\" + escaped
        if is_cdata:
            escaped = escaped.replace("]]>", "]]]]><![CDATA[>")
        else:
            escaped = re.sub("[&<>]", lambda found: _XML_SPELLED[found[0]], escaped)
        out.append(escaped)
    return "".join(out)
