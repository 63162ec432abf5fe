"""The text inside a Markdown block: what stands before it, its lines as one text, its links, and how it is written."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.formats.shield import Shield
from edgechat.tasks.translate.languages import scripts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BULLET = r"(?:[-*+:]|\d{1,9}[.)])"
QUOTED = r"(?:[ \t]*>[ \t]?)*"
# The start of a line before its text: quotation marks, list bullets, check boxes, footnotes.
_LEAD = re.compile(rf"(?:[ \t]*>[ \t]?|[ \t]*{BULLET}[ \t]+)*[ \t]*(?:\[[ xX]\][ \t]+)?(?:\[\^[^\]]+\]:[ \t]*)?")
_SPAN = re.compile(r"(`+[^`]+`+)")
_LINK = re.compile(r"(?<![\]\\])\[((?:\\.|[^\[\]\\])+)\](?:\[\](?!\()|(?![\[(:]))")
_KEPT = Shield(r"\[\^[^\]\s{}]+\]|\$(?![\s\d])[^$\n{}]*[^$\s{}]\$(?!\d)|(?<![\w:]):[a-z][a-z0-9_+-]+:(?![\w:])")
"""References to footnotes, formulas, and names of emoji."""
_BLOCK_START = re.compile(r"(?:[-+*](?=\s|\Z)|>|#{1,6}(?=\s|\Z)|[`~]{3}|=+\s*\Z)")
_NUMBER_START = re.compile(r"\d{1,9}(?=[.)](?:\s|\Z))")
_BAR = re.compile(r"(?<!\\)\|")


class TextCutter:
    """Makes units of the texts of one document.

    Args:
        labels: the labels for which the document defines a link. ``[label]`` alone would no longer find its link when
            it is translated, so it becomes ``[label][label]``.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._labels = {_normal(label) for label in labels}

    def paragraph(self, lines: list[str]) -> Iterator[Piece]:
        """The lines of a paragraph as one unit, because a line break does not end a sentence."""
        if not lines:
            return
        whole = "".join(lines)
        lead = _LEAD.match(whole)
        start = lead.end() if lead else 0
        body = whole[start:]
        core = body.rstrip(" \t\r\n")
        if core.endswith("\\"):
            core = core[:-1].rstrip(" \t")
        yield whole[:start]
        first, *others = re.split(r"\r?\n", core)
        parts = [first, *(re.sub(rf"^{QUOTED}", "", part) for part in others)]
        yield from self.unit(core, _joined([part.strip() for part in parts]))
        yield body[len(core) :]

    def unit(self, raw: str, text: str | None = None, *, is_cell: bool = False) -> Iterator[Piece]:
        """The unit of ``raw``, or ``raw`` itself when it has no letters; ``text`` is what it says, if not the same."""
        text = raw if text is None else text
        shown = _KEPT.hide(self._with_full_links(text))
        if not any(sign.isalpha() for sign in re.sub(r"\{[^{}]*\}", "", shown)):
            yield raw
            return
        yield TextUnit(shown, raw, partial(_written, source=text, is_cell=is_cell))

    def _with_full_links(self, text: str) -> str:
        if not self._labels:
            return text
        parts = _SPAN.split(text)
        return "".join(part if index % 2 else _LINK.sub(self._full_link, part) for index, part in enumerate(parts))

    def _full_link(self, found: re.Match[str]) -> str:
        label = found[1]
        return f"[{label}][{label}]" if _normal(label) in self._labels else found[0]


def is_continued(first: str, line: str) -> bool:
    """Whether a line goes on with the paragraph that began with ``first``."""
    lead = _LEAD.match(line)
    own = lead[0].replace(">", "").strip() if lead else ""
    depth = _depth(line)
    return not own and (depth == 0 or depth == _depth(first))


def _depth(line: str) -> int:
    lead = _LEAD.match(line)
    return lead[0].count(">") if lead else 0


def _written(text: str, *, source: str, is_cell: bool) -> str:
    text = _KEPT.show(text)
    if is_cell:
        return text if _BAR.search(source) else _BAR.sub(r"\\|", text)
    if _BLOCK_START.match(text) and not _BLOCK_START.match(source):
        return "\\" + text
    if (number := _NUMBER_START.match(text)) and not _NUMBER_START.match(source):
        return f"{number[0]}\\{text[number.end() :]}"
    return text


def _joined(parts: list[str]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text += ("" if _is_east(text[-1:]) and _is_east(part[:1]) else " ") + part
    return text


def _is_east(sign: str) -> bool:
    return not {"kana", "han"}.isdisjoint(scripts_of(sign)) or sign in set("、。，！？「」")


def _normal(label: str) -> str:
    return " ".join(label.split()).casefold()
