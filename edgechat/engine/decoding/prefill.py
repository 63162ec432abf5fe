"""Chunked prefill: which prompts a step prefills and how much of each, sized by what steps were measured to take.

Fills the batch and decodes nothing. Two promises are weighed. Running answers: a step that also prefills takes at most
:data:`SLOWER` times what it takes without. Waiting prompts: the other half of the time, and one token a step in any
case, so that prefill is slowed down but never stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.native.context import Context
    from edgechat.engine.native.vision import View

ALONE_S = 1.0
"""A step that delays no answer: a cancellation waits for it at most this long."""
READ_AHEAD_S = 0.3
"""A step of a prefill-only request: the question that arrives meanwhile waits at most this long for it."""
LEAST_ALONE = 32
"""Tokens; smaller chunks are less efficient, and measured less well."""

SLOWER = 2.0
"""A mixed step against one that only decodes: answers keep half of the machine, prompts get the other half.
The 95th percentile stays below 2.5 with what steps vary by."""

MOST_CLAIMS = 4
"""Prompts that count when many wait: however many come at once, the answers keep a fifth of the machine."""

UNSEEN_S = 0.04
"""Steps up to this long are no visible stall, however fast the model is alone: text is sent every 0.08 s."""

MEASURE_EVERY = 32
"""Mixed steps until one decodes alone again: what that takes grows with the answers, and changes with the threads."""

_WEIGHT = 0.3
"""Of a new measurement against those before."""
_FAR = 2.0
"""A step that took more than this many times what was expected was disturbed by another program; it counts as this."""


class ChunkSizer:
    """Decides how many prompt tokens a step prefills, from the measured times of earlier steps. Pure.

    Args:
        first: prompt tokens of the very first step, before anything was measured.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._alone: float | None = None
        """Seconds for one prompt token in a step that only prefills."""
        self._beside: float | None = None
        """Seconds that one prompt token adds to a step that decodes."""
        self._decoding: dict[int, float] = {}
        """Seconds of a step that only decodes, by the number of answers."""
        self._unmeasured = 0
        """Mixed steps since the last one that only decoded."""
        self._last = 0

    def chunk(self, n_decoding: int, n_prompts: int = 1) -> int:
        """Prompt tokens for a step beside ``n_decoding`` answers; 0 when it is to decode alone and be measured.

        Args:
            n_decoding: answers that a long step delays.
            n_prompts: prompts that wait; each has a claim to as much time as the answers together.
        """
        if not n_decoding:
            return self._first if self._alone is None else max(int(ALONE_S / self._alone), LEAST_ALONE)
        quiet = self._decoding.get(n_decoding)
        if quiet is None or self._unmeasured >= MEASURE_EVERY:
            return 0
        # Small chunks cost more for each token, so the cost is learned from steps of about this size. A prompt token
        # costs no more than a generated one.
        each = self._beside or quiet / n_decoding
        slower = max(SLOWER, 1.0 + min(n_prompts, MOST_CLAIMS))
        allowed = max(slower * quiet, UNSEEN_S) - quiet
        return max(min(int(allowed / each + 1e-6), 2 * self._last + 1), 1)

    def short_chunk(self) -> int:
        """Prompt tokens for a step of a prefill-only request."""
        return LEAST_ALONE if self._alone is None else max(int(READ_AHEAD_S / self._alone), LEAST_ALONE)

    def record(self, n_decoding: int, n_prefilled: int, seconds: float) -> None:
        """Learn from a step that decoded for ``n_decoding`` answers and prefilled ``n_prefilled`` tokens."""
        seconds = max(seconds, 1e-6)
        if not n_decoding:
            if n_prefilled >= LEAST_ALONE:
                self._alone = _smoothed(self._alone, seconds / n_prefilled)
        elif not n_prefilled:
            self._decoding[n_decoding] = _smoothed(self._decoding.get(n_decoding), seconds)
            self._unmeasured = 0
        else:
            self._unmeasured += 1
            self._last = n_prefilled
            quiet = self._decoding.get(n_decoding)
            if quiet is not None:
                # Never below a tenth of a generated token's share: noise must not let a chunk grow without bounds.
                each = max((seconds - quiet) / n_prefilled, quiet / n_decoding / 10)
                self._beside = _smoothed(self._beside, each)


def _smoothed(known: float | None, new: float) -> float:
    if known is None:
        return new
    return (1 - _WEIGHT) * known + _WEIGHT * min(new, _FAR * known)


class ChunkedPrefill:
    """The prompts that are being prefilled.

    Args:
        context: whose batch is filled.
        first: tokens of the very first step, before anything was measured.
    """

    def __init__(self, context: Context, first: int) -> None:
        self._context = context
        self._sizer = ChunkSizer(first)
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
        """Put as many prompt tokens into the batch as this step may prefill, of one prompt or of several.

        Args:
            running: all answers; those without logits have prompts to prefill.
            n_decoding: answers that a long step delays.
            now: on the monotonic clock.

        Returns:
            The picture whose turn it is, with its sequence: it is encoded apart from any text.
        """
        self._step = {}
        unfinished = self._round_robin(running)
        if not unfinished:
            return None
        if view := unfinished[0].views.get(unfinished[0].n_past):
            self._last = unfinished[0]
            return unfinished[0], view
        if unfinished[0].request.prefill_only:  # runs alone
            left = self._sizer.short_chunk()
        else:
            left = self._sizer.chunk(n_decoding, sum(sequence.logits_at < 0 for sequence in running))
        for sequence in unfinished:
            if left <= 0 or not self._context.room or sequence.n_past in sequence.views:
                break
            self._step[sequence] = self._add(sequence, left, now)
            left -= self._step[sequence]
            self._last = sequence
        return None

    def take_back(self, sequence: Sequence) -> None:
        """Forget a sequence's part of a step that could not be decoded."""
        sequence.n_past -= self._step.pop(sequence, 0)

    def record_step(self, n_decoding: int, seconds: float) -> None:
        """Learn how long the step took beside ``n_decoding`` answers."""
        self._sizer.record(n_decoding, self.n_tokens, seconds)

    def _round_robin(self, running: list[Sequence]) -> list[Sequence]:
        """Unfinished prompts in turn, so that a short one does not wait for a long one; batch work comes last."""
        unfinished = [sequence for sequence in running if sequence.logits_at < 0]
        unfinished = [sequence for sequence in unfinished if not sequence.request.is_batch] or unfinished
        if self._last in unfinished:
            at = unfinished.index(self._last) + 1
            unfinished = unfinished[at:] + unfinished[:at]
        return unfinished

    def _add(self, sequence: Sequence, most: int, now: float) -> int:
        if not sequence.timing.prefill_began:
            sequence.timing.prefill_began = now
        count = min(sequence.pending, most, self._context.room)
        start = sequence.n_past
        # What is saved or copied there must stand in the cache alone.
        count = min([count, *(stop - start for stop in sequence.stops if stop > start)])
        count = min(count, sequence.pending_text)
        is_whole = count == sequence.pending and not sequence.request.prefill_only
        index = self._context.add(sequence.tokens(start, start + count), start, sequence.slot, want_logits=is_whole)
        sequence.n_past += count
        if is_whole:
            sequence.logits_at = index
        return count
