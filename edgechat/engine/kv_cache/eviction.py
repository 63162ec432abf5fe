"""The eviction policy of the KV cache: which retained sequences leave it, in what order, and which come back.

Pure decisions over token ids and numbers. The allocator, the host pool and :mod:`edgechat.engine.kv_cache.swap` carry
them out. Old conversations in the cache cost time as well as room: every token of every answer attends to every filled
cell, and with a cache full of them a small model decodes a third more slowly. In short:

- A new prompt continues the retained sequence that shares most with it (:func:`best_retained`).
- Before that, conversations it does not continue are swapped to host memory, and of single questions only the
  instructions stay (:func:`sequences_to_evict`).
- Where cells or slots are still missing, the oldest retained sequence goes first (:func:`next_victim`).
- A swapped conversation comes back when a prompt continues it (``Swap.swap_in``); the least recently used one is
  dropped when the host pool is full (:func:`host_pool_surplus`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.prefix import CutRule, Tokens, common_prefix, restorable_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from edgechat.engine.protocol.request import Request

MIN_TOKENS = 16
"""Shortest prefix that is worth keeping or restoring. Even a template's own 24 tokens take a Pi half a second to
prefill, and a few milliseconds to restore."""

MAX_LOSS = 8
"""A retained sequence this many times longer than what it shares with a prompt is not overwritten while another slot is
left: every prompt shares its template's first words, and a long chat must not be lost for those."""

MAX_SINGLE_QUESTIONS = 1
"""Retained single questions. Few but the last one are followed up."""

MIN_SWAP_TOKENS = 64
"""Fewer tokens are attended to, or computed again, as quickly as they are copied out and back."""

MAX_HOST_BYTES = 256 * 1024 * 1024
"""About 9,000 tokens of a 1.5B model, 11,000 of SmolLM2."""
MAX_HOST_SEQUENCES = 32
"""Each prompt is compared with all of them, which takes a millisecond for this many."""
HOST_SHARE = 4
"""The host pool takes at most one part in so many of the memory that is free: other programs need some."""


def best_retained(retained: Mapping[int, Tokens], prompt: Tokens, rule: CutRule) -> tuple[int, int]:
    """The slot that a prompt should continue, and how many of its tokens it restores; (-1, 0) where there is none."""
    best, longest = -1, 0
    for slot, tokens in retained.items():
        count = restorable_prefix(tokens, prompt[:-1], rule, slot)
        if count > longest and (len(tokens) <= MAX_LOSS * count or 0 < rule.answer_start(tokens) <= count):
            best, longest = slot, count
    return best, longest


def next_victim(retained: Mapping[int, Tokens]) -> int:
    """The slot to evict first; ``retained`` lists the oldest first."""
    return next(iter(retained))


def host_pool_capacity(held: int, free: int) -> int:
    """Bytes that the host pool may hold in all.

    Args:
        held: bytes it holds now.
        free: bytes of memory that are free beyond what the loaded plan needs; negative where some are missing.
    """
    return min(MAX_HOST_BYTES, (held + free) // HOST_SHARE) if free > 0 else 0


def host_pool_surplus(sizes: Sequence[int], capacity: int) -> int:
    """How many sequences must leave the host pool, of those with these sizes, least recently used first."""
    surplus, total = 0, sum(sizes)
    while total > capacity or len(sizes) - surplus > MAX_HOST_SEQUENCES:
        total -= sizes[surplus]
        surplus += 1
    return surplus


def is_single_question(request: Request, *, client_stays: bool) -> bool:
    """Whether a request is unlikely to be followed up.

    A client that stays connected, such as a server, may have sent the first question of a chat: one that is neither
    part of a batch nor constrained to a format.
    """
    if request.keep or any(message.role == "assistant" for message in request.messages):
        return False
    may_continue = client_stays and not request.is_batch and request.constraint is None
    return not may_continue


class SingleQuestions:
    """The single questions among the retained sequences, and what to keep of each."""

    def __init__(self) -> None:
        self._whole: set[int] = set()
        self._asked: dict[int, tuple[object, int]] = {}
        """Slot -> the client that asked, and how many tokens other questions share with it."""
        self._orphaned: dict[int, int] = {}
        """The same shared tokens for those whose client has disconnected."""

    def __contains__(self, slot: int) -> bool:
        """Whether a slot holds a whole single question."""
        return slot in self._whole

    def n_shared(self, slot: int) -> int:
        """Tokens of a slot's question that other questions share, while its client is connected."""
        return self._asked.get(slot, (None, 0))[1]

    def add(self, slot: int, client: object, n_shared: int, retained: Collection[int]) -> list[int]:
        """Note that a slot, of the ``retained`` ones (oldest first), holds a single question.

        Returns:
            Slots to be evicted: the oldest single questions beyond :data:`MAX_SINGLE_QUESTIONS`.
        """
        self._asked[slot] = client, n_shared
        if slot in retained:
            self._whole.add(slot)
        whole = [each for each in retained if each in self._whole]
        return whole[: max(len(whole) - MAX_SINGLE_QUESTIONS, 0)]

    def shortened(self, slot: int) -> None:
        """Note that a slot was cut or cleared, and so holds no whole question any more."""
        self._whole.discard(slot)

    def reused(self, slot: int) -> None:
        """Note that a slot was given to a new sequence, or evicted for one."""
        self._whole.discard(slot)
        self._asked.pop(slot, None)
        self._orphaned.pop(slot, None)

    def client_disconnected(self, client: object) -> None:
        """Note that a client will follow up none of its questions."""
        gone = {slot: n_shared for slot, (each, n_shared) in self._asked.items() if each is client}
        self._orphaned |= gone
        self._asked = {slot: each for slot, each in self._asked.items() if slot not in gone}

    def orphaned(self, prompt: Tokens, retained: Mapping[int, Tokens]) -> Iterator[tuple[int, int]]:
        """Cut the questions of disconnected clients down to what all questions share, when another one begins.

        The same question asked again, word for word, is kept whole.

        Yields:
            A slot, and how many of its tokens stay.
        """
        for slot, n_shared in tuple(self._orphaned.items()):
            tokens = retained.get(slot, ())
            if common_prefix(tokens, prompt) > n_shared:
                continue
            del self._orphaned[slot]
            if n_shared < len(tokens):
                yield slot, n_shared


def sequences_to_evict(
    prompt: Tokens,
    retained: Mapping[int, Tokens],
    questions: SingleQuestions,
    *,
    pinned: Collection[int],
    rule: CutRule,
    swap_out: Callable[[int, Tokens], bool],
) -> Iterator[tuple[int, int]]:
    """What must leave the cache before a prompt: everything that it does not continue, as far as nothing is lost.

    Of a single question only its instructions stay. Otherwise the same question would be answered behind others each
    time, at other places of the cache, where llama.cpp adds up the same numbers in another order. Sequences with
    pictures, whose cells are more than their tokens, are left alone.

    Args:
        prompt: its tokens.
        retained: the retained sequences by slot, oldest first.
        questions: which of them are single questions.
        pinned: slots that must not be touched.
        rule: where a sequence can be cut.
        swap_out: copies a conversation to host memory; False where it must stay in the cache.

    Yields:
        A slot, and how many of its tokens stay.
    """

    def worth_keeping(slot: int, tokens: Tokens, count: int) -> int:
        kept = rule.cut_at(tokens, count, slot)
        return kept if kept >= MIN_TOKENS else 0

    shared = 0
    for slot, tokens in retained.items():
        common, is_conversation = common_prefix(tokens, prompt), slot not in questions
        kept = rule.cut_at(tokens, common, slot)
        is_continued = 2 * kept >= len(tokens) or 0 < rule.answer_start(tokens) <= kept
        is_short = is_conversation and len(tokens) - common < MIN_SWAP_TOKENS
        if is_continued or slot in pinned or min(tokens) < 0 or is_short:
            shared = max(shared, common)
        elif not is_conversation:
            yield slot, worth_keeping(slot, tokens, max(common, questions.n_shared(slot)))
        elif swap_out(slot, tokens):
            # One copy of the instructions that all conversations begin with is enough.
            yield slot, worth_keeping(slot, tokens, common if common > shared else 0)
            shared = max(shared, common)
