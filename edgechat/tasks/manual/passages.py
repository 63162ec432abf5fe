"""The passages of a section that may be quoted: its sentences, steps and table rows, each on one line."""

from __future__ import annotations

import re

from edgechat.documents.sections import INNER_HEADING, parts_of
from edgechat.plaintext import clean_line

LONGEST, SHORTEST = 320, 8
"""Characters of a passage; a longer sentence is cut at commas and spaces, a shorter one goes with the next."""
MAX_PASSAGES = 160
"""Of one section: every one of them is in the grammar of the answer."""

_ITEM = re.compile(r"\s*(?:[(（]?\d{1,3}[.)）:、]\s|[•‣◦▪■●○・※*+–-]\s)|.* \| |\|")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+(?=[A-Z(\"'“0-9])|(?<=[。！？；])")
_MARKS = re.compile(r"^(?:\||[•‣◦▪■●○・※*+–-]|[(（]?\d{1,3}[.)）:、])\s+|\s+\|$")
_WORD = re.compile(r"[^\W_]")
_BREAK = re.compile(r"(?<=[,、，;])\s*|\s+")


def passages(text: str) -> list[str]:
    """The passages in order, each once."""
    # Without the marks of items and rows: a model begins a quote with a word, and the form of the answer lets it begin
    # with nothing else than a passage does.
    found = [piece for line in _units(text) for piece in _sentences(_MARKS.sub("", line)) if _WORD.search(piece)]
    return list(dict.fromkeys(found))[:MAX_PASSAGES]


def stands_in(quote: str, text: str) -> bool:
    """Whether a section holds a quote to the letter, but for line breaks and runs of blanks."""
    bare = clean_line(quote)
    return bool(bare) and bare in clean_line(text)


def heading_of(quote: str, headings: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The headings above a quote: a section that was joined from several has more than its own."""
    return next((above for above, part in parts_of(headings, text) if stands_in(quote, part)), headings)


def _units(text: str) -> list[str]:
    """Lines joined to paragraphs; items and rows of a table by themselves."""
    found: list[str] = []
    is_open = False
    for line in text.split("\n"):
        if not line.strip() or line.startswith(INNER_HEADING):
            is_open = False
            continue
        if is_open and not _ITEM.match(line):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
        is_open = True
    return [clean_line(each) for each in found]


def _sentences(unit: str) -> list[str]:
    pieces = [piece.strip() for piece in _SENTENCE.split(unit) if piece.strip()]
    found: list[str] = []
    for piece in pieces:
        joined = f"{found[-1]} {piece}" if found else ""
        if found and len(found[-1]) < SHORTEST and joined in unit:
            found[-1] = joined
        else:
            found.append(piece)
    return [part for piece in found for part in _cut(piece) if len(part) >= 2]


def _cut(piece: str) -> list[str]:
    """A sentence in parts of at most :data:`LONGEST` characters."""
    parts = []
    while len(piece) > LONGEST:
        breaks = [each.end() for each in _BREAK.finditer(piece, LONGEST // 2, LONGEST)]
        at = breaks[-1] if breaks else LONGEST
        parts.append(piece[:at].strip())
        piece = piece[at:].strip()
    return [*parts, piece] if piece else parts
