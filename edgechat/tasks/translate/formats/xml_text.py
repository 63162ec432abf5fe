"""What the formats in XML share: regular expressions for tags, and the parsed tree for comparing structures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTRIBUTES = r"""(?:\s+[^\s=<>/]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*"""
_SKIPPED = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_DECLARED = re.compile(r"\A\s*<\?xml\b.*?\?>", re.DOTALL)


def blanked(text: str) -> str:
    """``text`` with blanks in place of comments, so that positions in it are positions in the file."""
    return _SKIPPED.sub(lambda found: " " * len(found[0]), text)


def parse(text: str) -> ET.Element:
    """The root of an XML text, whatever encoding it declares.

    Raises:
        InvalidInputError: it is not well-formed.
    """
    try:
        return ET.fromstring(_DECLARED.sub(_as_blanks, text.removeprefix("\ufeff")))  # noqa: S314 - expat limits entities
    except (ET.ParseError, ValueError) as error:
        raise InvalidInputError(f"This is not well-formed XML: {error}.") from error


def tree(
    element: ET.Element, is_text: Callable[[ET.Element, ET.Element | None], bool], parent: ET.Element | None = None
) -> object:
    """Tags, attributes and texts of an element; of elements that ``is_text`` names, only the inner elements, sorted."""
    if is_text(element, parent):
        inner = sorted(repr((each.tag, sorted(each.attrib.items()))) for each in element.iter() if each is not element)
        return element.tag, sorted(element.attrib.items()), inner
    children = [(tree(each, is_text, element), (each.tail or "").strip()) for each in element]
    return element.tag, sorted(element.attrib.items()), (element.text or "").strip(), children


def _as_blanks(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])
