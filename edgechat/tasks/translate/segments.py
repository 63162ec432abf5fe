"""Splits a text into sentences and the white space between them; joined, they are the text again, byte for byte.

Lines are never joined, and the syntax of ICU messages stays between the texts of their branches. Within a line, too few
cuts are preferred to too many. A sentence that is too long for a board's small context is cut at a comma, colon or
space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgechat.tasks.translate.icu import message_parts
from edgechat.tasks.translate.languages import LANGUAGES, UNDETERMINED, scripts_of
from edgechat.tasks.translate.protect import protected_spans

MAX_LATIN = 900
"""Maximum characters of a segment in an alphabetic script; about 250 tokens."""
MAX_EAST = 300
"""The same in Japanese or Chinese."""

_EAST_END = re.compile(r"(?<=[。！？!?｡])(?![。！？!?｡」』）】”’〉》]|\Z)")
_LATIN_END = re.compile(r"(?<=[.!?])(?=\s+[A-ZÀ-Ö0-9\"“'(])")
_LINE_END = re.compile(r"(\r\n|[\n\r\v\f\x85\u2028\u2029])")
_WEAK = re.compile(r"(?<=[、，；：;:,])|(?<=\s)")
_CLOSING = "」』）】”’〉》)]"


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or the text between two sentences."""

    text: str
    is_text: bool
    """False for white space, line ends and the syntax of ICU messages."""


def segments(text: str, language: str) -> list[Segment]:
    """The segments of ``text`` in order; ``language`` is a code or ``und``."""
    found: list[Segment] = []
    for part in message_parts(text):
        if part.is_syntax:
            _add(found, part.text, is_text=False)
        else:
            _split_lines(found, part.text, language)
    return found


def _split_lines(found: list[Segment], text: str, language: str) -> None:
    for index, line in enumerate(_LINE_END.split(text)):
        if index % 2:
            _add(found, line, is_text=False)
        else:
            for sentence in _sentences(line, language):
                for piece in _short_enough(sentence):
                    _trimmed(found, piece)


def _sentences(line: str, language: str) -> list[str]:
    if not line.strip():
        return [line]
    import sentencex  # noqa: PLC0415 - native code that only translation needs

    pieces = sentencex.segment(language if language in LANGUAGES else "en", line)
    if "".join(pieces) != line:
        # sentencex promises to keep every character; if it does not, fall back to plain rules.
        pieces = _by_rules(line, language)
    return _joined_in_spans(_joined_in_quotations(pieces), protected_spans(line))


def _by_rules(line: str, language: str) -> list[str]:
    scripts = scripts_of(line)
    is_east = not LANGUAGES[language].spaces if language in LANGUAGES else language == UNDETERMINED and "han" in scripts
    return [piece for piece in (_EAST_END if is_east else _LATIN_END).split(line) if piece]


def _joined_in_quotations(pieces: list[str]) -> list[str]:
    """Join pieces cut inside a quotation: 「行こう。」と言った。 is one sentence, and a lone 」 is not a sentence."""
    whole: list[str] = []
    for piece in pieces:
        first = piece.strip()[:1]
        is_left_over = not first or first in _CLOSING
        if whole and (is_left_over or (whole[-1][-1:] in "」』”" and first not in "「『“")):
            whole[-1] += piece
        else:
            whole.append(piece)
    return whole


def _joined_in_spans(pieces: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """Join pieces cut inside one of ``spans`` (code, a URL, a tag)."""
    whole: list[str] = []
    at = 0
    for piece in pieces:
        if whole and any(start < at < end for start, end in spans):
            whole[-1] += piece
        else:
            whole.append(piece)
        at += len(piece)
    return whole


def _short_enough(sentence: str) -> list[str]:
    scripts = scripts_of(sentence)
    is_east = sum(scripts.get(script, 0) for script in ("kana", "han", "thai")) * 2 > sum(scripts.values())
    limit = MAX_EAST if is_east else MAX_LATIN
    if len(sentence) <= limit:
        return [sentence]
    pieces: list[str] = [""]
    for part in _WEAK.split(sentence):
        if len(pieces[-1]) + len(part) > limit and pieces[-1]:
            pieces.append("")
        pieces[-1] += part
    # A run without such a mark (a key, binary data) is cut at the limit.
    return [piece[at : at + limit] for piece in pieces if piece for at in range(0, len(piece), limit)]


def _trimmed(found: list[Segment], piece: str) -> None:
    core = piece.strip()
    if not core:
        _add(found, piece, is_text=False)
        return
    start = piece.index(core)
    _add(found, piece[:start], is_text=False)
    _add(found, core, is_text=True)
    _add(found, piece[start + len(core) :], is_text=False)


def _add(found: list[Segment], text: str, *, is_text: bool) -> None:
    if text:
        found.append(Segment(text, is_text))
