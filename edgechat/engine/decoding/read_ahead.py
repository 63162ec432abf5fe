"""Reading ahead: prefill-only requests, which put the beginning of a question into the KV cache before it is asked.

A front end sends the draft of a question while a person types; each request replaces the client's one before. They have
the lowest priority of all: one runs only while no answer is computed or waits, ends within one step when a request
arrives, and evicts nothing. What it has read stays behind as a retained sequence, which the next draft or the question
itself continues; tokens that turned out to be wrong are removed then. This module has the bookkeeping and the rule for
when to read; the scheduler and the decode loop do the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.decoding.request_queue import is_draft
from edgechat.engine.kv_cache.eviction import MIN_TOKENS
from edgechat.engine.kv_cache.prefix import CutRule, Tokens, restorable_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgechat.engine.protocol.request import Request
    from edgechat.engine.throttle.monitor import ThrottleMonitor


def may_read(request: Request, monitor: ThrottleMonitor) -> bool:
    """Whether the board can spare the energy for a prefill-only request.

    A draft may be deleted again, so it is not read on battery, nor while the engine is throttled or memory is short.
    What is to be kept on disk was asked for by a command.
    """
    throttle = monitor.throttle
    return not is_draft(request) or not (throttle.level or throttle.is_tight or monitor.is_on_battery)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a prefill-only request left in a slot."""

    reader: object
    """Its client."""
    tokens: Tokens
    base: int
    """Leading tokens that stood there before any draft: a conversation so far."""


@dataclass(frozen=True, slots=True)
class Place:
    """The cells that a draft begins with."""

    slot: int = -1
    """Retained sequence that it continues; -1 for an unused slot."""
    donor: int = -1
    """Retained sequence whose leading cells it shares; -1 for none."""
    n_tokens: int = 0
    """How many tokens it continues or shares."""


class Drafts:
    """The drafts among the retained sequences of one context. Pure bookkeeping."""

    def __init__(self) -> None:
        self._left: dict[int, Draft] = {}
        self._reader: object = None
        self._base = 0

    def _draft(self, slot: int, retained: Mapping[int, Tokens]) -> Draft | None:
        """The draft in a slot, unless something else is there by now."""
        draft = self._left.get(slot)
        return draft if draft is not None and retained.get(slot) is draft.tokens else None

    def place(self, prompt: Tokens, retained: Mapping[int, Tokens], rule: CutRule, *, can_share: bool) -> Place:
        """Where a draft goes, so that nothing is lost of what other requests left.

        It continues a sequence of which it keeps all but a few tokens, as a conversation's next question does, or an
        earlier draft, of which all but the conversation before it may go. Where another one shares more with it (the
        branch of a conversation that is being edited), it begins with the same cells in a slot of its own.

        Args:
            prompt: the draft's tokens.
            retained: tokens in the cells of each slot that nothing runs in.
            rule: where the cells can be cut.
            can_share: whether a slot may begin with the first cells of any other.
        """
        continued = shared = Place()
        for slot, tokens in retained.items():
            count = restorable_prefix(tokens, prompt, rule, slot)
            draft = self._draft(slot, retained)
            kept = len(tokens) - MIN_TOKENS if draft is None else draft.base
            if count >= max(kept, 1) and count > continued.n_tokens:
                continued = Place(slot=slot, n_tokens=count)
            if can_share and count >= MIN_TOKENS and count > shared.n_tokens:
                shared = Place(donor=slot, n_tokens=count)
        return shared if shared.n_tokens > continued.n_tokens else continued

    def base(self, slot: int, reused: int, retained: Mapping[int, Tokens]) -> int:
        """How many of the ``reused`` tokens of a slot are no draft's."""
        draft = self._draft(slot, retained)
        return reused if draft is None else min(draft.base, reused)

    def replaced(self, reader: object, retained: Mapping[int, Tokens]) -> Iterator[tuple[int, int]]:
        """Forget a client's earlier drafts.

        Yields:
            The slot of each, and how many of its tokens stay.
        """
        for slot in list(self._left):
            draft = self._draft(slot, retained)
            if draft is None:
                del self._left[slot]
            elif draft.reader is reader:
                del self._left[slot]
                yield slot, draft.base if draft.base >= MIN_TOKENS else 0

    def start(self, reader: object, base: int) -> None:
        """Note whose request runs now, and how many of its tokens are no draft's."""
        self._reader, self._base = reader, base

    def end(self, slot: int, tokens: Tokens) -> None:
        """Note what the running request has left in its slot."""
        self._left[slot] = Draft(self._reader, tokens, min(self._base, len(tokens)))
        self._reader = None
