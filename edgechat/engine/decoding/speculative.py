"""Speculative decoding in the decode loop: which answers get a draft, and removing the draft tokens that were wrong.

Runs in the loop's thread. What to draft, and how many tokens, is decided in
:mod:`edgechat.engine.decoding.prompt_lookup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.decoding.prompt_lookup import Drafter, StepCosts
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.native.context import Context


class SpeculativeDecoder:
    """The drafts of one context.

    Args:
        context: has the rows of logits in which drafts are checked.
        is_rewindable: whether the model can remove wrong tokens again; recurrent states and sliding windows cannot.
    """

    def __init__(self, context: Context, *, is_rewindable: bool) -> None:
        self._context = context
        self._is_possible = is_rewindable and context.n_outputs_max > 1
        self._by_threads: dict[int, StepCosts] = {}
        self._costs = StepCosts()
        self._size = 0
        self._has_draft = False

    def start(self, sequence: Sequence) -> None:
        """Give a new sequence a drafter. None where it has pictures: the ids that stand for one are no tokens."""
        if self._is_possible and sequence.request.speculate and not sequence.views:
            sequence.drafter = Drafter([*sequence.prompt, *sequence.generated])

    def draft(self, running: list[Sequence], n_threads: int) -> None:
        """Draft for every answer that repeats something, as far as the rows of logits reach.

        Not while a prompt is prefilled: such a step is as long as it may be already.
        """
        self._costs = self._by_threads.setdefault(n_threads, StepCosts())
        answering = [sequence for sequence in running if sequence.timing.first_token]
        rows = self._context.n_outputs_max - len(running) if len(answering) == len(running) else 0
        self._size = sum(sequence.pending for sequence in answering)
        self._has_draft = False
        for sequence in running:
            # One token is what a step yields anyway.
            room = min(rows, self._context.n_batch - self._size, sequence.max_tokens - len(sequence.generated) - 1)
            sequence.draft = []
            if sequence.drafter is not None and room > 0:
                draft = sequence.drafter.propose(room, self._costs, self._size, len(running))
                if sequence.constraint is not None and not sequence.detokenizer.is_in_thought:
                    # Tokens that the constraint forbids need not be checked by the model.
                    draft = sequence.constraint.allowed_prefix(draft)
                sequence.draft = draft
                rows -= len(sequence.draft)
                self._size += len(sequence.draft)
                self._has_draft |= bool(sequence.draft)

    def keep_accepted(self, sequence: Sequence, n_accepted: int) -> None:
        """Keep the first ``n_accepted`` draft tokens of a sequence and remove the rest from the KV cache.

        Raises:
            EngineError: the model could not remove them.
        """
        wrong = len(sequence.draft) - n_accepted
        sequence.n_drafted += len(sequence.draft)
        sequence.n_accepted += n_accepted
        sequence.n_past -= wrong
        if wrong and not self._context.drop(sequence.slot, sequence.n_past):
            raise EngineError("The model could not take back a draft that was wrong.", cause="exit")

    def record_step(self, n_prefilled: int, seconds: float) -> bool:
        """Learn from the time of a step in which ``n_prefilled`` prompt tokens were prefilled.

        Returns:
            False when the time says nothing about plain steps: answers had drafts, or only a picture was encoded.
        """
        if not n_prefilled and not self._size:
            return False
        if not n_prefilled:
            self._costs.add_decode(self._size, seconds)
        elif not self._size:
            self._costs.add_prefill(n_prefilled, seconds)
        return not self._has_draft
