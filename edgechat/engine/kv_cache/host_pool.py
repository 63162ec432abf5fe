"""Conversations that nobody is answering just now, out of the KV cache: what their cells held, in plain memory.

Every cell that is filled, whoever's it is, is looked at by every token of every answer; a cache full of earlier talk
makes a small model decode a third more slowly. So the conversations that are parked leave it when another one begins,
and come back within milliseconds. What finds no room here stays where it is: nothing is lost but speed.

Pure bookkeeping: token ids, and bytes that are not looked into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.allocator import common_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_BYTES = 256 * 1024 * 1024
"""About 9,000 tokens of a 1.5B model, 11,000 of SmolLM2."""
MOST = 32
"""Conversations; each prompt is compared with all of them, which for so many takes a millisecond."""
PART = 4
"""Of the memory that nobody else needs one part in so many is taken: whoever loads something next shall find some."""
LEAST = 64
"""Tokens; less is looked over, or read again, as quickly as it is carried back and forth."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelved:
    """One conversation."""

    tokens: tuple[int, ...]
    cells: bytearray
    """What they held, in llama.cpp's own form."""


class Shelf:
    """The conversations of one engine.

    Args:
        spare: bytes of memory that are free now beyond what the loaded plan needs; negative where some are missing.
    """

    def __init__(self, spare: Callable[[], int]) -> None:
        self._spare = spare
        self._held: list[Shelved] = []  # oldest first

    @property
    def n_bytes(self) -> int:
        """Memory that is taken."""
        return sum(len(each.cells) for each in self._held)

    @property
    def talks(self) -> list[tuple[int, ...]]:
        """The tokens of each conversation."""
        return [each.tokens for each in self._held]

    def room(self) -> int:
        """Bytes that may lie here in all; looks at the memory."""
        spare = self._spare()
        return min(LIMIT_BYTES, (self.n_bytes + spare) // PART) if spare > 0 else 0

    def put(self, tokens: tuple[int, ...], cells: bytearray, room: int) -> None:
        """Keep a conversation, and of the others as many of the latest as there is room for.

        Args:
            tokens: its own. What it goes on from is kept no longer.
            cells: what they held, no more than ``room``.
            room: of :meth:`room`.
        """
        self._held = [each for each in self._held if common_prefix(each.tokens, tokens) < len(each.tokens)]
        self._held.append(Shelved(tokens, cells))
        while self.n_bytes > room or len(self._held) > MOST:
            del self._held[0]

    def find(self, prompt: tuple[int, ...], *, is_rewindable: bool) -> tuple[Shelved | None, int]:
        """The one that shares most of a prompt's beginning, and how many tokens that are.

        Args:
            prompt: its tokens.
            is_rewindable: whether a part of what is kept is of use, or only the whole.
        """
        best, longest = None, 0
        for each in self._held:
            common = common_prefix(each.tokens, prompt)
            if common > longest and (is_rewindable or common == len(each.tokens)):
                best, longest = each, common
        return best, longest

    def holds(self, tokens: tuple[int, ...]) -> bool:
        """Whether a conversation begins with all of these."""
        return any(common_prefix(each.tokens, tokens) == len(tokens) for each in self._held)

    def touch(self, one: Shelved) -> None:
        """It is about to go on: the others go before it."""
        self._held.remove(one)
        self._held.append(one)

    def remove(self, one: Shelved) -> None:
        """Keep it no longer."""
        self._held.remove(one)

    def clear(self) -> None:
        """Give all its memory back."""
        self._held.clear()
