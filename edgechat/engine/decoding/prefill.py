"""Which prompts a step reads, and how much of each: in turns, and short ones together.

Fills the batch; decodes nothing and knows no client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.decoding.chunk_size import Pace

if TYPE_CHECKING:
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.native.context import Context
    from edgechat.engine.native.vision import View


class Reading:
    """The prompts that wait to be read.

    Args:
        context: whose batch is filled.
        first: tokens that the very first step reads, when no speed is known yet.
    """

    def __init__(self, context: Context, first: int) -> None:
        self._context = context
        self._pace = Pace(first)
        self._last: Sequence | None = None
        self._step: dict[Sequence, int] = {}

    @property
    def n_tokens(self) -> int:
        """Prompt tokens in this step's batch."""
        return sum(self._step.values())

    def __contains__(self, sequence: Sequence) -> bool:
        """Whether part of its prompt is in this step's batch."""
        return sequence in self._step

    def fill(self, running: list[Sequence], n_decoding: int, now: float) -> tuple[Sequence, View] | None:
        """Put as much of the prompts into the batch as this step may read; one prompt's end and another's beginning.

        Args:
            running: all answers; those without logits wait to be read.
            n_decoding: answers that a long step holds up.
            now: on the monotonic clock.

        Returns:
            The picture whose turn it is, with its prompt: it is read apart from any text.
        """
        self._step = {}
        unread = self._in_turn(running)
        if not unread:
            return None
        if view := unread[0].views.get(unread[0].n_past):
            self._last = unread[0]
            return unread[0], view
        left = self._pace.chunk(n_decoding, sum(sequence.logits_at < 0 for sequence in running))
        for sequence in unread:
            if left <= 0 or not self._context.room or sequence.n_past in sequence.views:
                break
            self._step[sequence] = self._add(sequence, left, now)
            left -= self._step[sequence]
            self._last = sequence
        return None

    def took(self, n_decoding: int, seconds: float) -> None:
        """The step took this long, beside so many answers that got a token each."""
        self._pace.took(n_decoding, self.n_tokens, seconds)

    def _in_turn(self, running: list[Sequence]) -> list[Sequence]:
        """A piece each, so that a short prompt waits for no long one; batch work is last."""
        unread = [sequence for sequence in running if sequence.logits_at < 0]
        unread = [sequence for sequence in unread if not sequence.request.is_batch] or unread
        if self._last in unread:
            at = unread.index(self._last) + 1
            unread = unread[at:] + unread[:at]
        return unread

    def _add(self, sequence: Sequence, most: int, now: float) -> int:
        if not sequence.timing.prefill_began:
            sequence.timing.prefill_began = now
        count = min(sequence.pending, most, self._context.room)
        start = sequence.n_past
        if start < sequence.n_static:
            count = min(count, sequence.n_static - start)  # the cache must hold exactly the static part for a moment
        count = min(count, sequence.text_ahead)
        is_whole = count == sequence.pending
        index = self._context.add(sequence.tokens(start, start + count), start, sequence.slot, want_logits=is_whole)
        sequence.n_past += count
        if is_whole:
            sequence.logits_at = index
        return count
