"""Finds the parts of a segment that must not change (URLs, tags, placeholders), masks them, and compares them.

A model sees them as they are first: masks such as [[1]] hide what a sentence is about. Only where an answer lost or
changed one is it asked again with masks. Numbers are not among them; their values are compared in ``numerals``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = re.compile(r"\[\[\s*([0-9]{1,3})\s*\]\]")

# Letters of Japanese, Chinese and Korean, and full-width signs: text goes on behind a URL without a space.
_EAST = r"\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
_IN_URL = rf"[^\s<>\"'`{_EAST}]"
_URL_END = rf"[^\s<>\"'`{_EAST}.,;:!?)\]}}]"
_PROTECTED = re.compile(
    rf"""
    (?P<mask>\[\[\s*[0-9]{{1,3}}\s*\]\])                  # our own masks, when the text has them
  | (?P<code>`+[^`\n]+`+)
  | (?P<link>!?\[(?=[^\[\]\n]+\](?:\(|\[))|\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\]\[[^\[\]\n]*\])
  | (?P<url>(?<![A-Za-z0-9])(?:https?|ftp|file|mailto|ssh|git)://?{_IN_URL}*{_URL_END}
           |(?<![A-Za-z0-9])www\.{_IN_URL}*{_URL_END})
  | (?P<mail>[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)
  | (?P<tag></?[A-Za-z][A-Za-z0-9:_-]*(?:\s[^<>]*)?/?>|<[0-9]+/?>|</[0-9]+>|<!--.*?-->)
  | (?P<entity>&(?:[A-Za-z][A-Za-z0-9]*|\#[0-9]+|\#x[0-9A-Fa-f]+);)
  | (?P<brace>\$?\{{\{{[^{{}}\n]*\}}\}}|\$?\{{[^{{}}\n]*\}}|\{{%[^%\n]*%\}})
  | (?P<printf>%\([A-Za-z_][A-Za-z0-9_]*\)[-+\#0-9.]*[diouxXeEfFgGcrsa]
             |%[0-9]+\$[-+\#0-9.]*[diouxXeEfFgGcsp@]
             |%[-+\#]?[0-9]*(?:\.[0-9]+)?(?:hh|ll|[hlzjt])?[diouxXeEfFgGcsp@](?![A-Za-z])|(?<![0-9])%[ds]|%%)
  | (?P<hash>(?<![\w&\#])\#(?![\w\#]))                   # the number of an ICU plural
  | (?P<variable>\$[A-Za-z_][A-Za-z0-9_]*|%[A-Z_]+%)
  | (?P<escape>\\[nrt"'\\])
  | (?P<path>(?<![A-Za-z0-9.])(?:~|\.{{1,2}})?(?:/[A-Za-z0-9._-]+){{2,}}/?|(?<![A-Za-z0-9])[A-Za-z]:\\[^\s"<>|]+)
  | (?P<flag>(?<![A-Za-z0-9-])--[A-Za-z][A-Za-z0-9-]+)
  | (?P<quantity>(?<![A-Za-z0-9_])[0-9]+(?:[.,][0-9]+)*[A-Za-zµΩ°]+(?![A-Za-z0-9_-]))
  | (?P<name>(?<![A-Za-z0-9_])(?=[A-Za-z0-9_./-]*[0-9])(?=[A-Za-z0-9_./-]*[A-Za-z])
              [A-Za-z0-9](?:[A-Za-z0-9_]|[./-](?=[A-Za-z0-9]))*
           |(?<![A-Za-z0-9_])[A-Za-z0-9]+_[A-Za-z0-9_]+)
    """,
    re.VERBOSE,
)
_WIDE_NUMBER = re.compile("[０-９]+(?:[．，：][０-９]+)*[％]?")
_LETTER = re.compile(r"[^\W\d_]")
_TAG_NAME = re.compile(r"</?\s*([A-Za-z0-9:_-]+)")
_LIKE_ENGLISH = frozenset(("name", "path"))
"""Kinds that words of the text may look like: they must be kept, but one more in the translation is no fault."""


@dataclass(frozen=True, slots=True)
class ProtectedPart:
    """One part of a text that a translation must contain as it is."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A segment with masks, and the originals that they stand for."""

    text: str
    originals: tuple[str, ...]
    """``originals[0]`` is [[1]]."""

    def restored(self, answer: str) -> str | None:
        """``answer`` with the originals in place of the masks; None when a mask was lost, repeated or invented."""
        wanted = Counter(range(1, len(self.originals) + 1))
        if Counter(int(number) for number in MASK.findall(answer)) != wanted:
            return None
        return MASK.sub(lambda mask: self.originals[int(mask[1]) - 1], answer)


def protected_spans(text: str) -> list[tuple[int, int]]:
    """The spans (start, end) of ``text`` that must not be cut."""
    return [match.span() for match in _PROTECTED.finditer(text)]


def protected_parts(text: str) -> list[ProtectedPart]:
    """The parts of ``text`` that a translation must contain as they are, in order; quantities (25Nm) are none."""
    return [
        ProtectedPart(match.lastgroup or "", match[0], *match.span())
        for match in _PROTECTED.finditer(text)
        if match.lastgroup != "quantity"
    ]


def has_words(text: str) -> bool:
    """Whether letters remain outside the parts that must not change."""
    return _LETTER.search(_PROTECTED.sub(" ", text)) is not None


def mask(text: str) -> MaskedText:
    """``text`` with masks in place of the parts that must not change."""
    pieces, originals, at = [], [], 0
    for part in protected_parts(text):
        originals.append(part.text)
        pieces += [text[at : part.start], f"[[{len(originals)}]]"]
        at = part.end
    return MaskedText("".join(pieces) + text[at:], tuple(originals))


def keeps_parts(source: str, target: str) -> bool:
    """Whether ``target`` has each protected part of ``source`` as often, and in an order that works.

    The order of named placeholders is free, since languages differ. Placeholders without names (%s, %d) are filled in
    order, so their order must stay; a tag must be closed after it was opened, and in the same nesting.
    """
    there, here = protected_parts(source), protected_parts(target)
    wanted, got = Counter(map(_key, there)), Counter(map(_key, here))
    for kind, text in wanted - got:
        # A name may be joined to letters of the target language, as in F12er, and is then read differently.
        if kind not in _LIKE_ENGLISH or _plain(target).count(text) < wanted[kind, text]:
            return False
    if any(kind not in _LIKE_ENGLISH for kind, _ in got - wanted):
        return False
    return _unnamed(there) == _unnamed(here) and _is_nested(here) >= _is_nested(there)


def narrowed(text: str) -> str:
    """``text`` with full-width digits as ASCII, for languages without them."""
    return _WIDE_NUMBER.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def is_reordered(source: str, target: str) -> bool:
    """Whether the named placeholders of ``source`` come in another order in ``target``."""
    there, here = ([part.text for part in protected_parts(text) if part.kind == "brace"] for text in (source, target))
    return len(set(there)) > 1 and there != here


def _key(part: ProtectedPart) -> tuple[str, str]:
    return part.kind, _plain(part.text) if part.kind in _LIKE_ENGLISH else part.text


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _unnamed(parts: Iterable[ProtectedPart]) -> list[str]:
    return [part.text for part in parts if part.kind == "printf" and "$" not in part.text and "(" not in part.text]


def _is_nested(parts: Iterable[ProtectedPart]) -> bool:
    """Whether every tag that is closed was opened before, innermost first."""
    opened: list[str] = []
    for part in parts:
        name = _TAG_NAME.match(part.text) if part.kind == "tag" else None
        if name is None or part.text.endswith("/>"):
            continue
        if not part.text.startswith("</"):
            opened.append(name[1])
        elif name[1] in opened:
            while opened and opened.pop() != name[1]:
                pass  # an element without an end tag, such as <br>, ends with the one around it
        else:
            return False
    return True
