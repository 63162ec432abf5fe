"""Turns the bytes of sampled tokens into readable text: whole UTF-8 characters, stop strings, thoughts apart.

Pure: the same bytes always give the same text however they are cut, which is what lets an answer go on after a crash.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

THINK_TAGS = (("<think>", "</think>"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("[THINK]", "[/THINK]"))
"""Opening and closing tags of models that think before they answer (Qwen3, SmolLM3, LFM2.5 / Command / Magistral)."""


_OPENINGS = tuple(opening for opening, _ in THINK_TAGS)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one channel."""

    text: str
    is_thought: bool


class Reply:
    """One answer in the making.

    Args:
        stop: strings that end the answer and are not part of it.
        starts_in_thought: the closing tag of a thought that the prompt has already opened, or None.
    """

    def __init__(self, stop: tuple[str, ...] = (), starts_in_thought: str | None = None) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stop = tuple(s for s in stop if s)
        self._held = ""
        self._closing = starts_in_thought
        self._after_thought = False
        self._has_answered = False
        self.is_stopped = False
        """True once a stop string was met."""

    @property
    def is_in_thought(self) -> bool:
        """True while the model thinks: constraints on the answer do not hold yet."""
        return self._closing is not None

    def feed(self, data: bytes) -> list[Piece]:
        """Text that is certain now; what could still become a tag or a stop string is held back."""
        return self._split(self._decode(data), is_last=False)

    def finish(self) -> list[Piece]:
        """Whatever was held back; half a character at the very end becomes U+FFFD."""
        return self._split(self._decode(b"", True), is_last=True)

    def _split(self, text: str, *, is_last: bool) -> list[Piece]:
        if self.is_stopped:
            return []
        pieces: list[Piece] = []
        self._held += text
        while self._held:
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

    def _first_mark(self) -> tuple[int, str]:
        """Where the first tag or stop string to be *complete* stands, so that a whole text ends where its bytes do."""
        ends = []
        for mark in self._marks():
            at = self._held.find(mark)
            # Behind the first word of an answer an opening tag is something that the model quotes.
            if at >= 0 and (mark not in _OPENINGS or mark in self._stop or not self._held[:at].strip()):
                ends.append((at + len(mark), at, mark))
        _, at, mark = min(ends, default=(0, -1, ""))
        return at, mark

    def _marks(self) -> tuple[str, ...]:
        # Inside a thought only its end matters: stop strings belong to the answer.
        if self._closing is not None:
            return (self._closing,)
        # A model thinks before it answers; the same tag later on is something it quotes.
        return self._stop if self._has_answered else (*_OPENINGS, *self._stop)

    def _emit(self, pieces: list[Piece], text: str) -> None:
        if self._after_thought and self._closing is None:
            text = text.lstrip("\n")  # templates put blank lines between thought and answer
            self._after_thought = not text
        if text:
            pieces.append(Piece(text, self._closing is not None))
            self._has_answered |= self._closing is None and not text.isspace()


def open_thought(prompt_tail: str) -> str | None:
    """The closing tag still missing at the end of a rendered prompt, or None."""
    for opening, closing in THINK_TAGS:
        if prompt_tail.rstrip().endswith(opening):
            return closing
    return None


def _overlap(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end of ``text`` could be the beginning of a mark."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        tail = text[-size:]
        if any(mark.startswith(tail) for mark in marks):
            return size
    return 0
