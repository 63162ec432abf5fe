"""Speculative decoding in the decode loop: which answers get a draft, and removing the draft tokens that were wrong.

Runs in the loop's thread. What to draft, and how many tokens, is decided in
:mod:`edgechat.engine.decoding.prompt_lookup`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgechat.engine.decoding.prompt_lookup import Drafter, StepCosts
from edgechat.engine.native import state
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.native.context import Context
    from edgechat.engine.native.model import Model


class SpeculativeDecoder:
    """The drafts of one context.

    Args:
        model: its model. Of plain attention and of sliding windows the wrong tokens' cells are removed. A recurrent
            state goes back to one that was kept for each token (``n_rollback``), or else to a copy from before the
            draft; the right tokens are then decoded again.
        context: has the rows of logits in which drafts are checked.
    """

    def __init__(self, model: Model, context: Context) -> None:
        self._context = context
        self._is_recurrent, self._has_window = model.is_recurrent, model.n_window > 0
        self._is_possible = context.n_outputs_max > 1
        self._by_threads: dict[int, StepCosts] = {}
        self._costs = StepCosts()
        self._size = 0
        self._has_draft = False
        self._copies = self._is_recurrent and not context.n_rollback
        self._copy_s = 0.0
        """Seconds that the last copy of a state took."""
        self._copy: bytearray | None = None
        self._is_copied = False
        """Whether the copy was taken before this step."""

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
        self._has_draft, self._is_copied = False, False
        if self._is_recurrent and len(running) > 1:
            rows = 0  # llama.cpp would decode sequences with different numbers of tokens one after the other
        largest = self._context.n_batch
        if self._has_window:
            # In a second ubatch, a draft's own tokens would take the places of cells that are needed without it.
            largest = min(largest, self._context.n_ubatch)
        if self._context.n_rollback:
            rows = min(rows, self._context.n_rollback)
        for sequence in running:
            # One token is what a step yields anyway.
            room = min(rows, largest - self._size, sequence.max_tokens - len(sequence.generated) - 1)
            sequence.draft = []
            if sequence.drafter is not None and room > 0:
                copy_s = self._copy_s if self._copies else None
                draft = sequence.drafter.propose(room, self._costs, self._size, len(running), copy_s)
                if sequence.constraint is not None and not sequence.detokenizer.is_in_thought:
                    # Tokens that the constraint forbids need not be checked by the model.
                    draft = sequence.constraint.allowed_prefix(draft)
                sequence.draft = draft if self._can_take_back(sequence, draft) else []
                rows -= len(sequence.draft)
                self._size += len(sequence.draft)
                self._has_draft |= bool(sequence.draft)

    def _can_take_back(self, sequence: Sequence, draft: list[int]) -> bool:
        """Copy the state before a draft where that is needed; False where there is no memory for it."""
        if self._copies and draft:
            began = time.monotonic()
            copy = state.copy_partial(self._context, sequence.slot, self._copy)
            self._copy_s = time.monotonic() - began
            self._copy, self._is_copied = copy, copy is not None
            return self._is_copied
        return True

    def keep_accepted(self, sequence: Sequence, n_accepted: int) -> None:
        """Keep the first ``n_accepted`` draft tokens of a sequence and remove the rest from the KV cache.

        Raises:
            EngineError: the model could not remove them.
        """
        wrong = len(sequence.draft) - n_accepted
        sequence.n_drafted += len(sequence.draft)
        sequence.n_accepted += n_accepted
        is_kept = True
        if wrong and self._is_copied and self._copy is not None:
            # All the step's tokens go; those that were right are decoded again with the next one.
            sequence.n_past -= self._size
            is_kept = state.set_partial(self._context, sequence.slot, self._copy)
        else:
            sequence.n_past -= wrong
        if wrong and not (is_kept and self._context.drop(sequence.slot, sequence.n_past)):
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
