"""Drafts in the decode loop: who gets one, how the rows of logits are shared out, and what was wrong is taken back.

Runs in the loop's thread. What to guess, and how much of it, is decided in
:mod:`edgechat.engine.decoding.prompt_lookup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.decoding.prompt_lookup import Drafts, StepCosts
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.native.context import Context


class Speculation:
    """The drafts of one context.

    Args:
        context: where they are checked, with what rows of logits the answers leave.
        is_rewindable: whether the model can take back what was wrong; recurrent states and sliding windows cannot.
    """

    def __init__(self, context: Context, *, is_rewindable: bool) -> None:
        self._context = context
        self._is_possible = is_rewindable and context.n_outputs_max > 1
        self._by_threads: dict[int, StepCosts] = {}
        self._costs = StepCosts()
        self._size = 0
        self._is_guessed = False

    def join(self, sequence: Sequence) -> None:
        """A sequence begins. What stands for a picture is no token, so beside one nothing is looked up."""
        if self._is_possible and sequence.request.speculate and not sequence.views:
            sequence.drafts = Drafts([*sequence.prompt, *sequence.generated])

    def guess(self, running: list[Sequence], n_threads: int) -> None:
        """Draft for every answer that repeats something, as far as the rows of logits reach.

        Not while a prompt is read: such a step is as long as it may be already.
        """
        self._costs = self._by_threads.setdefault(n_threads, StepCosts())
        answering = [sequence for sequence in running if sequence.timing.first_token]
        rows = self._context.n_outputs_max - len(running) if len(answering) == len(running) else 0
        self._size = sum(sequence.pending for sequence in answering)
        self._is_guessed = False
        for sequence in running:
            # One token is what a step yields anyway.
            room = min(rows, self._context.n_batch - self._size, sequence.max_tokens - len(sequence.generated) - 1)
            sequence.draft = []
            if sequence.drafts is not None and room > 0:
                draft = sequence.drafts.propose(room, self._costs, self._size, len(running))
                if sequence.constraint is not None and not sequence.reply.is_in_thought:
                    # What may not come need not be checked by the model.
                    draft = sequence.constraint.possible(draft)
                sequence.draft = draft
                rows -= len(sequence.draft)
                self._size += len(sequence.draft)
                self._is_guessed |= bool(sequence.draft)

    def settle(self, sequence: Sequence, accepted: int) -> None:
        """Of a sequence's draft so many tokens have come; the others leave the cache.

        Raises:
            EngineError: the model could not forget them.
        """
        wrong = len(sequence.draft) - accepted
        sequence.n_drafted += len(sequence.draft)
        sequence.n_accepted += accepted
        sequence.n_past -= wrong
        if wrong and not self._context.drop(sequence.slot, sequence.n_past):
            raise EngineError("The model could not take back a draft that was wrong.", cause="exit")

    def took(self, n_prefilled: int, seconds: float) -> bool:
        """Learn from a step of which so many tokens were of a prompt.

        False when it says nothing about plain steps: its answers had drafts, or it only looked at a picture.
        """
        if not n_prefilled and not self._size:
            return False
        if not n_prefilled:
            self._costs.decoded(self._size, seconds)
        elif not self._size:
            self._costs.read(n_prefilled, seconds)
        return not self._is_guessed
