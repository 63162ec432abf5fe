"""The host pool: conversations that were swapped out of the KV cache into plain memory.

Swapping one back takes milliseconds. One that finds no room here stays in the cache, which costs speed alone. Stores
token ids and opaque bytes; the limits stand in :mod:`edgechat.engine.kv_cache.eviction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache import eviction
from edgechat.engine.kv_cache.prefix import CutRule, Tokens, common_prefix, restorable_prefix

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, eq=False)
class SwappedSequence:
    """One conversation."""

    tokens: Tokens
    cells: bytearray
    """The content of their cells, in llama.cpp's own format."""


class HostPool:
    """The swapped conversations of one engine.

    Args:
        free_memory: bytes of memory that are free beyond what the loaded plan needs; negative where some are missing.
    """

    def __init__(self, free_memory: Callable[[], int]) -> None:
        self._free_memory = free_memory
        self._held: list[SwappedSequence] = []  # least recently used first

    @property
    def n_bytes(self) -> int:
        """Bytes that are held."""
        return sum(len(each.cells) for each in self._held)

    @property
    def sequences(self) -> list[Tokens]:
        """The tokens of each conversation."""
        return [each.tokens for each in self._held]

    def capacity(self) -> int:
        """Bytes that may be held in all, given the memory that is free now."""
        return eviction.host_pool_capacity(self.n_bytes, self._free_memory())

    def put(self, tokens: Tokens, cells: bytearray, capacity: int) -> None:
        """Add a conversation, and drop the least recently used ones for which no room is left.

        Args:
            tokens: its own. Conversations that are a prefix of it are dropped.
            cells: their content, at most ``capacity`` bytes.
            capacity: of :meth:`capacity`.
        """
        self._held = [each for each in self._held if common_prefix(each.tokens, tokens) < len(each.tokens)]
        self._held.append(SwappedSequence(tokens, cells))
        del self._held[: eviction.host_pool_surplus([len(each.cells) for each in self._held], capacity)]

    def find(self, prompt: Tokens, rule: CutRule) -> tuple[SwappedSequence | None, int]:
        """The conversation that restores most of a prompt's beginning, and how many tokens that are."""
        best, longest = None, 0
        for each in self._held:
            count = restorable_prefix(each.tokens, prompt, rule)
            if count > longest:
                best, longest = each, count
        return best, longest

    def holds(self, tokens: Tokens, rule: CutRule) -> bool:
        """Whether a conversation begins with all of these and can be cut there."""
        return any(restorable_prefix(each.tokens, tokens, rule) == len(tokens) for each in self._held)

    def touch(self, one: SwappedSequence) -> None:
        """Mark a conversation as the most recently used one."""
        self._held.remove(one)
        self._held.append(one)

    def remove(self, one: SwappedSequence) -> None:
        """Drop a conversation."""
        self._held.remove(one)

    def clear(self) -> None:
        """Drop all conversations."""
        self._held.clear()
