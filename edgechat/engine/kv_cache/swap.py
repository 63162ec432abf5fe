"""Conversations that are parked in the KV cache, and those that made way: who leaves for a prompt, who comes back.

Moves cells between llama.cpp's cache and the shelf, for the admission, in the decode loop's thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.allocator import common_prefix
from edgechat.engine.kv_cache.disk_cache import MIN_TOKENS
from edgechat.engine.kv_cache.host_pool import LEAST, Shelf
from edgechat.engine.kv_cache.retokenize import respelled
from edgechat.engine.native import state

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edgechat.engine.decoding.loaded_model import Residence
    from edgechat.engine.kv_cache.allocator import Cells

Tokens = tuple[int, ...]


class Parking:
    """The conversations of one context.

    Args:
        residence: whose context.
        cells: its ledger.
    """

    def __init__(self, residence: Residence, cells: Cells) -> None:
        self._home, self._context, self._cells = residence, residence.context, cells
        self._shelf = Shelf(residence.spare_memory)

    @property
    def _is_rewindable(self) -> bool:
        return self._home.model.is_rewindable

    def as_held(self, prompt: Tokens, keep: str | None, longest: int) -> Tokens:
        """A prompt in the tokens of the conversation that it goes on from, where that is kept and says the same.

        Args:
            prompt: its tokens.
            keep: name under which the conversation may be on disk.
            longest: what it must not exceed, where it gets longer.
        """
        kept = [state.tokens_of(self._home.prefixes.named(keep))] if keep else []
        held = max((*self._cells.all_parked, *self._shelf.talks, *kept), key=partial(common_prefix, prompt), default=())
        found = respelled(prompt, held, self._home.model.piece, self._home.model.may_steer)
        # For a word or two nobody's text is spelled in another way than the tokenizer's.
        is_worth_it = common_prefix(found, held) >= common_prefix(prompt, held) + MIN_TOKENS
        return found if is_worth_it and len(found) <= max(len(prompt), longest) else prompt

    def on_shelf(self, known: Tokens) -> int:
        """Tokens of a prompt's beginning that a conversation on the shelf has."""
        return self._shelf.find(known[:-1], is_rewindable=self._is_rewindable)[1]

    def make_way(self, known: Tokens, staying: Collection[int], instructions: Mapping[int, int]) -> None:
        """What a prompt does not go on from leaves the cache: conversations where memory has room for them.

        Of a single question only its instructions stay. Else the same question would be answered now behind one other
        and now behind another, at other places of the cache, where llama.cpp adds up the same numbers in another order.
        Pictures, whose cells are more than their tokens, are not touched.

        Args:
            known: the prompt's tokens.
            staying: slots that must not be touched.
            instructions: for slots that hold single questions, how many of their tokens others share.
        """
        going, _ = self._shelf.find(known[:-1], is_rewindable=self._is_rewindable)
        if going is not None:
            self._shelf.touch(going)
        # What the cache alone could not have kept either may be lost.
        n_tokens = sum(map(len, (known, *self._cells.all_parked, *self._shelf.talks)))
        lasting = None if n_tokens <= self._context.n_ctx else len(going.cells) if going is not None else 0
        room: int | None = None
        shared = 0
        for slot in self._cells.parked_slots():
            parked, is_talk = self._cells.parked(slot), not self._cells.is_passing(slot)
            common = common_prefix(parked, known)
            is_continued = 2 * common >= len(parked) if self._is_rewindable else common == len(parked)
            if is_continued or slot in staying or min(parked) < 0 or (is_talk and len(parked) - common < LEAST):
                shared = max(shared, common)
                continue
            if not is_talk:
                self._cut(slot, max(common, instructions.get(slot, 0)))
                continue
            if not (self._is_rewindable and self._shelf.holds(parked)):
                room = self._shelf.room() if room is None else room
                if not self._put_away(slot, parked, room, self._shelf.n_bytes if lasting is None else lasting):
                    continue
            # One copy of the instructions that all of them begin with is enough.
            self._cut(slot, common if common > shared else 0)
            shared = max(shared, common)

    def _cut(self, slot: int, count: int) -> None:
        """Of a parked sequence only so many tokens stay, if they are worth it and can be had alone."""
        if count >= MIN_TOKENS and self._is_rewindable and self._context.drop(slot, count):
            self._cells.shorten(slot, count)
        else:
            self._context.drop(slot)
            self._cells.forget(slot)

    def _put_away(self, slot: int, tokens: Tokens, room: int, lasting: int) -> bool:
        """Copy a parked conversation to the shelf, beside so many bytes; False where it must stay in the cache."""
        if lasting + state.size_of(self._context, slot) > room:
            return False
        try:
            cells = state.copy_out(self._context, slot)
        except MemoryError:  # a limit that the board does not show
            return False
        if cells is None:
            return False
        self._shelf.put(tokens, cells, room)
        return True

    def take_back(self, known: Tokens, slot: int, reused: int, cells: int) -> int:
        """Put a conversation that goes on into the cache again, where that is more than is there.

        Args:
            known: the prompt's tokens.
            slot: of its sequence, just admitted.
            reused: tokens that it holds already.
            cells: reserved for it.

        Returns:
            How many tokens it holds now.
        """
        shelved, common = self._shelf.find(known[:-1], is_rewindable=self._is_rewindable)
        if shelved is None or common < reused + MIN_TOKENS or not self._cells.owns(slot):
            return reused
        if len(shelved.tokens) > cells + self._cells.free:
            return reused
        self._context.drop(slot)
        if state.copy_in(self._context, slot, shelved.cells) and self._context.drop(slot, common):
            if len(shelved.tokens) - common < LEAST:
                self._shelf.remove(shelved)  # it goes on; where it went on differently, both are kept
            return common
        self._shelf.remove(shelved)
        self._context.drop(slot)
        return 0

    def clear(self) -> None:
        """Give the shelf's memory back."""
        self._shelf.clear()
