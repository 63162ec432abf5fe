"""Turns the bytes of sampled tokens into text: whole UTF-8 characters, ended by stop strings, thoughts kept apart.

Pure: the same bytes give the same text however they are cut, so an answer can be resumed after a crash.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

THINK_TAGS = (("<think>", "</think>"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("[THINK]", "[/THINK]"))
"""Opening and closing tags of models that think before they answer (Qwen3, SmolLM3, LFM2.5 / Command / Magistral)."""


_LONGEST_BEGINNING = 256
"""Characters of an answer that show whether stop strings count."""

_OPENINGS = tuple(opening for opening, _ in THINK_TAGS)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text that is all thought or all answer."""

    text: str
    is_thought: bool


class Detokenizer:
    """The text of one answer.

    Args:
        stop: strings that end the answer; they are not part of it.
        starts_in_thought: the closing tag of a thought that the prompt has opened, or None.
        unstopped: an answer whose beginning matches it is not ended by stop strings.
    """

    def __init__(
        self,
        stop: tuple[str, ...] = (),
        starts_in_thought: str | None = None,
        *,
        unstopped: re.Pattern[str] | None = None,
    ) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stop = tuple(s for s in stop if s)
        self._unstopped = unstopped if self._stop else None
        self._beginning = ""
        """Of the answer, while it may still match ``unstopped``."""
        self._held = ""
        self._closing = starts_in_thought
        self._after_thought = False
        self._has_answered = False
        self.is_stopped = False
        """True once a stop string was met."""

    @property
    def is_in_thought(self) -> bool:
        """True while the model thinks; constraints apply to the answer only."""
        return self._closing is not None

    def feed(self, data: bytes) -> list[TextPiece]:
        """Append bytes; returns the new text, without an end that could become a tag or a stop string."""
        return self._split(self._decode(data), is_last=False)

    def finish(self) -> list[TextPiece]:
        """The text that was held back; an incomplete character at the end becomes U+FFFD."""
        return self._split(self._decode(b"", True), is_last=True)

    def _split(self, text: str, *, is_last: bool) -> list[TextPiece]:
        if self.is_stopped:
            return []
        pieces: list[TextPiece] = []
        self._held += text
        while self._held:
            self._check_beginning()
            at, mark = self._first_mark()
            if at < 0:
                keep = 0 if is_last else _overlap(self._held, self._marks())
                cut = len(self._held) - keep
                self._emit(pieces, self._held[:cut])
                self._held = self._held[cut:]
                break
            self._emit(pieces, self._held[:at])
            self._held = self._held[at + len(mark) :]
            if self._closing is None and mark in self._stop:
                self.is_stopped = True
                self._held = ""
            elif self._closing is None:
                self._closing = next(closing for opening, closing in THINK_TAGS if opening == mark)
            else:
                self._closing = None
                self._after_thought = True
        return pieces

    def _check_beginning(self) -> None:
        """Drop the stop strings once the answer's beginning shows that they must not end it."""
        if self._unstopped is not None and self._closing is None:
            if self._unstopped.match(self._beginning + self._held):
                self._stop = ()
            if not self._stop or len(self._beginning) > _LONGEST_BEGINNING:
                self._unstopped = None

    def _first_mark(self) -> tuple[int, str]:
        """Start and text of the tag or stop string that is complete first; (-1, "") where there is none."""
        ends = []
        for mark in self._marks():
            at = self._held.find(mark)
            # Behind the first word of an answer an opening tag is quoted text.
            if at >= 0 and (mark not in _OPENINGS or mark in self._stop or not self._held[:at].strip()):
                ends.append((at + len(mark), at, mark))
        _, at, mark = min(ends, default=(0, -1, ""))
        return at, mark

    def _marks(self) -> tuple[str, ...]:
        # Stop strings apply to the answer, not to a thought.
        if self._closing is not None:
            return (self._closing,)
        # A model thinks before it answers; later on the same tag is quoted text.
        return self._stop if self._has_answered else (*_OPENINGS, *self._stop)

    def _emit(self, pieces: list[TextPiece], text: str) -> None:
        if self._after_thought and self._closing is None:
            text = text.lstrip("\n")  # blank lines between thought and answer
            self._after_thought = not text
        if text and self._closing is None and self._unstopped is not None:
            self._beginning += text
        if text:
            pieces.append(TextPiece(text, self._closing is not None))
            self._has_answered |= self._closing is None and not text.isspace()


def open_thought(prompt_tail: str) -> str | None:
    """The closing tag of a thought that a rendered prompt opens at its end, or None."""
    for opening, closing in THINK_TAGS:
        if prompt_tail.rstrip().endswith(opening):
            return closing
    return None


def _overlap(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end of ``text`` could be the beginning of a tag or stop string."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        tail = text[-size:]
        if any(mark.startswith(tail) for mark in marks):
            return size
    return 0
