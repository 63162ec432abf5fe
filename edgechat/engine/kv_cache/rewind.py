"""Cuts the cells of a sequence back to its first tokens, whatever kind of memory the model has.

Plain attention can be cut at any token. Where llama.cpp keeps a recurrent state or only a window of cells, a sequence
is cut with the help of a checkpoint (:mod:`edgechat.engine.kv_cache.checkpoints`), or within what its window still
holds. Runs in the decode loop's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.kv_cache import checkpoint_file, checkpoints
from edgechat.engine.kv_cache.checkpoints import Checkpoints
from edgechat.engine.kv_cache.eviction import MIN_TOKENS
from edgechat.engine.kv_cache.prefix import common_prefix
from edgechat.engine.native import state

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.kv_cache.prefix import Tokens
    from edgechat.engine.native.context import Context
    from edgechat.engine.native.model import Model

_LAST_PLACES = 3
"""Checkpoints at the end of a prompt: before and after its question, and before the last answer."""


class Rewind:
    """The rule where the sequences of one context can be cut (a ``CutRule``), and the means to do it.

    Args:
        model: the model.
        context: its context.
        limit: bytes that checkpoints may take; 0 for none.
    """

    def __init__(self, model: Model, context: Context, limit: int) -> None:
        self._model, self._context = model, context
        self.checkpoints = Checkpoints(limit)
        self.is_plain = model.is_rewindable
        """Whether every sequence can be cut at any token."""
        self._has_cells = not model.is_recurrent and model.n_window > 0
        """Whether a state is made of cells, so that the one of an earlier token can be had from a live sequence."""

    # -- where -----------------------------------------------------------------------------------------------------

    def cut_at(self, held: Tokens, count: int, slot: int = -1) -> int:
        """As :meth:`CutRule.cut_at`."""
        if self.is_plain or count == len(held) or (count and count >= self._floor(held, slot)):
            return count
        return self._longest(held, count)

    def answer_start(self, held: Tokens) -> int:
        """As :meth:`CutRule.answer_start`."""
        return 0 if self.is_plain else self._longest(held, len(held) - 1)

    def shareable(self, slot: int, held: Tokens, count: int) -> int:
        """How many of the first ``count`` tokens of a sequence others can begin with while it goes on."""
        is_there = self._has_cells and count and count >= self._floor(held, slot)
        return count if self.is_plain or is_there else self._longest(held, count)

    def shareable_later(self, stops: tuple[int, ...], count: int) -> int:
        """The same of a prompt that is still being read, with these stops."""
        if self.is_plain or self._has_cells:
            return count
        return max((stop for stop in stops if stop <= count), default=0)

    def _longest(self, held: Tokens, count: int) -> int:
        found = self.checkpoints.longest(held, count)
        return len(found.tokens) if found is not None else 0

    def _floor(self, held: Tokens, slot: int) -> int:
        """Tokens above which cells can be cut at any token without a checkpoint."""
        window = self._model.n_window
        if self._model.is_recurrent or not window:
            return len(held)
        if slot < 0:
            # A copy holds the cells of the last window alone.
            return 0 if len(held) <= window else len(held)
        first = self._context.first_position(slot)
        if first < 0:
            return len(held)
        # llama.cpp keeps all positions from the first on. One token sees the window that ends with itself.
        return 0 if first == 0 else first + window

    # -- the cut ---------------------------------------------------------------------------------------------------

    def cut(self, slot: int, held: Tokens, count: int) -> bool:
        """Keep the first ``count`` tokens of a slot's cells, a place of :meth:`cut_at`; False where that failed.

        The cells are then of no use, and must be cleared.
        """
        if not count:
            return self._context.drop(slot)
        if not self.is_plain and count != len(held) and count < self._floor(held, slot):
            return self._restore(slot, held, count)
        return self._context.drop(slot, count)

    def share(self, source: int, target: int, tokens: Tokens) -> bool:
        """Let an empty slot begin with the first cells of another, which hold ``tokens``; False where that failed."""
        copy = self._state_at(source, target, tokens) if self._has_cells else None
        self._context.share(source, target, len(tokens))
        if copy is not None:
            # A window's cells in common would stay in the pool for as long as either sequence, seen or not.
            return state.set_partial(self._context, target, copy) and self._context.drop(target, len(tokens))
        return self.is_plain or self._restore(target, tokens, len(tokens))

    def _state_at(self, slot: int, spare: int, tokens: Tokens) -> bytearray | None:
        """The state of a window after the first ``tokens`` of a slot; None where their cells are gone, or memory is.

        llama.cpp writes what the next token of a sequence sees, so another one ends there for a moment.
        """
        if len(tokens) < self._floor((*tokens, 0), slot):
            return None
        self._context.share(slot, spare, len(tokens))
        copy = state.copy_partial(self._context, spare)
        self._context.drop(spare)
        return copy

    def _restore(self, slot: int, held: Tokens, count: int) -> bool:
        found = self.checkpoints.longest(held, count)
        if found is None or len(found.tokens) != count or not state.set_partial(self._context, slot, found.state):
            return False
        # Only now: before, the recurrent state stands behind the tokens that leave.
        return self._context.drop(slot, count)

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def stops(self, prompt: Tokens, start: int, n_static: int, *, is_single: bool) -> tuple[int, ...]:
        """Where to stop reading a prompt from ``start`` on, to take a checkpoint or to save its static part.

        Args:
            prompt: its tokens.
            start: tokens that are known already.
            n_static: its static part, where that is to be saved; else 0.
            is_single: whether the question is unlikely to be followed up, so that its static part alone is of use.
        """
        fixed = n_static if n_static > start else 0
        if self.is_plain or self._has_cells or is_single or not self.checkpoints.limit:
            return (fixed,) if fixed else ()
        return checkpoints.stops(self._ends(prompt), start, len(prompt), fixed=fixed)

    def take_behind(self, slot: int, spare: int, prompt: Tokens, start: int) -> None:
        """Take the checkpoints of a prompt that was just read from ``start`` on, where that needs no stop.

        Args:
            slot: its slot.
            spare: an empty slot; -1 where there is none, and then its cells must do.
            prompt: its tokens.
            start: tokens that were known before.
        """
        if not self._has_cells or spare < 0 or not self.checkpoints.limit:
            return
        places = checkpoints.stops(self._ends(prompt), start, len(prompt))
        # Most of what lies between is still in the window's pool when it is wanted.
        for place in places[:1] + places[1:][-_LAST_PLACES:]:
            tokens = prompt[:place]
            if self._is_wanted(tokens) and (copy := self._state_at(slot, spare, tokens)) is not None:
                self._add(tokens, copy)

    def _ends(self, prompt: Tokens) -> tuple[int, ...]:
        return checkpoints.message_ends(prompt, self._model.is_eog, self._model.is_control)

    def take(self, slot: int, tokens: Tokens) -> None:
        """Take a checkpoint of a slot, whose cells hold exactly ``tokens``, unless there is one close to their end."""
        if self.is_plain or not self._is_wanted(tokens):
            return
        if self.checkpoints.has_room(state.partial_size(self._context, slot)):
            copy = state.copy_partial(self._context, slot)
            if copy is not None:
                self._add(tokens, copy)

    def _is_wanted(self, tokens: Tokens) -> bool:
        return len(tokens) >= MIN_TOKENS and len(tokens) - self._longest(tokens, len(tokens)) >= checkpoints.SPACING

    def _add(self, tokens: Tokens, copy: bytearray) -> None:
        if self.checkpoints.has_room(len(copy)):
            self.checkpoints.add(tokens, copy)

    # -- on disk ---------------------------------------------------------------------------------------------------

    def save(self, slot: int, tokens: Tokens, file: Path) -> bool:
        """Write a slot's cells, which hold ``tokens``, and its last checkpoints; False when llama.cpp could not.

        Raises:
            OSError: the checkpoints could not be written.
        """
        if not state.save(self._context, slot, list(tokens), file):
            return False
        before = [each for each in self.checkpoints.beginning(tokens) if len(each.tokens) < len(tokens)]
        if before and not self.is_plain:
            checkpoint_file.append(file, before)
        return True

    def restorable_from(self, file: Path, tokens: Tokens, prompt: Tokens) -> int:
        """Length of the longest prefix of a prompt that a file restores, which holds the cells of ``tokens``."""
        common = common_prefix(tokens, prompt)
        places = () if self.is_plain else checkpoint_file.places(file)
        return max([self.cut_at(tokens, common), *(place for place in places if place <= common)])

    def adopt(self, file: Path, tokens: Tokens) -> None:
        """Hold the checkpoints of a file that is known to be undamaged."""
        if self.is_plain:
            return
        for count, copy in checkpoint_file.read(file):
            if self._longest(tokens, count) != count:
                self._add(tokens[:count], copy)
