"""Replaces the parts of a segment that must not change (URLs, tags, numbers) with marks such as ⟦1⟧, and restores them.

Lost and repeated marks are found by comparing multisets; a missing mark is never inserted.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

OPEN, CLOSE = "⟦", "⟧"
MARK = re.compile(r"⟦\s*([0-9]{1,3})\s*⟧")

_PROTECTED = re.compile(
    r"""
    (?P<mark>[⟦⟧])                                         # our own mark characters, when the text uses them
  | (?P<code>`+[^`\n]+`+)
  | (?P<link>!?\[(?=[^\[\]\n]+\](?:\(|\[))|\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\]\[[^\[\]\n]*\])
  | (?P<url>\b(?:https?|ftp|file|mailto|ssh|git)://?[^\s<>"'`「」（）、。]+[^\s<>"'`「」（）、。.,;:!?)\]}]
           |\bwww\.[^\s<>"'`「」（）、。]+[^\s<>"'`「」（）、。.,;:!?)\]}])
  | (?P<mail>[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)
  | (?P<tag></?[A-Za-z][A-Za-z0-9:_-]*(?:\s[^<>]*)?/?>|<[0-9]+/?>|</[0-9]+>|<!--.*?-->)
  | (?P<entity>&(?:[A-Za-z][A-Za-z0-9]*|\#[0-9]+|\#x[0-9A-Fa-f]+);)
  | (?P<brace>\$?\{\{[^{}\n]*\}\}|\$?\{[^{}\n]*\}|\{%[^%\n]*%\})
  | (?P<printf>%\([A-Za-z_][A-Za-z0-9_]*\)[-+\#0-9.]*[diouxXeEfFgGcrsa]
             |%[0-9]+\$[-+\#0-9.]*[diouxXeEfFgGcsp@]
             |%[-+\#]?[0-9]*(?:\.[0-9]+)?(?:hh|ll|[hlzjt])?[diouxXeEfFgGcsp@](?![A-Za-z])|%%)
  | (?P<variable>\$[A-Za-z_][A-Za-z0-9_]*|%[A-Z_]+%)
  | (?P<escape>\\[nrt"'\\])
  | (?P<path>(?<![A-Za-z0-9.])(?:~|\.{1,2})?(?:/[A-Za-z0-9._-]+){2,}/?|\b[A-Za-z]:\\[^\s"<>|]+)
  | (?P<flag>(?<![A-Za-z0-9-])--[A-Za-z][A-Za-z0-9-]+)
  | (?P<name>(?<![A-Za-z0-9_])(?=[A-Za-z0-9_./-]*[0-9])(?=[A-Za-z0-9_./-]*[A-Za-z])
              [A-Za-z0-9](?:[A-Za-z0-9_]|[./-](?=[A-Za-z0-9]))*
           |(?<![A-Za-z0-9_])[A-Za-z0-9]+_[A-Za-z0-9_]+)
  | (?P<number>[0-9０-９]+(?:[.,:．，：][0-9０-９]+)*%?)
    """,
    re.VERBOSE,
)
# Two protected parts with only this between them share one mark: a model keeps fewer marks more easily.
_GLUE = re.compile(r"[\s\-/:.,~+=()−–]{0,3}")
_LETTER = re.compile(r"[^\W\d_]")
_QUANTITY = re.compile(r"[0-9]+(?:[.,][0-9]+)*(?:st|nd|rd|th)")


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A segment with marks, and the originals that they stand for."""

    text: str
    originals: tuple[str, ...]
    """``originals[0]`` is ⟦1⟧."""

    @property
    def has_words(self) -> bool:
        """Whether letters remain outside the marks."""
        return _LETTER.search(MARK.sub("", self.text)) is not None

    def faults(self, answer: str) -> list[str]:
        """The marks that ``answer`` lost, repeated or invented."""
        wanted = Counter(range(1, len(self.originals) + 1))
        got = Counter(int(number) for number in MARK.findall(answer))
        stray = MARK.sub("", answer)
        return [
            *(f"{OPEN}{number}{CLOSE}" for number in (wanted - got).elements()),
            *(f"{OPEN}{number}{CLOSE}" for number in (got - wanted).elements()),
            *(sign for sign in stray if sign in OPEN + CLOSE),
        ]

    def restored(self, answer: str, *, narrow: bool) -> str:
        """``answer`` with the originals in place of the marks. Call only when :meth:`faults` is empty.

        Args:
            answer: the model's answer, with marks.
            narrow: write full-width digits as ASCII, for languages without them.
        """

        def original(match: re.Match[str]) -> str:
            text = self.originals[int(match[1]) - 1]
            return unicodedata.normalize("NFKC", text) if narrow and _is_wide_number(text) else text

        return MARK.sub(original, answer)


def protected_spans(text: str) -> list[tuple[int, int]]:
    """The spans (start, end) of ``text`` that must not be cut."""
    return [match.span() for match in _PROTECTED.finditer(text)]


def mask(text: str) -> MaskedText:
    """``text`` with marks in place of the parts that must not change."""
    spans: list[list[int]] = []
    for match in _PROTECTED.finditer(text):
        if match.lastgroup == "name" and _QUANTITY.fullmatch(match[0]):
            continue  # 1st and 2nd are words
        start, end = match.span()
        if spans and (start == spans[-1][1] or _GLUE.fullmatch(text, spans[-1][1], start)):
            spans[-1][1] = end
        else:
            spans.append([start, end])
    pieces, originals, at = [], [], 0
    for start, end in spans:
        originals.append(text[start:end])
        pieces += [text[at:start], f"{OPEN}{len(originals)}{CLOSE}"]
        at = end
    return MaskedText("".join(pieces) + text[at:], tuple(originals))


def _is_wide_number(text: str) -> bool:
    return any("０" <= sign <= "９" for sign in text)
