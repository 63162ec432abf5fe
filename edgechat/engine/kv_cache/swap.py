"""Carries out what the eviction policy decides: clears cells, and moves conversations to host memory and back.

Runs in the decode loop's thread, for the scheduler.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache import eviction
from edgechat.engine.kv_cache.eviction import MIN_SWAP_TOKENS, MIN_TOKENS
from edgechat.engine.kv_cache.host_pool import HostPool
from edgechat.engine.kv_cache.prefix import Tokens, common_prefix, retokenized
from edgechat.engine.native import state

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgechat.engine.decoding.loaded_model import LoadedModel
    from edgechat.engine.kv_cache.allocator import CellAllocator
    from edgechat.engine.kv_cache.rewind import Rewind


class Swap:
    """The retained and swapped sequences of one context.

    Args:
        loaded: the model whose context it is.
        allocator: of that context.
        rewind: of that context.
    """

    def __init__(self, loaded: LoadedModel, allocator: CellAllocator, rewind: Rewind) -> None:
        self._loaded, self._context, self._allocator, self._rewind = loaded, loaded.context, allocator, rewind
        self._host_pool = HostPool(loaded.spare_memory)
        self.questions = eviction.SingleQuestions()

    def retokenize(self, prompt: Tokens, keep: str | None, longest: int) -> Tokens:
        """Spell a prompt with the tokens of the conversation that it continues, where its text is the same.

        Args:
            prompt: its tokens.
            keep: name under which the conversation may be on disk.
            longest: tokens that the result must not exceed where it gets longer.
        """
        on_disk = [state.tokens_of(self._loaded.prefixes.named(keep))] if keep else []
        candidates = (*self._allocator.all_retained.values(), *self._host_pool.sequences, *on_disk)
        held = max(candidates, key=partial(common_prefix, prompt), default=())
        found = retokenized(prompt, held, self._loaded.model.piece, self._loaded.model.may_steer)
        # Not for the sake of a word or two: then the tokenizer's own spelling stays.
        is_worth_it = common_prefix(found, held) >= common_prefix(prompt, held) + MIN_TOKENS
        return found if is_worth_it and len(found) <= max(len(prompt), longest) else prompt

    def n_swapped(self, prompt: Tokens) -> int:
        """Tokens of a prompt's beginning that a swapped conversation restores."""
        return self._host_pool.find(prompt[:-1], self._rewind)[1]

    def make_room(self, prompt: Tokens, pinned: Collection[int]) -> None:
        """Evict or swap out what a prompt does not continue; ``pinned`` slots stay."""
        for slot, keep in self.questions.orphaned(prompt, self._allocator.all_retained):
            self.evict(slot, keep)
        retained = self._allocator.all_retained
        continued, _ = self._host_pool.find(prompt[:-1], self._rewind)
        if continued is not None:
            self._host_pool.touch(continued)
        n_tokens = sum(map(len, (prompt, *retained.values(), *self._host_pool.sequences)))
        capacity: int | None = None

        def swap_out(slot: int, tokens: Tokens) -> bool:
            nonlocal capacity
            if self._host_pool.holds(tokens, self._rewind):
                return True
            capacity = self._host_pool.capacity() if capacity is None else capacity
            # While the cache could hold everything, nothing in the pool may be lost. Beyond that only the continued
            # conversation is safe: the cache alone could not have kept the others either.
            protected = len(continued.cells) if continued is not None else 0
            if n_tokens <= self._context.n_ctx:
                protected = self._host_pool.n_bytes
            return self._copy_to_host(slot, tokens, capacity, protected)

        for slot, keep in eviction.sequences_to_evict(
            prompt, retained, self.questions, pinned=pinned, rule=self._rewind, swap_out=swap_out
        ):
            self.evict(slot, keep)

    def evict(self, slot: int, keep: int = 0) -> None:
        """Clear a slot but for its first ``keep`` tokens, or as many of these as the model can cut it to."""
        tokens = self._allocator.retained(slot)
        keep = self._rewind.cut_at(tokens, min(keep, len(tokens)), slot)
        if keep and self._rewind.cut(slot, tokens, keep):
            self._allocator.shorten(slot, keep)
        else:
            self._context.drop(slot)
            self._allocator.free_slot(slot)
        self.questions.shortened(slot)

    def _copy_to_host(self, slot: int, tokens: Tokens, capacity: int, protected: int) -> bool:
        """Copy a conversation to the host pool beside ``protected`` bytes; False where it must stay in the cache."""
        if protected + state.size_of(self._context, slot) > capacity:
            return False
        try:
            cells = state.copy_out(self._context, slot)
        except MemoryError:  # a limit that the board does not show
            return False
        if cells is None:
            return False
        self._host_pool.put(tokens, cells, capacity)
        return True

    def swap_in(self, prompt: Tokens, slot: int, reused: int, cells: int) -> int:
        """Put a conversation that a prompt continues back into the cache, where that restores more than is there.

        Args:
            prompt: its tokens.
            slot: of its sequence, just admitted.
            reused: tokens that the slot holds already.
            cells: reserved for it.

        Returns:
            How many tokens the slot holds now.
        """
        swapped, common = self._host_pool.find(prompt[:-1], self._rewind)
        if swapped is None or common < reused + MIN_TOKENS or not self._allocator.unshare(slot):
            return reused
        if len(swapped.tokens) > cells + self._allocator.free:
            return reused
        self._context.drop(slot)
        if state.copy_in(self._context, slot, swapped.cells) and self._rewind.cut(slot, swapped.tokens, common):
            if len(swapped.tokens) - common < MIN_SWAP_TOKENS:
                self._host_pool.remove(swapped)  # where the prompt branches off earlier, both branches are kept
            return common
        self._host_pool.remove(swapped)
        self._context.drop(slot)
        return 0

    def evict_all(self, running: Collection[int]) -> None:
        """Clear every slot but the ``running`` ones, for the sake of its cells."""
        for slot in range(self._context.n_seq_max):
            if slot not in running:
                self.evict(slot)

    def free_memory(self) -> None:
        """Give the memory of the host pool and of the checkpoints back."""
        self._host_pool.clear()
        self._rewind.checkpoints.clear()
