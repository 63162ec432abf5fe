"""Checkpoints: the part of a sequence's state that llama.cpp cannot cut at any token, copied where it may be needed.

A recurrent layer keeps one state for all tokens before it, a sliding layer only the cells of its window. A checkpoint
is a copy of that part after some first tokens of a sequence (``LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY``). Together with the
cells of the layers with full attention, which can be cut anywhere, it restores the sequence as it was. It depends on
nothing but these tokens, so it serves every sequence that begins with them.

This module is pure: token ids, opaque bytes, and where in a prompt they are worth their memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.engine.kv_cache.prefix import Tokens

SPACING = 8
"""Fewest tokens between two checkpoints: fewer are read again as quickly as a step with one token."""
_TAIL = 24
"""Tokens at the end of a prompt within which the opening of the answer begins."""
_PIECES = 12
"""Into so many pieces at most a long prompt is cut for the sake of earlier messages: each piece is a step of its own,
and short steps read more slowly."""
_COMPARED = 8
"""Last tokens that are compared first: most checkpoints differ there."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state of a sequence after exactly these tokens."""

    tokens: Tokens
    state: bytearray
    """In llama.cpp's own format."""

    def begins(self, held: Tokens) -> bool:
        """Whether ``held`` begins with its tokens."""
        count = len(self.tokens)
        if len(held) < count or held[count - _COMPARED : count] != self.tokens[-_COMPARED:]:
            return False
        return held[:count] == self.tokens


class Checkpoints:
    """The checkpoints of one context, within a bound.

    Args:
        limit: bytes that all of them may take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: list[Checkpoint] = []  # the first to be dropped first

    @property
    def n_bytes(self) -> int:
        """Bytes that are held."""
        return sum(len(each.state) for each in self._held)

    def __len__(self) -> int:
        return len(self._held)

    def has_room(self, size: int) -> bool:
        """Whether a checkpoint of ``size`` bytes may be held at all."""
        return size <= self.limit

    def add(self, tokens: Tokens, state: bytearray) -> None:
        """Hold one more, and drop those that have gone unused longest beyond the limit.

        Args:
            tokens: of which none is held yet.
            state: not larger than the limit.
        """
        self._held.append(Checkpoint(tokens, state))
        while self.n_bytes > self.limit:
            del self._held[0]

    def longest(self, held: Tokens, count: int) -> Checkpoint | None:
        """The one with most tokens among those that begin ``held`` and have at most ``count``."""
        found = (each for each in self._held if len(each.tokens) <= count and each.begins(held))
        return max(found, key=lambda each: len(each.tokens), default=None)

    def beginning(self, held: Tokens) -> list[Checkpoint]:
        """Those that begin ``held``, the shortest first."""
        return sorted((each for each in self._held if each.begins(held)), key=lambda each: len(each.tokens))

    def use(self, prompt: Tokens) -> None:
        """Keep those of a prompt's conversation longest: its last ones, and before all the instructions'."""
        used = self.beginning(prompt)
        if used:
            self._held = [each for each in self._held if each not in used] + used[1:] + used[:1]

    def clear(self) -> None:
        """Drop all."""
        self._held.clear()


def message_ends(tokens: Tokens, is_end: Callable[[int], bool], is_control: Callable[[int], bool]) -> tuple[int, ...]:
    """Where the messages of a prompt end, in tokens from its beginning; the last place is before the answer's opening.

    Args:
        tokens: of the prompt.
        is_end: whether a token ends a turn of the model.
        is_control: whether a token is none of the text.
    """
    closing = {token for token in set(tokens) if token >= 0 and is_end(token)}
    start = max(len(tokens) - _TAIL, 1)
    more: set[int] = set()
    if not closing.intersection(tokens[start:]):
        # The model ends its turn with another token than the template ends the user's with (gpt-oss, Mistral).
        opening = [i for i in range(start, len(tokens)) if tokens[i] >= 0 and is_control(tokens[i])]
        last = opening[-1] if opening else max(len(tokens) - SPACING, 1)
        if opening and tokens[last - 1] >= 0 and is_control(tokens[last - 1]):
            closing.add(tokens[last - 1])
        more = {last}
    return tuple(sorted({i + 1 for i, token in enumerate(tokens) if token in closing} | more))


def stops(ends: tuple[int, ...], start: int, end: int, *, fixed: int = 0) -> tuple[int, ...]:
    """Where to stop reading a prompt for a checkpoint.

    Args:
        ends: of its messages (:func:`message_ends`).
        start: tokens that are known already.
        end: of the prompt; the last token is read with the answer.
        fixed: a place that is needed in any case; 0 for none.
    """
    spacing = max(SPACING, (end - start) // _PIECES)
    return tuple(sorted(_chosen(ends, start, end, fixed, spacing)))


def _chosen(ends: tuple[int, ...], start: int, end: int, fixed: int, spacing: int) -> Iterator[int]:
    last, taken = end, 0
    if start < fixed < end:
        yield fixed
    for each in reversed(ends):
        if not start + SPACING <= each < end:
            continue
        # Before the question and behind it, whatever the spacing: there it is edited, and there it is answered again.
        gap = SPACING if taken < 2 else spacing
        if (taken and last - each < gap) or (fixed and abs(each - fixed) < SPACING):
            continue
        yield each
        last, taken = each, taken + 1
